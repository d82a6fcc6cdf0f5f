// SPDX-License-Identifier: Apache-2.0
#include "gateway/upstream/union.h"

#include "base/map.h"
#include "model/labels_sort.h"

#include <stdlib.h>

void union_begin(struct group_union *u, const struct query_ctx *q, struct arena *a)
{
    *u = (struct group_union){.work = reading_work(q), .arena = a, ._seen = mem_zalloc(sizeof *u->_seen)};
}

void union_end(struct group_union *u)
{
    map_free(u->_seen);
    mem_free(u->_seen);
    u->_seen = NULL;
}

static bool twice(const struct group *a, const struct group *b, struct labels labels, struct err *err)
{
    struct buf name = {0};
    labels_print(&name, labels);
    err_set(err, ERR_EXEC, "series %s is in server group \"%.*s\" and in server group \"%.*s\": set different labels "
            "for the groups, or overlap: merge for both", buf_z(&name), STR_ARG(a->name), STR_ARG(b->name));
    buf_free(&name);
    return false;
}

bool union_add(struct group_union *u, const struct group *g, const struct labels *labels, size_t n, struct err *err)
{
    arena_grow(u->arena, &u->groups, &u->groups_cap, u->n_groups + 1, sizeof *u->groups);
    u->groups[u->n_groups++] = g;
    for (size_t i = 0; i < n; i++) {
        struct union_series s = {labels[i], (uint32_t)u->n_groups - 1, (uint32_t)i, NULL};
        bool added;
        if (!query_charge(&u->work, QUERY_CHARGE_LABELS, err))
            return false;
        struct map_entry *e = map_add(u->_seen, str_n(s.labels.p, s.labels.n), &added);
        if (added) {
            e->value.u = u->n;
            arena_grow(u->arena, &u->series, &u->cap, u->n + 1, sizeof *u->series);
            u->series[u->n++] = s;
            continue;
        }
        struct union_series *have = &u->series[e->value.u], **end = &have->more;
        const struct group *owner = u->groups[have->part];
        if ((g->overlap != OVERLAP_MERGE || owner->overlap != OVERLAP_MERGE) && !groups_share_series(owner, g))
            return twice(owner, g, s.labels, err);
        while (*end)
            end = &(*end)->more;
        *end = ARENA_NEW(u->arena, struct union_series);
        **end = s;
    }
    return true;
}

bool union_sort(struct group_union *u, struct err *err)
{
    return labels_sort(&u->work, u->arena, u->series, u->n, sizeof *u->series, offsetof(struct union_series, labels), err);
}

bool series_sort(const struct query_ctx *q, struct series *series, size_t n, struct err *err)
{
    struct query_work work = reading_work(q);
    return labels_sort(&work, q->arena, series, n, sizeof *series, offsetof(struct series, labels), err);
}

/* --- exemplars ---------------------------------------------------------------------------------------------------- */

static int exemplars_by_labels(const void *a, const void *b)
{
    return labels_cmp(((const struct exemplar_series *)a)->labels, ((const struct exemplar_series *)b)->labels);
}

static int exemplars_by_time(const void *a, const void *b)
{
    struct str x = *(const struct str *)a, y = *(const struct str *)b;
    int64_t s = rw_exemplar_time(x), t = rw_exemplar_time(y);
    return s != t ? (s < t ? -1 : 1) : str_cmp(x, y);
}

/* n neighbours with the same labels, of replicas and groups, as one: by time, each exemplar once. */
static struct exemplar_series unite_exemplars(struct arena *a, const struct exemplar_series *s, size_t n)
{
    struct exemplar_series one = {.labels = s->labels};
    size_t total = 0, kept = 0;
    for (size_t i = 0; i < n; i++)
        total += s[i].n;
    one.exemplars = ARENA_ARRAY(a, struct str, total);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < s[i].n; k++)
            one.exemplars[one.n++] = s[i].exemplars[k];
    if (one.n > 1)
        qsort(one.exemplars, one.n, sizeof *one.exemplars, exemplars_by_time);
    for (size_t i = 0; i < one.n; i++)
        if (kept == 0 || !str_eq(one.exemplars[i], one.exemplars[kept - 1]))
            one.exemplars[kept++] = one.exemplars[i];
    one.n = kept;
    return one;
}

bool exemplars_unite(const struct query_ctx *q, struct exemplar_set *set, struct err *err)
{
    struct query_work work = reading_work(q);
    struct exemplar_series *all = set->items;
    size_t n = set->n;
    set->n = 0;
    if (!query_sort(&work, q->arena, all, n, sizeof *all, exemplars_by_labels, err))
        return false;
    for (size_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && labels_equal(all[i].labels, all[end].labels);)
            end++;
        if (!query_charge(&work, (end - i) * QUERY_CHARGE_WRITE, err))
            return false;
        all[set->n++] = unite_exemplars(q->arena, &all[i], end - i);
    }
    return true;
}
