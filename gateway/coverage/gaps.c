// SPDX-License-Identifier: Apache-2.0
#include "gateway/coverage/gaps.h"

#include "base/median.h"
#include "gateway/coverage/spans.h"

enum { COPIES_EQUAL = 2, WHOLE_MS = 1000 }; /* scrapes with equal times; the shortest interval that is evidence */
enum { INTERVAL_SAMPLES = 16, UNKNOWN_INTERVAL_MS = 60000 };

static int64_t one_and_a_half(int64_t interval) { return interval + interval / 2; }
static int64_t gaps_edge(int64_t interval) { return interval + interval / 10; } /* then a scrape is overdue */

int64_t gaps_interval(const struct sample *samples, size_t n)
{
    int64_t apart[INTERVAL_SAMPLES];
    size_t many = 0;
    for (size_t i = n; i > 1 && many < INTERVAL_SAMPLES; i--)
        apart[many++] = samples[i - 1].t - samples[i - 2].t;
    return many ? upper_median(apart, many) : 0;
}

/* The interval of a replica; while that is unknown, the shortest one of its siblings. */
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

/* Whether the sibling keeps more samples at every scrape near t. *cursor: its first sample that may be near. */
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

/* --- runs --------------------------------------------------------------------------------------------------------- */

struct run_list { struct coverage_span *items; size_t n; };
struct target_runs { struct run_list scraped, alive, good; bool lives; /* alive in these samples */ };

static struct run_list runs_begin(struct arena *a, size_t most, const struct latest_run *before)
{
    struct run_list l = {.items = ARENA_ARRAY(a, struct coverage_span, most + 1)};
    if (before->run.to != COVERAGE_NEVER)
        l.items[l.n++] = before->run;
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

static struct latest_run runs_latest(const struct run_list *l, const struct latest_run *before)
{
    struct latest_run latest = *before;
    if (l->n > 1)
        latest.previous = l->items[l->n - 2].to;
    if (l->n > 0)
        latest.run = l->items[l->n - 1];
    return latest;
}

static void find_runs(struct arena *a, const struct target_scrapes *replicas, size_t n, size_t r,
                      struct target_runs *out)
{
    const struct target_scrapes *own = &replicas[r];
    int64_t near = one_and_a_half(gaps_interval_of(replicas, n, r));
    size_t *cursors = ARENA_ARRAY(a, size_t, n), kept = 0;
    *out = (struct target_runs){runs_begin(a, own->n_up, &own->before.scraped),
                                runs_begin(a, own->n_up, &own->before.alive),
                                runs_begin(a, own->n_up, &own->before.good), false};
    for (size_t i = 0; i < own->n_up; i++) {
        int64_t t = own->up[i].t;
        if (is_stale(own->up[i].v))
            continue;
        runs_add(&out->scraped, t, near);
        if (own->up[i].v != 1)
            continue;
        runs_add(&out->alive, t, near);
        out->lives = true;
        if (scrape_is_good(replicas, n, r, near, i, &kept, cursors))
            runs_add(&out->good, t, near);
    }
}

/* --- gaps --------------------------------------------------------------------------------------------------------- */

struct gaps_search { /* of one replica */
    struct target_gaps *out;
    struct arena *arena;
    const struct target_scrapes *replicas; size_t n, replica;
    int64_t near, edge;  /* 1.5 intervals; what is not counted at an end of an absence */
    int64_t since, until; /* what was read */
    bool good;           /* scrapes that are not good are absent */
    bool copies;         /* all siblings that were read have copies of its scrapes */
};

static void gaps_add_to(struct gaps_search *g, struct gap_spans *to, int64_t from, int64_t until)
{
    arena_grow(g->arena, &to->items, &to->cap, to->n + 1, sizeof *to->items);
    to->items[to->n++] = (struct coverage_span){from, until};
}

/* The index of the first scrape since t. */
static size_t scrapes_since(const struct target_scrapes *s, int64_t t)
{
    size_t low = 0, high = s->n_up;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (s->up[middle].t < t)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The times of the first and last scrape of any replica within the span. False: none of them was read. */
static bool gaps_scrapes_within(const struct gaps_search *g, struct coverage_span *span)
{
    int64_t first = INT64_MAX, last = COVERAGE_NEVER;
    for (size_t k = 0; k < g->n; k++) {
        const struct target_scrapes *s = &g->replicas[k];
        size_t begin = s->ignored ? 0 : scrapes_since(s, span->from);
        size_t end = s->ignored ? 0 : scrapes_since(s, span->to + 1);
        if (begin == end)
            continue;
        first = s->up[begin].t < first ? s->up[begin].t : first;
        last = s->up[end - 1].t > last ? s->up[end - 1].t : last;
    }
    *span = (struct coverage_span){first, last};
    return first <= last;
}

/* If all siblings have copies, exactly their scrapes within the gap are missed; those before the time that was read
 * were added by an earlier reading. */
static void gaps_add_missed(struct gaps_search *g, int64_t from, int64_t to, bool ended)
{
    struct coverage_span scrapes = {from, to};
    bool some = g->copies && gaps_scrapes_within(g, &scrapes);
    if (!g->copies || (!ended && !some))
        gaps_add_to(g, &g->out->missed, from, to);
    else if (some)
        gaps_add_to(g, &g->out->missed, scrapes.from, ended ? scrapes.to : to);
}

/* A gap in [from, to]. missing: the first scrape that the replica lacks; next: its next good one, or 0. */
static void gaps_add(struct gaps_search *g, int64_t from, int64_t missing, int64_t to, int64_t next)
{
    if (from > to)
        return;
    gaps_add_to(g, &g->out->gaps, from, to);
    gaps_add_to(g, &g->out->outdated, missing, next ? next - 1 : to);
    if (next == 0)
        gaps_add_to(g, &g->out->lasting, from, to);
    gaps_add_missed(g, from, to, next != 0);
}

/* The time of the first scrape since `from` that the replica lacks: a sibling's, or its own that is not good. If earlier
 * ones may not have been read, `from`. */
static int64_t gaps_first_missing(const struct gaps_search *g, int64_t from, int64_t to)
{
    int64_t first = to;
    for (size_t k = 0; k < g->n; k++) {
        const struct target_scrapes *s = &g->replicas[k];
        size_t i = s->ignored ? 0 : scrapes_since(s, from);
        if (s->ignored)
            continue;
        if (i == 0 && from < g->since && (k != g->replica || g->good))
            return from;
        if (i < s->n_up && s->up[i].t < first)
            first = s->up[i].t;
    }
    return first;
}

/* An absence is the open interval (after, before). *first: the first run of siblings that may overlap it. */
static void gaps_in_absence(struct gaps_search *g, int64_t after, int64_t before, const struct run_list *siblings,
                            size_t *first)
{
    while (*first < siblings->n && siblings->items[*first].to <= after)
        (*first)++;
    for (size_t i = *first; i < siblings->n && siblings->items[i].from < before; i++) {
        const struct coverage_span *run = &siblings->items[i];
        int64_t from = run->from > after ? run->from : after + 1;
        int64_t to = run->to < before ? run->to : before - 1;
        bool inside = run->from > after && run->to < before - g->near;
        if (to - from + 2 <= g->edge && !inside)
            continue;
        if (run->to < before)
            to = to + g->near < before ? to + g->near : before - 1;
        gaps_add(g, from, gaps_first_missing(g, from, to), to, before <= g->until ? before : 0);
    }
}

/* Adds the gaps between runs of a kind. If the first run continues the only run of earlier readings, the time before it
 * was decided by these. */
static void gaps_between_runs(struct gaps_search *g, const struct run_list *own, const struct latest_run *earlier,
                              const struct run_list *siblings)
{
    bool continues = earlier->run.to != COVERAGE_NEVER;
    int64_t after = continues ? earlier->previous : COVERAGE_NEVER;
    size_t first = 0;
    for (size_t i = 0; i < own->n; i++) {
        bool decided = i == 0 && continues && after == COVERAGE_NEVER;
        if (!decided)
            gaps_in_absence(g, after, own->items[i].from, siblings, &first);
        after = own->items[i].to;
    }
    gaps_in_absence(g, after, g->until + 1, siblings, &first);
}

/* Adds gaps at scrapes that are not good although the target is alive on a sibling at that time. */
static void gaps_at_bad_scrapes(struct gaps_search *g, const struct target_scrapes *own, const struct run_list *good,
                                const struct run_list *siblings)
{
    size_t run = 0, sibling = 0;
    int64_t decided = own->before.good.previous; /* good runs before it are no longer known */
    for (size_t i = 0; i < own->n_up; i++) {
        int64_t t = own->up[i].t;
        while (run < good->n && good->items[run].to < t)
            run++;
        while (sibling < siblings->n && siblings->items[sibling].to < t)
            sibling++;
        bool alive = sibling < siblings->n && siblings->items[sibling].from <= t;
        bool bad = t > decided && (run == good->n || good->items[run].from > t);
        if (!alive || !bad || is_stale(own->up[i].v))
            continue;
        int64_t before = run > 0 && t - good->items[run - 1].to <= g->near ? good->items[run - 1].to + 1 : t;
        int64_t next = run < good->n && good->items[run].from - t <= g->near ? good->items[run].from : 0;
        gaps_add(g, before, t, next ? next - 1 : t, next);
    }
}

/* The scrape interval, also where most scrapes are lost. */
static int64_t gaps_least_distance(const struct target_scrapes *s, int64_t least)
{
    for (size_t i = 1; i < s->n_up; i++)
        least = s->up[i].t - s->up[i - 1].t < least ? s->up[i].t - s->up[i - 1].t : least;
    return least;
}

/* Do the two have the same scrapes, but for those that one has lost? Where they have lost different ones, these are
 * whole intervals apart, to the millisecond. */
static bool gaps_are_copies(const struct target_scrapes *own, const struct target_scrapes *sibling, int64_t interval)
{
    size_t equal = 0, apart = 0, i = 0, k = 0;
    int64_t half = interval / 2;
    while (i < own->n_up && k < sibling->n_up) {
        int64_t d = own->up[i].t - sibling->up[k].t;
        equal += d == 0 || (interval >= WHOLE_MS && d % interval == 0);
        apart += d != 0 && d > -half && d < half;
        i += d < half;
        k += d > -half;
    }
    return equal >= COPIES_EQUAL && equal > apart;
}

/* intervals: by sibling, that of the scrapes if they are copies, else 0. */
static void gaps_find_copies(struct gaps_search *g, int64_t *intervals)
{
    const struct target_scrapes *own = &g->replicas[g->replica];
    g->copies = true;
    for (size_t k = 0; k < g->n; k++) {
        const struct target_scrapes *s = &g->replicas[k];
        intervals[k] = 0;
        if (k == g->replica || s->ignored || s->n_up == 0)
            continue;
        int64_t interval = gaps_least_distance(own, gaps_least_distance(s, INT64_MAX));
        if (gaps_are_copies(own, s, interval))
            intervals[k] = interval;
        else
            g->copies = false;
    }
}

/* Adds a gap around each scrape and stale marker of a copy that the replica lacks. */
static void gaps_beside_copy(struct gaps_search *g, const struct target_scrapes *own, const struct target_scrapes *copy,
                             int64_t half)
{
    size_t next = 0;
    int64_t missing = 0;
    for (size_t i = 0; i < copy->n_up; i++) {
        int64_t t = copy->up[i].t, known = own->before.scraped.run.to;
        while (next < own->n_up && own->up[next].t <= t - half)
            next++;
        if (next < own->n_up && own->up[next].t < t + half)
            continue;
        bool last = next == own->n_up;
        if (last && g->until - t <= g->edge) /* it may still arrive */
            continue;
        int64_t before = next > 0 ? own->up[next - 1].t : known != COVERAGE_NEVER && known < t ? known : t - 1;
        struct gap_spans *gaps = &g->out->gaps;
        struct coverage_span *same = gaps->n > 0 ? &gaps->items[gaps->n - 1] : NULL;
        if (same && same->from == before + 1 && same->to < t) { /* the absence goes on */
            gaps_add(g, before + 1, missing, t, 0);
        } else if (same == NULL || same->from != before + 1) {
            missing = t;
            gaps_add(g, before + 1, t, last ? t : own->up[next].t - 1, last ? 0 : own->up[next].t);
        }
    }
}

static struct run_list siblings_begin(struct arena *a, const struct target_runs *all, size_t n)
{
    size_t most = 0;
    for (size_t k = 0; k < n; k++)
        most += all[k].scraped.n + all[k].alive.n;
    return (struct run_list){.items = ARENA_ARRAY(a, struct coverage_span, most)};
}

static void siblings_add(struct run_list *to, const struct run_list *runs)
{
    for (size_t i = 0; i < runs->n; i++)
        to->items[to->n++] = runs->items[i];
}

/* A target counts as alive until its next scrape fails or is overdue. */
static void siblings_add_standing(struct run_list *to, const struct run_list *alive,
                                  const struct target_scrapes *scrapes, int64_t edge)
{
    size_t next = 0;
    for (size_t i = 0; i < alive->n; i++) {
        struct coverage_span run = alive->items[i];
        while (next < scrapes->n_up && scrapes->up[next].t <= run.to)
            next++;
        run.to += edge;
        if (next < scrapes->n_up && scrapes->up[next].t <= run.to)
            run.to = scrapes->up[next].t - 1;
        to->items[to->n++] = run;
    }
}

static void gaps_of_replica(struct gaps_search *g, const struct target_scrapes *replicas, size_t n, size_t r,
                            const struct target_runs *all)
{
    struct run_list scraped = siblings_begin(g->arena, all, n), alive = siblings_begin(g->arena, all, n);
    struct run_list standing = siblings_begin(g->arena, all, n);
    int64_t *copied = ARENA_ARRAY(g->arena, int64_t, n); /* intervals */
    for (size_t k = 0; k < n; k++) {
        if (k == r || replicas[k].ignored)
            continue;
        siblings_add(&scraped, &all[k].scraped);
        siblings_add(&alive, &all[k].alive);
        siblings_add_standing(&standing, &all[k].alive, &replicas[k], gaps_edge(gaps_interval_of(replicas, n, k)));
    }
    standing.n = spans_join(standing.items, standing.n);
    scraped.n = spans_join(scraped.items, scraped.n);
    alive.n = spans_join(alive.items, alive.n);
    gaps_find_copies(g, copied);
    gaps_between_runs(g, &all[r].scraped, &replicas[r].before.scraped, &scraped);
    g->good = true;
    gaps_between_runs(g, &all[r].good, &replicas[r].before.good, &alive);
    gaps_at_bad_scrapes(g, &replicas[r], &all[r].good, &standing);
    for (size_t k = 0; k < n; k++)
        if (copied[k] > 0)
            gaps_beside_copy(g, &replicas[r], &replicas[k], copied[k] / 2);
}

void gaps_find(struct arena *a, const struct target_scrapes *replicas, size_t n, struct coverage_span read,
               struct target_gaps *out)
{
    struct target_runs *all = ARENA_ARRAY(a, struct target_runs, n);
    for (size_t r = 0; r < n; r++)
        if (!replicas[r].ignored)
            find_runs(a, replicas, n, r, &all[r]);
    for (size_t r = 0; r < n; r++) {
        int64_t interval = gaps_interval_of(replicas, n, r);
        struct gaps_search g = {.out = &out[r], .arena = a, .replicas = replicas, .n = n, .replica = r, .near = one_and_a_half(interval),
                                .edge = gaps_edge(interval), .since = read.from, .until = read.to};
        out[r] = (struct target_gaps){.latest = replicas[r].before};
        if (replicas[r].ignored)
            continue;
        gaps_of_replica(&g, replicas, n, r, all);
        out[r].latest = (struct target_latest){runs_latest(&all[r].scraped, &replicas[r].before.scraped),
                                               runs_latest(&all[r].alive, &replicas[r].before.alive),
                                               runs_latest(&all[r].good, &replicas[r].before.good)};
        out[r].alive = all[r].lives;
    }
}
