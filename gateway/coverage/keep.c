// SPDX-License-Identifier: Apache-2.0
/* After each reading: frees ended targets, limits memory, and prepares what queries read. The mutex is held. */
#include "gateway/coverage/coverage_internal.h"

enum { KEEP_FULL_MS = COVERAGE_HOUR_MS };

static const struct coverage_span *latest_run(const struct coverage_target *t, size_t r, bool alive)
{
    const struct target_latest *latest = &t->seen[r].latest;
    return alive ? &latest->alive.run : &latest->scraped.run;
}

/* Start of the earliest run in which the target is still alive (or scraped) at this reading: since then it is expected
 * on all replicas. INT64_MAX: it has ended. */
static int64_t target_expected_since(const struct coverage *c, const struct coverage_target *t, bool alive)
{
    int64_t since = INT64_MAX;
    for (size_t r = 0; r < c->n; r++) {
        const struct coverage_span *run = latest_run(t, r, alive);
        bool stands = run->to != COVERAGE_NEVER && run->to + coverage_slack(c, t, r) >= c->known.to;
        if (stands && !c->unreached[r] && !t->seen[r].ended)
            since = coverage_min(since, run->from);
    }
    return since;
}

static void target_expect(const struct coverage *c, struct coverage_target *t, size_t r, int64_t since, int64_t last)
{
    struct coverage_seen *seen = &t->seen[r];
    last = coverage_max(last, since - 1);
    if (since == INT64_MAX || last + coverage_slack(c, t, r) >= seen->due)
        return;
    seen->due = last + coverage_slack(c, t, r);
    seen->overdue_from = last + 1;
}

/* Expects good scrapes of live targets, and scrapes of all. An unreachable replica is incomplete anyway. */
static void target_set_due(struct coverage *c, struct coverage_target *t)
{
    int64_t alive = target_expected_since(c, t, true), scraped = target_expected_since(c, t, false);
    for (size_t r = 0; r < c->n; r++) {
        t->seen[r].due = INT64_MAX;
        if (c->unreached[r])
            continue;
        target_expect(c, t, r, alive, t->seen[r].latest.good.run.to);
        target_expect(c, t, r, scraped, t->seen[r].latest.scraped.run.to);
        c->due[r] = coverage_min(c->due[r], t->seen[r].due);
    }
}

/* Whether queries must look at the target before its scrapes are overdue. */
static bool target_has_gaps(const struct coverage *c, struct coverage_target *t)
{
    bool gaps = false;
    for (size_t r = 0; r < c->n; r++) {
        struct coverage_seen *seen = &t->seen[r];
        if (seen->distrusted_until < c->known.to)
            seen->distrusted_until = 0;
        gaps = gaps || seen->gaps.n > 0 || seen->distrusted_until > 0;
    }
    return gaps;
}

/* Lists the targets with gaps, and when the first scrape of each replica is overdue, so that queries need not read all
 * targets. */
void coverage_index(struct coverage *c)
{
    c->n_gappy = 0;
    for (size_t r = 0; r < c->n; r++)
        c->due[r] = INT64_MAX;
    for (struct map_entry *e = map_next(&c->targets, NULL); e; e = map_next(&c->targets, e)) {
        struct coverage_target *t = e->value.p;
        if (target_has_gaps(c, t)) {
            mem_grow(&c->gappy, &c->cap_gappy, c->n_gappy + 1, sizeof(struct coverage_target *));
            c->gappy[c->n_gappy++] = t;
        }
        target_set_due(c, t);
    }
}

/* Whether the target has ended and has no gap. */
static bool target_is_useless(const struct coverage *c, const struct coverage_target *t)
{
    bool useless = t->seen_at < c->known.to - COVERAGE_HOUR_MS;
    for (size_t r = 0; r < c->n && useless; r++)
        useless = t->seen[r].gaps.n == 0 && t->seen[r].latest.scraped.run.to < c->known.to - COVERAGE_HOUR_MS;
    return useless;
}

void coverage_sweep(struct coverage *c)
{
    struct coverage_target **useless = NULL;
    size_t n = 0, cap = 0;
    c->longest = c->shortest = 0;
    for (struct map_entry *e = map_next(&c->targets, NULL); e; e = map_next(&c->targets, e)) {
        struct coverage_target *t = e->value.p;
        if (target_is_useless(c, t)) {
            mem_grow(&useless, &cap, n + 1, sizeof(struct coverage_target *));
            useless[n++] = t;
        }
        for (size_t r = 0; r < c->n && t->seen_at >= c->known.to - COVERAGE_HOUR_MS; r++) {
            int64_t interval = t->seen[r].interval;
            c->longest = coverage_max(c->longest, interval);
            c->shortest = interval > 0 && (c->shortest == 0 || interval < c->shortest) ? interval : c->shortest;
        }
    }
    for (size_t i = 0; i < n; i++) {
        map_remove(&c->targets, coverage_label_key(useless[i]->labels));
        coverage_free_target(c, useless[i]);
    }
    mem_free(useless);
}

static void keep_free_targets(struct coverage *c)
{
    for (struct map_entry *e = map_next(&c->targets, NULL); e; e = map_next(&c->targets, e))
        coverage_free_target(c, e->value.p);
    map_free(&c->targets);
    c->targets = (struct map){0};
    c->n_gappy = 0;
}

/* Above the limit, discards the older half of the known time, which is not read again, or everything if the known time
 * is short already. */
void coverage_limit(struct coverage *c, int64_t now)
{
    size_t held = c->bytes + c->targets.cap * sizeof(struct map_entry);
    if (held <= COVERAGE_BYTES)
        return;
    int64_t middle = c->known.from + (c->known.to - c->known.from) / 2;
    if (c->known.to - middle > COVERAGE_HOUR_MS) {
        for (struct map_entry *e = map_next(&c->targets, NULL); e; e = map_next(&c->targets, e))
            for (size_t r = 0; r < c->n; r++)
                coverage_cut_gaps(&((struct coverage_target *)e->value.p)->seen[r], (struct coverage_span){middle, INT64_MAX});
        c->oldest = c->known.from = middle;
        spans_cut_before(&c->barren, middle);
        c->settled.from = coverage_max(c->settled.from, middle);
        coverage_sweep(c);
        return;
    }
    keep_free_targets(c);
    coverage_forget(c, COVERAGE_NOTHING);
    c->full_until = now + KEEP_FULL_MS;
}
