// SPDX-License-Identifier: Apache-2.0
/* The text that a person at a terminal sees when the program is ready. */
#ifndef GATEWAY_GREETING_H
#define GATEWAY_GREETING_H

#include "gateway/config/config.h"

/* address: host:port to write into URLs; prefix: --web.route-prefix, "" for none. */
void greeting_print(struct buf *out, const struct config *c, const char *address, const char *prefix);

#endif
