// SPDX-License-Identifier: Apache-2.0
#include "gateway/reports/report.h"

#include "base/text/duration.h"
#include "gateway/upstream/group_request.h"
#include "gateway/upstream/source.h"
#include "gateway/upstream/stats.h"
#include "model/json_labels.h"

/* ---- the decoder: {"status":"success","data":...,"warnings":[...]} ---- */

struct report_decoder {
    struct decoder decoder;
    struct json_value_reader reader;
    struct report_attempt *of;
};

struct report_attempt { /* at one server */
    struct attempt attempt;
    struct str form;
    const struct report_question *what;
    const struct json_value *data; /* NULL: no response, or nothing to report */
    struct fetch *fetch;
};

static bool report_feed(struct decoder *d, struct str piece, struct err *err)
{
    struct report_decoder *r = CONTAINER(d, struct report_decoder, decoder);
    if (json_value_reader_feed(&r->reader, piece, err))
        return true;
    err->kind = ERR_BAD_GATEWAY;
    return false;
}

static bool report_take_notes(struct report_decoder *r, const struct json_value *root, struct err *err)
{
    struct response_secrets secrets = server_secrets(r->of->attempt.server);
    const struct query_ctx *q = r->of->attempt.request->batch->q;
    struct notes *notes = q->notes;
    const struct json_value *v = json_value_get(root, "isPartial");
    bool partial = v && v->kind == JSON_TRUE;
    for (v = json_value_items(json_value_get(root, "warnings")); v; v = v->next)
        response_warn(notes, secrets, json_value_text(v));
    for (v = json_value_items(json_value_get(root, "infos")); v; v = v->next)
        response_info(notes, secrets, json_value_text(v));
    return !partial || response_partial(q, notes, secrets, err);
}

static bool report_finish(struct decoder *d, struct err *err)
{
    struct report_decoder *r = CONTAINER(d, struct report_decoder, decoder);
    const struct json_value *root = json_value_reader_finish(&r->reader, err);
    if (root == NULL) {
        err->kind = ERR_BAD_GATEWAY;
        return false;
    }
    if (!str_is(json_value_text(json_value_get(root, "status")), "success"))
        return err_set(err, ERR_BAD_GATEWAY, "the server returned an error: %.*s",
                       STR_ARG(json_value_text(json_value_get(root, "error"))));
    r->of->data = json_value_get(root, "data");
    return report_take_notes(r, root, err);
}

static void report_free(struct decoder *d)
{
    struct report_decoder *r = CONTAINER(d, struct report_decoder, decoder);
    json_value_reader_free(&r->reader);
    mem_free(r);
}

static struct decoder *report_decoder_new(struct report_attempt *of, struct arena *a)
{
    struct report_decoder *r = mem_zalloc(sizeof *r);
    r->decoder = (struct decoder){report_feed, report_finish, report_free, NULL};
    r->of = of;
    json_value_reader_init(&r->reader, a);
    return &r->decoder;
}

/* ---- requests ---- */

static bool report_unsupported(const struct server *s, int status)
{
    return status == 404 || status == 405 || (status == 400 && server_kind(s) != SERVER_PROMETHEUS);
}

static void report_attempt_done(void *arg, const struct err *err, int status)
{
    struct report_attempt *at = arg;
    if (err == NULL || report_unsupported(at->attempt.server, status))
        attempt_succeeded(&at->attempt);
    else
        attempt_failed(&at->attempt, err);
}

static void report_attempt_start(struct attempt *a)
{
    struct report_attempt *at = CONTAINER(a, struct report_attempt, attempt);
    struct request_batch *batch = a->request->batch;
    fetch_send(batch, &(struct fetch_plan){
        .server = a->server, .path = at->what->path, .form = at->form, .get = true,
        .decoder = report_decoder_new(at, &a->arena), .arena = &a->arena,
        .done = report_attempt_done, .arg = at, .slot = &at->fetch});
}

static void report_attempt_cancel(struct attempt *a)
{
    fetch_cancel(CONTAINER(a, struct report_attempt, attempt)->fetch);
}

static const struct attempt_ops report_attempt_ops = {report_attempt_start, report_attempt_cancel, NULL};

struct report_query { /* at one group */
    struct group_request request;
    struct report_attempt *attempts;
};

static bool report_query_start(struct report_query *in, const struct report_question *what, const struct group *g,
                               struct request_batch *batch)
{
    struct buf form = {0};
    if (what->form && !what->form(what->arg, g, &form)) {
        buf_free(&form);
        return false;
    }
    struct str text = arena_str(batch->q->arena, buf_str(&form));
    buf_free(&form);
    in->attempts = ARENA_ARRAY(batch->q->arena, struct report_attempt, g->n_servers);
    group_request_init(&in->request, batch, g, READ_MERGE, &report_attempt_ops, in->attempts, sizeof *in->attempts);
    for (size_t i = 0; i < in->request.n; i++) {
        in->attempts[i].what = what;
        in->attempts[i].form = text;
    }
    in->request.any_clock = true;
    group_request_start(&in->request);
    return true;
}

static void report_query_collect(const struct report_query *in, struct report_set *out, size_t *cap)
{
    for (size_t i = 0; i < in->request.n; i++) {
        const struct report_attempt *at = &in->attempts[i];
        if (at->attempt.state != ATTEMPT_SUCCEEDED || at->data == NULL)
            continue;
        arena_grow(out->q->arena, &out->items, cap, out->n + 1, sizeof *out->items);
        out->items[out->n++] = (struct report){in->request.group, at->attempt.server, at->data};
    }
    if (group_request_answered(&in->request)) {
        group_request_note_missed(&in->request);
        return;
    }
    struct err why;
    atomic_fetch_add(&in->request.group->traffic->failed, 1);
    group_request_error(&in->request, &why);
    out->q->notes->partial = true;
    if (group_failure(in->request.group, out->q) != GROUP_IGNORED)
        notes_warn(out->q->notes, "%s", why.text);
}

/* For what servers report, trees of JSON: a server may report without end, and reports are small beside results. */
static size_t reports_most_bytes(const struct arena *a, size_t max)
{
    enum { REPORTS_SHARE = 4 };
    return max == 0 ? 0 : a->used + max / REPORTS_SHARE < max ? a->used + max / REPORTS_SHARE : max;
}

static bool reports_fetch_in_time(struct source *source, struct query_ctx *q, const struct report_question *what,
                                  struct report_set *out, struct err *err)
{
    struct upstream *u = upstream_of(source);
    struct request_batch batch;
    size_t n = 0, cap = 0;
    *out = (struct report_set){.q = q};
    batch_begin(&batch, q, u->env.max_response);
    size_t max = batch.limits.max;
    batch.limits.max = reports_most_bytes(q->arena, max);
    struct report_query *queries = ARENA_ARRAY(q->arena, struct report_query, u->groups.n);
    for (size_t g = 0; g < u->groups.n; g++)
        n += report_query_start(&queries[n], what, &u->groups.items[g], &batch);
    bool ok = batch_wait(&batch, err);
    for (size_t i = 0; i < n; i++)
        group_request_stop(&queries[i].request);
    for (size_t i = 0; ok && i < n; i++)
        report_query_collect(&queries[i], out, &cap);
    batch.limits.max = max;
    batch_end(&batch);
    return ok;
}

/* Only the servers have less time than the request: what sluice itself adds may be large. */
bool reports_fetch(struct source *source, struct query_ctx *q, const struct report_question *what,
                   struct report_set *out, struct err *err)
{
    int64_t saved = q->deadline_mono, servers = clock_mono_ms() + REPORT_TIMEOUT_MS;
    if (saved == 0 || saved > servers)
        q->deadline_mono = servers;
    bool ok = reports_fetch_in_time(source, q, what, out, err);
    q->deadline_mono = saved;
    return ok;
}

/* ---- items ---- */

bool report_labels(const struct report_set *set, const struct report *r, const struct json_value *object,
                   struct labels *own, struct labels *all)
{
    struct json_labels names = {0};
    struct labels labels = {0};
    struct err err;
    json_labels_start(&names);
    for (const struct json_value *m = json_value_items(object); m; m = m->next) {
        json_labels_name(&names, m->key);
        json_labels_value(&names, json_value_text(m));
    }
    bool ok = json_labels_end(&names, &labels, &err);
    struct arena_limits limits = arena_suspend_limit(set->q->arena); /* `names` is not in it */
    if (ok && own)
        *own = labels_copy(set->q->arena, labels);
    if (ok && all)
        *all = view_show(&r->group->view, set->q->arena, labels);
    arena_restore_limit(set->q->arena, limits);
    json_labels_free(&names);
    if (!ok) {
        server_blame(r->server, &err);
        notes_warn(set->q->notes, "skipped an item with invalid labels: %s", err.text);
    }
    return ok;
}

static void report_map_free(void *arg) { map_free(arg); }

struct map *report_map(struct arena *a)
{
    struct map *m = ARENA_NEW(a, struct map);
    return arena_at_end(a, report_map_free, m) ? m : NULL;
}

struct str report_key(struct arena *a, const struct group *g, const struct str *parts, size_t n)
{
    size_t bytes = sizeof g;
    for (size_t i = 0; i < n; i++)
        bytes += sizeof parts[i].n + parts[i].n;
    char *p = arena_bytes(a, bytes), *to = p;
    memcpy(to, &g, sizeof g);
    to += sizeof g;
    for (size_t i = 0; i < n; i++) { /* with their lengths, so that no two lists have the same key */
        memcpy(to, &parts[i].n, sizeof parts[i].n);
        to += sizeof parts[i].n;
        if (parts[i].n > 0)
            memcpy(to, parts[i].p, parts[i].n);
        to += parts[i].n;
    }
    return str_n(p, bytes);
}

void report_servers_add(struct arena *a, struct report_servers *s, const struct report *r)
{
    if (s->n > 0 && s->items[s->n - 1] == r)
        return;
    arena_grow(a, &s->items, &s->cap, s->n + 1, sizeof(const struct report *));
    s->items[s->n++] = r;
}

void report_servers_write(struct json_writer *w, const struct report_servers *s)
{
    json_field_str(w, "serverGroup", s->items[0]->group->name);
    json_key(w, "servers");
    json_begin_array(w);
    for (size_t i = 0; i < s->n; i++)
        json_str(w, s->items[i]->server->shown_url);
    json_end_array(w);
}

bool report_servers_key(struct str key) { return str_is(key, "servers") || str_is(key, "serverGroup"); }
