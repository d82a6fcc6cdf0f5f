// SPDX-License-Identifier: Apache-2.0
/* Sorting: runs by qsort, within which there is no way out, merged in pairs. */
#include "model/query_work.h"

#include <stdlib.h>
#include <string.h>

enum { WORK_BETWEEN_CHECKS = 1 << 16, SORT_RUN = 4096, CHARGE_COMPARE = 8 };

bool query_work_check(struct query_work *w, struct err *err)
{
    w->_left = WORK_BETWEEN_CHECKS;
    return w->q == NULL || !query_ended(w->q, w->where, err);
}

struct sort_job { struct query_work *work; size_t n, size; query_compare *compare; };

static bool is_sorted(const struct sort_job *s, const char *items, bool *sorted, struct err *err)
{
    *sorted = true;
    for (size_t i = 1; *sorted && i < s->n; i++) {
        if (!query_charge(s->work, CHARGE_COMPARE, err))
            return false;
        *sorted = s->compare(items + (i - 1) * s->size, items + i * s->size) <= 0;
    }
    return true;
}

static bool sort_runs(const struct sort_job *s, char *items, struct err *err)
{
    for (size_t i = 0; i < s->n; i += SORT_RUN) {
        size_t n = s->n - i < SORT_RUN ? s->n - i : SORT_RUN;
        if (!query_charge(s->work, n * 12 * CHARGE_COMPARE, err))
            return false;
        qsort(items + i * s->size, n, s->size, s->compare);
    }
    return true;
}

/* The sorted ranges from[a..b) and from[b..c) as to[a..c). */
static bool sort_merge(const struct sort_job *s, const char *from, char *to, size_t a, size_t b, size_t c,
                       struct err *err)
{
    size_t size = s->size;
    for (size_t i = a, j = b, k = a; k < c; k++) {
        if (!query_charge(s->work, CHARGE_COMPARE, err))
            return false;
        bool left = i < b && (j == c || s->compare(from + i * size, from + j * size) <= 0);
        memcpy(to + k * size, from + (left ? i++ : j++) * size, size);
    }
    return true;
}

bool query_sort(struct query_work *w, struct arena *a, void *items, size_t n, size_t size, query_compare *compare,
                struct err *err)
{
    struct sort_job s = {w, n, size, compare};
    bool sorted;
    if (!is_sorted(&s, items, &sorted, err) || (!sorted && !sort_runs(&s, items, err)))
        return false;
    if (sorted || n <= SORT_RUN)
        return true;
    char *from = items, *to = arena_array(a, n, size), *last;
    for (size_t run = SORT_RUN; run < n; run *= 2) {
        for (size_t i = 0; i < n; i += 2 * run) {
            size_t middle = n - i < run ? n : i + run, end = n - middle < run ? n : middle + run;
            if (!sort_merge(&s, from, to, i, middle, end, err))
                return false;
        }
        last = to;
        to = from;
        from = last;
    }
    if (from != items)
        memcpy(items, from, n * size);
    return true;
}
