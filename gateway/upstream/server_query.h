// SPDX-License-Identifier: Apache-2.0
/* One server's answer to one selector: which way it is asked, and what is done when it does not know that way.
 *
 *   VictoriaMetrics                 export: raw samples with stale markers
 *   Prometheus, remote_read: true   remote_read: raw samples with stale markers and native histograms
 *   else, a range selector          `sel[range]` by /query: raw samples without stale markers, which range functions do
 *                                   not see anyway
 *   else, an instant selector       query or query_range: the value at each step. Where replicas are compared or the
 *                                   samples' own times are wanted, `sel[range]` too; from both together stale markers
 *                                   are put back (staleness.h)
 * JSON cannot carry native histograms: where they appear in it remote_read is tried.
 */
#ifndef GATEWAY_UPSTREAM_SERVER_QUERY_H
#define GATEWAY_UPSTREAM_SERVER_QUERY_H

#include "gateway/upstream/fetch.h"

enum read_method { READ_EXPORT, READ_REMOTE, READ_QUERY };
struct server_query {
    struct request_batch *batch;
    const struct group *group;
    struct server *server;
    const struct select *sel;
    const struct matcher *matchers; size_t n_matchers; /* without those on the group's labels */
    bool compare;              /* raw samples are needed */
    void (*done)(struct server_query *query);
    void *arg;

    enum server_query_state { SERVER_QUERY_IDLE, SERVER_QUERY_RUNNING, SERVER_QUERY_OK, SERVER_QUERY_FAILED } state;
    struct response response;  /* SERVER_QUERY_OK: each label set once; lookback is still to be applied */
    struct err err;            /* SERVER_QUERY_FAILED */

    enum read_method _method;
    bool _steps_only;          /* the answer holds values at steps */
    struct response _steps;
    struct labels _external;   /* of the server, once READ_REMOTE is chosen */
    enum server_kind _kind;
    bool _guessed;             /* _kind is: the server has no buildinfo. The first answer shows whether it is right */
    int _status;               /* HTTP's, of the first failure */
    struct fetch *_fetches[64]; unsigned _n_fetches, _left;
};
void server_query_start(struct server_query *query);
void server_query_cancel(struct server_query *query);

#endif
