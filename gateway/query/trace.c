// SPDX-License-Identifier: Apache-2.0
#include "gateway/query/trace.h"

#include "base/text/duration.h"

void trace_request(struct query_trace *t, const struct trace_request *request)
{
    if (t == NULL)
        return;
    arena_grow(t->arena, &t->requests, &t->_cap_requests, t->n_requests + 1, sizeof *t->requests);
    struct trace_request *own = &t->requests[t->n_requests++];
    *own = *request;
    own->group = arena_str(t->arena, request->group);
    own->server = arena_str(t->arena, request->server);
    own->path = arena_str(t->arena, request->path);
    own->query = arena_str(t->arena, request->query);
    own->error = arena_str(t->arena, request->error);
}

void trace_merge(struct query_trace *t, const struct trace_merge *merge)
{
    if (t == NULL)
        return;
    arena_grow(t->arena, &t->merges, &t->_cap_merges, t->n_merges + 1, sizeof *t->merges);
    struct trace_merge *own = &t->merges[t->n_merges++];
    *own = *merge;
    own->group = arena_str(t->arena, merge->group);
    own->selector = arena_str(t->arena, merge->selector);
}

void trace_skip(struct query_trace *t, struct str group, const struct matcher *m, size_t n, const char *why)
{
    struct buf selector = {0};
    bool known = t == NULL;
    if (!known)
        matchers_print(&selector, m, n);
    for (size_t i = 0; t && i < t->n_skips && !known; i++)
        known = str_eq(t->skips[i].group, group) && str_eq(t->skips[i].selector, buf_str(&selector)) &&
                str_is(t->skips[i].why, why);
    if (!known) {
        arena_grow(t->arena, &t->skips, &t->_cap_skips, t->n_skips + 1, sizeof *t->skips);
        t->skips[t->n_skips++] = (struct trace_skip){arena_str(t->arena, group), arena_str(t->arena, buf_str(&selector)),
                                                     arena_str(t->arena, str_of(why))};
    }
    buf_free(&selector);
}

void trace_abandon(struct query_trace *t, const char *why)
{
    if (t)
        t->abandoned = arena_str(t->arena, str_of(why));
}

/* --- JSON --------------------------------------------------------------------------------------------------------- */

static void trace_key_seconds(struct json_writer *w, const char *key, int64_t ms)
{
    json_key(w, key);
    json_ms(w, ms);
}

static const char *trace_where_name(enum plan_where where)
{
    static const char *const names[] = {
        [PLAN_PUSHED] = "pushed", [PLAN_CUT] = "cut", [PLAN_RAW] = "raw", [PLAN_LOCAL] = "here"};
    return names[where];
}

static void trace_show_decision(struct json_writer *w, const struct plan_decision *d)
{
    json_begin_object(w);
    json_field_str(w, "expr", d->text);
    json_field_z(w, "evaluated", trace_where_name(d->where));
    if (d->why.n > 0)
        json_field_str(w, "reason", d->why);
    json_end_object(w);
}

static void trace_show_skip(struct json_writer *w, const struct trace_skip *s)
{
    json_begin_object(w);
    json_field_str(w, "group", s->group);
    json_field_str(w, "selector", s->selector);
    json_field_str(w, "reason", s->why);
    json_end_object(w);
}

static void trace_show_request(struct json_writer *w, const struct trace_request *r)
{
    json_begin_object(w);
    json_field_str(w, "group", r->group);
    json_field_str(w, "server", r->server);
    json_field_str(w, "path", r->path);
    json_field_str(w, "query", r->query);
    trace_key_seconds(w, "begin", r->begin_ms);
    trace_key_seconds(w, "seconds", r->took_ms);
    json_field_i64(w, "status", r->status);
    json_field_u64(w, "bytes", r->bytes);
    json_field_u64(w, "samples", r->samples);
    if (r->joined)
        json_field_bool(w, "joined", true);
    if (r->error.n > 0)
        json_field_str(w, "error", r->error);
    json_end_object(w);
}

static void trace_show_source(struct json_writer *w, const struct trace_source *s)
{
    json_begin_object(w);
    json_field_str(w, "server", s->server);
    json_field_u64(w, "series", s->series);
    json_field_u64(w, "samples", s->samples);
    json_field_u64(w, "used", s->used);
    json_field_u64(w, "filled", s->filled);
    if (s->filled > 0) {
        trace_key_seconds(w, "filledFrom", s->filled_from);
        trace_key_seconds(w, "filledTo", s->filled_to);
    }
    json_end_object(w);
}

static void trace_show_merge(struct json_writer *w, const struct trace_merge *m)
{
    json_begin_object(w);
    json_field_str(w, "group", m->group);
    json_field_str(w, "selector", m->selector);
    json_field_u64(w, "series", m->series);
    json_field_u64(w, "samples", m->samples);
    json_key(w, "sources");
    json_begin_array(w);
    for (size_t i = 0; i < m->n; i++)
        trace_show_source(w, &m->sources[i]);
    json_end_array(w);
    json_end_object(w);
}

/* --- text --------------------------------------------------------------------------------------------------------- */

static void trace_print_plan(struct buf *out, const struct query_trace *t)
{
    for (size_t i = 0; t->plan && i < t->plan->n_decisions; i++) {
        const struct plan_decision *d = &t->plan->decisions[i];
        buf_printf(out, "%-6s %.*s%s%.*s\n", trace_where_name(d->where), STR_ARG(d->text), d->why.n ? ": " : "",
                   STR_ARG(d->why));
    }
    if (t->abandoned.n > 0)
        buf_printf(out, "All of it is evaluated here from raw samples after all: %.*s\n", STR_ARG(t->abandoned));
}

static void trace_print_request(struct buf *out, const struct trace_request *r)
{
    buf_printf(out, "%.*s %.*s%.*s: %.*s; %lld ms, %llu bytes, %llu samples", STR_ARG(r->group), STR_ARG(r->server),
               STR_ARG(r->path), STR_ARG(r->query), (long long)r->took_ms, (unsigned long long)r->bytes,
               (unsigned long long)r->samples);
    if (r->joined)
        buf_add_z(out, "; the request of another query");
    if (r->error.n > 0)
        buf_printf(out, "; %.*s", STR_ARG(r->error));
    buf_add_char(out, '\n');
}

static void trace_print_merge(struct buf *out, const struct trace_merge *m)
{
    buf_printf(out, "%.*s merged %.*s: %llu series, %llu samples\n", STR_ARG(m->group), STR_ARG(m->selector),
               (unsigned long long)m->series, (unsigned long long)m->samples);
    for (size_t i = 0; i < m->n; i++) {
        const struct trace_source *s = &m->sources[i];
        buf_printf(out, "  %.*s had %llu series and %llu samples; %llu were used", STR_ARG(s->server),
                   (unsigned long long)s->series, (unsigned long long)s->samples, (unsigned long long)s->used);
        if (s->filled > 0) {
            buf_printf(out, ", %llu of them in gaps from ", (unsigned long long)s->filled);
            buf_add_rfc3339(out, s->filled_from);
            buf_add_z(out, " to ");
            buf_add_rfc3339(out, s->filled_to);
        }
        buf_add_char(out, '\n');
    }
}

static void trace_print(struct buf *out, const struct query_trace *t)
{
    trace_print_plan(out, t);
    for (size_t i = 0; i < t->n_skips; i++)
        buf_printf(out, "%.*s is not queried for %.*s: %.*s\n", STR_ARG(t->skips[i].group), STR_ARG(t->skips[i].selector),
                   STR_ARG(t->skips[i].why));
    for (size_t i = 0; i < t->n_requests; i++)
        trace_print_request(out, &t->requests[i]);
    for (size_t i = 0; i < t->n_merges; i++)
        trace_print_merge(out, &t->merges[i]);
}

void trace_show(struct json_writer *w, const struct query_trace *t)
{
    struct buf text = {0};
    json_begin_object(w);
    json_key(w, "plan");
    json_begin_array(w);
    for (size_t i = 0; t->plan && i < t->plan->n_decisions; i++)
        trace_show_decision(w, &t->plan->decisions[i]);
    json_end_array(w);
    if (t->abandoned.n > 0)
        json_field_str(w, "abandoned", t->abandoned);
    json_key(w, "skipped");
    json_begin_array(w);
    for (size_t i = 0; i < t->n_skips; i++)
        trace_show_skip(w, &t->skips[i]);
    json_end_array(w);
    json_key(w, "requests");
    json_begin_array(w);
    for (size_t i = 0; i < t->n_requests; i++)
        trace_show_request(w, &t->requests[i]);
    json_end_array(w);
    json_key(w, "merged");
    json_begin_array(w);
    for (size_t i = 0; i < t->n_merges; i++)
        trace_show_merge(w, &t->merges[i]);
    json_end_array(w);
    trace_print(&text, t);
    json_field_str(w, "text", buf_str(&text));
    buf_free(&text);
    json_end_object(w);
}
