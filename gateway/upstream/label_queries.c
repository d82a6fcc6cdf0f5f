// SPDX-License-Identifier: Apache-2.0
/* Labels of a group exist in our results only, so servers are not queried for them: a name or value of such a label is
 * part of the result if the server has any matching series. Names and values of other labels are those that the group's
 * view shows (gateway/view). Where the view does not route the selectors exactly, series are requested, filtered by the
 * selectors, and their names or values taken.
 *
 * Metadata has no selectors: for a group with inject_matchers the names of its metrics are requested, too, and other
 * families dropped.
 */
#include "gateway/upstream/label_queries.h"

#include "base/text/duration.h"
#include "base/text/url.h"
#include "gateway/federation/federation.h"
#include "gateway/upstream/stats.h"

#include <stdlib.h>

struct label_query { /* one group */
    const struct list_scope *scope;
    const struct list_question *what;
    const struct group *group;
    struct series_query routed;      /* match[] to send to its servers */
    bool own;                        /* the values of a label that the group adds are requested */
    bool inexact;                    /* the servers' series must be filtered by the selectors */
    enum list_kind asked;            /* of the servers */
    const struct view_label *shows;  /* VALUES: how the label is shown; NULL: as it is */
    struct group_request request;
    struct label_attempt *attempts;  /* one per server */
};
struct label_attempt {
    struct attempt attempt;
    const struct label_query *of;
    struct label_list response;
    struct label_list names;         /* METADATA of a group with inject_matchers: of its metrics */
    struct fetch *fetch, *fetch_names;
    unsigned left;                   /* requests */
    struct err err;
};

/* --- the request -------------------------------------------------------------------------------------------------- */

/* VictoriaMetrics lists the current day only if start is absent, zero or negative: servers whose kind is unknown get a
 * start, too. */
static int64_t vm_time(int64_t t) { return t > 1000 ? t : 1000; }

/* INT64_MIN and INT64_MAX mean no bound. */
static void add_times(struct buf *form, const struct server *s, const struct series_query *sq)
{
    const int64_t most = (int64_t)253402300799 * 1000;
    bool vm = server_kind(s) != SERVER_PROMETHEUS;
    if (vm || sq->t_min > -most)
        form_add_ms(form, "start", vm ? vm_time(sq->t_min) : sq->t_min);
    if (sq->t_max < most)
        form_add_ms(form, "end", vm ? vm_time(sq->t_max) : sq->t_max);
}

static void add_matches(struct buf *form, const struct label_query *in)
{
    struct buf text = {0};
    for (size_t i = 0; i < in->routed.n_sets; i++) {
        buf_clear(&text);
        matchers_print(&text, in->routed.sets[i], in->routed.set_sizes[i]);
        form_add(form, "match[]", buf_str(&text));
    }
    buf_free(&text);
}

/* The server extracts the selectors of an expression. */
static void add_expression(struct buf *form, const struct label_query *in)
{
    struct buf text = {0};
    for (size_t i = 0; i < in->routed.n_sets; i++) {
        buf_add_z(&text, i > 0 ? " or " : "");
        matchers_print(&text, in->routed.sets[i], in->routed.set_sizes[i]);
    }
    form_add(form, "query", buf_str(&text));
    buf_free(&text);
}

static bool hides_metadata(const struct label_query *in)
{
    return in->what->kind == LIST_METADATA && in->group->view.n_injected > 0;
}

static void make_form(struct buf *form, const struct label_query *in, const struct server *s)
{
    bool fewer = in->inexact || in->group->view.unites || in->group->view.changes_case; /* than the server returns */
    size_t limit = in->own ? 1 : fewer || hides_metadata(in) ? 0 : in->what->limit;
    if (in->what->kind == LIST_METADATA) {
        if (in->what->name.n > 0)
            form_add(form, "metric", in->what->name);
    } else {
        if (in->what->kind == LIST_EXEMPLARS)
            add_expression(form, in);
        else
            add_matches(form, in);
        add_times(form, s, &in->routed);
    }
    if (limit > 0)
        buf_printf(form, "%slimit=%zu", form->n ? "&" : "", limit);
}

static struct str requested_name(const struct label_query *in)
{
    if (in->own)
        return STR(METRIC_NAME);
    return in->shows ? in->shows->of : in->what->name;
}

/* Prometheus finds no path with an encoded slash, but reads the escaped form of a name. */
static void add_label_name(struct buf *path, const struct server *s, struct str name)
{
    struct buf escaped = {0};
    if (str_find(name, '/') < name.n && server_kind(s) == SERVER_PROMETHEUS)
        federation_escape(&escaped, name, ESCAPE_VALUES);
    url_encode(path, escaped.n > 0 ? buf_str(&escaped) : name);
    buf_free(&escaped);
}

static void make_path(struct buf *path, const struct label_query *in, const struct server *s)
{
    switch (in->asked) {
    case LIST_NAMES: buf_add_z(path, "/api/v1/labels"); break;
    case LIST_SERIES: buf_add_z(path, "/api/v1/series"); break;
    case LIST_METADATA: buf_add_z(path, "/api/v1/metadata"); break;
    case LIST_EXEMPLARS: buf_add_z(path, "/api/v1/query_exemplars"); break;
    case LIST_VALUES:
        buf_add_z(path, "/api/v1/label/");
        add_label_name(path, s, requested_name(in));
        buf_add_z(path, "/values");
        break;
    }
}

static struct decoder *decoder_for(enum list_kind kind, struct label_list *a)
{
    switch (kind) {
    case LIST_SERIES: return series_decoder_new(a);
    case LIST_METADATA: return metadata_decoder_new(a);
    case LIST_EXEMPLARS: return exemplars_decoder_new(a);
    default: return strings_decoder_new(a);
    }
}

static void label_attempt_cancel(struct attempt *a)
{
    struct label_attempt *at = CONTAINER(a, struct label_attempt, attempt);
    if (at->fetch)
        fetch_cancel(at->fetch);
    if (at->fetch_names)
        fetch_cancel(at->fetch_names);
}

static void label_attempt_done(void *arg, const struct err *err, int status UNUSED)
{
    struct label_attempt *at = arg;
    at->left--;
    if (err) {
        at->err = *err;
        label_attempt_cancel(&at->attempt);
        at->left = 0;
    }
    if (at->left > 0)
        return;
    if (at->err.kind != ERR_NONE)
        attempt_failed(&at->attempt, &at->err);
    else
        attempt_succeeded(&at->attempt);
}

static void label_attempt_ask_names(struct label_attempt *at)
{
    struct request_batch *batch = at->attempt.request->batch;
    struct buf form = {0};
    at->names = at->response;
    at->left++;
    add_matches(&form, at->of);
    add_times(&form, at->attempt.server, &at->of->routed);
    fetch_send(batch, &(struct fetch_plan){
        .server = at->attempt.server, .path = "/api/v1/label/" METRIC_NAME "/values", .form = buf_str(&form),
        .decoder = strings_decoder_new(&at->names), .arena = &at->attempt.arena, .get = true, .done = label_attempt_done, .arg = at,
        .slot = &at->fetch_names});
    buf_free(&form);
}

static void label_attempt_start(struct attempt *a)
{
    struct label_attempt *at = CONTAINER(a, struct label_attempt, attempt);
    const struct label_query *in = at->of;
    struct request_batch *batch = a->request->batch;
    struct buf form = {0}, path = {0};
    make_form(&form, in, a->server);
    make_path(&path, in, a->server);
    at->left = 1;
    at->err = (struct err){0};
    at->response = (struct label_list){.arena = &a->arena, .view = &in->group->view, .notes = batch->q->notes,
                                       .secrets = server_secrets(a->server), .q = batch->q,
                                       .probe = in->own};
    fetch_send(batch, &(struct fetch_plan){
        .server = a->server, .path = arena_z(batch->q->arena, buf_str(&path)), .form = buf_str(&form),
        .decoder = decoder_for(in->asked, &at->response), .arena = &a->arena,
        .get = in->asked == LIST_VALUES || in->asked == LIST_METADATA,
        .done = label_attempt_done, .arg = at, .slot = &at->fetch});
    buf_free(&form);
    buf_free(&path);
    if (hides_metadata(in))
        label_attempt_ask_names(at);
}

static unsigned label_attempt_calls(const struct attempt *a)
{
    static const enum latency_call calls[] = {
        [LIST_NAMES] = LATENCY_LABEL_NAMES, [LIST_VALUES] = LATENCY_LABEL_VALUES, [LIST_SERIES] = LATENCY_SERIES,
        [LIST_METADATA] = LATENCY_METADATA, [LIST_EXEMPLARS] = LATENCY_EXEMPLARS};
    return 1u << calls[CONTAINER(a, struct label_attempt, attempt)->of->asked];
}

static const struct attempt_ops label_attempt_ops = {label_attempt_start, label_attempt_cancel, label_attempt_calls};

/* --- which groups ------------------------------------------------------------------------------------------------- */

/* Without selectors, inject_matchers are one. */
static bool route(struct label_query *in, struct arena *a, struct group_reader by)
{
    static const struct series_query everything = {.t_min = INT64_MIN, .t_max = INT64_MAX};
    const struct series_query *sq = in->what->sq ? in->what->sq : &everything;
    const struct label_view *view = &in->group->view;
    const struct matcher **sets = ARENA_ARRAY(a, const struct matcher *, sq->n_sets + 1);
    size_t *sizes = ARENA_ARRAY(a, size_t, sq->n_sets + 1), n = 0;
    for (size_t i = 0; i < sq->n_sets; i++) {
        struct group_window all = {sq->t_min, sq->t_max};
        n += group_admits(in->group, by, sq->sets[i], sq->set_sizes[i], &all) &&
             group_route(in->group, a, sq->sets[i], sq->set_sizes[i], &sets[n], &sizes[n]);
        in->inexact = in->inexact || !view_routes_exactly(view, sq->sets[i], sq->set_sizes[i]);
    }
    if (sq->n_sets == 0 && view->n_injected > 0)
        n += group_route(in->group, a, NULL, 0, &sets[0], &sizes[0]);
    struct group_window w = {sq->t_min, sq->t_max};
    if (!group_admits(in->group, by, NULL, 0, &w) && in->what->kind != LIST_METADATA)
        return false;
    in->routed = *sq;
    in->routed.t_min = w.from;
    in->routed.t_max = w.to;
    in->routed.sets = sets;
    in->routed.set_sizes = sizes;
    in->routed.n_sets = n;
    return n > 0 || sq->n_sets == 0;
}

/* Which replicas are known to have all series of these selectors and times, so that the others have none that they
 * lack. */
static void label_query_mark_complete(const struct label_query *in, const struct request_batch *batch)
{
    const struct group *g = in->group;
    const struct series_query *sq = &in->routed;
    bool series = in->asked == LIST_SERIES || in->asked == LIST_NAMES || in->asked == LIST_VALUES;
    bool merges = g->read_mode == READ_MERGE && g->n_servers > 1 && g->push_down != PUSH_OFF && !g->rule.prefer_max;
    if (!series || !merges || sq->t_min == INT64_MIN || batch->worker->n_proxied > 0)
        return;
    bool *whole = ARENA_ARRAY(batch->q->arena, bool, g->n_servers);
    for (size_t i = 0; i < sq->n_sets || i == 0; i++) {
        struct coverage_query query = {sq->n_sets ? sq->sets[i] : NULL, sq->n_sets ? sq->set_sizes[i] : 0, sq->t_min,
                                       sq->t_max, clock_wall_ms()};
        struct coverage_result known;
        coverage_ask(g->coverage, batch->q->arena, &query, &known);
        for (size_t k = 0; k < g->n_servers; k++)
            whole[k] = (i == 0 || whole[k]) && coverage_complete(&known, k);
    }
    for (size_t k = 0; k < g->n_servers; k++)
        in->request.attempts[k]->complete = whole[k] && group_may_choose(g, k);
}

/* All servers are queried, regardless of the read mode, unless one is known to be complete: each may have items that the
 * others lack. */
static bool label_query_start(struct label_query *in, struct request_batch *batch)
{
    if (!route(in, batch->q->arena, batch_reader(batch)))
        return false;
    in->shows = in->what->kind == LIST_VALUES ? view_find(&in->group->view, in->what->name) : NULL;
    if (in->shows && in->shows->from == VIEW_NOTHING)
        return false;
    in->asked = in->inexact && in->what->kind != LIST_EXEMPLARS ? LIST_SERIES : in->what->kind;
    in->own = in->shows && in->shows->from == VIEW_CONSTANT && !in->inexact;
    in->attempts = ARENA_ARRAY(batch->q->arena, struct label_attempt, in->group->n_servers);
    group_request_init(&in->request, batch, in->group, READ_MERGE, &label_attempt_ops, in->attempts,
                       sizeof *in->attempts);
    for (size_t i = 0; i < in->request.n; i++)
        in->attempts[i].of = in;
    label_query_mark_complete(in, batch);
    group_request_start(&in->request);
    return true;
}

/* --- results ------------------------------------------------------------------------------------------------------ */

static void label_list_add(struct label_list *out, struct str s)
{
    arena_grow(out->arena, &out->strings, &out->cap_strings, out->n_strings + 1, sizeof *out->strings);
    out->strings[out->n_strings++] = s;
}

/* Names that the view shows for the servers' names. */
static void add_names(const struct label_query *in, const struct str *items, size_t n, struct label_list *out)
{
    const struct label_view *v = &in->group->view;
    for (size_t i = 0; i < n; i++) {
        if (view_find(v, items[i]) == NULL)
            label_list_add(out, items[i]);
        for (size_t k = 0; k < v->n; k++)
            if (v->items[k].from == VIEW_LABEL && str_eq(v->items[k].of, items[i]))
                label_list_add(out, v->items[k].name);
    }
    for (size_t k = 0; n > 0 && k < v->n; k++)
        if (v->items[k].from == VIEW_CONSTANT)
            label_list_add(out, v->items[k].name);
}

static void add_strings(const struct label_query *in, const struct str *items, size_t n, struct label_list *out)
{
    if (in->own && n > 0)
        label_list_add(out, in->shows->of);
    else if (in->what->kind == LIST_NAMES)
        add_names(in, items, n, out);
    for (size_t i = 0; i < n && !in->own && in->what->kind == LIST_VALUES; i++)
        label_list_add(out, in->shows ? view_show_value(in->shows, out->arena, items[i]) : items[i]);
}

static bool label_query_selects(const struct label_query *in, struct labels l)
{
    const struct series_query *sq = in->what->sq;
    for (size_t i = 0; in->inexact && i < sq->n_sets; i++)
        if (matchers_match(sq->sets[i], sq->set_sizes[i], l))
            return true;
    return !in->inexact;
}

/* A label set as it is shown, or what is requested of it. */
static void add_label_set(const struct label_query *in, struct label_list *out, struct labels l)
{
    struct labels_iter it = labels_iter(l);
    struct str value = in->what->kind == LIST_VALUES ? labels_get(l, in->what->name) : STR_NONE;
    if (!label_query_selects(in, l))
        return;
    if (value.n > 0)
        label_list_add(out, value);
    for (struct label each; in->what->kind == LIST_NAMES && labels_next(&it, &each);)
        label_list_add(out, each.name);
    if (in->what->kind != LIST_SERIES)
        return;
    arena_grow(out->arena, &out->labels, &out->cap_labels, out->n_labels + 1, sizeof *out->labels);
    out->labels[out->n_labels++] = l;
}

static int label_compare_names(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* Has a family a metric of these sorted names? */
static bool metadata_has_metric(struct str family, const struct label_list *names)
{
    static const char *const suffixes[] = {"", "_total", "_bucket", "_sum", "_count", "_created", "_info", "_gsum", "_gcount"};
    bool found = false;
    for (size_t i = 0; i < LEN(suffixes) && !found; i++) {
        struct buf name = {0};
        buf_printf(&name, "%.*s%s", STR_ARG(family), suffixes[i]);
        struct str key = buf_str(&name);
        found = names->n_strings && bsearch(&key, names->strings, names->n_strings, sizeof key, label_compare_names);
        buf_free(&name);
    }
    return found;
}

static void add_metadata(struct label_list *out, const struct metadata *m, const struct label_list *names)
{
    if (names && !metadata_has_metric(m->family, names))
        return;
    arena_grow(out->arena, &out->metadata, &out->cap_metadata, out->n_metadata + 1, sizeof *out->metadata);
    out->metadata[out->n_metadata++] = *m;
}

static void add_exemplars(const struct label_query *in, struct label_list *out, const struct exemplar_series *s)
{
    if (!label_query_selects(in, s->labels))
        return;
    arena_grow(out->arena, &out->exemplars, &out->cap_exemplars, out->n_exemplars + 1, sizeof *out->exemplars);
    out->exemplars[out->n_exemplars++] = *s;
}

static bool label_query_add_server(const struct label_query *in, const struct label_attempt *at, struct label_list *out,
                                   struct err *err)
{
    const struct label_list *a = &at->response, *names = hides_metadata(in) ? &at->names : NULL;
    size_t n = a->n_strings + a->n_labels + a->n_metadata + a->n_exemplars + (names ? names->n_strings : 0);
    if (!batch_charge(in->request.batch, n, err))
        return false;
    if (names && names->n_strings > 1)
        qsort(names->strings, names->n_strings, sizeof *names->strings, label_compare_names);
    add_strings(in, a->strings, a->n_strings, out);
    for (size_t i = 0; i < a->n_labels; i++)
        add_label_set(in, out, a->labels[i]);
    for (size_t i = 0; i < a->n_metadata; i++)
        add_metadata(out, &a->metadata[i], names);
    for (size_t i = 0; i < a->n_exemplars; i++)
        add_exemplars(in, out, &a->exemplars[i]);
    return true;
}

/* Of the metrics that inject_matchers leave. */
static bool recent_names(struct label_query *in, struct label_list *out, struct err *err)
{
    struct source *s = in->scope->recent.source;
    struct query_ctx *q = in->request.batch->q;
    struct str_set found = {0};
    if (!s->ops->label_values(s, q, STR(METRIC_NAME), &in->routed, &found, err))
        return false;
    *out = (struct label_list){.arena = q->arena, .strings = found.items, .n_strings = found.n};
    if (found.n > 1)
        qsort(found.items, found.n, sizeof *found.items, label_compare_names);
    return true;
}

static bool add_recent(struct label_query *in, struct label_list *out, struct err *err)
{
    struct source *s = in->scope->recent.source;
    struct query_ctx *q = in->request.batch->q;
    struct str_set strings = {0};
    struct labels_set labels = {0};
    struct metadata_set metadata = {0};
    struct exemplar_set exemplars = {0};
    struct label_list names = {0};
    bool ok = true;
    switch (in->asked) {
    case LIST_NAMES: ok = s->ops->label_names(s, q, &in->routed, &strings, err); break;
    case LIST_VALUES: ok = s->ops->label_values(s, q, requested_name(in), &in->routed, &strings, err); break;
    case LIST_SERIES: ok = s->ops->series(s, q, &in->routed, &labels, err); break;
    case LIST_METADATA:
        ok = s->ops->metadata(s, q, in->what->name, hides_metadata(in) ? 0 : in->what->limit, &metadata, err) &&
             (!hides_metadata(in) || recent_names(in, &names, err));
        break;
    case LIST_EXEMPLARS: ok = s->ops->exemplars(s, q, &in->routed, &exemplars, err); break;
    }
    add_strings(in, strings.items, strings.n, out);
    for (size_t i = 0; ok && i < labels.n; i++) {
        ok = batch_charge(in->request.batch, QUERY_CHARGE_LABELS, err);
        add_label_set(in, out, view_show(&in->group->view, q->arena, labels.items[i]));
    }
    for (size_t i = 0; i < metadata.n; i++)
        add_metadata(out, &metadata.items[i], names.arena ? &names : NULL);
    for (size_t i = 0; i < exemplars.n; i++) {
        exemplars.items[i].labels = view_show(&in->group->view, q->arena, exemplars.items[i].labels);
        add_exemplars(in, out, &exemplars.items[i]);
    }
    return ok;
}

/* The recent store has only series of its group, so it always takes part. */
static bool label_query_collect(struct label_query *in, struct label_list *out, struct err *err)
{
    const struct group *g = in->group;
    bool recent = g->recent && in->scope->recent.source;
    for (size_t i = 0; i < in->request.n; i++)
        if (in->attempts[i].attempt.state == ATTEMPT_SUCCEEDED &&
            !label_query_add_server(in, &in->attempts[i], out, err))
            return false;
    if (group_request_answered(&in->request)) {
        group_request_note_missed(&in->request);
    } else if (recent) {
        notes_warn(in->request.batch->q->notes, "server group \"%.*s\" did not respond; its result has only the "
                   "samples of the recent store", STR_ARG(g->name));
    } else {
        atomic_fetch_add(&g->traffic->failed, 1);
        group_request_error(&in->request, err);
        return false;
    }
    return !recent || add_recent(in, out, err);
}

/* Whether a backup of the group, which did not respond, is among those that did: its items are the result, with a warning
 * unless it has all samples of the times. */
static bool label_query_has_backup(const struct label_query *all, size_t n, const struct label_query *failed)
{
    struct notes *notes = failed->request.batch->q->notes;
    const struct series_query *sq = &failed->routed;
    for (size_t i = 0; i < n; i++) {
        const struct group *backup = all[i].group;
        if (!group_request_answered(&all[i].request) || !group_backs_up(backup, failed->group))
            continue;
        bool whole = failed->what->sq && group_replaces(backup, failed->group, sq->t_min, sq->t_max);
        if (!whole && failed->request.batch->q->partial == PARTIAL_DENIED)
            return false;
        notes->partial = notes->partial || !whole;
        if (whole)
            notes_info(notes, "server group \"%.*s\" did not respond; its result is from its backup, \"%.*s\"",
                       STR_ARG(failed->group->name), STR_ARG(backup->name));
        else
            notes_warn(notes, "server group \"%.*s\" did not respond; its result has only what its backup, \"%.*s\", has",
                       STR_ARG(failed->group->name), STR_ARG(backup->name));
        return true;
    }
    return false;
}

bool label_query_run(const struct list_scope *scope, struct query_ctx *q, const struct list_question *what,
                     struct label_list *out, struct err *err)
{
    struct request_batch r;
    struct err why = {0};
    size_t n = 0;
    *out = (struct label_list){.arena = q->arena, .notes = q->notes};
    batch_begin(&r, q, scope->max_response);
    struct label_query *asked = ARENA_ARRAY(q->arena, struct label_query, scope->groups->n);
    for (size_t i = 0; i < scope->groups->n; i++) {
        asked[n] = (struct label_query){.scope = scope, .what = what, .group = &scope->groups->items[i]};
        n += label_query_start(&asked[n], &r);
    }
    bool ok = batch_wait(&r, err);
    for (size_t i = 0; i < n; i++)
        group_request_stop(&asked[i].request);
    for (size_t i = 0; ok && i < n; i++)
        if (!label_query_collect(&asked[i], out, &why) && (ok = batch_check(&r, err)) &&
            !label_query_has_backup(asked, n, &asked[i]) && !group_may_fail(asked[i].group, q, &why)) {
            *err = why;
            ok = false;
        }
    batch_end(&r);
    return ok;
}
