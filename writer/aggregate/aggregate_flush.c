// SPDX-License-Identifier: Apache-2.0
/* The end of an interval, in slices.
 *
 * 1. The window changes: samples that arrive from now on go to the other one.
 * 2. With deduplication, the sample that each series has left is added to its group (or written, if that is all the
 *    rule does). With an aggregation interval of several deduplication intervals, steps 3 and 4 follow the last of
 *    them.
 * 3. Series: rates are added to the groups; those without samples for the staleness interval are forgotten.
 * 4. Groups: results are written and the window is cleared; groups without samples for the staleness interval are
 *    forgotten, but not before the end of the interval of their last samples: the first one may last longer than that.
 *
 * Times follow vmagent's: the first interval ends one interval after the first multiple of it since the start.
 * Multiples are counted from the beginning of the year 1, as Go does. */
#include "writer/aggregate/aggregate_internal.h"

#include "base/text/duration.h"

enum { FLUSH_STEP = 64 /* records between two looks at the clock */ };
static const int64_t year_1_ms = INT64_C(62135596800) * 1000; /* before 1970 */

/* --- times -------------------------------------------------------------------------------------------------------- */

static int64_t aggregate_align_up(int64_t t, int64_t interval)
{
    int64_t rest = (t + year_1_ms) % interval;
    return rest == 0 ? t : t + interval - rest;
}

static void aggregate_part_start(struct aggregate_part *p, int64_t now)
{
    const struct aggregate_rule *r = p->rule;
    int64_t start = r->no_align_flush ? now : aggregate_align_up(now, r->interval);
    p->least = r->passes && !r->enable_windows ? 0 : start;
    p->most = start + (r->dedup_interval > 0 ? r->dedup_interval : r->interval);
    p->flush_at = start + r->interval;
    p->ignore_first_until = (now + r->ignore_first_sample) / 1000;
    p->skip = (uint64_t)r->ignore_first_intervals;
    p->delay = -1;
}

/* The largest delay of samples since the last call, ms. */
static int64_t aggregate_take_lag(struct aggregate_part *p)
{
    int64_t lag = p->lag < 0 ? 0 : p->lag;
    aggregate_observe(&p->counts->lag, lag * 1000000);
    p->lag = 0;
    return lag;
}

/* `t` moved on by whole intervals until it is after now, at least by one. */
static int64_t aggregate_next_time(int64_t t, int64_t interval, int64_t now)
{
    int64_t behind = now - t;
    return t + interval * (behind > 0 ? (behind + interval - 1) / interval : 1);
}

static int64_t aggregate_part_due(const struct aggregate_part *p)
{
    if (p->phase != AGGREGATE_IDLE)
        return 0;
    return p->most + (p->rule->enable_windows && p->delay > 0 ? p->delay : 0);
}

/* Whether the end of the current interval writes results: that of a deduplication interval within an aggregation
 * interval does not. */
static bool aggregate_writes_next(const struct aggregate_part *p)
{
    return p->rule->dedup_interval == 0 || p->rule->passes || p->flush_at <= p->most;
}

/* --- steps -------------------------------------------------------------------------------------------------------- */

static void aggregate_begin_results(struct aggregate_part *p, int64_t now)
{
    p->flush_time = p->flush_at;
    p->flush_at = aggregate_next_time(p->flush_at, p->rule->interval, now);
    p->phase = p->layout.inputs ? AGGREGATE_INPUTS : AGGREGATE_GROUPS;
    p->cursor = 0;
}

static void aggregate_begin_flush(struct aggregate_part *p, int64_t now)
{
    const struct aggregate_rule *r = p->rule;
    int64_t ended = p->most;
    p->window = !p->window;
    p->cursor = 0;
    p->delay = -1;
    p->flush_ns = 0;
    p->least = ended;
    if (!r->enable_windows)
        (void)aggregate_take_lag(p);
    if (r->dedup_interval > 0) {
        p->flush_due = aggregate_writes_next(p);
        p->most = aggregate_next_time(ended, r->dedup_interval, now);
        p->dedup_time = ended;
        p->phase = AGGREGATE_DEDUP;
        return;
    }
    aggregate_begin_results(p, now);
    p->most = p->flush_at;
}

static void aggregate_dedup_input(struct aggregate_part *p, struct aggregate_input *in, unsigned window, int64_t now,
                                  const struct aggregate_results *to)
{
    if (!p->rule->passes) {
        aggregate_end_kept(p, in, window, now);
        return;
    }
    const struct aggregate_pending *kept = aggregate_kept(p, in, window);
    const struct aggregate_output_group *g = table_at(&p->groups, in->group);
    struct sample s = {kept->t, kept->value};
    in->flags &= ~(INPUT_PENDING << window);
    in->deadline = p->dedup_time + p->rule->staleness;
    if (to) {
        to->write(to->arg, (struct labels){g->labels, g->n, g->count}, &s);
        aggregate_count(&p->counts->output_samples, 1);
    }
}

/* Whether it has something of an interval, or expires. */
static bool aggregate_flush_changes(const struct aggregate_part *p, const struct aggregate_input *in)
{
    const unsigned first = INPUT_SEEN | INPUT_RATED | INPUT_PENDING;
    return (in->flags & (first | first << 1)) != 0 || (p->phase == AGGREGATE_INPUTS && p->flush_time > in->deadline);
}

static void aggregate_end_input(struct aggregate_part *p, uint32_t at, struct aggregate_input *in, unsigned window)
{
    in->flags &= ~(INPUT_SEEN << window);
    if (p->layout.rates && in->flags & INPUT_RATED << window)
        aggregate_end_rate(p, in, window);
    if (p->flush_time > in->deadline) {
        in->flags &= ~(INPUT_KNOWN | INPUT_RATED | INPUT_RATED << 1);
        if (in->flags & (INPUT_PENDING | INPUT_PENDING << 1 | INPUT_SEEN | INPUT_SEEN << 1))
            return;
        ((struct aggregate_output_group *)table_at(&p->groups, in->group))->inputs--;
        table_forget(&p->inputs, at);
        in->flags |= INPUT_DEAD;
        in->group = p->dead_inputs;
        p->dead_inputs = at;
    }
}

static void aggregate_end_group(struct aggregate *a, struct aggregate_part *p, uint32_t at, struct aggregate_output_group *g,
                                unsigned window, const struct aggregate_results *to)
{
    aggregate_group_changed(p, g, at);
    bool received = p->layout.words > 0 && aggregate_window(p, g, window)[0].u > 0;
    if (g->flags & GROUP_LIVE && (received || p->flush_time <= g->deadline)) {
        aggregate_write_results(a, p, g, window, to);
        return;
    }
    if (g->flags & GROUP_LIVE) {
        aggregate_group_clear(p, g);
        g->flags &= ~(uint32_t)GROUP_LIVE;
    }
    if (g->inputs > 0)
        return;
    table_forget(&p->groups, at);
    aggregate_group_free(p, at);
    g->flags |= GROUP_DEAD;
    g->inputs = p->dead_groups;
    p->dead_groups = at;
}

/* One record. False: the phase has ended. */
static bool aggregate_step(struct aggregate *a, struct aggregate_part *p, int64_t now, const struct aggregate_results *to)
{
    struct aggregate_table *t = p->phase == AGGREGATE_GROUPS ? &p->groups : &p->inputs;
    unsigned window = !p->window;
    if (p->cursor >= t->used)
        return false;
    uint32_t at = p->cursor++;
    void *record = table_at(t, at);
    if (*(uint64_t *)record == 0)
        return true;
    if (p->phase == AGGREGATE_GROUPS) {
        struct aggregate_output_group *g = record;
        if ((g->flags & GROUP_DEAD) == 0)
            aggregate_end_group(a, p, at, g, window, p->skip > 0 ? NULL : to);
        return true;
    }
    struct aggregate_input *in = record;
    if (in->flags & INPUT_DEAD)
        return true;
    if (aggregate_flush_changes(p, in)) {
        aggregate_input_changed(p, in, at);
        aggregate_group_changed(p, table_at(&p->groups, in->group), in->group);
    }
    if (p->phase == AGGREGATE_INPUTS)
        aggregate_end_input(p, at, in, p->layout.dedup ? 0 : window);
    else if (in->flags & INPUT_PENDING << window)
        aggregate_dedup_input(p, in, window, now, to);
    return true;
}

static void aggregate_report_size(struct aggregate_part *p)
{
    uint64_t bytes = table_bytes(&p->inputs) + table_bytes(&p->groups) + p->label_bytes;
    atomic_store_explicit(&p->counts->series, p->layout.inputs ? p->inputs.n : 0, memory_order_relaxed);
    atomic_store_explicit(&p->counts->groups, p->groups.n, memory_order_relaxed);
    atomic_store_explicit(&p->counts->bytes, bytes, memory_order_relaxed);
}

static void aggregate_end_phase(struct aggregate_part *p, int64_t now)
{
    p->cursor = 0;
    if (p->phase == AGGREGATE_DEDUP) {
        aggregate_observe(&p->counts->dedup_flush, p->flush_ns);
        aggregate_report_size(p);
        aggregate_count(&p->counts->dedup_flush_timeouts, now - p->dedup_time > p->rule->dedup_interval);
        p->flush_ns = 0;
        p->phase = AGGREGATE_IDLE;
        if (p->flush_due)
            aggregate_begin_results(p, now);
    } else if (p->phase == AGGREGATE_INPUTS) {
        p->phase = AGGREGATE_GROUPS;
    } else {
        p->phase = AGGREGATE_IDLE;
        p->skip -= p->skip > 0;
        aggregate_observe(&p->counts->flush, p->flush_ns);
        aggregate_count(&p->counts->flush_timeouts,
                        now - p->flush_time > p->rule->interval * (p->rule->enable_windows ? 2 : 1));
        aggregate_report_size(p);
    }
}

/* Continues the flush of a rule; true: `end` has come. */
static bool aggregate_continue(struct aggregate *a, struct aggregate_part *p, int64_t now, int64_t end, const struct aggregate_results *to)
{
    int64_t begun = clock_mono_ns();
    bool more = false;
    while (p->phase != AGGREGATE_IDLE && !more) {
        for (unsigned i = 0; i < FLUSH_STEP && p->phase != AGGREGATE_IDLE; i++)
            if (!aggregate_step(a, p, now, to)) {
                int64_t ended = clock_mono_ns();
                p->flush_ns += ended - begun;
                begun = ended;
                aggregate_end_phase(p, now);
            }
        if (p->phase != AGGREGATE_IDLE && clock_mono_ns() >= end) {
            p->flush_ns += clock_mono_ns() - begun;
            more = true;
        }
    }
    aggregate_note_dead(a);
    return more;
}

/* Whether the interval has ended; with windows, whether the samples that are late have had their time, too. */
static bool aggregate_interval_ended(struct aggregate_part *p, int64_t now)
{
    if (now < p->most)
        return false;
    if (p->rule->enable_windows && p->delay < 0) {
        int64_t interval = p->rule->dedup_interval > 0 ? p->rule->dedup_interval : p->rule->interval;
        int64_t lag = aggregate_take_lag(p);
        p->delay = lag < interval ? lag : interval;
    }
    return now >= aggregate_part_due(p);
}

bool aggregate_flush(struct aggregate *a, int64_t now, int64_t end, const struct aggregate_results *to)
{
    for (size_t i = 0; i < a->n_parts; i++) {
        struct aggregate_part *p = &a->parts[i];
        if (p->phase == AGGREGATE_IDLE && aggregate_interval_ended(p, now)) {
            a->save.active = false; /* groups and series would be of different times */
            aggregate_begin_flush(p, now);
        }
        if (p->phase != AGGREGATE_IDLE && aggregate_continue(a, p, now, end, to))
            return true;
    }
    return aggregate_sweep_some(a, now, end);
}

bool aggregate_results_begin(const struct aggregate *a, int64_t now)
{
    bool due = false;
    for (size_t i = 0; i < a->n_parts; i++) {
        if (a->parts[i].phase != AGGREGATE_IDLE)
            return false;
        due = due || (aggregate_writes_next(&a->parts[i]) && aggregate_part_due(&a->parts[i]) <= now);
    }
    return due;
}

int64_t aggregate_due(const struct aggregate *a)
{
    int64_t due = INT64_MAX;
    for (size_t i = 0; i < a->n_parts; i++) {
        int64_t at = aggregate_part_due(&a->parts[i]);
        due = at < due ? at : due;
    }
    return a->sweeping ? 0 : due;
}

static void aggregate_begin_last(struct aggregate_part *p, int64_t now)
{
    if (p->rule->no_align_flush)
        p->flush_at = p->most = now;
    else if (p->layout.dedup)
        p->most = p->flush_at; /* the last deduplication of the interval */
}

bool aggregate_finish(struct aggregate *a, int64_t now, int64_t end, const struct aggregate_results *to)
{
    a->save.active = false;
    for (; a->finish.part < a->n_parts; a->finish.part++) {
        struct aggregate_part *p = &a->parts[a->finish.part];
        unsigned flushes = p->rule->passes ? 2 : p->rule->flush_on_shutdown ? 1 : 0; /* passes: both windows */
        for (;;) {
            if (aggregate_continue(a, p, now, end, to))
                return true;
            if (a->finish.flushes == flushes)
                break;
            if (a->finish.flushes++ == 0)
                aggregate_begin_last(p, now);
            aggregate_begin_flush(p, now);
        }
        a->finish.flushes = 0;
    }
    a->finish.part = 0;
    return false;
}

void aggregate_parts_start(struct aggregate *a, int64_t now)
{
    for (size_t i = 0; i < a->n_parts; i++)
        aggregate_part_start(&a->parts[i], now);
    a->swept = a->sweep_counted = now;
}
