// SPDX-License-Identifier: Apache-2.0
/* Between HTTP server, services and workers: gives each request its context, and runs the handlers of slow routes on
 * workers. */
#ifndef GATEWAY_DISPATCH_H
#define GATEWAY_DISPATCH_H

#include "gateway/http/http.h"

extern const struct http_hooks dispatch_hooks; /* need listener_conf.services */

#endif
