// SPDX-License-Identifier: Apache-2.0
/* A listen address and the settings of its connections. A connection keeps a pointer to its listener from accept() to
 * close(), so that each request is served with the settings of the address that it arrived on.
 *
 * The owner creates the listeners before the acceptor starts and frees them after the lanes have ended.
 */
#ifndef GATEWAY_HTTP_LISTENER_H
#define GATEWAY_HTTP_LISTENER_H

#include "base/str.h"

enum { LISTENERS_MAX = 16 };
struct listener {
    struct str address;  /* as configured: host:port or :port */
};

#endif
