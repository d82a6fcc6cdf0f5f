// SPDX-License-Identifier: Apache-2.0
/* Targets that move to this member as planned, from others. The scraper holds their scrapes (scraper_release) until this
 * is done for each other member and time T:
 *
 * 1. After T the other member is asked what it says of itself (member_query.h), POLL_MS apart.
 * 2. When all its scrapes before T are complete, the pages of these scrapes are requested, some at a time, and given to the
 *    scraper: series that have vanished since then end. A request that fails is repeated, then the pages are missing.
 * 3. When all its samples before T have reached their destinations, or it has removed its key (it has stopped, and what
 *    it could not send is on its disk), the scrapes are released. After 30 s the scraper releases them by itself.
 *
 * Threads: the loop's.
 */
#ifndef GATEWAY_CLUSTER_HANDOVERS_H
#define GATEWAY_CLUSTER_HANDOVERS_H

#include "base/http/client.h"
#include "base/telemetry/stats.h"
#include "model/cluster/cluster_view.h"

#define HANDOVER_STATS(X)                                                                                              \
    X(HANDOVERS_FAILED, "sluice_cluster_handovers_failed_total", STATS_COUNTER,                                         \
      "Planned hand-overs from a member to this one in which pages of targets could not be read")                      \
    X(HANDOVERS_LATE, "sluice_cluster_handovers_late_total", STATS_COUNTER,                                             \
      "Planned hand-overs in which the other member's samples were not acknowledged within 30 s")
enum handover_stat { HANDOVER_STATS(STATS_ID) };
extern struct stats_group handover_stats;
extern struct stats_histogram handover_durations;

enum { HANDOVER_IDS = 1000 /* of a request */, HANDOVER_LIMIT_MS = 30000 };
struct handovers;
struct handover_source { int64_t from; uint64_t by; /* hash_bytes of the id */ };
struct handovers_conf {
    struct loop *loop;
    struct client_profile *profile; /* of requests to members; referenced */
    /* struct scraper_hold; takes the body, and calls `answered` for each page in it. */
    bool (*take)(void *arg, const struct handover_source *of, struct buf *body,
                 void (*answered)(void *answered_arg, uint64_t id), void *answered_arg, struct err *err);
    void (*release)(void *arg, const struct handover_source *of);
    void *arg;
};
struct handovers *handovers_new(const struct handovers_conf *conf);
void handovers_free(struct handovers *h);
void handovers_expect(struct handovers *h, const struct cluster_member *from, int64_t time, uint64_t id);
void handovers_member_left(struct handovers *h, struct str id); /* its key is removed */
void handovers_release_all(struct handovers *h);                /* this member leaves */

#endif
