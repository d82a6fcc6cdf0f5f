// SPDX-License-Identifier: Apache-2.0
/* Asks some of the other members whether they renew their leases. A member that cannot renew its own thereby learns
 * whether it alone is cut off from etcd, or etcd from all. Each round asks PEERS_A_ROUND others, picked by a hash of
 * this member and the round: when all members of a cluster ask, each is asked by about as many. Threads: the loop's. */
#ifndef GATEWAY_CLUSTER_PEER_CHECK_H
#define GATEWAY_CLUSTER_PEER_CHECK_H

#include "base/http/client.h"
#include "model/cluster/cluster_view.h"

enum { PEERS_A_ROUND = 8 };
struct peer_check;
struct peer_check *peer_check_new(struct loop *loop, struct client_profile *profile); /* references the profile */
void peer_check_free(struct peer_check *p);
/* Begins a round, and ends one in progress. */
void peer_check_start(struct peer_check *p, const struct cluster_view *view, int64_t timeout_ms);
/* Of the last round: members that responded and have renewed their leases less than `recent_ms` before. */
size_t peer_check_renewing(const struct peer_check *p, int64_t recent_ms);
size_t peer_check_responded(const struct peer_check *p); /* likewise: members that responded at all */
bool peer_check_runs(const struct peer_check *p);
/* The members that a round asks: all others that are registered, or PEERS_A_ROUND of them, each once. out: their
 * indices, PEERS_A_ROUND at most. */
size_t peer_check_pick(const struct cluster_view *view, uint64_t round, size_t *out);

#endif
