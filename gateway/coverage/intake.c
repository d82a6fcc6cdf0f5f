// SPDX-License-Identifier: Apache-2.0
/* Extends the known time by the samples of a reading.
 *
 * Forward: a reading begins shortly before the end of the known time, for samples that arrived late, and continues the
 * latest run of each target and replica; nothing else is remembered of earlier samples. Backward: a reading overlaps
 * the start of the known time by three intervals, so that it has both ends of an absence there; it is independent of
 * other readings.
 *
 * Only the reader changes targets. It reads them without the mutex and locks it to write, one target at a time, so that
 * queries never wait for a reading; the known time is changed last.
 */
#include "gateway/coverage/coverage_internal.h"

enum {
    PERIOD_LEAST_MS = 2000,
    BYTES_PER_SECOND = 512 << 10, /* average rate of readings forward */
    PAUSE_MS = 30000,           /* after a failed reading */
    SAMPLE_BYTES = 24,
    ODD_READINGS = 5,           /* after which a longer interval is adopted */
    MOST_HALVED = 2,
};

static const char *const kept_name = "scrape_samples_post_metric_relabeling";

/* --- samples to targets ------------------------------------------------------------------------------------------- */

struct intake_row { /* one target in one reading */
    struct labels labels;
    struct coverage_target *target; /* NULL: unknown yet */
    struct target_scrapes *scrapes; /* by replica */
};
struct coverage_intake {
    struct coverage *c;
    struct arena *arena;
    const struct coverage_work *work;
    const struct coverage_reading *readings;
    struct map by_labels;           /* index of rows */
    struct intake_row *rows; size_t n, cap;
    uint64_t samples;
    bool alive;                     /* a target is, on any replica */
};

static struct intake_row *intake_row_of(struct coverage_intake *in, struct labels labels)
{
    struct str key = coverage_label_key(labels);
    bool added;
    struct map_entry *e = map_add(&in->by_labels, key, &added);
    if (added) {
        e->value.u = in->n;
        arena_grow(in->arena, &in->rows, &in->cap, in->n + 1, sizeof *in->rows);
        in->rows[in->n++] = (struct intake_row){
            .labels = labels, .target = map_get(&in->c->targets, key),
            .scrapes = ARENA_ARRAY(in->arena, struct target_scrapes, in->c->n)};
    }
    return &in->rows[e->value.u];
}

static void intake_sort_series(struct coverage_intake *in, size_t r)
{
    static const struct str name = {METRIC_NAME, sizeof METRIC_NAME - 1};
    const struct coverage_reading *reading = &in->readings[r];
    for (size_t i = 0; i < reading->n; i++) {
        const struct series *s = &reading->series[i];
        struct str metric = labels_name(s->labels);
        bool up = str_is(metric, "up");
        if (!up && !str_is(metric, kept_name))
            continue;
        struct target_scrapes *to = &intake_row_of(in, labels_drop(in->arena, s->labels, &name, 1))->scrapes[r];
        if (up) {
            to->up = s->samples;
            to->n_up = s->n_samples;
        } else {
            to->kept = s->samples;
            to->n_kept = s->n_samples;
        }
        in->samples += s->n_samples;
    }
}

static bool row_has_up(const struct coverage_intake *in, const struct intake_row *row)
{
    for (size_t r = 0; r < in->c->n; r++)
        if (row->scrapes[r].n_up > 0)
            return true;
    return false;
}

/* Adds what earlier readings have shown: forward the latest run, and the interval if this reading has few samples. */
static void intake_prepare_row(const struct coverage_intake *in, struct intake_row *row)
{
    for (size_t r = 0; r < in->c->n; r++) {
        struct target_scrapes *s = &row->scrapes[r];
        const struct coverage_seen *seen = row->target ? &row->target->seen[r] : NULL;
        s->ignored = in->readings[r].state != COVERAGE_READ;
        s->before = seen && !in->work->past ? seen->latest : COVERAGE_NO_RUNS;
        s->interval = gaps_interval(s->up, s->n_up);
        if (seen && seen->interval > 0 && s->n_up < 4)
            s->interval = seen->interval;
    }
}

/* --- targets to coverage ------------------------------------------------------------------------------------------ */

/* A few consecutive distances that are longer are missed scrapes; many are another interval. */
static void intake_learn_interval(struct coverage_seen *seen, const struct target_scrapes *s)
{
    int64_t interval = gaps_interval(s->up, s->n_up);
    if (interval == 0)
        return;
    bool longer = seen->interval > 0 && interval > seen->interval + seen->interval / 2;
    seen->odd = longer ? seen->odd + 1 : 0;
    if (s->n_up >= 4 || seen->interval == 0 || seen->odd >= ODD_READINGS)
        seen->interval = interval;
}

static void intake_add_spans(struct coverage *c, struct span_list *to, const struct gap_spans *found, int64_t from)
{
    for (size_t i = 0; i < found->n; i++) {
        struct coverage_span gap = {coverage_max(found->items[i].from, from), found->items[i].to};
        if (gap.from <= gap.to)
            coverage_add_span(c, to, gap);
    }
}

/* A gap at the end of a reading of the past continues, or ends, in what is known after it: it lasts if that does. */
static void intake_add_lasting(struct coverage_intake *in, struct coverage_seen *seen, const struct gap_spans *found,
                               int64_t from)
{
    int64_t end = in->work->to, last = INT64_MAX;
    uint32_t after = spans_find(&seen->lasting, end + 1);
    bool lasts = !in->work->past || end >= in->c->known.to ||
                 (after < seen->lasting.n && seen->lasting.items[after].from <= end + 1);
    for (size_t i = 0; i < found->n && !lasts; i++)
        if (found->items[i].to >= end - 2 * seen->interval)
            last = coverage_min(last, found->items[i].from);
    for (size_t i = 0; i < found->n; i++)
        if (found->items[i].from < last)
            intake_add_spans(in->c, &seen->lasting, &(struct gap_spans){.items = &found->items[i], .n = 1}, from);
}

static void intake_apply_replica(struct coverage_intake *in, struct coverage_target *t, size_t r,
                                 const struct intake_row *row, const struct target_gaps *found)
{
    struct coverage_seen *seen = &t->seen[r];
    const struct target_scrapes *s = &row->scrapes[r];
    bool alone = coverage_span_empty(in->c->known) || in->work->past;
    int64_t from = alone ? in->work->from : in->c->known.from; /* forward: an absence may begin earlier */
    intake_add_spans(in->c, &seen->gaps, &found->gaps, from);
    intake_add_spans(in->c, &seen->outdated, &found->outdated, from);
    intake_add_lasting(in, seen, &found->lasting, from);
    intake_add_spans(in->c, &seen->missed, &found->missed, from);
    if (s->n_up > 0)
        t->seen_at = coverage_max(t->seen_at, s->up[s->n_up - 1].t);
    if (in->work->past) {
        seen->interval = seen->interval ? seen->interval : gaps_interval(s->up, s->n_up);
        return;
    }
    intake_learn_interval(seen, s);
    if (s->n_up > 0)
        seen->ended = is_stale(s->up[s->n_up - 1].v);
    seen->latest = found->latest;
}

static bool row_found_gaps(const struct coverage *c, const struct target_gaps *found)
{
    for (size_t r = 0; r < c->n; r++)
        if (found[r].gaps.n > 0)
            return true;
    return false;
}

static void intake_apply_row(struct coverage_intake *in, struct intake_row *row, const struct target_gaps *found)
{
    struct coverage *c = in->c;
    if (row->target == NULL && in->work->past && !row_found_gaps(c, found))
        return;
    mutex_lock(&c->mutex);
    if (row->target == NULL)
        row->target = coverage_add_target(c, row->labels);
    for (size_t r = 0; r < c->n; r++)
        if (!row->scrapes[r].ignored)
            intake_apply_replica(in, row->target, r, row, &found[r]);
    mutex_unlock(&c->mutex);
}

static void intake_rows(struct coverage_intake *in)
{
    for (size_t r = 0; r < in->c->n; r++)
        if (in->readings[r].state == COVERAGE_READ)
            intake_sort_series(in, r);
    struct target_gaps *found = ARENA_ARRAY(in->arena, struct target_gaps, in->c->n);
    for (size_t i = 0; i < in->n; i++) {
        struct arena_mark mark = arena_mark(in->arena);
        if (!row_has_up(in, &in->rows[i]))
            continue;
        intake_prepare_row(in, &in->rows[i]);
        struct coverage_span read = {in->work->from, in->work->to};
        gaps_find(in->arena, in->rows[i].scrapes, in->c->n, read, found);
        for (size_t r = 0; r < in->c->n; r++)
            in->alive = in->alive || found[r].alive;
        intake_apply_row(in, &in->rows[i], found);
        arena_release(in->arena, mark);
    }
}

/* --- the known time; the mutex is held ---------------------------------------------------------------------------- */

static void intake_plan(struct coverage *c, const struct coverage_intake *in, int64_t now)
{
    uint64_t bytes = in->samples * SAMPLE_BYTES;
    for (size_t r = 0; r < c->n; r++)
        bytes += in->readings[r].bytes;
    int64_t took = in->work->to - in->work->from;
    c->hourly = (int64_t)in->samples * COVERAGE_HOUR_MS / coverage_max(took, 1) + 1;
    c->period = coverage_clamp(c->shortest / 2, PERIOD_LEAST_MS, COVERAGE_READ_MS);
    c->period = coverage_max(c->period, (int64_t)(bytes * 1000 / BYTES_PER_SECOND));
    bool behind = in->work->to + c->period < now; /* this reading did not reach the present */
    c->next_at = behind ? now : now + c->period;
}

static bool intake_note_replicas(struct coverage *c, const struct coverage_reading *readings)
{
    bool all = true;
    for (size_t r = 0; r < c->n; r++) {
        all = all && readings[r].state == COVERAGE_READ;
        c->unreached[r] = readings[r].state == COVERAGE_UNREACHED;
        c->shows_late[r] = readings[r].shows_late;
    }
    c->failed = false;
    return all;
}

void coverage_extend_past(struct coverage *c, const struct coverage_reading *readings, int64_t from, bool barren)
{
    bool all = intake_note_replicas(c, readings);
    if (barren && from < c->known.from)
        spans_add(&c->barren, (struct coverage_span){from, c->known.from - 1});
    c->known.from = coverage_min(c->known.from, from);
    if (all)
        c->settled = c->known;
    if (c->known.from <= c->raw_to)
        c->raw_to = INT64_MAX;
    c->suspected = COVERAGE_NOTHING;
}

void coverage_end_past(struct coverage *c, int64_t now)
{
    c->next_past_at = now;
    coverage_limit(c, now);
    coverage_index(c);
}

static void intake_extend(struct coverage *c, const struct coverage_intake *in, int64_t now)
{
    const struct coverage_work *w = in->work;
    bool all = intake_note_replicas(c, in->readings);
    int64_t since = coverage_span_empty(c->known) ? w->from : c->known.to + 1;
    if (!in->alive && since <= w->to)
        spans_add(&c->barren, (struct coverage_span){since, w->to});
    c->halved = 0;
    c->known = coverage_span_empty(c->known) ? (struct coverage_span){w->from, w->to}
                                             : (struct coverage_span){c->known.from, w->to};
    if (all)
        c->settled = c->known;
    c->resumed = false;
    coverage_sweep(c);
    intake_plan(c, in, now);
    coverage_limit(c, now);
    coverage_index(c);
}

/* --- the call ----------------------------------------------------------------------------------------------------- */

unsigned coverage_count_readings(const struct coverage *c, const struct coverage_reading *readings,
                                 enum coverage_reading_state state)
{
    unsigned n = 0;
    for (size_t r = 0; r < c->n; r++)
        n += readings[r].state == state;
    return n;
}

/* When a replica is reachable again, discards what was learned without it. */
static bool intake_returned(struct coverage *c, const struct coverage_reading *readings)
{
    bool back = false;
    for (size_t r = 0; r < c->n; r++) {
        back = back || (c->unreached[r] && readings[r].state == COVERAGE_READ);
        c->unreached[r] = c->unreached[r] && readings[r].state != COVERAGE_READ;
    }
    if (back)
        coverage_forget(c, c->settled);
    for (struct map_entry *e = back ? map_next(&c->names, NULL) : NULL; e; e = map_next(&c->names, e))
        ((struct coverage_name *)e->value.p)->checked_at = ((struct coverage_name *)e->value.p)->due = 0;
    return back;
}

bool coverage_refuse(struct coverage *c, const struct coverage_work *w, const struct coverage_reading *readings,
                     int64_t now)
{
    bool failed = coverage_count_readings(c, readings, COVERAGE_FAILED) > 0;
    bool none = coverage_count_readings(c, readings, COVERAGE_READ) == 0;
    c->readings++;
    c->readings_failed += failed || none;
    if (failed && w->past) {
        c->next_past_at = now + PAUSE_MS;
        c->hourly *= 2; /* the reading may have been too large */
        c->suspected = COVERAGE_NOTHING;
        c->raw_to = w->from;
    } else if (failed || none) {
        c->failed = true;
        c->next_at = now + PAUSE_MS;
        if (coverage_span_empty(c->known) && c->halved < MOST_HALVED)
            c->halved++;
    }
    return failed || none || intake_returned(c, readings);
}

void coverage_take_samples(struct coverage *c, struct arena *a, const struct coverage_work *w,
                           const struct coverage_reading *readings, int64_t now)
{
    struct coverage_intake in = {.c = c, .arena = a, .work = w, .readings = readings};
    mutex_lock(&c->mutex);
    bool refused = coverage_refuse(c, w, readings, now);
    mutex_unlock(&c->mutex);
    if (refused)
        return;
    intake_rows(&in);
    mutex_lock(&c->mutex);
    if (w->past) {
        coverage_extend_past(c, readings, w->from, !in.alive && w->only.n == 0);
        coverage_end_past(c, now);
    } else {
        intake_extend(c, &in, now);
    }
    mutex_unlock(&c->mutex);
    map_free(&in.by_labels);
}
