// SPDX-License-Identifier: Apache-2.0
/* Divides the targets of a query by the replicas that have gaps in them.
 *
 * 1. Of each value of the last of the labels `coverage_by`, find the replicas that have a gap in some target with it.
 * 2. The replica with gaps in the fewest values is the base. The rest, of which the base is complete, is one part; it
 *    has all values but those of the other parts.
 * 3. Values of which the same replicas are complete are one part. Values of which none always is are a part each, if
 *    there are few: at different times different replicas may be complete of them.
 */
#include "gateway/coverage/coverage_internal.h"

#include <stdlib.h>

enum { DIVIDED_BYTES = 4096 }; /* of the values' text */

struct divided_value { struct str value; uint64_t lacking; /* bits: replicas */ };
struct divided_values {
    struct divided_value items[COVERAGE_VALUES]; size_t n;
    char *text; size_t n_text;   /* DIVIDED_BYTES */
    bool too_many;
};

static void divided_values_add(struct divided_values *l, struct str value, uint64_t lacking)
{
    size_t i = 0;
    while (i < l->n && !str_eq(l->items[i].value, value))
        i++;
    if (i == l->n) {
        l->too_many = l->too_many || i == COVERAGE_VALUES || value.n > DIVIDED_BYTES - l->n_text;
        if (l->too_many)
            return;
        memcpy(l->text + l->n_text, value.p, value.n);
        l->items[l->n++] = (struct divided_value){{l->text + l->n_text, value.n}, 0};
        l->n_text += value.n;
    }
    l->items[i].lacking |= lacking;
}

static void divided_values_add_target(struct divided_values *l, const struct coverage *c,
                                      const struct coverage_target *t, const struct coverage_query *q)
{
    struct str value = labels_get(t->labels, c->by[c->n_by - 1]);
    uint64_t lacking = 0;
    for (size_t r = 0; r < c->n; r++)
        lacking |= coverage_target_lacks(t, r, q->from, coverage_min(q->to, q->now)) ? 1ull << r : 0;
    if (lacking != 0 && value.n > 0 && coverage_concerns(c, t, q))
        divided_values_add(l, value, lacking);
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
    return str_cmp(((const struct divided_value *)a)->value, ((const struct divided_value *)b)->value);
}

/* The usable replica with gaps in the fewest values. False: it has no gap at all. */
static bool divided_values_base(const struct divided_values *l, uint64_t usable, uint64_t *base)
{
    size_t least = SIZE_MAX;
    for (size_t r = 0; r < COVERAGE_REPLICAS; r++) {
        size_t n = 0;
        for (size_t i = 0; i < l->n; i++)
            n += l->items[i].lacking >> r & 1;
        if (usable >> r & 1 && n < least) {
            least = n;
            *base = 1ull << r;
        }
    }
    return least > 0;
}

/* The part of each value, beginning with 1; 0: the rest. Returns the number of parts besides the rest. alone: values of
 * which no replica is complete throughout are not in one part. */
static size_t divided_values_number(const struct divided_values *l, uint64_t usable, uint64_t base, bool alone,
                                    size_t *parts)
{
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++) {
        uint64_t lacking = l->items[i].lacking & usable;
        parts[i] = 0;
        if (!(lacking & base))
            continue;
        for (size_t k = 0; k < i && parts[i] == 0; k++)
            if (parts[k] > 0 && (l->items[k].lacking & usable) == lacking && !(alone && lacking == usable))
                parts[i] = parts[k];
        if (parts[i] == 0)
            parts[i] = ++n;
    }
    return n;
}

static void divided_values_copy(struct arena *a, const struct divided_values *l, const size_t *parts, size_t n,
                                struct coverage_division *out)
{
    for (size_t part = 1; part <= n; part++) {
        struct str *values = ARENA_ARRAY(a, struct str, l->n);
        size_t n_values = 0;
        for (size_t i = 0; i < l->n; i++)
            if (parts[i] == part)
                values[n_values++] = l->items[i].value;
        out->parts[out->n++] = (struct coverage_part){values, n_values};
    }
}

bool coverage_divide(struct coverage *c, struct arena *a, const struct coverage_query *queries, size_t n, uint64_t usable,
                     struct coverage_division *out)
{
    /* A full arena leaves the query by longjmp, so nothing is allocated in it while the mutex is held. */
    struct divided_values l = {.text = arena_alloc(a, DIVIDED_BYTES)};
    size_t parts[COVERAGE_VALUES], n_parts = 0;
    uint64_t base = 0;
    bool ok = n > 0 && (usable & (usable - 1)) != 0; /* two at least */
    *out = (struct coverage_division){.label = c->by[c->n_by - 1]};
    mutex_lock(&c->mutex);
    for (size_t i = 0; i < n && ok; i++)
        ok = divided_values_collect(c, &queries[i], &l);
    mutex_unlock(&c->mutex);
    qsort(l.items, l.n, sizeof *l.items, divided_values_compare);
    if (!ok || !divided_values_base(&l, usable, &base))
        return false;
    n_parts = divided_values_number(&l, usable, base, true, parts);
    if (n_parts > COVERAGE_PARTS)
        n_parts = divided_values_number(&l, usable, base, false, parts);
    if (n_parts > COVERAGE_PARTS)
        return false;
    divided_values_copy(a, &l, parts, n_parts, out);
    return true;
}
