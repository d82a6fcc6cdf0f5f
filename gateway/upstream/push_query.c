// SPDX-License-Identifier: Apache-2.0
#include "gateway/upstream/push_query.h"

#include "base/text/duration.h"
#include "base/text/url.h"

enum { PUSH_MAX_POINTS = 11000 }; /* of a series in a response of Prometheus */

static struct push_query *push_query_of(const struct attempt *a)
{
    return CONTAINER(a->request, struct push_query, request);
}

static void push_cancel_fetches(struct push_attempt *p)
{
    for (unsigned i = 0; i < p->_n_fetches; i++)
        if (p->_fetches[i])
            fetch_cancel(p->_fetches[i]);
    p->_n_fetches = p->_left = 0;
}

static void push_fetched(void *arg, const struct err *err, int status)
{
    struct push_attempt *p = arg;
    struct err why = {0};
    p->_left--;
    if (err) {
        p->_err = *err;
        p->rejected = status == 400;
        push_cancel_fetches(p);
    }
    if (p->_left > 0)
        return;
    if (p->_err.kind != ERR_NONE) {
        attempt_failed(&p->attempt, &p->_err);
    } else if (!response_unite(&p->response, &why)) {
        server_blame(p->attempt.server, &why); /* errors of requests name it already */
        attempt_failed(&p->attempt, &why);
    } else {
        atomic_fetch_add(&p->attempt.server->traffic->samples, p->response.n_samples);
        attempt_succeeded(&p->attempt);
    }
}

static void push_send(struct push_attempt *p, const struct grid *steps)
{
    const struct push_query *query = push_query_of(&p->attempt);
    struct buf form = {0};
    form_add(&form, "query", query->text);
    form_add_ms(&form, "lookback_delta", query->lookback);
    if (query->steps.n == 1) {
        form_add_ms(&form, "time", steps->start);
    } else {
        form_add_ms(&form, "start", steps->start);
        form_add_ms(&form, "end", grid_end(steps));
        form_add_ms(&form, "step", steps->step);
    }
    p->_left++;
    fetch_send(query->request.batch, &(struct fetch_plan){
        .server = p->attempt.server, .path = query->steps.n == 1 ? "/api/v1/query" : "/api/v1/query_range",
        .form = buf_str(&form), .decoder = json_decoder_new(&p->response), .arena = &p->attempt.arena, .done = push_fetched, .arg = p,
        .slot = &p->_fetches[p->_n_fetches++], .query = query->text, .n_samples = &p->response.n_samples});
    buf_free(&form);
}

static void push_attempt_start(struct attempt *a)
{
    struct push_attempt *p = CONTAINER(a, struct push_attempt, attempt);
    struct push_query *query = push_query_of(a);
    struct query_ctx *q = query->request.batch->q;
    uint32_t n = (query->steps.n - 1) / PUSH_MAX_POINTS + 1;
    p->response = batch_response(query->request.batch, query->view, a->server, &a->arena);
    p->response.notes = &query->notes;
    p->response.most_points = query->steps.n < PUSH_MAX_POINTS ? query->steps.n : PUSH_MAX_POINTS;
    p->rejected = false;
    p->_err = (struct err){0};
    p->_n_fetches = p->_left = 0;
    p->_fetches = ARENA_ARRAY(q->arena, struct fetch *, n);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t first = i * PUSH_MAX_POINTS, left = query->steps.n - first;
        struct grid part = grid_part(&query->steps, first, left < PUSH_MAX_POINTS ? left : PUSH_MAX_POINTS);
        push_send(p, &part);
    }
}

static void push_attempt_cancel(struct attempt *a) { push_cancel_fetches(CONTAINER(a, struct push_attempt, attempt)); }

static unsigned push_attempt_calls(const struct attempt *a)
{
    return 1u << (push_query_of(a)->steps.n == 1 ? LATENCY_QUERY : LATENCY_QUERY_RANGE);
}

static const struct attempt_ops push_attempt_ops = {push_attempt_start, push_attempt_cancel, push_attempt_calls};

/* No other server has the same value. */
static void push_query_choose(struct push_query *query)
{
    struct group_request *r = &query->request;
    struct attempt **all = r->attempts;
    size_t n = r->n;
    r->attempts = ARENA_ARRAY(r->batch->q->arena, struct attempt *, n);
    r->n = 0;
    r->turn = (struct plan_turn){0};
    r->attempts[r->n++] = all[query->server];
    for (size_t i = 0; i < n && i < 64; i++)
        if (i != query->server && (query->others >> i & 1))
            r->attempts[r->n++] = all[i];
    for (size_t i = 0; i < r->n; i++)
        r->attempts[i]->complete = true;
}

void push_query_start(struct push_query *query, struct request_batch *batch, const struct group *group,
                      const struct label_view *view)
{
    bool chosen = group->read_mode == READ_MERGE;
    query->view = view;
    query->notes = (struct notes){.arena = batch->q->arena};
    query->attempts = ARENA_ARRAY(batch->q->arena, struct push_attempt, group->n_servers);
    group_request_init(&query->request, batch, group, chosen ? READ_FIRST : group->read_mode, &push_attempt_ops,
                       query->attempts, sizeof *query->attempts);
    query->request.dispensable = group->n_servers > 1; /* raw samples of the others */
    if (chosen)
        push_query_choose(query);
    atomic_fetch_add(&group->traffic->pushed, 1);
    group_request_start(&query->request);
}

struct response *push_query_response(struct push_query *query, struct err *err)
{
    for (size_t i = 0; i < query->request.n; i++)
        if (query->request.attempts[i]->state == ATTEMPT_SUCCEEDED)
            return &CONTAINER(query->request.attempts[i], struct push_attempt, attempt)->response;
    group_request_error(&query->request, err);
    return NULL;
}
