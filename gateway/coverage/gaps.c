// SPDX-License-Identifier: Apache-2.0
#include "gateway/coverage/gaps.h"

#include <stdlib.h>

enum { INTERVAL_SAMPLES = 16, UNKNOWN_INTERVAL_MS = 60000 };

static int64_t one_and_a_half(int64_t interval) { return interval + interval / 2; }

static int gaps_compare_i64(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

int64_t gaps_interval(const struct sample *samples, size_t n)
{
    int64_t apart[INTERVAL_SAMPLES];
    size_t many = 0;
    for (size_t i = n; i > 1 && many < INTERVAL_SAMPLES; i--)
        apart[many++] = samples[i - 1].t - samples[i - 2].t;
    if (many == 0)
        return 0;
    qsort(apart, many, sizeof *apart, gaps_compare_i64);
    return apart[many / 2];
}

/* A replica that has no interval yet is measured by that of a sibling. */
static int64_t gaps_interval_of(const struct target_scrapes *replicas, size_t n, size_t r)
{
    int64_t least = 0;
    if (replicas[r].interval > 0)
        return replicas[r].interval;
    for (size_t k = 0; k < n; k++)
        if (!replicas[k].ignored && replicas[k].interval > 0 && (least == 0 || replicas[k].interval < least))
            least = replicas[k].interval;
    return least ? least : UNKNOWN_INTERVAL_MS;
}

/* --- good scrapes ------------------------------------------------------------------------------------------------- */

/* Does the sibling keep more at every scrape near t? The cursor is the first of its samples that may be near. */
static bool keeps_less(double kept, int64_t t, int64_t near, const struct target_scrapes *sibling, size_t *cursor)
{
    bool any = false;
    while (*cursor < sibling->n_kept && sibling->kept[*cursor].t < t - near)
        (*cursor)++;
    for (size_t i = *cursor; i < sibling->n_kept && sibling->kept[i].t <= t + near; i++) {
        if (is_stale(sibling->kept[i].v))
            continue;
        if (!(kept < sibling->kept[i].v))
            return false;
        any = true;
    }
    return any;
}

static bool scrape_is_good(const struct target_scrapes *replicas, size_t n, size_t r, int64_t near, size_t at,
                           size_t *kept, size_t *cursors)
{
    const struct target_scrapes *own = &replicas[r];
    int64_t t = own->up[at].t;
    while (*kept < own->n_kept && own->kept[*kept].t < t)
        (*kept)++;
    if (*kept == own->n_kept || own->kept[*kept].t != t)
        return false;
    for (size_t k = 0; k < n; k++)
        if (k != r && !replicas[k].ignored && keeps_less(own->kept[*kept].v, t, near, &replicas[k], &cursors[k]))
            return false;
    return true;
}

struct run_list { struct coverage_span *items; size_t n; };

static struct run_list runs_begin(struct arena *a, size_t most, struct coverage_span before)
{
    struct run_list l = {.items = ARENA_ARRAY(a, struct coverage_span, most + 1)};
    if (before.to != COVERAGE_NEVER)
        l.items[l.n++] = before;
    return l;
}

static void runs_add(struct run_list *l, int64_t t, int64_t near)
{
    struct coverage_span *last = l->n > 0 ? &l->items[l->n - 1] : NULL;
    if (last && t <= last->to)
        return;
    if (last && t - last->to <= near)
        last->to = t;
    else
        l->items[l->n++] = (struct coverage_span){t, t};
}

static void find_runs(struct arena *a, const struct target_scrapes *replicas, size_t n, size_t r,
                      struct target_gaps *out)
{
    const struct target_scrapes *own = &replicas[r];
    int64_t near = one_and_a_half(gaps_interval_of(replicas, n, r));
    size_t *cursors = ARENA_ARRAY(a, size_t, n), kept = 0;
    struct run_list good = runs_begin(a, own->n_up, own->before), alive = runs_begin(a, own->n_up, own->alive_before);
    for (size_t i = 0; i < own->n_up; i++) {
        if (own->up[i].v != 1)
            continue;
        runs_add(&alive, own->up[i].t, near);
        if (scrape_is_good(replicas, n, r, near, i, &kept, cursors))
            runs_add(&good, own->up[i].t, near);
    }
    out->runs = good.items;
    out->n_runs = good.n;
    out->alive = alive.items;
    out->n_alive = alive.n;
}

/* --- gaps --------------------------------------------------------------------------------------------------------- */

static int gaps_compare_runs(const void *a, const void *b)
{
    const struct coverage_span *x = a, *y = b;
    return x->from < y->from ? -1 : x->from > y->from;
}

/* When the target is alive on replicas other than r. */
static size_t sibling_runs(const struct target_scrapes *replicas, const struct target_gaps *all, size_t n, size_t r,
                           struct coverage_span *runs)
{
    size_t many = 0, kept = 0;
    for (size_t k = 0; k < n; k++)
        for (size_t i = 0; k != r && !replicas[k].ignored && i < all[k].n_alive; i++)
            runs[many++] = all[k].alive[i];
    if (many > 1)
        qsort(runs, many, sizeof *runs, gaps_compare_runs);
    for (size_t i = 0; i < many; i++) {
        if (kept == 0 || runs[i].from > runs[kept - 1].to)
            runs[kept++] = runs[i];
        else if (runs[i].to > runs[kept - 1].to)
            runs[kept - 1].to = runs[i].to;
    }
    return kept;
}

/* An absence is the open interval (after, before). *first: of the runs; those before it end before the absence. */
static void gaps_in_absence(struct target_gaps *out, int64_t after, int64_t before, int64_t near,
                            const struct coverage_span *runs, size_t n_runs, size_t *first)
{
    while (*first < n_runs && runs[*first].to <= after)
        (*first)++;
    for (size_t i = *first; i < n_runs && runs[i].from < before; i++) {
        int64_t from = runs[i].from > after ? runs[i].from : after + 1;
        int64_t to = runs[i].to < before ? runs[i].to : before - 1;
        bool inside = runs[i].from > after && runs[i].to < before - near;
        if (to - from + 2 <= near && !inside)
            continue;
        if (runs[i].to < before)
            to = to + near < before ? to + near : before - 1;
        out->gaps[out->n_gaps++] = (struct coverage_span){from, to};
    }
}

static void gaps_of_replica(const struct target_scrapes *replicas, size_t n, size_t r, int64_t until,
                            struct target_gaps *all, const struct coverage_span *runs, size_t n_runs)
{
    struct target_gaps *own = &all[r];
    int64_t near = one_and_a_half(gaps_interval_of(replicas, n, r)), after = COVERAGE_NEVER;
    bool continues = replicas[r].before.to != COVERAGE_NEVER;
    size_t first = 0;
    if (continues)
        after = replicas[r].absent_since;
    for (size_t i = 0; i < own->n_runs; i++) {
        bool decided = i == 0 && continues && after == COVERAGE_NEVER; /* with earlier samples */
        if (!decided)
            gaps_in_absence(own, after, own->runs[i].from, near, runs, n_runs, &first);
        after = own->runs[i].to;
    }
    gaps_in_absence(own, after, until + 1, near, runs, n_runs, &first);
}

void gaps_find(struct arena *a, const struct target_scrapes *replicas, size_t n, int64_t until,
               struct target_gaps *out)
{
    size_t all = 0;
    for (size_t r = 0; r < n; r++) {
        out[r] = (struct target_gaps){0};
        if (!replicas[r].ignored)
            find_runs(a, replicas, n, r, &out[r]);
        all += out[r].n_alive;
    }
    struct coverage_span *runs = ARENA_ARRAY(a, struct coverage_span, all);
    for (size_t r = 0; r < n; r++) {
        if (replicas[r].ignored)
            continue;
        size_t n_runs = sibling_runs(replicas, out, n, r, runs);
        out[r].gaps = ARENA_ARRAY(a, struct coverage_span, n_runs + out[r].n_runs + 1);
        gaps_of_replica(replicas, n, r, until, out, runs, n_runs);
    }
}
