// SPDX-License-Identifier: Apache-2.0
/* The greeting that is printed on a terminal when the program is ready. */
#ifndef GATEWAY_GREETING_H
#define GATEWAY_GREETING_H

#include "gateway/config/config.h"

/* url: scheme and host for URLs; prefix: --web.route-prefix, "" for none. */
void greeting_print(struct buf *out, const struct config *c, const char *url, const char *prefix);

#endif
