// SPDX-License-Identifier: Apache-2.0
#include "gateway/api/call.h"

#include "base/text/duration.h"
#include "gateway/services/services.h"
#include "gateway/query/worker.h"
#include "promql/promql.h"

#include <stdio.h>

enum { NOTES_SHOWN = 10, RETRY_SECONDS = 2 };

/* ---- budget ---- */

static bool too_much(struct api_call *c)
{
    c->arena->starved = c->arena->starved || c->r->out.starved;
    arena_full_error(c->arena, c->arena->max, &c->err);
    return false;
}

static void on_full(struct arena *a UNUSED, size_t wanted UNUSED, void *arg)
{
    struct api_call *c = arg;
    too_much(c);
    longjmp(c->_full, 1);
}

/* The reply counts as the query's memory. It may begin in memory of an earlier one, which must not fill the budget. */
static void charge_reply_buffer(struct api_call *c)
{
    struct buf *out = &c->r->out, small = {0};
    if (out->cap > c->arena->max / 4) {
        buf_add_str(&small, buf_str(out));
        buf_free(out);
        *out = small;
    }
    buf_charge_anyway(out, &c->r->services->queries);
}

static bool api_call_run(struct api_call *c, api_body *body)
{
    if (setjmp(c->_full))
        return false;
    c->arena->max = (size_t)c->r->services->flags.query_memory;
    c->arena->on_full = on_full;
    c->arena->on_full_arg = c;
    if (!arena_charge(c->arena, &c->r->services->queries))
        return too_much(c);
    charge_reply_buffer(c);
    return worker_turn_begin(c->q.user, &c->q, &c->err) && body(c);
}

void api_reply_begin(struct api_call *c)
{
    const struct arena *a = c->arena;
    buf_limit(&c->r->out, a->used < a->max ? a->max - a->used : 0);
}

bool api_reply_end(struct api_call *c)
{
    c->r->out.max = 0;
    return !c->r->out.over || too_much(c);
}

void api_deadline(struct api_call *c, int64_t timeout) { c->q.deadline_mono = c->r->started_mono + timeout; }

static void api_call_begin(struct api_call *c, struct http_request *r)
{
    *c = (struct api_call){.r = r, .arena = &r->arena, .json.out = &r->out, .notes.arena = &r->arena};
    c->q = (struct query_ctx){.arena = c->arena, .notes = &c->notes, .canceled = &r->canceled, .user = worker_self()};
    if (c->r->services->flags.query_timeout > 0)
        api_deadline(c, c->r->services->flags.query_timeout);
    c->_upstream = services_upstream(r->services);
    c->source = upstream_source(c->_upstream);
}

static bool run_with_upstream(struct api_call *c, struct http_request *r, api_body *body)
{
    api_call_begin(c, r);
    bool ok = api_call_run(c, body);
    worker_turn_end(c->q.user);
    c->arena->on_full = NULL;
    if (!ok) { /* the reply is an error then, which is short */
        buf_charge_anyway(&r->out, NULL);
        r->out.max = 0;
    }
    if (!ok && c->err.kind == ERR_UNAVAILABLE && c->err.retry_after == 0 && (c->arena->starved || c->r->out.starved))
        c->err.retry_after = RETRY_SECONDS;
    if (c->end)
        c->end(c);
    upstream_unref(c->_upstream);
    return ok;
}

static void api_free_expr(void *tree) { promql_free(tree); }

struct expr *api_parse(struct api_call *c)
{
    struct expr *tree = promql_parse(c->arena, form_get(&c->r->form, "query"), &(struct promql_syntax){0}, &c->err);
    return tree && arena_at_end(c->arena, api_free_expr, tree) ? tree : NULL;
}

/* ---- envelope ---- */

void api_note_truncated(struct api_call *c) { notes_warn(&c->notes, "results truncated due to limit"); }

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
    if (!run_with_upstream(&c, r, body)) {
        http_error(r, &c.err);
    } else if (r->status == 204) {
        buf_clear(&r->out);
    } else {
        c.json.comma = true;
        api_write_notes(&c.json, &c.notes);
        buf_add_char(&r->out, '}');
    }
}

void api_respond_plain(struct http_request *r, api_body *body,
                       void (*fail)(struct http_request *r, const struct err *err))
{
    struct api_call c;
    if (!run_with_upstream(&c, r, body))
        fail(r, &c.err);
}
