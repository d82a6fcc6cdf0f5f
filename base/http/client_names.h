// SPDX-License-Identifier: Apache-2.0
/* Inside base only: host names of calls. libcurl looks a name up in a thread of its own, without a bound, and waits for
 * it when the transfer ends: a silent name server would stop the lane. So it is never let: a transfer that needs a name
 * ends at once, the name is resolved by base/http/resolver.h, and the transfer starts again with the addresses
 * (CURLOPT_RESOLVE). A kept connection needs no name, so that most requests never come here; a redirect to another host
 * may, and then begins with the first request again.
 */
#ifndef BASE_HTTP_CLIENT_NAMES_H
#define BASE_HTTP_CLIENT_NAMES_H

#include "base/http/client_call.h"

/* For a handle whose other options are set: no name is looked up by libcurl from now on. */
void client_names_guard(struct client_call *call);

/* After the transfer has ended: was it for lack of a name? */
bool client_names_missing(const struct client_call *call);
enum client_names_state { NAMES_FOUND, NAMES_FAILED, NAMES_ASKED };
/* The handle is in no multi. FOUND: it may start again. FAILED: reply.err says why. ASKED: `settled` is called later,
 * in the loop, with one of these two; until then, the call's own timeouts hold. code: how the transfer ended. */
enum client_names_state client_names_resolve(struct client_call *call, struct loop *loop, int code,
                                             void (*settled)(struct client_call *call, bool found)) MUST_USE;
void client_names_free(struct client_call *call); /* also ends a lookup that is under way */

#endif
