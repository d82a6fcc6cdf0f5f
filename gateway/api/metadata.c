// SPDX-License-Identifier: Apache-2.0
/* Types and help texts: those of our own targets and those of the upstream, each distinct one once, sorted by metric.
 * */
#include "gateway/api/call.h"
#include "gateway/query/params.h"
#include "gateway/api/query.h"
#include "gateway/services/services.h"

struct families { struct metadata *items; size_t n; };

static int api_metadata_compare(const struct metadata *a, const struct metadata *b)
{
    int c = str_cmp(a->family, b->family);
    if (c == 0)
        c = (a->type > b->type) - (a->type < b->type);
    if (c == 0)
        c = str_cmp(a->help, b->help);
    return c ? c : str_cmp(a->unit, b->unit);
}

static int by_content(const void *a, const void *b) { return api_metadata_compare(a, b); }

struct own_families { struct api_call *call; size_t max; struct metadata *items; size_t n, cap; };

static bool api_metadata_add_own(void *arg, const struct target_metadata *found, struct err *err)
{
    struct own_families *own = arg;
    struct arena *a = own->call->q->arena;
    const struct metadata *m = &found->metadata;
    arena_grow(a, &own->items, &own->cap, own->n + 1, sizeof *own->items);
    own->items[own->n++] = (struct metadata){arena_str(a, m->family), arena_str(a, m->help), arena_str(a, m->unit),
                                             m->type};
    if (arena_over(a, own->max)) {
        arena_full_error(a, own->max, err);
        return false;
    }
    return query_charge(&own->call->work, QUERY_CHARGE_LABELS, err);
}

/* A full arena must not leave the visit by longjmp: its limit is lifted meanwhile. */
static bool api_metadata_own(struct api_call *c, struct str metric, struct own_families *own)
{
    struct arena_limits saved = arena_suspend_limit(c->q->arena);
    *own = (struct own_families){.call = c, .max = saved.max};
    struct scraper_read read = {.memory = &c->r->services->queries, .deadline_mono = c->q->deadline_mono,
                                .canceled = c->q->canceled};
    struct metadata_visit visit = {.metric = metric, .distinct = true, .visit = api_metadata_add_own, .arg = own};
    bool ok = scraper_metadata(c->r->services->scraper, &read, &visit, &c->err);
    arena_restore_limit(c->q->arena, saved);
    return ok;
}

static bool api_metadata_collect(struct api_call *c, struct str metric, struct families *out)
{
    struct own_families own;
    struct metadata_set others = {0};
    if (!c->source->ops->metadata(c->source, c->q, metric, 0, &others, &c->err))
        return false;
    if (!api_metadata_own(c, metric, &own))
        return false;
    out->items = ARENA_ARRAY(c->q->arena, struct metadata, own.n + others.n);
    for (size_t i = 0; i < own.n; i++)
        out->items[out->n++] = own.items[i];
    for (size_t i = 0; i < others.n; i++)
        out->items[out->n++] = others.items[i];
    return api_sort(c, out->items, out->n, sizeof *out->items, by_content);
}

static void write_one(struct json_writer *w, const struct metadata *m)
{
    json_begin_object(w);
    json_field_z(w, "type", metric_type_name(m->type));
    json_key(w, "unit");
    json_html_str(w, m->unit);
    json_key(w, "help");
    json_html_str(w, m->help);
    json_end_object(w);
}

/* Writes the entries of one metric, from i on; returns the index of the next metric. */
static size_t write_family(struct json_writer *w, const struct families *all, size_t i, int64_t most)
{
    const struct metadata *first = &all->items[i];
    int64_t written = 0;
    json_key_str(w, first->family);
    json_begin_array(w);
    for (; i < all->n && str_eq(all->items[i].family, first->family); i++) {
        bool again = &all->items[i] != first && api_metadata_compare(&all->items[i], &all->items[i - 1]) == 0;
        if (again || (most > 0 && written >= most))
            continue;
        write_one(w, &all->items[i]);
        written++;
    }
    json_end_array(w);
    return i;
}

static bool api_metadata_list(struct api_call *c)
{
    const struct form *f = &c->r->form;
    struct families all = {0};
    int64_t limit, per_metric, written = 0;
    if (!param_number(f, "limit", &limit, &c->err) || !param_number(f, "limit_per_metric", &per_metric, &c->err))
        return false;
    if (!api_metadata_collect(c, form_get(f, "metric"), &all))
        return false;
    json_begin_object(&c->json);
    for (size_t i = 0, next; i < all.n && (limit < 0 || written < limit); written++, i = next) {
        next = write_family(&c->json, &all, i, per_metric);
        if (!api_charge(c, (next - i) * QUERY_CHARGE_WRITE))
            return false;
    }
    json_end_object(&c->json);
    return true;
}

void api_metadata(struct http_request *r) { api_respond(r, api_metadata_list); }
