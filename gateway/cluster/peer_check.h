// SPDX-License-Identifier: Apache-2.0
/* Asks the other members whether they renew their leases. A member that cannot renew its own thereby learns whether it
 * alone is cut off from etcd, or etcd from all. Threads: the loop's. */
#ifndef GATEWAY_CLUSTER_PEER_CHECK_H
#define GATEWAY_CLUSTER_PEER_CHECK_H

#include "base/http/client.h"
#include "model/cluster/cluster_view.h"

struct peer_check;
struct peer_check *peer_check_new(struct loop *loop, struct client_profile *profile); /* references the profile */
void peer_check_free(struct peer_check *p);
/* Asks all other members of the view, PEERS_MOST of them; ends a round in progress. */
void peer_check_start(struct peer_check *p, const struct cluster_view *view, int64_t timeout_ms);
/* Of the last round: members that responded and have renewed their leases less than `recent_ms` before. */
size_t peer_check_renewing(const struct peer_check *p, int64_t recent_ms);
bool peer_check_runs(const struct peer_check *p);

#endif
