// SPDX-License-Identifier: Apache-2.0
/* Checks servers whose breaker is half-open, or that are suspected to hang (gateway/servers/breaker.h), so that no
 * query waits for them: each is sent the trivial request of gateway/upstream/server_check.h. Breakers are polled every
 * CHECKS_TICK_MS; at most CHECKS_AT_ONCE checks are in flight. Checks count as requests.
 *
 * Called on the main thread, in its loop.
 */
#ifndef GATEWAY_BACKGROUND_BREAKER_CHECKS_H
#define GATEWAY_BACKGROUND_BREAKER_CHECKS_H

#include "gateway/upstream/upstream.h"

enum { CHECKS_AT_ONCE = 8, CHECKS_TICK_MS = 500, CHECKS_TIMEOUT_MS = 2000 };

struct breaker_checks;
struct breaker_checks *breaker_checks_new(struct loop *loop, const char *id); /* id: of the process, see via.h */
/* Checks the servers of u from now on, and keeps a reference. Cancels checks of the previous upstream. */
void breaker_checks_use(struct breaker_checks *b, struct upstream *u);
void breaker_checks_stop(struct breaker_checks *b); /* releases the reference */
void breaker_checks_free(struct breaker_checks *b);

#endif
