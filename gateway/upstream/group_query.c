// SPDX-License-Identifier: Apache-2.0
#include "gateway/upstream/group_query.h"

#include "base/text/duration.h"
#include "gateway/query/trace.h"
#include "gateway/upstream/replicas.h"
#include "gateway/upstream/stats.h"

enum { SIGHT_MS = 300000, RAW_MS = 6 * 3600000 };

/* --- requests ----------------------------------------------------------------------------------------------------- */

static bool recent_covers(const struct group_query *l) { return l->recent.source && l->sel->t_min >= l->recent.from; }

/* The recent store has a copy of the samples that were or will be sent to the group's servers: samples that they lack
 * are added to their response, whether or not the store covers the window. Over a long range that it covers in part,
 * values at steps are much less to fetch than raw samples. */
static bool recent_adds(const struct group_query *l)
{
    const struct select *sel = l->sel;
    bool raw_anyway = sel->kind == SELECT_RANGE || sel->t_max - sel->t_min <= RAW_MS;
    return recent_covers(l) || (l->recent.source && sel->t_max >= l->recent.from && raw_anyway);
}

static bool merges(const struct group *g) { return g->n_servers > 1 && g->read_mode == READ_MERGE; }

/* Responses that are compared sample by sample must be raw samples, not values at steps. */
static bool compares(const struct group_query *l, bool alone)
{
    const struct group *g = l->group;
    return (merges(g) && !alone) || g->view.unites || g->overlap == OVERLAP_MERGE || l->shares || l->cut ||
           recent_adds(l) || l->sel->wants_origin;
}

/* Which replicas are known to have everything that the selector reads: the samples of the first one that responds are
 * those of the group, and nothing has to be merged. */
static void group_complete_replicas(struct group_query *l, const struct matcher *matchers, size_t n)
{
    const struct group *g = l->group;
    struct coverage_query query = {matchers, n, l->sel->t_min, l->sel->t_max, clock_wall_ms()};
    struct coverage_result known;
    if (!merges(g) || g->push_down == PUSH_OFF || g->rule.prefer_max || recent_adds(l) ||
        l->request.batch->worker->n_proxied > 0)
        return;
    coverage_ask(g->coverage, l->request.batch->q->arena, &query, &known);
    for (size_t i = 0; i < g->n_servers; i++)
        l->request.attempts[i]->complete = coverage_complete(&known, i) && group_may_choose(g, i);
}

/* Samples before a short window show intervals and gaps at its beginning, unless the time range begins there. */
static void group_query_set_sight(struct group_query *l)
{
    int64_t from = l->sel->t_max > INT64_MIN + SIGHT_MS ? l->sel->t_max - SIGHT_MS : INT64_MIN;
    l->sight = *l->sel;
    l->t_min = l->sel->t_min;
    if (!l->cut && (merges(l->group) || l->group->view.unites) && from < l->sel->t_min)
        l->sight.t_min = from;
}

/* Reads only what the group has by its time range. Values at steps would depend on more. */
static bool group_query_cut(struct group_query *l, const struct request_batch *batch)
{
    const struct select *whole = l->sel;
    struct group_window w = {whole->t_min, whole->t_max};
    const char *refusal = group_refusal(l->group, batch_reader(batch), whole->matchers, whole->n_matchers, &w);
    if (refusal) {
        trace_skip(batch->q->trace, l->group->name, whole->matchers, whole->n_matchers, refusal);
        return false;
    }
    l->cut = w.from != whole->t_min || w.to != whole->t_max;
    if (!l->cut)
        return true;
    struct select *part = ARENA_NEW(batch->q->arena, struct select);
    *part = *whole;
    part->t_min = w.from;
    part->t_max = w.to;
    l->sel = part;
    return true;
}

bool group_query_start(struct group_query *l, struct request_batch *batch)
{
    const struct matcher *matchers;
    size_t n;
    if (!group_query_cut(l, batch))
        return false;
    if (!group_route(l->group, batch->q->arena, l->sel->matchers, l->sel->n_matchers, &matchers, &n))
        return false;
    group_query_set_sight(l);
    l->queries = ARENA_ARRAY(batch->q->arena, struct server_query, l->group->n_servers);
    group_request_init(&l->request, batch, l->group, l->group->read_mode, &server_query_ops, l->queries,
                       sizeof *l->queries);
    group_complete_replicas(l, matchers, n);
    for (size_t i = 0; i < l->request.n; i++) {
        bool alone = l->request.attempts[i]->complete;
        l->queries[i].sel = alone && !l->group->view.unites ? l->sel : &l->sight;
        l->queries[i].view = &l->group->view;
        l->queries[i].matchers = matchers;
        l->queries[i].n_matchers = n;
        l->queries[i].compare = compares(l, alone);
        l->queries[i].packs = true;
    }
    atomic_fetch_add(&l->group->traffic->raw, 1);
    group_request_start(&l->request);
    return true;
}

void group_query_stop(struct group_query *l) { group_request_stop(&l->request); }

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
        if (!series_set_get(set, i, &s, err) ||
            !batch_charge(l->request.batch, QUERY_CHARGE_LABELS + s.n_samples + s.n_hists * QUERY_CHARGE_WRITE, err))
            return false;
        struct hist_sample *hists = ARENA_ARRAY(to->arena, struct hist_sample, s.n_hists);
        for (uint32_t k = 0; k < s.n_hists; k++) {
            hists[k] = s.hists[k];
            if (set->load) /* the next series may overwrite it */
                hists[k].h = keep_histogram(to->arena, s.hists[k].h);
        }
        if (!response_add(to, s.labels, s.samples, s.n_samples, hists, s.n_hists, err))
            return false;
    }
    return true;
}

static bool read_recent(struct group_query *l, struct err *err)
{
    struct response *to = &l->recent_response;
    struct select sel = l->sight;
    struct series_set set = {0};
    sel.kind = SELECT_RANGE; /* the merge reads all samples, not the newest of each point */
    if (sel.t_min < l->recent.from)
        sel.t_min = l->recent.from;
    struct query_ctx *q = l->request.batch->q;
    if (!group_route(l->group, q->arena, sel.matchers, sel.n_matchers, &sel.matchers, &sel.n_matchers))
        return true;
    *to = (struct response){.work = reading_work(q), .arena = q->arena, .view = &l->group->view,
                            .rule = &l->group->rule, .packs = true, .notes = q->notes, .t_min = sel.t_min, .t_max = sel.t_max};
    bool ok = l->recent.source->ops->select(l->recent.source, q, &sel, 1, &set, err);
    ok = ok && copy_series(l, &set, to, err) && (!l->group->view.unites || response_unite(to, err));
    series_set_release(&set);
    return ok;
}

/* Whether the store may replace the group although the window begins earlier: if it covers every requested point, so
 * that only the lookback of the first ones is cut, or if the group is allowed to fail anyway. */
static bool recent_suffices(const struct group_query *l)
{
    bool excused = group_failure(l->group, l->request.batch->q) != GROUP_REQUIRED;
    return l->sel->start >= l->recent.from || (excused && l->sel->t_max >= l->recent.from);
}

static const char *recent_since(const struct group_query *l)
{
    struct buf text = {0};
    buf_add_rfc3339(&text, l->recent.from);
    const char *since = arena_z(l->request.batch->q->arena, buf_str(&text));
    buf_free(&text);
    return since;
}

/* No server responded. */
static bool recent_alone(struct group_query *l, const struct err *why, struct err *err)
{
    struct notes *notes = l->request.batch->q->notes;
    struct str name = l->group->name;
    if (l->recent.source == NULL || !recent_suffices(l)) {
        atomic_fetch_add(&l->group->traffic->failed, 1);
        *err = *why;
        if (l->recent.source)
            err_set(err, why->kind, "%s; the recent store begins at %s", why->text, recent_since(l));
        return false;
    }
    stats_add(&upstream_stats, RECENT_ALONE, 1);
    if (recent_covers(l))
        notes_info(notes, "server group \"%.*s\" did not respond; its result is from the recent store", STR_ARG(name));
    else
        notes_warn(notes, "server group \"%.*s\" did not respond; its result has only the samples of the recent store "
                   "since %s", STR_ARG(name), recent_since(l));
    l->only = &l->recent_response;
    return read_recent(l, err);
}

/* --- results ------------------------------------------------------------------------------------------------------ */

/* A single response is used as it is; several are merged, and samples that only the recent store has are added. */
static bool group_query_merge(struct group_query *l, struct err *err)
{
    size_t n = 0;
    struct arena *a = l->request.batch->q->arena;
    const struct response **responses = ARENA_ARRAY(a, const struct response *, l->request.n + 1);
    for (size_t i = 0; i < l->request.n; i++)
        if (l->queries[i].attempt.state == ATTEMPT_SUCCEEDED) {
            responses[i] = l->only = &l->queries[i].response;
            n++;
        }
    if (recent_adds(l)) {
        if (!read_recent(l, err))
            return false;
        responses[l->request.n] = &l->recent_response;
        n++;
    }
    if (n == 1)
        return true;
    l->merged = ARENA_NEW(a, struct replicas);
    *l->merged = (struct replicas){.group = l->group, .sel = l->sel, .from = l->sight.t_min, .responses = responses,
                                   .n = l->request.n + 1, .alone = l->request.batch->worker->n_proxied > 0};
    return replicas_merge(l->merged, l->request.batch, err);
}

/* The servers may have been asked for more series than the selector selects. */
static bool group_query_filter(struct group_query *l, struct err *err)
{
    size_t n = l->merged ? l->merged->n_series : l->only->n;
    l->n_series = n;
    if (view_routes_exactly(&l->group->view, l->sel->matchers, l->sel->n_matchers))
        return true;
    uint32_t *kept = ARENA_ARRAY(l->request.batch->q->arena, uint32_t, n);
    l->n_series = 0;
    for (size_t i = 0; i < n; i++) {
        if (!batch_charge(l->request.batch, QUERY_CHARGE_LABELS, err))
            return false;
        if (matchers_match(l->sel->matchers, l->sel->n_matchers, group_query_labels(l, i)))
            kept[l->n_series++] = (uint32_t)i;
    }
    l->kept = kept;
    return true;
}

struct labels group_query_labels(const struct group_query *l, size_t i)
{
    size_t at = l->kept ? l->kept[i] : i;
    return l->merged ? replicas_labels(l->merged, at) : l->only->series[at].labels;
}

bool group_query_series(struct group_query *l, size_t i, struct arena *scratch, struct series *out, struct err *err)
{
    size_t at = l->kept ? l->kept[i] : i;
    if (l->merged)
        return replicas_series(l->merged, at, scratch, out, err);
    if (!query_charge(&l->only->work, 1 + (uint64_t)l->only->series[at].n_samples, err))
        return false;
    *out = response_series(l->only, at, scratch);
    if (l->sight.t_min < l->t_min)
        series_trim(out, l->t_min);
    return true;
}

bool group_query_collect(struct group_query *l, struct err *err)
{
    struct err why = {0};
    bool answered = group_request_answered(&l->request), ok;
    if (answered)
        group_request_note_missed(&l->request);
    else
        group_request_error(&l->request, &why);
    ok = answered ? group_query_merge(l, err) : recent_alone(l, &why, err);
    return ok && group_query_filter(l, err);
}
