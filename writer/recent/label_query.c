// SPDX-License-Identifier: Apache-2.0
/* Label queries: names and values of labels, label sets, metadata of families. */
#include "writer/recent/iterate.h"

#include "model/str_sort.h"

static bool label_query_overlaps(const struct recent_series *s, int64_t t_min, int64_t t_max)
{
    if (s->newest < t_min)
        return false;
    if (s->newest <= t_max && s->newest > INT64_MIN) /* the usual case reads no chunk; INT64_MIN: perhaps no sample */
        return true;
    for (const struct chunk *c = s->first; c && c->t_min <= t_max; c = c->next)
        if (c->t_max >= t_min)
            return true;
    const struct recent_extra *r = s->extra;
    return (s->open && chunk_overlaps(s->open, t_min, t_max)) ||
           (r && r->n_late > 0 && r->late[0].t <= t_max && r->late[r->n_late - 1].t >= t_min) ||
           (r && r->n_hists > 0 && r->hists[0].t <= t_max && r->hists[r->n_hists - 1].t >= t_min);
}

struct label_gather {
    struct arena *arena;
    const struct series_query *query;
    struct str name;                /* values of this name; empty: names */
    struct map seen;
    struct str_set *strings; size_t cap;
    struct labels_set *labels; size_t labels_cap;
    struct exemplar_set *exemplars; size_t exemplars_cap;
};

static struct str gather_copy(struct label_gather *g, struct str s)
{
    struct str copy = arena_str(g->arena, s);
    arena_grow(g->arena, &g->strings->items, &g->cap, g->strings->n + 1, sizeof *g->strings->items);
    return g->strings->items[g->strings->n++] = copy;
}

static void gather_str(struct label_gather *g, struct str s)
{
    bool added;
    if (map_find(&g->seen, s) == NULL)
        map_add(&g->seen, gather_copy(g, s), &added);
}

/* Collects all, regardless of the limit, which applies to the sorted result. */
static bool gather_strings(struct recent_series *s, void *arg)
{
    struct label_gather *g = arg;
    if (!label_query_overlaps(s, g->query->t_min, g->query->t_max))
        return true;
    struct labels_iter it = labels_iter(recent_series_labels(s));
    struct label l;
    if (g->name.n > 0) {
        struct str v = labels_get(recent_series_labels(s), g->name);
        if (v.n > 0)
            gather_str(g, v);
        return true;
    }
    while (labels_next(&it, &l))
        gather_str(g, l.name);
    return true;
}

static bool gather_labels(struct recent_series *s, void *arg)
{
    struct label_gather *g = arg;
    if (!label_query_overlaps(s, g->query->t_min, g->query->t_max) ||
        map_find(&g->seen, str_n(s->label_text, s->label_bytes)))
        return true;
    bool added;
    struct labels copy = labels_copy(g->arena, recent_series_labels(s));
    map_add(&g->seen, str_n(copy.p, copy.n), &added);
    arena_grow(g->arena, &g->labels->items, &g->labels_cap, g->labels->n + 1, sizeof *g->labels->items);
    g->labels->items[g->labels->n++] = copy;
    return g->query->limit == 0 || g->labels->n <= g->query->limit;
}

static bool gather_exemplars(struct recent_series *s, void *arg)
{
    struct label_gather *g = arg;
    const struct recent_extra *r = s->extra;
    if (r == NULL || r->n_exemplars == 0 || map_find(&g->seen, str_n(s->label_text, s->label_bytes)))
        return true;
    bool added;
    struct exemplar_series e = {.exemplars = ARENA_ARRAY(g->arena, struct str, r->n_exemplars)};
    for (uint32_t i = 0; i < r->n_exemplars; i++)
        if (r->exemplars[i].t >= g->query->t_min && r->exemplars[i].t <= g->query->t_max)
            e.exemplars[e.n++] = arena_str(g->arena, r->exemplars[i].message);
    if (e.n == 0)
        return true;
    e.labels = labels_copy(g->arena, recent_series_labels(s));
    map_add(&g->seen, str_n(e.labels.p, e.labels.n), &added);
    arena_grow(g->arena, &g->exemplars->items, &g->exemplars_cap, g->exemplars->n + 1, sizeof *g->exemplars->items);
    g->exemplars->items[g->exemplars->n++] = e;
    return true;
}

static bool series_in_window(struct recent_series *s, void *arg)
{
    const struct label_gather *g = arg;
    return label_query_overlaps(s, g->query->t_min, g->query->t_max);
}

/* An index has each text once; those of several stripes are united when all are sorted. */
static void gather_found(struct str text, void *arg) { gather_copy(arg, text); }

/* False: the index does not serve this request, or the query has ended. */
static bool gather_from_index(struct stripe *p, struct query_ctx *q, struct label_gather *g, bool *ok, struct err *err)
{
    struct index_visit visit = {series_in_window, {g->query->t_min, g->query->t_max}, gather_found, g};
    bool complete = false;
    if (g->strings && g->query->n_sets == 0)
        *ok = stripe_visit_index(p, q, g->name, &visit, &complete, err);
    return complete;
}

static bool label_query_gather(struct recent *store, struct query_ctx *q, struct label_gather *g, visit_fn *visit,
                               struct err *err)
{
    const struct series_visit each = {.visit = visit, .arg = g};
    bool ok = true;
    for (unsigned i = 0; ok && i < store->n_stripes; i++) {
        if (gather_from_index(&store->stripes[i], q, g, &ok, err) || !ok)
            continue;
        if (g->query->n_sets == 0)
            ok = stripe_visit(&store->stripes[i], q, NULL, 0, &each, err);
        for (size_t k = 0; ok && k < g->query->n_sets; k++)
            ok = stripe_visit(&store->stripes[i], q, g->query->sets[k], g->query->set_sizes[k], &each, err);
    }
    map_free(&g->seen);
    return ok;
}

static bool finish_strings(struct query_ctx *q, struct str_set *set, size_t limit, struct err *err)
{
    struct query_work work = {.q = q, .where = "reading the recent store"};
    if (!str_sort(&work, q->arena, set->items, set->n, err))
        return false;
    size_t n = 0;
    for (size_t i = 0; i < set->n; i++)
        if (n == 0 || !str_eq(set->items[i], set->items[n - 1]))
            set->items[n++] = set->items[i];
    set->n = n;
    if (limit > 0 && set->n > limit) {
        set->n = limit;
        set->truncated = true;
    }
    return true;
}

bool recent_label_values(struct source *source, struct query_ctx *q, struct str name, const struct series_query *sq,
                         struct str_set *out, struct err *err)
{
    struct label_gather g = {.arena = q->arena, .query = sq, .name = name, .strings = out};
    *out = (struct str_set){0};
    return label_query_gather(recent_from_source(source), q, &g, gather_strings, err) &&
           finish_strings(q, out, sq->limit, err);
}

bool recent_label_names(struct source *source, struct query_ctx *q, const struct series_query *sq, struct str_set *out,
                        struct err *err)
{
    return recent_label_values(source, q, STR_NONE, sq, out, err);
}

bool recent_series(struct source *source, struct query_ctx *q, const struct series_query *sq, struct labels_set *out,
                   struct err *err)
{
    struct label_gather g = {.arena = q->arena, .query = sq, .labels = out};
    *out = (struct labels_set){0};
    bool ok = label_query_gather(recent_from_source(source), q, &g, gather_labels, err);
    if (sq->limit > 0 && out->n > sq->limit) {
        out->n = sq->limit;
        out->truncated = true;
    }
    return ok;
}

bool recent_exemplars(struct source *source, struct query_ctx *q, const struct series_query *sq,
                      struct exemplar_set *out, struct err *err)
{
    struct label_gather g = {.arena = q->arena, .query = sq, .exemplars = out};
    *out = (struct exemplar_set){0};
    return label_query_gather(recent_from_source(source), q, &g, gather_exemplars, err);
}

bool recent_metadata(struct source *source, struct query_ctx *q, struct str metric, size_t limit UNUSED,
                     struct metadata_set *out, struct err *err UNUSED)
{
    struct recent *store = recent_from_source(source);
    size_t cap = 0;
    *out = (struct metadata_set){0};
    struct arena_limits saved = arena_suspend_limit(q->arena);
    for (unsigned i = 0; i < store->n_stripes; i++) {
        struct stripe *p = &store->stripes[i];
        stripe_lock(p);
        for (size_t k = 0; k < p->n_families; k++) {
            const struct metadata *m = &p->families[k].metadata;
            if (metric.n > 0 && !str_eq(metric, m->family))
                continue;
            arena_grow(q->arena, &out->items, &cap, out->n + 1, sizeof *out->items);
            out->items[out->n++] = (struct metadata){arena_str(q->arena, m->family), arena_str(q->arena, m->help),
                                                     arena_str(q->arena, m->unit), m->type};
        }
        stripe_unlock(p);
    }
    arena_restore_limit(q->arena, saved);
    return true;
}
