/* The store as a source. A select takes a snapshot: under a part's lock, some series at a time, it copies labels, takes references of
 * sealed chunks and copies the open one; samples are decoded later, one series at a time, when the evaluator asks.
 */
#include "writer/recent/part.h"

#include <stdlib.h>

struct snapshot { /* what one series looked like */
    struct chunk **chunks; uint32_t n_chunks;
    const uint8_t *open; uint32_t open_size, open_n;
    const struct sample *late; uint32_t n_late;
    const struct kept_histogram *hists; uint32_t n_hists; /* messages in the arena */
    const struct hist_sample *decoded;                    /* of them, since the first load */
    uint32_t most;                                        /* float samples at most */
};
struct reading { /* series_set.impl */
    struct arena *arena;
    struct snapshot *snapshots; size_t n, cap;
    struct sample *buffer; size_t buffer_cap;  /* of the load */
    int64_t t_min, t_max;
};

/* --- which series --------------------------------------------------------------------------------------------------- */

typedef bool visit_fn(struct kept_series *s, void *arg); /* under the lock; false: enough */

/* An arena whose budget is spent jumps out of the query: that must not happen under a lock. So the budget is lifted for a
 * slice and looked at between slices. */
struct lifted { size_t max; void (*on_full)(struct arena *a, size_t wanted, void *arg); };

static struct lifted lift(struct arena *a)
{
    struct lifted saved = {a->max, a->on_full};
    a->max = 0;
    a->on_full = NULL;
    return saved;
}

static void lower(struct arena *a, struct lifted saved)
{
    a->max = saved.max;
    a->on_full = saved.on_full;
}

static bool must_end(struct query_ctx *q, struct lifted saved, struct err *err)
{
    if (saved.max && q->arena->used > saved.max)
        return !err_set(err, ERR_LIMIT, "query needs more than %zu MiB of memory", saved.max >> 20);
    return query_ended(q, "reading the recent store", err);
}

/* Every series that the matchers accept, in slices between which the lane can go on. */
static bool visit_part(struct part *p, struct query_ctx *q, const struct matcher *m, size_t n, visit_fn *visit, void *arg, struct err *err)
{
    const uint32_t *ids = NULL;
    size_t n_ids = 0;
    struct lifted saved = lift(q->arena);
    mutex_lock(&p->lock);
    bool some = index_candidates(&p->index, q->arena, m, n, &ids, &n_ids);
    bool going = true, ended = false;
    for (size_t i = 0; going && i < (some ? n_ids : p->n); i++) {
        size_t id = some ? ids[i] : i;
        struct kept_series *s = id < p->n ? p->series[id] : NULL;
        if (s && matchers_match(m, n, s->labels))
            going = visit(s, arg);
        if (i % PART_SLICE == PART_SLICE - 1) {
            mutex_unlock(&p->lock);
            ended = must_end(q, saved, err);
            going = going && !ended;
            mutex_lock(&p->lock);
        }
    }
    mutex_unlock(&p->lock);
    lower(q->arena, saved);
    return !ended;
}

static bool overlaps(const struct kept_series *s, int64_t t_min, int64_t t_max)
{
    if (s->newest < t_min)
        return s->n_late > 0 && s->late[s->n_late - 1].t >= t_min && s->late[0].t <= t_max;
    for (const struct chunk *c = s->first; c; c = c->next)
        if (c->t_min <= t_max && c->t_max >= t_min)
            return true;
    return (s->open && s->open->n > 0 && s->open->t_min <= t_max && s->open->t_max >= t_min) ||
           (s->n_late > 0 && s->late[0].t <= t_max && s->late[s->n_late - 1].t >= t_min) ||
           (s->n_hists > 0 && s->hists[0].t <= t_max && s->hists[s->n_hists - 1].t >= t_min);
}

/* --- snapshots ------------------------------------------------------------------------------------------------------ */

static void copy_chunks(struct reading *r, const struct kept_series *s, struct snapshot *out)
{
    uint32_t n = 0;
    for (const struct chunk *c = s->first; c; c = c->next)
        n += c->t_min <= r->t_max && c->t_max >= r->t_min;
    out->chunks = ARENA_ARRAY(r->arena, struct chunk *, n);
    for (struct chunk *c = s->first; c; c = c->next)
        if (c->t_min <= r->t_max && c->t_max >= r->t_min) {
            out->chunks[out->n_chunks++] = chunk_ref(c);
            out->most += c->n;
        }
    const struct chunk *open = s->open;
    if (open && open->n > 0 && open->t_min <= r->t_max && open->t_max >= r->t_min) {
        uint8_t *copy = (uint8_t *)arena_bytes(r->arena, open->size);
        memcpy(copy, open->bytes, open->size);
        out->open = copy;
        out->open_size = open->size;
        out->open_n = open->n;
        out->most += open->n;
    }
}

static void copy_rest(struct reading *r, const struct kept_series *s, struct snapshot *out)
{
    if (s->n_late > 0) {
        struct sample *late = arena_array(r->arena, s->n_late, sizeof *late);
        for (uint32_t i = 0; i < s->n_late; i++)
            if (s->late[i].t >= r->t_min && s->late[i].t <= r->t_max)
                late[out->n_late++] = s->late[i];
        out->late = late;
        out->most += out->n_late;
    }
    if (s->n_hists > 0) {
        struct kept_histogram *hists = arena_array(r->arena, s->n_hists, sizeof *hists);
        for (uint32_t i = 0; i < s->n_hists; i++)
            if (s->hists[i].t >= r->t_min && s->hists[i].t <= r->t_max)
                hists[out->n_hists++] = (struct kept_histogram){s->hists[i].t, arena_str(r->arena, s->hists[i].message)};
        out->hists = hists;
    }
}

struct selecting { struct reading *reading; struct series_set *set; };

static bool take_snapshot(struct kept_series *s, void *arg)
{
    struct selecting *sel = arg;
    struct reading *r = sel->reading;
    if (!overlaps(s, r->t_min, r->t_max))
        return true;
    if (r->n == r->cap) {
        size_t cap = r->cap;
        arena_grow(r->arena, &r->snapshots, &cap, r->n + 1, sizeof *r->snapshots);
        arena_grow(r->arena, &sel->set->series, &r->cap, r->n + 1, sizeof *sel->set->series);
    }
    sel->set->series[r->n] = (struct series){.labels = labels_copy(r->arena, s->labels)};
    r->snapshots[r->n] = (struct snapshot){0};
    copy_chunks(r, s, &r->snapshots[r->n]);
    copy_rest(r, s, &r->snapshots[r->n]);
    sel->set->n = ++r->n;
    return true;
}

/* --- decoding ------------------------------------------------------------------------------------------------------- */

static uint32_t merge_late(struct sample *samples, uint32_t n, const struct sample *late, uint32_t n_late)
{
    uint32_t i = n, k = n_late, at = n + n_late;
    while (k > 0) { /* from the end, in place: there is room for both */
        if (i > 0 && samples[i - 1].t > late[k - 1].t) /* of two at the same time the one that was in order stands first, and stays */
            samples[--at] = samples[--i];
        else
            samples[--at] = late[--k];
    }
    uint32_t kept = 0;
    for (uint32_t j = 0; j < n + n_late; j++)
        if (kept == 0 || samples[j].t != samples[kept - 1].t)
            samples[kept++] = samples[j];
    return kept;
}

/* An evaluator may keep a histogram for as long as the query lasts: they are decoded into its arena, once. */
static bool load_histograms(struct reading *r, struct snapshot *s, struct series *out, struct err *err)
{
    if (s->decoded == NULL) {
        struct hist_sample *hists = ARENA_ARRAY(r->arena, struct hist_sample, s->n_hists);
        struct histogram *decoded = ARENA_ARRAY(r->arena, struct histogram, s->n_hists);
        for (uint32_t i = 0; i < s->n_hists; i++) {
            struct str message = s->hists[i].message;
            int64_t t;
            if (!histogram_decode(r->arena, (const uint8_t *)message.p, message.n, &t, &decoded[i], err))
                return false;
            hists[i] = (struct hist_sample){s->hists[i].t, &decoded[i]};
        }
        s->decoded = hists;
    }
    out->hists = s->decoded;
    out->n_hists = s->n_hists;
    return true;
}

static bool load(struct series_set *set, size_t i, struct series *out, struct err *err)
{
    struct reading *r = set->impl;
    struct snapshot *s = &r->snapshots[i];
    if (s->most > r->buffer_cap) {
        r->buffer_cap = s->most;
        r->buffer = mem_realloc(r->buffer, r->buffer_cap * sizeof *r->buffer);
    }
    uint32_t n = 0;
    for (uint32_t k = 0; k < s->n_chunks; k++)
        n += chunk_decode(s->chunks[k]->bytes, s->chunks[k]->size, s->chunks[k]->n, r->t_min, r->t_max, r->buffer + n);
    if (s->open)
        n += chunk_decode(s->open, s->open_size, s->open_n, r->t_min, r->t_max, r->buffer + n);
    if (s->n_late > 0)
        n = merge_late(r->buffer, n, s->late, s->n_late);
    out->samples = r->buffer;
    out->n_samples = n;
    out->hists = NULL;
    out->n_hists = 0;
    return s->n_hists == 0 || load_histograms(r, s, out, err);
}

static void release(struct series_set *set)
{
    struct reading *r = set->impl;
    for (size_t i = 0; i < r->n; i++)
        for (uint32_t k = 0; k < r->snapshots[i].n_chunks; k++)
            chunk_unref(r->snapshots[i].chunks[k]);
    mem_free(r->buffer);
    mem_free(r);
}

static bool select_one(struct recent *store, struct query_ctx *q, const struct select *sel, struct series_set *out, struct err *err)
{
    struct reading *r = mem_zalloc(sizeof *r);
    r->arena = q->arena;
    r->t_min = sel->t_min;
    r->t_max = sel->t_max;
    *out = (struct series_set){.load = load, .release = release, .impl = r};
    struct selecting s = {r, out};
    for (unsigned i = 0; i < store->n_parts; i++)
        if (!visit_part(&store->parts[i], q, sel->matchers, sel->n_matchers, take_snapshot, &s, err))
            return false;
    return true;
}

static bool recent_select(struct source *source, struct query_ctx *q, const struct select *sel, size_t n, struct series_set *out, struct err *err)
{
    struct recent *store = recent_from_source(source);
    for (size_t i = 0; i < n; i++)
        out[i] = (struct series_set){0};
    for (size_t i = 0; i < n; i++)
        if (!select_one(store, q, &sel[i], &out[i], err)) {
            for (size_t k = 0; k <= i; k++)
                series_set_release(&out[k]);
            return false;
        }
    return true;
}

/* --- labels, values, series ----------------------------------------------------------------------------------------- */

struct gathering {
    struct arena *arena;
    const struct series_query *query;
    struct str name;                /* values of it; empty: names */
    struct map seen;
    struct str_set *strings; size_t cap;
    struct labels_set *labels; size_t labels_cap;
};

static void gather_str(struct gathering *g, struct str s)
{
    bool added;
    if (map_find(&g->seen, s))
        return;
    struct str copy = arena_str(g->arena, s);
    map_add(&g->seen, copy, &added);
    arena_grow(g->arena, &g->strings->items, &g->cap, g->strings->n + 1, sizeof *g->strings->items);
    g->strings->items[g->strings->n++] = copy;
}

/* All of them, whatever the limit: those that stay are the first in order. */
static bool gather_strings(struct kept_series *s, void *arg)
{
    struct gathering *g = arg;
    if (!overlaps(s, g->query->t_min, g->query->t_max))
        return true;
    struct labels_iter it = labels_iter(s->labels);
    struct label l;
    if (g->name.n > 0) {
        struct str v = labels_get(s->labels, g->name);
        if (v.n > 0)
            gather_str(g, v);
        return true;
    }
    while (labels_next(&it, &l))
        gather_str(g, l.name);
    return true;
}

static bool gather_labels(struct kept_series *s, void *arg)
{
    struct gathering *g = arg;
    if (!overlaps(s, g->query->t_min, g->query->t_max) || map_find(&g->seen, str_n(s->labels.p, s->labels.n)))
        return true;
    bool added;
    struct labels copy = labels_copy(g->arena, s->labels);
    map_add(&g->seen, str_n(copy.p, copy.n), &added);
    arena_grow(g->arena, &g->labels->items, &g->labels_cap, g->labels->n + 1, sizeof *g->labels->items);
    g->labels->items[g->labels->n++] = copy;
    return g->query->limit == 0 || g->labels->n <= g->query->limit;
}

static bool gather(struct recent *store, struct query_ctx *q, struct gathering *g, visit_fn *visit, struct err *err)
{
    bool ok = true;
    for (unsigned i = 0; ok && i < store->n_parts; i++) {
        if (g->query->n_sets == 0)
            ok = visit_part(&store->parts[i], q, NULL, 0, visit, g, err);
        for (size_t k = 0; ok && k < g->query->n_sets; k++)
            ok = visit_part(&store->parts[i], q, g->query->sets[k], g->query->set_sizes[k], visit, g, err);
    }
    map_free(&g->seen);
    return ok;
}

static int by_text(const void *a, const void *b) { return str_cmp(*(const struct str *)a, *(const struct str *)b); }

static bool finish_strings(struct str_set *set, size_t limit, bool ok)
{
    if (set->n > 1)
        qsort(set->items, set->n, sizeof *set->items, by_text);
    if (limit > 0 && set->n > limit) {
        set->n = limit;
        set->truncated = true;
    }
    return ok;
}

static bool recent_label_values(struct source *source, struct query_ctx *q, struct str name, const struct series_query *sq, struct str_set *out, struct err *err)
{
    struct gathering g = {.arena = q->arena, .query = sq, .name = name, .strings = out};
    *out = (struct str_set){0};
    return finish_strings(out, sq->limit, gather(recent_from_source(source), q, &g, gather_strings, err));
}

static bool recent_label_names(struct source *source, struct query_ctx *q, const struct series_query *sq, struct str_set *out, struct err *err)
{
    return recent_label_values(source, q, STR_NONE, sq, out, err);
}

static bool recent_series(struct source *source, struct query_ctx *q, const struct series_query *sq, struct labels_set *out, struct err *err)
{
    struct gathering g = {.arena = q->arena, .query = sq, .labels = out};
    *out = (struct labels_set){0};
    bool ok = gather(recent_from_source(source), q, &g, gather_labels, err);
    if (sq->limit > 0 && out->n > sq->limit) {
        out->n = sq->limit;
        out->truncated = true;
    }
    return ok;
}

static bool recent_metadata(struct source *source, struct query_ctx *q, struct str metric, size_t limit UNUSED, struct metadata_set *out, struct err *err UNUSED)
{
    struct recent *store = recent_from_source(source);
    size_t cap = 0;
    *out = (struct metadata_set){0};
    struct lifted saved = lift(q->arena);
    for (unsigned i = 0; i < store->n_parts; i++) {
        struct part *p = &store->parts[i];
        mutex_lock(&p->lock);
        for (size_t k = 0; k < p->n_families; k++) {
            const struct metadata *m = &p->families[k].metadata;
            if (metric.n > 0 && !str_eq(metric, m->family))
                continue;
            arena_grow(q->arena, &out->items, &cap, out->n + 1, sizeof *out->items);
            out->items[out->n++] = (struct metadata){arena_str(q->arena, m->family), arena_str(q->arena, m->help), arena_str(q->arena, m->unit), m->type};
        }
        mutex_unlock(&p->lock);
    }
    lower(q->arena, saved);
    return true;
}

const struct source_ops recent_source_ops = {
    .select = recent_select, .label_names = recent_label_names, .label_values = recent_label_values, .series = recent_series, .metadata = recent_metadata};
