// SPDX-License-Identifier: Apache-2.0
/* Private to gateway/pages/: remote write destinations and server groups, the lower part of /targets. */
#ifndef GATEWAY_PAGES_BACKENDS_H
#define GATEWAY_PAGES_BACKENDS_H

#include "gateway/http/http.h"

void backends_html(struct http_request *r, int64_t now); /* with the anchors #remote-write and #server-groups */
void backends_text(struct http_request *r, int64_t now); /* one line each */

#endif
