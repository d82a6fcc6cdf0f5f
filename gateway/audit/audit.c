// SPDX-License-Identifier: Apache-2.0
#include "gateway/audit/audit.h"

#include "base/text/duration.h"
#include "gateway/audit/one_server.h"
#include "gateway/upstream/decode/response.h"

#include <math.h>
#include <stdlib.h>

enum audit_kind {                      /* how much of a window was written to the group */
    AUDIT_COMPLETE,
    AUDIT_NOTHING,                     /* a backup was not in use */
    AUDIT_PARTLY                       /* what a backup began or ceased to get: there is nothing to compare */
};

struct audit {
    struct query_ctx *q;
    const struct audit_question *what;
    struct query_params params;        /* its start: end of the first window */
    size_t n_windows;
    enum audit_kind *kinds;            /* of each window; NULL: all are complete */
};

/* --- counts --------------------------------------------------------------------------------------------------------- */

static struct str audit_expression(struct arena *a, const struct audit_question *what)
{
    struct buf text = {0};
    size_t n;
    const struct str *labels = coverage_labels(what->group->coverage, &n);
    buf_add_z(&text, "sum by (");
    for (size_t i = 0; i < n; i++) {
        buf_add_z(&text, i ? ", " : "");
        labels_print_name(&text, labels[i]);
    }
    buf_add_z(&text, ") (count_over_time(");
    matchers_print(&text, what->match, what->n_match);
    buf_add_char(&text, '[');
    buf_add_duration(&text, what->window);
    buf_add_z(&text, "]))");
    struct str copy = arena_str(a, buf_str(&text));
    buf_free(&text);
    return copy;
}

/* Windows are aligned to their length, so that repeated audits have the same. */
static bool audit_set_windows(struct audit *a, struct err *err)
{
    const struct audit_question *w = a->what;
    int64_t from = w->start > w->written_from ? w->start : w->written_from;
    int64_t first = (from / w->window + (from % w->window > 0) + 1) * w->window, last = w->end / w->window * w->window;
    if (first > last) {
        struct buf text = {0};
        buf_add_rfc3339(&text, w->written_from);
        err_set(err, ERR_BAD_DATA, "the time has no complete window: what was written is known since %s", buf_z(&text));
        buf_free(&text);
        return false;
    }
    a->n_windows = (size_t)((last - first) / w->window) + 1;
    a->params = (struct query_params){.text = audit_expression(a->q->arena, w), .range = true, .start = first, .end = last,
                                      .step = w->window};
    return true;
}

/* A group that is filled by backups has the times of outages only. */
static void audit_set_kinds(struct audit *a)
{
    const struct group *g = a->what->group;
    if (g->backup.written == NULL)
        return;
    a->kinds = ARENA_ARRAY(a->q->arena, enum audit_kind, a->n_windows);
    for (size_t i = 0; i < a->n_windows; i++) {
        int64_t end = a->params.start + (int64_t)i * a->params.step;
        struct group_window w = {end - a->what->window, end};
        a->kinds[i] = group_was_written(g, w, true) ? AUDIT_COMPLETE
                      : group_was_written(g, w, false) ? AUDIT_PARTLY : AUDIT_NOTHING;
    }
}

static bool audit_read(struct audit *a, struct source *from, struct promql_result *out, struct err *err)
{
    struct query_service service = *a->what->settings;
    struct query_result result;
    service.source = from;
    bool ok = query_run(&service, a->q, &a->params, &result, err);
    *out = result.value;
    return ok;
}

/* NULL: the target has no series. Points without a value are no samples. */
static uint64_t audit_window_count(const struct audit *a, const struct promql_series *s, size_t window, size_t *at)
{
    int64_t t = a->params.start + (int64_t)window * a->params.step;
    while (s && *at < s->n && s->t[*at] < t)
        ++*at;
    bool has = s && *at < s->n && s->t[*at] == t && promql_has(s, *at) && s->v[*at] > 0;
    return has ? (uint64_t)llround(s->v[*at]) : 0;
}

/* --- comparison ----------------------------------------------------------------------------------------------------- */

static void audit_add(struct audit_count *to, const struct audit_count *more)
{
    to->written += more->written;
    to->returned += more->returned;
    to->missing += more->missing;
    to->extra += more->extra;
    to->late += more->late;
}

static bool audit_differs(const struct audit_count *c) { return c->missing + c->extra + c->late > 0; }

static struct audit_target audit_compare(const struct audit *a, const struct promql_series *written,
                                         const struct promql_series *returned, int64_t pending_since)
{
    struct audit_target t = {.labels = written ? written->labels : returned->labels};
    size_t at_written = 0, at_returned = 0;
    for (size_t i = 0; i < a->n_windows; i++) {
        struct audit_count c = {.written = audit_window_count(a, written, i, &at_written),
                                .returned = audit_window_count(a, returned, i, &at_returned)};
        int64_t end = a->params.start + (int64_t)i * a->params.step;
        enum audit_kind kind = a->kinds ? a->kinds[i] : AUDIT_COMPLETE;
        if (kind == AUDIT_PARTLY)
            continue;
        if (kind == AUDIT_NOTHING)
            c.written = 0;
        uint64_t lacks = c.written > c.returned ? c.written - c.returned : 0;
        *(end >= pending_since ? &c.late : &c.missing) = lacks;
        c.extra = c.returned > c.written ? c.returned - c.written : 0;
        if (t.first == 0 && audit_differs(&c))
            t.first = end;
        audit_add(&t.count, &c);
    }
    return t;
}

static int audit_by_difference(const void *one, const void *other)
{
    const struct audit_count *a = &((const struct audit_target *)one)->count;
    const struct audit_count *b = &((const struct audit_target *)other)->count;
    uint64_t x = a->missing + a->extra + a->late, y = b->missing + b->extra + b->late;
    if (x != y)
        return x > y ? -1 : 1;
    return labels_cmp(((const struct audit_target *)one)->labels, ((const struct audit_target *)other)->labels);
}

/* Both are sorted by labels. */
static bool audit_compare_all(struct audit *a, const struct promql_result *written, const struct promql_result *returned,
                              int64_t pending_since, struct audit_server *out, struct err *err)
{
    struct query_work work = reading_work(a->q);
    out->targets = ARENA_ARRAY(a->q->arena, struct audit_target, written->n + returned->n);
    for (size_t i = 0, k = 0; i < written->n || k < returned->n;) {
        int order = i == written->n    ? 1
                    : k == returned->n ? -1
                                       : labels_cmp(written->series[i].labels, returned->series[k].labels);
        if (!query_charge(&work, QUERY_CHARGE_LABELS + a->n_windows, err))
            return false;
        struct audit_target t = audit_compare(a, order <= 0 ? &written->series[i] : NULL,
                                              order >= 0 ? &returned->series[k] : NULL, pending_since);
        i += order <= 0;
        k += order >= 0;
        out->n_targets++;
        audit_add(&out->sum, &t.count);
        if (audit_differs(&t.count))
            out->targets[out->n_differing++] = t;
    }
    if (!query_sort(&work, a->q->arena, out->targets, out->n_differing, sizeof *out->targets, audit_by_difference, err))
        return false;
    out->n = out->n_differing < a->what->max_targets ? out->n_differing : a->what->max_targets;
    return true;
}

/* A server that does not respond ends nothing but the query's end does. */
static bool audit_server(struct audit *a, size_t i, const struct promql_result *written, struct audit_server *out,
                         struct err *err)
{
    struct promql_result returned;
    struct one_server *alone = ARENA_NEW(a->q->arena, struct one_server);
    *out = (struct audit_server){0};
    if (!audit_read(a, one_server_source(alone, a->what->upstream, a->what->group, i), &returned, &out->err)) {
        out->failed = true;
        return !query_ended(a->q, "reading a server", err);
    }
    return audit_compare_all(a, written, &returned, a->what->fills[i].pending_since, out, err);
}

bool audit_knows(const struct upstream *u, const struct group *g)
{
    bool known = g->recent;
    for (size_t i = 0; i < u->groups.n && !known; i++)
        known = u->groups.items[i].recent && group_backs_up(g, &u->groups.items[i]);
    return known;
}

bool audit_run(struct query_ctx *q, const struct audit_question *what, struct audit_result *out, struct err *err)
{
    struct audit a = {.q = q, .what = what};
    struct promql_result written;
    if (!audit_set_windows(&a, err) || !audit_read(&a, what->written, &written, err))
        return false;
    audit_set_kinds(&a);
    *out = (struct audit_result){.start = a.params.start - what->window, .end = a.params.end,
                                 .servers = ARENA_ARRAY(q->arena, struct audit_server, what->group->n_servers)};
    for (size_t i = 0; i < what->group->n_servers; i++)
        if (!audit_server(&a, i, &written, &out->servers[i], err))
            return false;
    return true;
}
