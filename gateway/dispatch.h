// SPDX-License-Identifier: Apache-2.0
/* Connects the HTTP server to services and workers: sets up the context of each request and runs the handlers of slow
 * routes on workers. */
#ifndef GATEWAY_DISPATCH_H
#define GATEWAY_DISPATCH_H

#include "gateway/http/http.h"

extern const struct http_hooks dispatch_hooks; /* require listener_conf.services */

#endif
