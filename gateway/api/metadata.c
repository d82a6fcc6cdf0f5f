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

/* The scraper copies under its locks, where the arena must not jump: what is too much is found by the next allocation.
 * */
static void own_families(struct api_call *c, struct str metric, struct target_metadata **own, size_t *n)
{
    size_t budget = c->q->arena->max;
    c->q->arena->max = 0;
    scraper_metadata(c->r->services->scraper, c->q->arena, metric, own, n);
    c->q->arena->max = budget;
}

static bool api_metadata_collect(struct api_call *c, struct str metric, struct families *out)
{
    struct target_metadata *own;
    struct metadata_set others = {0};
    size_t n_own;
    if (!c->source->ops->metadata(c->source, c->q, metric, 0, &others, &c->err))
        return false;
    own_families(c, metric, &own, &n_own);
    out->items = ARENA_ARRAY(c->q->arena, struct metadata, n_own + others.n);
    for (size_t i = 0; i < n_own; i++)
        out->items[out->n++] = own[i].metadata;
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
