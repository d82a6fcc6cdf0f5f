// SPDX-License-Identifier: Apache-2.0
/* Labels of a group exist in our results only, so servers are not queried for them: a name or value of such a label is
 * part of the result if the server has any matching series.
 */
#include "gateway/upstream/label_queries.h"

#include "base/text/url.h"
#include "gateway/upstream/stats.h"

struct label_query { /* one group */
    const struct list_scope *scope;
    const struct list_question *what;
    const struct group *group;
    struct series_query routed;      /* match[] to send to its servers */
    bool own;                        /* the values of a label that the group adds are requested */
    struct group_request request;
    struct label_attempt *attempts;  /* one per server */
};
struct label_attempt {
    struct attempt attempt;
    const struct label_query *of;
    struct label_list response;
    struct fetch *fetch;
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

static void make_form(struct buf *form, const struct label_query *in, const struct server *s)
{
    size_t limit = in->own ? 1 : in->what->limit;
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

static struct str requested_name(const struct label_query *in) { return in->own ? STR(METRIC_NAME) : in->what->name; }

static void make_path(struct buf *path, const struct label_query *in)
{
    switch (in->what->kind) {
    case LIST_NAMES: buf_add_z(path, "/api/v1/labels"); break;
    case LIST_SERIES: buf_add_z(path, "/api/v1/series"); break;
    case LIST_METADATA: buf_add_z(path, "/api/v1/metadata"); break;
    case LIST_EXEMPLARS: buf_add_z(path, "/api/v1/query_exemplars"); break;
    case LIST_VALUES:
        buf_add_z(path, "/api/v1/label/");
        url_encode(path, requested_name(in));
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

static void label_attempt_done(void *arg, const struct err *err, int status UNUSED)
{
    struct label_attempt *at = arg;
    if (err)
        attempt_failed(&at->attempt, err);
    else
        attempt_succeeded(&at->attempt);
}

static void label_attempt_start(struct attempt *a)
{
    struct label_attempt *at = CONTAINER(a, struct label_attempt, attempt);
    const struct label_query *in = at->of;
    struct request_batch *batch = a->request->batch;
    struct buf form = {0}, path = {0};
    make_form(&form, in, a->server);
    make_path(&path, in);
    at->response = (struct label_list){.arena = &a->arena, .added = in->group->labels, .notes = batch->q->notes,
                                       .secrets = server_secrets(a->server), .probe = in->own};
    fetch_send(batch, &(struct fetch_plan){
        .server = a->server, .path = arena_z(batch->q->arena, buf_str(&path)), .form = buf_str(&form),
        .decoder = decoder_for(in->what->kind, &at->response), .arena = &a->arena,
        .get = in->what->kind == LIST_VALUES || in->what->kind == LIST_METADATA,
        .done = label_attempt_done, .arg = at, .slot = &at->fetch});
    buf_free(&form);
    buf_free(&path);
}

static void label_attempt_cancel(struct attempt *a)
{
    fetch_cancel(CONTAINER(a, struct label_attempt, attempt)->fetch);
}

static const struct attempt_ops label_attempt_ops = {label_attempt_start, label_attempt_cancel};

/* --- which groups ------------------------------------------------------------------------------------------------- */

static bool route(struct label_query *in, struct arena *a)
{
    const struct series_query *sq = in->what->sq;
    if (sq == NULL)
        return true;
    const struct matcher **sets = ARENA_ARRAY(a, const struct matcher *, sq->n_sets);
    size_t *sizes = ARENA_ARRAY(a, size_t, sq->n_sets), n = 0;
    for (size_t i = 0; i < sq->n_sets; i++)
        n += group_route(in->group, a, sq->sets[i], sq->set_sizes[i], &sets[n], &sizes[n]);
    in->routed = *sq;
    in->routed.sets = sets;
    in->routed.set_sizes = sizes;
    in->routed.n_sets = n;
    return n > 0 || sq->n_sets == 0;
}

/* All servers are queried, whatever the read mode: a server's list may lack what only another one has seen. */
static bool label_query_start(struct label_query *in, struct request_batch *batch)
{
    if (!route(in, batch->q->arena))
        return false;
    in->own = in->what->kind == LIST_VALUES && labels_get(in->group->labels, in->what->name).p;
    in->attempts = ARENA_ARRAY(batch->q->arena, struct label_attempt, in->group->n_servers);
    group_request_init(&in->request, batch, in->group, READ_MERGE, &label_attempt_ops, in->attempts,
                       sizeof *in->attempts);
    for (size_t i = 0; i < in->request.n; i++)
        in->attempts[i].of = in;
    group_request_start(&in->request);
    return true;
}

/* --- results ------------------------------------------------------------------------------------------------------ */

static void label_list_add(struct label_list *out, struct str s)
{
    arena_grow(out->arena, &out->strings, &out->cap_strings, out->n_strings + 1, sizeof *out->strings);
    out->strings[out->n_strings++] = s;
}

static void add_strings(const struct label_query *in, const struct str *items, size_t n, struct label_list *out)
{
    struct labels_iter it = labels_iter(in->group->labels);
    struct label l;
    if (in->own) {
        if (n > 0)
            label_list_add(out, labels_get(in->group->labels, in->what->name));
        return;
    }
    for (size_t i = 0; i < n; i++)
        label_list_add(out, items[i]);
    while (in->what->kind == LIST_NAMES && n > 0 && labels_next(&it, &l))
        label_list_add(out, l.name);
}

static void add_label_set(struct label_list *out, struct labels l)
{
    arena_grow(out->arena, &out->labels, &out->cap_labels, out->n_labels + 1, sizeof *out->labels);
    out->labels[out->n_labels++] = l;
}

static void add_metadata(struct label_list *out, const struct metadata *m)
{
    arena_grow(out->arena, &out->metadata, &out->cap_metadata, out->n_metadata + 1, sizeof *out->metadata);
    out->metadata[out->n_metadata++] = *m;
}

static void add_exemplars(struct label_list *out, const struct exemplar_series *s)
{
    arena_grow(out->arena, &out->exemplars, &out->cap_exemplars, out->n_exemplars + 1, sizeof *out->exemplars);
    out->exemplars[out->n_exemplars++] = *s;
}

static bool label_query_add_server(const struct label_query *in, const struct label_list *a, struct label_list *out,
                                   struct err *err)
{
    size_t n = a->n_strings + a->n_labels + a->n_metadata + a->n_exemplars;
    if (!batch_charge(in->request.batch, n, err))
        return false;
    add_strings(in, a->strings, a->n_strings, out);
    for (size_t i = 0; i < a->n_labels; i++)
        add_label_set(out, a->labels[i]);
    for (size_t i = 0; i < a->n_metadata; i++)
        add_metadata(out, &a->metadata[i]);
    for (size_t i = 0; i < a->n_exemplars; i++)
        add_exemplars(out, &a->exemplars[i]);
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
    bool ok = true;
    switch (in->what->kind) {
    case LIST_NAMES: ok = s->ops->label_names(s, q, &in->routed, &strings, err); break;
    case LIST_VALUES: ok = s->ops->label_values(s, q, requested_name(in), &in->routed, &strings, err); break;
    case LIST_SERIES: ok = s->ops->series(s, q, &in->routed, &labels, err); break;
    case LIST_METADATA: ok = s->ops->metadata(s, q, in->what->name, in->what->limit, &metadata, err); break;
    case LIST_EXEMPLARS: ok = s->ops->exemplars(s, q, &in->routed, &exemplars, err); break;
    }
    add_strings(in, strings.items, strings.n, out);
    for (size_t i = 0; ok && i < labels.n; i++) {
        ok = batch_charge(in->request.batch, QUERY_CHARGE_LABELS, err);
        add_label_set(out, labels_override(q->arena, labels.items[i], in->group->labels));
    }
    for (size_t i = 0; i < metadata.n; i++)
        add_metadata(out, &metadata.items[i]);
    for (size_t i = 0; i < exemplars.n; i++) {
        exemplars.items[i].labels = labels_override(q->arena, exemplars.items[i].labels, in->group->labels);
        add_exemplars(out, &exemplars.items[i]);
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
            !label_query_add_server(in, &in->attempts[i].response, out, err))
            return false;
    if (group_request_answered(&in->request)) {
        group_request_note_missed(&in->request);
    } else if (recent) {
        notes_warn(in->request.batch->q->notes, "server group \"%.*s\" did not respond; its result has only the "
                   "samples of the recent store", STR_ARG(g->name));
    } else {
        stats_add(&upstream_stats, GROUPS_FAILED, 1);
        group_request_error(&in->request, err);
        return false;
    }
    return !recent || add_recent(in, out, err);
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
            !group_may_fail(asked[i].group, q, &why)) {
            *err = why;
            ok = false;
        }
    batch_end(&r);
    return ok;
}
