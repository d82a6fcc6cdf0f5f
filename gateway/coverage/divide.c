// SPDX-License-Identifier: Apache-2.0
/* The targets of a query in which replicas have gaps, as values of the last of the labels `coverage_by`. Where each
 * replica lacks other targets, the planner reads each from one that has it.
 */
#include "gateway/coverage/coverage_internal.h"

#include <stdlib.h>

enum { DIVIDED_BYTES = 8192 }; /* of the values' text */

struct divided_values {
    struct str items[COVERAGE_VALUES]; size_t n;
    char *text; size_t n_text;   /* DIVIDED_BYTES */
    bool too_many;
};

static void divided_values_add(struct divided_values *l, struct str value)
{
    for (size_t i = 0; i < l->n; i++)
        if (str_eq(l->items[i], value))
            return;
    l->too_many = l->too_many || l->n == COVERAGE_VALUES || value.n > DIVIDED_BYTES - l->n_text;
    if (l->too_many)
        return;
    memcpy(l->text + l->n_text, value.p, value.n);
    l->items[l->n++] = (struct str){l->text + l->n_text, value.n};
    l->n_text += value.n;
}

static void divided_values_add_target(struct divided_values *l, const struct coverage *c,
                                      const struct coverage_target *t, const struct coverage_query *q)
{
    struct str value = labels_get(t->labels, c->by[c->n_by - 1]);
    bool lacking = false;
    for (size_t r = 0; r < c->n && !lacking; r++)
        lacking = coverage_target_lacks(t, r, q->from, coverage_min(q->to, q->now));
    if (lacking && value.n > 0 && coverage_concerns(c, t, q))
        divided_values_add(l, value);
}

/* The mutex is held. False: the series of the metric do not all belong to targets, or nothing is known. */
static bool divided_values_collect(struct coverage *c, const struct coverage_query *q, struct divided_values *l)
{
    bool overdue = false;
    if (!coverage_attributes(c, q))
        return false;
    for (size_t r = 0; r < c->n; r++)
        overdue = overdue || c->due[r] < coverage_min(q->to, q->now);
    for (size_t i = 0; i < c->n_gappy && !overdue && !l->too_many; i++)
        divided_values_add_target(l, c, c->gappy[i], q);
    for (struct map_entry *e = overdue ? map_next(&c->targets, NULL) : NULL; e && !l->too_many; e = map_next(&c->targets, e))
        divided_values_add_target(l, c, e->value.p, q);
    return !l->too_many;
}

/* Equal queries have equal requests. */
static int divided_values_compare(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

bool coverage_divide(struct coverage *c, struct arena *a, const struct coverage_query *queries, size_t n,
                     struct coverage_division *out)
{
    /* A full arena leaves the query by longjmp, so nothing is allocated in it while the mutex is held. */
    struct divided_values *l = ARENA_NEW(a, struct divided_values);
    bool ok = n > 0;
    l->text = arena_alloc(a, DIVIDED_BYTES);
    mutex_lock(&c->mutex);
    for (size_t i = 0; i < n && ok; i++)
        ok = divided_values_collect(c, &queries[i], l);
    mutex_unlock(&c->mutex);
    qsort(l->items, l->n, sizeof *l->items, divided_values_compare);
    *out = (struct coverage_division){c->by[c->n_by - 1], l->items, l->n};
    return ok && l->n > 0;
}
