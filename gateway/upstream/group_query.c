// SPDX-License-Identifier: Apache-2.0
#include "gateway/upstream/group_query.h"

#include "base/text/duration.h"
#include "gateway/upstream/replicas.h"
#include "gateway/upstream/stats.h"

enum { HEDGE_MIN_MS = 20, HEDGE_UNKNOWN_MS = 250, CHECK_EVERY = 256 };
enum { SIGHT_MS = 300000, RAW_MS = 6 * 3600000 };

/* --- asking ------------------------------------------------------------------------------------------------------- */

static bool has_state(const struct group_query *l, enum server_query_state state)
{
    for (size_t i = 0; i < l->n_queries; i++)
        if (l->queries[i].state == state)
            return true;
    return false;
}

/* A server that has not been asked yet: first one that is not paused. */
static struct server_query *next_idle(const struct group_query *l)
{
    struct server_query *paused = NULL;
    for (size_t i = 0; i < l->n_queries; i++) {
        if (l->queries[i].state != SERVER_QUERY_IDLE)
            continue;
        if (server_ready(l->queries[i].server))
            return &l->queries[i];
        paused = paused ? paused : &l->queries[i];
    }
    return paused;
}

/* Three times its usual answer. */
static int64_t hedge_delay(const struct server *s)
{
    uint64_t n = atomic_load(&s->traffic->requests) - atomic_load(&s->traffic->failures);
    int64_t ms = n ? (int64_t)(atomic_load(&s->traffic->nanoseconds) / n / 1000000) * 3 : HEDGE_UNKNOWN_MS;
    return ms < HEDGE_MIN_MS ? HEDGE_MIN_MS : ms;
}

static void group_query_server(struct group_query *l)
{
    struct server_query *query = next_idle(l);
    if (query == NULL)
        return;
    server_query_start(query);
    if (l->group->read_mode == READ_HEDGE && has_state(l, SERVER_QUERY_IDLE))
        loop_timer_in(l->batch->worker->loop, &l->_hedge, hedge_delay(query->server));
}

static void hedge(struct loop_timer *t)
{
    struct group_query *l = CONTAINER(t, struct group_query, _hedge);
    if (!has_state(l, SERVER_QUERY_OK))
        group_query_server(l);
}

static void cancel_rest(struct group_query *l)
{
    group_query_stop(l);
    for (size_t i = 0; i < l->n_queries; i++)
        if (l->queries[i].state == SERVER_QUERY_RUNNING)
            server_query_cancel(&l->queries[i]);
}

/* A paused server is asked after all when those that were not have failed. */
static void group_query_server_done(struct server_query *query)
{
    struct group_query *l = query->arg;
    bool all = l->group->read_mode == READ_MERGE;
    if (query->state == SERVER_QUERY_OK && !all)
        cancel_rest(l);
    else if (query->state == SERVER_QUERY_FAILED && !has_state(l, SERVER_QUERY_OK) &&
             (!all || !has_state(l, SERVER_QUERY_RUNNING)))
        group_query_server(l);
}

static bool recent_covers(const struct group_query *l) { return l->recent.source && l->sel->t_min >= l->recent.from; }

/* It holds a copy of what the group's servers were sent or have still to be sent: samples that it has and they lack add
 * to their response, whether or not it covers the window. Over a long range that it covers in part values at steps
 * are much less to fetch than raw samples. */
static bool recent_adds(const struct group_query *l)
{
    const struct select *sel = l->sel;
    bool raw_anyway = sel->kind == SELECT_RANGE || sel->t_max - sel->t_min <= RAW_MS;
    return recent_covers(l) || (l->recent.source && sel->t_max >= l->recent.from && raw_anyway);
}

/* Where answers are compared sample by sample, values at steps are not enough. */
static bool compares(const struct group_query *l)
{
    const struct group *g = l->group;
    bool several = g->n_servers > 1 && g->read_mode == READ_MERGE;
    return several || g->overlap == OVERLAP_MERGE || recent_adds(l) || l->sel->wants_origin;
}

/* Intervals and gaps at the beginning of a short window are seen in what lies before it. */
static void group_query_try_next(struct group_query *l)
{
    bool several = l->group->n_servers > 1 && l->group->read_mode == READ_MERGE;
    int64_t from = l->sel->t_max > INT64_MIN + SIGHT_MS ? l->sel->t_max - SIGHT_MS : INT64_MIN;
    l->sight = *l->sel;
    if (several && from < l->sel->t_min)
        l->sight.t_min = from;
}

bool group_query_start(struct group_query *l)
{
    const struct matcher *matchers;
    size_t n;
    if (!group_route(l->group, l->batch->q->arena, l->sel->matchers, l->sel->n_matchers, &matchers, &n))
        return false;
    group_query_try_next(l);
    l->n_queries = l->group->n_servers;
    l->queries = ARENA_ARRAY(l->batch->q->arena, struct server_query, l->n_queries);
    for (size_t i = 0; i < l->n_queries; i++)
        l->queries[i] = (struct server_query){.batch = l->batch, .group = l->group, .server = l->group->servers[i],
                                              .sel = &l->sight,
                                              .matchers = matchers, .n_matchers = n, .compare = compares(l),
                                              .done = group_query_server_done, .arg = l};
    l->_hedge.run = hedge;
    if (l->group->read_mode != READ_MERGE) {
        group_query_server(l);
        return true;
    }
    for (size_t i = 0; i < l->n_queries; i++)
        if (server_ready(l->queries[i].server))
            server_query_start(&l->queries[i]);
    if (!has_state(l, SERVER_QUERY_RUNNING))
        for (size_t i = 0; i < l->n_queries; i++)
            server_query_start(&l->queries[i]);
    return true;
}

void group_query_stop(struct group_query *l) { loop_timer_stop(l->batch->worker->loop, &l->_hedge); }

/* --- the recent store --------------------------------------------------------------------------------------------- */

static const struct histogram *keep_histogram(struct arena *a, const struct histogram *h)
{
    struct buf wire = {0};
    struct histogram *copy = ARENA_NEW(a, struct histogram);
    int64_t t;
    histogram_encode(&wire, h, 0);
    bool ok = histogram_decode(a, (const uint8_t *)wire.p, wire.n, &t, copy, NULL);
    buf_free(&wire);
    return ok ? copy : NULL;
}

static bool copy_series(struct group_query *l, struct series_set *set, struct response *to, struct err *err)
{
    for (size_t i = 0; i < set->n; i++) {
        struct series s = {0};
        if (!series_set_get(set, i, &s, err) || (i % CHECK_EVERY == 0 && !batch_check(l->batch, err)))
            return false;
        struct hist_sample *hists = ARENA_ARRAY(to->arena, struct hist_sample, s.n_hists);
        for (uint32_t k = 0; k < s.n_hists; k++) {
            hists[k] = s.hists[k];
            if (set->load) /* the next one may overwrite it */
                hists[k].h = keep_histogram(to->arena, s.hists[k].h);
        }
        if (!response_add(to, s.labels, s.samples, s.n_samples, hists, s.n_hists, err))
            return false;
    }
    return true;
}

static bool read_recent(struct group_query *l, struct response *to, struct err *err)
{
    struct select sel = l->sight;
    struct series_set set = {0};
    if (sel.t_min < l->recent.from)
        sel.t_min = l->recent.from;
    struct query_ctx *q = l->batch->q;
    if (!group_route(l->group, q->arena, sel.matchers, sel.n_matchers, &sel.matchers, &sel.n_matchers))
        return true;
    *to = (struct response){.arena = q->arena, .group = l->group, .notes = q->notes,
                            .t_min = sel.t_min, .t_max = sel.t_max};
    bool ok = l->recent.source->ops->select(l->recent.source, q, &sel, 1, &set, err);
    ok = ok && copy_series(l, &set, to, err);
    series_set_release(&set);
    return ok;
}

/* May it stand in for the group although the window begins earlier? When every point asked for is in its time, so
 * that only the look back from the first ones is cut, or when the answer could go without the group anyway. */
static bool recent_suffices(const struct group_query *l)
{
    bool excused = l->group->ignore_error || l->group->downgrade_error;
    return l->sel->start >= l->recent.from || (excused && l->sel->t_max >= l->recent.from);
}

static const char *recent_since(const struct group_query *l)
{
    struct buf text = {0};
    buf_add_rfc3339(&text, l->recent.from);
    const char *since = arena_z(l->batch->q->arena, buf_str(&text));
    buf_free(&text);
    return since;
}

/* No server answered. */
static bool recent_alone(struct group_query *l, const struct err *why, struct err *err)
{
    struct notes *notes = l->batch->q->notes;
    struct str name = l->group->name;
    if (l->recent.source == NULL || !recent_suffices(l)) {
        stats_add(&upstream_stats, GROUPS_FAILED, 1);
        *err = *why;
        if (l->recent.source)
            err_set(err, why->kind, "%s; the recent store begins at %s", why->text, recent_since(l));
        return false;
    }
    stats_add(&upstream_stats, RECENT_ALONE, 1);
    if (recent_covers(l))
        notes_info(notes, "server group \"%.*s\" did not answer; the recent store did", STR_ARG(name));
    else
        notes_warn(notes, "server group \"%.*s\" did not answer; from it there is only what the recent store has since "
                   "%s", STR_ARG(name), recent_since(l));
    return read_recent(l, &l->response, err);
}

/* --- collecting --------------------------------------------------------------------------------------------------- */

/* The worse for the client's hope that trying again helps, the higher. */
static int error_severity(enum err_kind kind)
{
    switch (kind) {
    case ERR_LOOP:
    case ERR_LIMIT:
    case ERR_EXEC: return 5;
    case ERR_THROTTLED: return 4;
    case ERR_GATEWAY_TIME: return 3;
    case ERR_UNAVAILABLE: return 2;
    default: return 1;
    }
}

bool group_error(const struct group *g, const struct err *errs, size_t n, struct err *err)
{
    const struct err *worst = NULL;
    size_t failed = 0;
    for (size_t i = 0; i < n; i++) {
        if (errs[i].kind == ERR_NONE)
            continue;
        failed++;
        worst = worst == NULL || error_severity(errs[i].kind) > error_severity(worst->kind) ? &errs[i] : worst;
    }
    if (worst == NULL)
        return err_set(err, ERR_UNAVAILABLE, "server group \"%.*s\": no server answered", STR_ARG(g->name));
    *err = *worst;
    if (failed > 1)
        err_wrap(err, "none of %zu servers answered", failed);
    return false;
}

bool group_may_fail(const struct group *g, struct notes *notes, const struct err *why)
{
    if (g->downgrade_error && !g->ignore_error)
        notes_warn(notes, "%s", why->text);
    return g->ignore_error || g->downgrade_error;
}

static bool all_failed(struct group_query *l, struct err *err)
{
    struct err *errs = ARENA_ARRAY(l->batch->q->arena, struct err, l->n_queries);
    for (size_t i = 0; i < l->n_queries; i++)
        errs[i] = l->queries[i].err;
    return group_error(l->group, errs, l->n_queries, err);
}

static void note_failures(const struct group_query *l)
{
    for (size_t i = 0; i < l->n_queries; i++) {
        const struct server_query *query = &l->queries[i];
        bool missed = query->state == SERVER_QUERY_FAILED || (query->state == SERVER_QUERY_IDLE &&
                                                              l->group->read_mode == READ_MERGE);
        stats_add(&upstream_stats, REPLICAS_MISSED, missed);
        if (query->state == SERVER_QUERY_FAILED)
            notes_info(l->batch->q->notes, "another replica answered for %s", query->err.text);
        else if (missed)
            notes_info(l->batch->q->notes, "another replica answered for server group \"%.*s\": %.*s, which is not "
                       "asked for a while after failures", STR_ARG(l->group->name), STR_ARG(query->server->shown));
    }
}

/* One server's response stands as it is; several are merged, and what only the recent store has is added. */
static bool merge_all(struct group_query *l, struct err *err)
{
    struct response recent = {0}, *only = NULL;
    size_t n = 0;
    const struct response **responses = ARENA_ARRAY(l->batch->q->arena, const struct response *, l->n_queries + 1);
    for (size_t i = 0; i < l->n_queries; i++)
        if (l->queries[i].state == SERVER_QUERY_OK) {
            responses[i] = only = &l->queries[i].response;
            n++;
        }
    if (recent_adds(l)) {
        if (!read_recent(l, &recent, err))
            return false;
        responses[l->n_queries] = &recent;
        n++;
    }
    struct replicas r = {.batch = l->batch, .group = l->group, .sel = l->sel, .from = l->sight.t_min,
                         .responses = responses, .n = l->n_queries + 1};
    if (n == 1)
        l->response = *only;
    else if (!replicas_merge(&r, &l->response, err))
        return false;
    if (l->sight.t_min < l->sel->t_min)
        replicas_trim(&l->response, l->sel->t_min);
    return true;
}

bool group_query_collect(struct group_query *l, struct err *err)
{
    struct err why = {0};
    if (!has_state(l, SERVER_QUERY_OK)) {
        all_failed(l, &why);
        return recent_alone(l, &why, err);
    }
    note_failures(l);
    return merge_all(l, err);
}
