// SPDX-License-Identifier: Apache-2.0
#include "gateway/api/call.h"

#include "gateway/query/params.h"
#include "gateway/query/worker.h"
#include "gateway/services/services.h"

#include <stdio.h>

enum { NOTES_SHOWN = 10 };

/* ---- budget ---- */

/* The reply counts as the query's memory. It may begin in memory of an earlier one, which must not fill the budget. */
static void charge_reply_buffer(struct api_call *c)
{
    struct buf *out = &c->r->out, small = {0};
    if (out->cap > c->q->arena->max / 4) {
        buf_add_str(&small, buf_str(out));
        buf_free(out);
        *out = small;
    }
    buf_charge_anyway(out, &c->r->services->queries);
}

void api_reply_begin(struct api_call *c)
{
    const struct arena *a = c->q->arena;
    buf_limit(&c->r->out, a->used < a->max ? a->max - a->used : 0);
}

bool api_reply_end(struct api_call *c)
{
    struct arena *a = c->q->arena;
    c->r->out.max = 0;
    if (!c->r->out.over)
        return true;
    a->starved = a->starved || c->r->out.starved;
    arena_full_error(a, a->max, &c->err);
    return false;
}

void api_deadline(struct api_call *c, int64_t timeout) { c->q->deadline_mono = c->r->started_mono + timeout; }

struct api_work { struct api_call *call; api_body *body; };

static bool api_work_run(void *arg)
{
    struct api_work *w = arg;
    charge_reply_buffer(w->call);
    return param_partial(&w->call->r->form, &w->call->q->partial, &w->call->err) && w->body(w->call);
}

static bool api_call_run(struct api_call *c, struct http_request *r, api_body *body)
{
    struct query_session *s = r->query;
    *c = (struct api_call){.r = r, .session = s, .q = &s->q, .source = s->service.source, .json.out = &r->out,
                           .work = {.q = &s->q, .where = "rendering the result"}};
    struct api_work work = {c, body};
    bool ok = query_session_run(s, api_work_run, &work, &c->err);
    r->deadline_mono = s->q.deadline_mono;
    if (!ok) { /* the response is then an error, which is short */
        buf_charge_anyway(&r->out, NULL);
        r->out.max = 0;
    }
    return ok;
}

/* ---- parts of a reply ---- */

/* A partial result must not replace a complete one. */
static void api_forbid_caching(const struct api_call *c)
{
    if (c->q->notes->partial)
        http_header_add(c->r, "Cache-Control", STR("no-store"));
}

bool api_send_part(struct api_call *c, struct err *err)
{
    api_forbid_caching(c);
    worker_turn_end(c->q->user);
    bool sent = http_stream_send(c->r, c->q->deadline_mono);
    if (!sent && !query_ended(c->q, "sending the response", err))
        return err_set(err, ERR_CANCELED, "the client disconnected");
    return sent && worker_turn_begin(c->q->user, c->q, err);
}

bool api_charge(struct api_call *c, uint64_t units) { return query_charge(&c->work, units, &c->err); }

bool api_sort(struct api_call *c, void *items, size_t n, size_t size, query_compare *compare)
{
    return query_sort(&c->work, c->q->arena, items, n, size, compare, &c->err);
}

static int api_compare_keys(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

bool api_sorted_keys(struct api_call *c, const struct map *m, struct str **keys)
{
    size_t n = 0;
    *keys = ARENA_ARRAY(c->q->arena, struct str, m->n);
    for (struct map_entry *e = map_next(m, NULL); e; e = map_next(m, e))
        (*keys)[n++] = e->key;
    return api_sort(c, *keys, n, sizeof **keys, api_compare_keys);
}

struct expr *api_parse(struct api_call *c) { return query_parse(c->q, form_get(&c->r->form, "query"), &c->err); }

/* ---- envelope ---- */

static void write_list(struct json_writer *w, const char *key, const char *kind, const struct note_list *list)
{
    if (list->n == 0)
        return;
    json_key(w, key);
    json_begin_array(w);
    for (size_t i = 0; i < list->n && i < NOTES_SHOWN; i++)
        json_html_str(w, list->items[i]);
    if (list->n > NOTES_SHOWN) {
        char more[64];
        snprintf(more, sizeof more, "%zu more %s annotations omitted", list->n - NOTES_SHOWN, kind);
        json_z(w, more);
    }
    json_end_array(w);
}

void api_write_notes(struct json_writer *w, const struct notes *n)
{
    write_list(w, "warnings", "warning", &n->warnings);
    write_list(w, "infos", "info", &n->infos);
}

void api_respond(struct http_request *r, api_body *body)
{
    struct api_call c;
    r->content_type = "application/json";
    buf_add_z(&r->out, "{\"status\":\"success\",\"data\":");
    if (!api_call_run(&c, r, body)) {
        if (r->streaming) /* the client misses the end, and fails */
            r->stream_failed = true;
        else
            http_error(r, &c.err);
    } else if (r->status == 204) {
        buf_clear(&r->out);
    } else {
        c.json.comma = true;
        if (c.q->notes->partial)
            json_field_bool(&c.json, "isPartial", true);
        api_forbid_caching(&c);
        api_write_notes(&c.json, c.q->notes);
        buf_add_char(&r->out, '}');
    }
}

void api_respond_plain(struct http_request *r, api_body *body,
                       void (*fail)(struct http_request *r, const struct err *err))
{
    struct api_call c;
    if (!api_call_run(&c, r, body))
        fail(r, &c.err);
    else
        api_forbid_caching(&c);
}
