// SPDX-License-Identifier: Apache-2.0
/* The table of all endpoints. */
#ifndef GATEWAY_ROUTES_H
#define GATEWAY_ROUTES_H

#include "gateway/http/http.h"

extern const struct route routes[];
extern const size_t n_routes;
void routes_document(struct buf *out); /* a line "GET, POST /path" for each */

#endif
