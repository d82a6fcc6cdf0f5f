// SPDX-License-Identifier: Apache-2.0
/* Asks another member what it says of itself: GET /api/v1/cluster/member. Threads: those of the client's loop. */
#ifndef GATEWAY_CLUSTER_MEMBER_QUERY_H
#define GATEWAY_CLUSTER_MEMBER_QUERY_H

#include "base/http/client.h"

struct member_report {
    bool responded;
    struct str process;   /* its id; valid during the call */
    bool scrapes;         /* it takes part and may scrape, or leaves */
    int64_t renewed_ago;  /* ms since it renewed its lease; -1: it has none, or did not respond */
    int64_t complete;     /* Unix ms before which its scrapes are complete; -1: not known */
    int64_t sent_until;   /* Unix ms before which its scrapes are sent; 0: not known */
};
struct member_query {
    struct client_call *call; /* NULL: none is in progress */
    struct buf body;
    void (*done)(struct member_query *q, const struct member_report *r);
};
/* One at a time; `done` is called once, unless it is canceled. */
void member_query_send(struct member_query *q, struct client *client, struct client_profile *profile, struct str address,
                       int64_t timeout_ms);
void member_query_cancel(struct member_query *q);

#endif
