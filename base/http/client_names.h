// SPDX-License-Identifier: Apache-2.0
/* Internal to base/http: host names of calls.
 *
 * libcurl would look names up in its own threads, without a limit, and wait for them when the transfer ends: an
 * unresponsive name server would block the lane. Therefore libcurl never looks up names:
 *
 * 1. A transfer that needs a name ends at once.
 * 2. base/http/resolver.h resolves the name.
 * 3. The transfer is restarted with the addresses (CURLOPT_RESOLVE).
 *
 * A reused connection needs no name, so most requests skip these steps; a redirect to another host may need one, and
 * then restarts from the first request.
 */
#ifndef BASE_HTTP_CLIENT_NAMES_H
#define BASE_HTTP_CLIENT_NAMES_H

#include "base/http/client_call.h"

/* Prevents libcurl from looking up names. Call after all other options of the handle are set. */
void client_names_guard(struct client_call *call);

/* Whether the transfer ended because a name was missing. */
bool client_names_missing(const struct client_call *call);
enum client_names_state { NAMES_FOUND, NAMES_FAILED, NAMES_ASKED };
/* The handle must be in no multi. FOUND: it may be restarted. FAILED: reply.err has the reason. ASKED: `settled` is
 * called later in the loop with one of these two; until then the call's own timeouts apply. code: the result of the
 * transfer. */
enum client_names_state client_names_resolve(struct client_call *call, struct loop *loop, int code,
                                             void (*settled)(struct client_call *call, bool found)) MUST_USE;
void client_names_free(struct client_call *call); /* also cancels a lookup in progress */

#endif
