// SPDX-License-Identifier: Apache-2.0
#include "writer/recent/visit.h"

#include "writer/recent/selection.h"

struct visiting {
    struct part *part;
    struct query_ctx *query;
    struct lifted saved;
    uint64_t pruned, reused; /* the part's, when the selection began */
    bool ended;              /* the query */
    struct err *err;
};

struct lifted arena_lift(struct arena *a)
{
    struct lifted saved = {a->max, a->on_full};
    a->max = 0;
    a->on_full = NULL;
    return saved;
}

void arena_lower(struct arena *a, struct lifted saved)
{
    a->max = saved.max;
    a->on_full = saved.on_full;
}

static bool must_end(const struct visiting *v)
{
    if (v->saved.max && v->query->arena->used > v->saved.max)
        return !err_set(v->err, ERR_LIMIT, "query needs more than %zu MiB of memory", v->saved.max >> 20);
    return query_ended(v->query, "reading the recent store", v->err);
}

static bool breathe(struct visiting *v)
{
    part_unlock(v->part);
    v->ended = must_end(v);
    part_lock(v->part);
    return !v->ended;
}

static bool index_stays(void *arg)
{
    struct visiting *v = arg;
    return breathe(v) && v->pruned == v->part->pruned;
}

/* A selected id may belong to another series since, or to the first: a matcher that drops leaves free ids selected.
 * Then all matchers are asked again. */
static bool is_selected(const struct visiting *v, const struct selection *chosen, const struct matcher *m, size_t n,
                        const struct kept_series *s)
{
    if (v->pruned != v->part->pruned || v->reused != v->part->reused)
        return matchers_match(m, n, kept_labels(s));
    return chosen->n_rest == 0 || selection_asks(chosen, kept_labels(s));
}

bool part_visit(struct part *p, struct query_ctx *q, const struct matcher *m, size_t n, visit_fn *visit, void *arg,
                struct err *err)
{
    struct selection chosen;
    struct visiting v = {.part = p, .query = q, .saved = arena_lift(q->arena), .err = err};
    part_lock(p);
    v.pruned = p->pruned;
    v.reused = p->reused;
    selection_make(&chosen, &p->index, p->n, q->arena, m, n, (struct selection_pause){index_stays, &v});
    unsigned asked = 0;
    bool going = !v.ended;
    size_t id = selection_next(&chosen, 0);
    for (; going && id < chosen.n_ids && id < p->n; id = selection_next(&chosen, id + 1)) {
        struct kept_series *s = p->series[id];
        if (s && is_selected(&v, &chosen, m, n, s)) {
            kept_sort(p, s);
            going = visit(s, arg);
        }
        if (++asked % PART_SLICE == 0)
            going = breathe(&v) && going;
    }
    part_unlock(p);
    arena_lower(q->arena, v.saved);
    return !v.ended;
}
