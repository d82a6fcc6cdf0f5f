// SPDX-License-Identifier: Apache-2.0
/* Iterates over the selected series of a stripe in slices of STRIPE_SLICE, releasing the lock between them. */
#include "writer/recent/iterate.h"

#include "writer/recent/postings_match.h"

enum { LABEL_BYTES = 8 }; /* of labels that are matched one by one: they count as another series (postings_match.c) */

struct visiting {
    struct stripe *stripe;
    struct query_ctx *query;
    struct arena_limits saved;
    uint64_t pruned, reused; /* the stripe's, when the selection began */
    bool ended;              /* the query has ended */
    struct err *err;
};

/* The limit of the query's memory is lifted during a slice and checked between slices. */
static bool iterate_must_end(const struct visiting *v)
{
    const struct arena *a = v->query->arena;
    if (arena_over(a, v->saved.max)) {
        arena_full_error(a, v->saved.max, v->err);
        return true;
    }
    return query_ended(v->query, "reading the recent store", v->err);
}

static bool iterate_yield(struct visiting *v)
{
    stripe_unlock(v->stripe);
    v->ended = iterate_must_end(v);
    stripe_lock(v->stripe);
    return !v->ended;
}

static bool iterate_index_unchanged(void *arg)
{
    struct visiting *v = arg;
    return iterate_yield(v) && v->pruned == v->stripe->pruned;
}

/* A selected id may belong to another series by now, or to a new one (a negative matcher leaves free ids selected).
 * Then all matchers are checked again. */
static bool is_selected(const struct visiting *v, const struct postings_match *chosen, const struct matcher *m,
                        size_t n, const struct recent_series *s)
{
    if (v->pruned != v->stripe->pruned || v->reused != v->stripe->reused)
        return matchers_match(m, n, recent_series_labels(s));
    return chosen->n_remaining == 0 || postings_match_check(chosen, recent_series_labels(s));
}

/* The next selected series. They are scattered over memory, and a visit reads several places of each: those of all
 * series of a batch are brought into the cache together, instead of one after the other. */
enum { VISIT_BATCH = 16 };
struct visit_batch { uint32_t ids[VISIT_BATCH]; unsigned n; size_t next; /* id from which the next batch is chosen */ };

static void visit_prefetch(const struct stripe *p, const struct visit_batch *b, const struct series_visit *visit)
{
    enum { LABEL_BYTES_READ = 100 }; /* most of them, of most series */
    for (unsigned i = 0; i < b->n; i++)
        mem_prefetch(p->series[b->ids[i]], sizeof **p->series + LABEL_BYTES_READ);
    for (unsigned i = 0; i < b->n && visit->prefetch; i++)
        if (p->series[b->ids[i]])
            visit->prefetch(p->series[b->ids[i]]);
}

/* False: there are no more. */
static bool visit_batch_fill(struct visit_batch *b, const struct stripe *p, const struct postings_match *chosen,
                             const struct series_visit *visit)
{
    b->n = 0;
    for (size_t id; b->n < VISIT_BATCH; b->next = id + 1) {
        id = postings_match_next(chosen, b->next);
        if (id >= chosen->n_ids || id >= p->n)
            break;
        b->ids[b->n++] = (uint32_t)id;
    }
    visit_prefetch(p, b, visit);
    return b->n > 0;
}

bool stripe_visit(struct stripe *p, struct query_ctx *q, const struct matcher *m, size_t n,
                  const struct series_visit *visit, struct err *err)
{
    struct postings_match chosen;
    struct visiting v = {.stripe = p, .query = q, .saved = arena_suspend_limit(q->arena), .err = err};
    struct visit_batch batch = {.n = 0};
    stripe_lock(p);
    v.pruned = p->pruned;
    v.reused = p->reused;
    postings_match_build(&chosen, &p->index, p->n, q->arena, m, n,
                         (struct postings_pause){iterate_index_unchanged, &v});
    unsigned asked = 0;
    bool going = !v.ended;
    while (going && visit_batch_fill(&batch, p, &chosen, visit))
        for (unsigned i = 0; going && i < batch.n && batch.ids[i] < p->n; i++) {
            struct recent_series *s = p->series[batch.ids[i]];
            if (s && is_selected(&v, &chosen, m, n, s)) {
                recent_series_sort(p, s);
                going = visit->visit(s, visit->arg);
            }
            asked += 1 + (s && chosen.n_remaining > 0 ? s->label_bytes / LABEL_BYTES : 0);
            if (asked >= STRIPE_SLICE) {
                asked = 0;
                going = iterate_yield(&v) && going;
            }
        }
    stripe_unlock(p);
    arena_restore_limit(q->arena, v.saved);
    return !v.ended;
}

/* --- the index ---------------------------------------------------------------------------------------------------- */

struct index_walk {
    struct visiting v;
    const struct index_visit *visit;
    uint64_t evicted;  /* the stripe's, when the walk began: an eviction moves the ids of a posting */
    unsigned asked;
    bool all;          /* every series counts */
    bool broken;
};

static void index_walk_resume(struct index_walk *w)
{
    w->all = stripe_all_overlap(w->v.stripe, w->visit->window.oldest, w->visit->window.newest);
}

static bool index_walk_pause(struct index_walk *w)
{
    w->broken = !iterate_index_unchanged(&w->v) || w->evicted != w->v.stripe->evicted_series;
    index_walk_resume(w);
    return !w->broken;
}

static bool posting_counts(struct index_walk *w, const struct posting *posting)
{
    struct stripe *p = w->v.stripe;
    if (w->all)
        return posting->n > posting->gone;
    for (uint32_t i = 0; i < posting->n; i++) {
        struct recent_series *s = p->series[posting_ids(posting)[i]];
        if (s) {
            recent_series_sort(p, s);
            if (w->visit->counts(s, w->visit->arg))
                return true;
        }
        if (++w->asked % STRIPE_SLICE == 0 && !index_walk_pause(w))
            return false;
    }
    return false;
}

/* The next values, fetched into the cache together, as the series of a visit_batch. They stay while the walk is not
 * broken. */
struct posting_batch { const struct posting *items[VISIT_BATCH]; unsigned n; };

static void posting_batch_fill(struct posting_batch *b, const struct index_walk *w, const struct name_postings *names,
                               struct map_walk *walk)
{
    enum { VALUE_BYTES_READ = 24 }; /* of most values, all */
    const struct map_entry *e;
    for (b->n = 0; b->n < VISIT_BATCH && (e = map_walk_next(&names->values, walk));) {
        mem_prefetch(e->value.p, sizeof(struct posting) + VALUE_BYTES_READ);
        b->items[b->n++] = e->value.p;
    }
    for (unsigned i = 0; i < b->n && !w->all; i++)
        if (b->items[i]->n > 0)
            mem_prefetch(w->v.stripe->series[posting_ids(b->items[i])[0]], sizeof(struct recent_series));
}

/* only_one: whether any value counts. */
static bool walk_values(struct index_walk *w, const struct name_postings *names, bool only_one)
{
    struct map_walk walk = {0};
    struct posting_batch batch;
    do {
        posting_batch_fill(&batch, w, names, &walk);
        for (unsigned i = 0; i < batch.n && !w->broken; i++) {
            const struct posting *posting = batch.items[i];
            if (!posting_counts(w, posting))
                continue;
            if (only_one)
                return true;
            w->visit->found(str_n(posting->value, posting->value_bytes), w->visit->arg);
            if (++w->asked % STRIPE_SLICE == 0)
                (void)index_walk_pause(w);
        }
    } while (batch.n > 0 && !w->broken);
    return false;
}

static void walk_names(struct index_walk *w)
{
    struct map_walk walk = {0};
    for (const struct map_entry *e; !w->broken && (e = map_walk_next(&w->v.stripe->index.names, &walk));) {
        const struct name_postings *names = e->value.p;
        if (walk_values(w, names, true))
            w->visit->found(names->name, w->visit->arg);
    }
}

bool stripe_visit_index(struct stripe *p, struct query_ctx *q, struct str name, const struct index_visit *visit,
                        bool *complete, struct err *err)
{
    struct index_walk w = {.v = {.stripe = p, .query = q, .saved = arena_suspend_limit(q->arena), .err = err},
                           .visit = visit};
    stripe_lock(p);
    w.v.pruned = p->pruned;
    w.evicted = p->evicted_series;
    index_walk_resume(&w);
    const struct name_postings *names = name.n > 0 ? index_name(&p->index, name) : NULL;
    if (names)
        walk_values(&w, names, false);
    else if (name.n == 0)
        walk_names(&w);
    stripe_unlock(p);
    arena_restore_limit(q->arena, w.v.saved);
    *complete = !w.broken;
    return !w.v.ended;
}
