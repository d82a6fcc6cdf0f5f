// SPDX-License-Identifier: Apache-2.0
/* One selector at one server: the method by which it is requested, and what to do if the server does not support it.
 *
 *   VictoriaMetrics                 export: raw samples with stale markers; as blocks, if its metrics show that it does
 *                                   not deduplicate
 *   Prometheus, remote_read: true   remote_read: raw samples with stale markers and native histograms
 *   else, a range selector          `sel[range]` by /query: raw samples without stale markers, which range functions do
 *                                   not see anyway
 *   else, an instant selector       query or query_range: the value at each step. Where replicas are compared or the
 *                                   samples' own times are wanted, `sel[range]` too; from both together stale markers
 *                                   are put back (staleness.h)
 * Prometheus 2, another lookback   as where replicas are compared, since it may not know lookback_delta
 * JSON cannot carry native histograms, and their chunks are not decoded: if a response has some, it is requested again
 * as samples by remote_read, and the next one for this metric at once.
 *
 * The attempt at a server (group_request.h) passes through these steps while it runs:
 *
 *   start -- kind of the server known --> method
 *     |                                      ^
 *     +-> PROBE -- buildinfo, or a guess ----+
 *           +----- unreachable --> FAILED
 *           +----- Prometheus 2, lookback unknown --> LOOKBACK --> method (for what is pushed to it later: push_plan.c)
 *
 *   method -- export, query -------------------------------------> READ
 *     +------ blocks -- flags of the server known ----------------> READ
 *     |            +-> FLAGS -- it does not deduplicate ----------> READ
 *     |                   +---- it does, not shown: method := export
 *     |                   +---- unreachable --> FAILED
 *     +------ remote_read -- external labels known --------------> READ
 *                  +-> LABELS -- labels, or none ----------------> READ
 *                         +----- not shown: method := query -----> READ
 *                         +----- unreachable --> FAILED
 *
 *   READ -- complete --> SUCCEEDED
 *     +---- the server does not know the method: method := query --------------> READ
 *     +---- blocks that are not supported, understood or needed: method := export
 *     +---- native histograms in JSON, or in chunks of remote_read: method := remote_read, of samples --> method
 *     +---- any other error --> FAILED
 */
#ifndef GATEWAY_UPSTREAM_SERVER_QUERY_H
#define GATEWAY_UPSTREAM_SERVER_QUERY_H

#include "gateway/upstream/group_request.h"

enum read_method { READ_BLOCKS, READ_EXPORT, READ_REMOTE, READ_QUERY };
enum server_query_step { STEP_PROBE, STEP_LOOKBACK, STEP_LABELS, STEP_FLAGS, STEP_READ, STEP_SUCCEEDED, STEP_FAILED };
struct server_query {
    struct attempt attempt;
    const struct select *sel;
    const struct matcher *matchers; size_t n_matchers; /* without those on labels of the group */
    const struct label_view *view; /* how the labels are shown; NULL: as they are */
    bool compare;              /* raw samples are needed */
    bool packs;                /* raw samples may be packed */
    struct response response;  /* SUCCEEDED: each label set once; lookback is still to be applied */

    struct str _text;          /* for explain */
    enum server_query_step _step;
    enum read_method _method;
    bool _whole;               /* of READ_BLOCKS: the server returns everything it has stored; */
    enum blocks_refusal _refusal; /* the response is refused */
    bool _samples;             /* of READ_REMOTE: chunks were refused, or would be */
    bool _steps_only;          /* the response has values at steps */
    struct select _grid;       /* whose steps are requested: the selector's, or multiples of the step beside them */
    struct response _steps;
    struct labels _external;   /* of the server, once READ_REMOTE is chosen */
    enum server_kind _kind;
    struct server_build _build;
    struct server_flags _flags; /* of Prometheus 2 */
    bool _guessed;             /* _kind is a guess without buildinfo; the first response shows whether it is right */
    struct err _err;           /* of the step: its first failure, and the HTTP status that came with it */
    int _status;
    struct fetch *_fetches[64]; unsigned _n_fetches, _left;
};
extern const struct attempt_ops server_query_ops;

#endif
