// SPDX-License-Identifier: Apache-2.0
/* /api/v1/read: Prometheus' remote_read, over the same merged samples as queries.
 *
 * As in Prometheus, external_labels are added to series that lack them, and equality matchers on them select those
 * series, too. Of a query's hints the window, the step and the function count: values of vector selectors end
 * where their series are stale, which servers without remote_read show at the steps only, and "series" asks for labels
 * without samples. Errors are plain text.
 */
#include "gateway/api/query.h"

#include "base/text/duration.h"
#include "gateway/api/call.h"
#include "gateway/read/read_write.h"
#include "gateway/services/services.h"

/* Windows are limited, so that servers accept them as durations. */
static const int64_t READ_FUTURE_MS = (int64_t)10 * 365 * 86400 * 1000, READ_PAST_MS = (int64_t)200 * 365 * 86400 * 1000;
enum { READ_STEPS_MAX = 100000, READ_PART_BYTES = 256 << 10 };

struct read_reply {
    struct api_call *c;
    struct read_call call;
    struct series_set *sets;
};

static void api_read_end(void *arg)
{
    struct read_reply *r = arg;
    for (size_t i = 0; r->sets && i < r->call.n; i++)
        series_set_release(&r->sets[i]);
}

/* ---- from queries to selectors ---- */

static struct labels api_read_external(const struct api_call *c)
{
    const struct str_map *external = &c->r->config->global.external_labels;
    struct label *items = ARENA_ARRAY(c->q->arena, struct label, external->n);
    for (size_t i = 0; i < external->n; i++)
        items[i] = (struct label){external->keys[i], external->values[i]};
    return labels_from(c->q->arena, items, external->n);
}

/* Series that have the label, or that get it in the response because they have none: name=~"value|". */
static bool api_read_match_external(struct api_call *c, struct matcher *m)
{
    struct buf pattern = {0};
    struct str name = m->name;
    regex_quote(&pattern, m->value);
    buf_add_char(&pattern, '|');
    struct arena_limits limits = arena_suspend_limit(c->q->arena); /* a jump would leak the pattern */
    bool ok = matcher_init(m, c->q->arena, MATCH_RE, name, buf_str(&pattern), &c->err);
    arena_restore_limit(c->q->arena, limits);
    buf_free(&pattern);
    return ok;
}

static bool api_read_use_external(struct api_call *c, struct read_query *q, struct labels external)
{
    for (size_t i = 0; i < q->n_matchers; i++) {
        struct matcher *m = &q->matchers[i];
        if (m->type == MATCH_EQ && m->value.n > 0 && str_eq(labels_get(external, m->name), m->value) &&
            !api_read_match_external(c, m))
            return false;
    }
    return true;
}

static void api_read_window(const struct read_query *q, int64_t *start, int64_t *end)
{
    bool hints = q->has_hints && q->hint_start <= q->hint_end && (q->hint_start != 0 || q->hint_end != 0);
    int64_t latest = clock_wall_ms() + READ_FUTURE_MS;
    *start = hints && q->hint_start > q->start ? q->hint_start : q->start;
    *end = hints && q->hint_end < q->end ? q->hint_end : q->end;
    *end = *end < latest ? *end : latest;
    *start = *start > latest - READ_PAST_MS ? *start : latest - READ_PAST_MS;
}

/* A vector selector, by its hints: the window begins a lookback before the first step. */
static bool api_read_instant(const struct api_call *c, const struct read_query *q, struct select *sel)
{
    int64_t lookback = c->session->service.lookback ? c->session->service.lookback : 300000;
    int64_t first = sel->t_min + lookback - 1;
    if (!q->has_hints || q->range > 0 || q->step < 0)
        return false;
    sel->window = lookback;
    sel->start = q->step > 0 && first < sel->t_max ? first : sel->t_max;
    sel->end = sel->t_max;
    sel->step = q->step > 0 ? q->step : 1;
    return (sel->end - sel->start) / sel->step < READ_STEPS_MAX;
}

static struct select api_read_select(struct api_call *c, const struct read_query *q)
{
    struct select sel = {.matchers = q->matchers, .n_matchers = q->n_matchers, .wants_origin = true,
                         .func = arena_z(c->q->arena, q->func)};
    api_read_window(q, &sel.t_min, &sel.t_max);
    if (api_read_instant(c, q, &sel)) {
        sel.kind = SELECT_INSTANT;
        return sel;
    }
    sel.kind = SELECT_RANGE;
    sel.start = sel.end = sel.t_max;
    sel.step = 1;
    sel.window = sel.t_max - sel.t_min + 1;
    return sel;
}

/* ---- reading ---- */

static bool api_read_wants_samples(const struct read_query *q) { return !str_is(q->func, "series"); }

static bool api_read_series(struct api_call *c, const struct read_query *q, struct series_set *out)
{
    const struct matcher *set = q->matchers;
    struct labels_set found = {0};
    struct series_query sq = {.sets = &set, .set_sizes = &q->n_matchers, .n_sets = 1};
    api_read_window(q, &sq.t_min, &sq.t_max);
    if (sq.t_min > sq.t_max)
        return true;
    if (!c->source->ops->series(c->source, c->q, &sq, &found, &c->err))
        return false;
    out->series = ARENA_ARRAY(c->q->arena, struct series, found.n);
    for (size_t i = 0; i < found.n; i++)
        out->series[out->n++] = (struct series){.labels = found.items[i]};
    return true;
}

/* All selectors are fetched at once. */
static bool api_read_fetch(struct read_reply *r)
{
    struct api_call *c = r->c;
    struct select *sels = ARENA_ARRAY(c->q->arena, struct select, r->call.n);
    struct series_set *found = ARENA_ARRAY(c->q->arena, struct series_set, r->call.n);
    size_t *of = ARENA_ARRAY(c->q->arena, size_t, r->call.n), n = 0;
    r->sets = ARENA_ARRAY(c->q->arena, struct series_set, r->call.n);
    for (size_t i = 0; i < r->call.n; i++) {
        const struct read_query *q = &r->call.queries[i];
        if (!api_read_wants_samples(q)) {
            if (!api_read_series(c, q, &r->sets[i]))
                return false;
            continue;
        }
        sels[n] = api_read_select(c, q);
        if (sels[n].t_min <= sels[n].t_max)
            of[n++] = i;
    }
    bool ok = n == 0 || c->source->ops->select(c->source, c->q, sels, n, found, &c->err);
    for (size_t i = 0; i < n; i++) /* equal selectors may share a set, which is released once */
        r->sets[of[i]] = found[i];
    return ok;
}

/* ---- the response ---- */

/* Frames are sent while the others are made. */
static bool api_read_flush(void *arg, struct err *err)
{
    struct api_call *c = arg;
    return c->r->out.n < READ_PART_BYTES || api_send_part(c, err);
}

static bool api_read_write(struct read_reply *r, struct labels external)
{
    struct api_call *c = r->c;
    const struct arena *a = c->q->arena;
    struct read_writer w = {.q = c->q, .work = &c->work, .external = external, .out = &c->r->out,
                            .max_samples = c->session->service.max_samples,
                            .max_bytes = a->max == 0 ? 0 : a->used < a->max ? a->max - a->used : 1};
    c->r->identity = true;
    if (r->call.form == READ_CHUNKS) {
        w.flush = api_read_flush;
        w.arg = c;
        c->r->content_type = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";
        return read_write_chunks(&w, r->sets, r->call.n, &c->err);
    }
    c->r->content_type = "application/x-protobuf";
    http_header_add(c->r, "Content-Encoding", STR("snappy"));
    return read_write_samples(&w, r->sets, r->call.n, &c->err);
}

static bool api_read_body(struct api_call *c)
{
    struct read_reply *r = ARENA_NEW(c->q->arena, struct read_reply);
    r->c = c;
    c->session->end = api_read_end;
    c->session->end_arg = r;
    bool ok = read_call_decode(c->q->arena, c->r->body, &r->call, &c->err);
    struct labels external = api_read_external(c);
    for (size_t i = 0; ok && i < r->call.n; i++)
        ok = api_read_use_external(c, &r->call.queries[i], external);
    if (!ok || !api_read_fetch(r))
        return false;
    api_reply_begin(c);
    ok = api_read_write(r, external);
    return api_reply_end(c) && ok;
}

/* A response that has begun is cut: its client misses the end, and fails. */
static void api_read_fail(struct http_request *r, const struct err *err)
{
    if (r->streaming) {
        r->stream_failed = true;
        return;
    }
    r->identity = false;
    http_error_text(r, err);
}

void api_read(struct http_request *r) { api_respond_plain(r, api_read_body, api_read_fail); }
