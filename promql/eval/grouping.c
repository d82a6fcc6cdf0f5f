// SPDX-License-Identifier: Apache-2.0
/* Groups rows by by(...) or without(...), once per row. */
#include "promql/eval/eval_internal.h"

#include "base/map.h"

#include <stdlib.h>

static int grouping_compare_names(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

struct names names_sorted(struct eval *ev, const struct str *items, size_t n, struct str one_more)
{
    struct str *names = ARENA_ARRAY(ev->arena, struct str, n + 1);
    size_t kept = 0;
    if (n > 0)
        memcpy(names, items, n * sizeof *names);
    if (one_more.n > 0)
        names[n++] = one_more;
    qsort(names, n, sizeof *names, grouping_compare_names);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || !str_eq(names[i], names[kept - 1]))
            names[kept++] = names[i];
    return (struct names){names, kept};
}

struct grouping grouping_of(struct eval *ev, const struct expr *e, struct str one_more_by)
{
    bool without = e->u.aggregate.without;
    struct str one_more = without ? STR(METRIC_NAME) : one_more_by;
    return (struct grouping){names_sorted(ev, e->u.aggregate.labels, e->u.aggregate.n_labels, one_more), without};
}

struct labels grouping_labels(struct eval *ev, const struct grouping *g, struct labels l)
{
    if (g->without)
        return labels_drop(ev->arena, l, g->names.items, g->names.n);
    if (g->names.n == 0)
        return (struct labels){0};
    return labels_keep(ev->arena, l, g->names.items, g->names.n);
}

static void grouping_free_map(void *map) { map_free(map); }

/* Numbers the groups in the order of their first row. */
static void number_groups(struct eval *ev, const struct grouping *g, const struct value *in, struct row_groups *out)
{
    struct map *known = ARENA_NEW(ev->arena, struct map);
    size_t cap = 0;
    eval_on_end(ev, grouping_free_map, known);
    for (size_t r = 0; r < in->n; r++) {
        eval_charge(ev, 2 * CHARGE_LABELS);
        struct labels l = grouping_labels(ev, g, in->rows[r].labels);
        bool added;
        struct map_entry *e = map_add(known, str_n(l.p, l.n), &added);
        if (added) {
            arena_grow(ev->arena, &out->labels, &cap, out->n + 1, sizeof *out->labels);
            e->value.u = out->n;
            out->labels[out->n++] = l;
        }
        out->of[r] = (uint32_t)e->value.u;
    }
    map_free(known);
}

void group_rows(struct eval *ev, const struct grouping *g, const struct value *in, struct row_groups *out)
{
    *out = (struct row_groups){.n_rows = in->n, .of = ARENA_ARRAY(ev->arena, uint32_t, in->n)};
    number_groups(ev, g, in, out);
    out->rows = ARENA_ARRAY(ev->arena, uint32_t, in->n);
    out->start = ARENA_ARRAY(ev->arena, uint32_t, out->n + 2);
    for (size_t r = 0; r < in->n; r++) /* counting sort: start[g + 1] is the position of the next row of group g */
        out->start[out->of[r] + 2]++;
    for (size_t i = 2; i < out->n + 2; i++)
        out->start[i] += out->start[i - 1];
    for (size_t r = 0; r < in->n; r++)
        out->rows[out->start[out->of[r] + 1]++] = (uint32_t)r;
}
