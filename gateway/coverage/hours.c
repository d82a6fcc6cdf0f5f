// SPDX-License-Identifier: Apache-2.0
/* Decides the past by scrapes per hour: most hours of most targets need no samples.
 *
 * 1. An hour of a target on a replica is complete when it has as many scrapes with `up` 1 as intervals, or one more,
 *    and its minimum of scrape_samples_post_metric_relabeling is not below the maximum of a sibling. (Scrapes of one
 *    scraper are an interval apart: if there are as many as intervals, none was missed. If the interval does not divide
 *    an hour, no hour is complete.)
 * 2. An hour in which a replica has no scrape is a gap if the hour of a sibling is complete.
 * 3. Every other hour in which the target is alive on a replica is suspect. Samples of suspect targets are read,
 *    selected by their value of the last label of coverage_by, over the newest adjacent hours that have at most
 *    HOURS_SUSPECTS of them. If a single hour has more, its samples are read for all targets.
 */
#include "gateway/coverage/coverage_internal.h"

enum { HOURS_SUSPECTS = 64, HOURS_MAX = 48 };

const char coverage_hours_expr[] =
    "label_replace(sum_over_time(up[1h]),\"__part__\",\"up\",\"\",\"\")"
    " or label_replace(min_over_time(scrape_samples_post_metric_relabeling[1h]),\"__part__\",\"minimum\",\"\",\"\")"
    " or label_replace(max_over_time(scrape_samples_post_metric_relabeling[1h]),\"__part__\",\"maximum\",\"\",\"\")";

struct hour { double scrapes, minimum, maximum; };   /* NaN: no value */
struct hours_row {
    struct labels labels;
    const struct coverage_target *target;       /* NULL: unknown */
    struct hour *hours;                         /* by replica and hour */
    uint64_t suspect;                           /* bits: hours */
};
struct hours_intake {
    struct coverage *c;
    struct arena *arena;
    const struct coverage_work *work;
    const struct coverage_reading *readings;
    size_t n_hours;
    struct map by_labels;
    struct hours_row *rows; size_t n, cap;
};

static struct hour *hour_of(const struct hours_intake *in, const struct hours_row *row, size_t replica, size_t hour)
{
    return &row->hours[replica * in->n_hours + hour];
}

static struct hours_row *hours_row_of(struct hours_intake *in, struct labels labels)
{
    bool added;
    struct str key = coverage_label_key(labels);
    struct map_entry *e = map_add(&in->by_labels, key, &added);
    if (added) {
        size_t n = in->c->n * in->n_hours;
        e->value.u = in->n;
        arena_grow(in->arena, &in->rows, &in->cap, in->n + 1, sizeof *in->rows);
        struct hours_row *row = &in->rows[in->n++];
        *row = (struct hours_row){.labels = labels, .target = map_get(&in->c->targets, key),
                                  .hours = ARENA_ARRAY(in->arena, struct hour, n)};
        for (size_t i = 0; i < n; i++)
            row->hours[i] = (struct hour){NAN, NAN, NAN};
    }
    return &in->rows[e->value.u];
}

static void hours_sort_series(struct hours_intake *in, size_t replica)
{
    static const struct str part_name = {"__part__", 8};
    for (size_t i = 0; i < in->readings[replica].n; i++) {
        const struct series *s = &in->readings[replica].series[i];
        struct str part = labels_get(s->labels, part_name);
        struct hours_row *row = hours_row_of(in, labels_drop(in->arena, s->labels, &part_name, 1));
        for (uint32_t k = 0; k < s->n_samples; k++) {
            int64_t hour = (s->samples[k].t - in->work->from) / COVERAGE_HOUR_MS - 1;
            if (hour < 0 || hour >= (int64_t)in->n_hours)
                continue;
            struct hour *h = hour_of(in, row, replica, (size_t)hour);
            double *to = str_is(part, "up") ? &h->scrapes : str_is(part, "minimum") ? &h->minimum : &h->maximum;
            *to = s->samples[k].v;
        }
    }
}

/* Scrapes per hour; 0: the interval does not divide an hour, or is unknown. */
static double hours_scrapes(int64_t interval)
{
    int64_t second = (interval + 500) / 1000, off = interval - second * 1000;
    bool whole = second > 0 && off * 50 < interval && -off * 50 < interval;
    return whole && COVERAGE_HOUR_MS / 1000 % second == 0 ? (double)(COVERAGE_HOUR_MS / 1000 / second) : 0;
}

static bool hour_is_alive(const struct hours_intake *in, const struct hours_row *row, size_t r, size_t h)
{
    return in->readings[r].state == COVERAGE_READ && hour_of(in, row, r, h)->scrapes > 0;
}

static bool hour_is_complete(const struct hours_intake *in, const struct hours_row *row, size_t r, size_t h)
{
    const struct hour *own = hour_of(in, row, r, h);
    double wanted = row->target ? hours_scrapes(row->target->seen[r].interval) : 0;
    bool complete = wanted > 0 && own->scrapes >= wanted && own->scrapes <= wanted + 1 && !isnan(own->minimum);
    for (size_t k = 0; k < in->c->n && complete; k++)
        complete = k == r || !hour_is_alive(in, row, k, h) || own->minimum >= hour_of(in, row, k, h)->maximum;
    return complete;
}

static bool hour_is_suspect(const struct hours_intake *in, const struct hours_row *row, size_t h)
{
    bool suspect = false;
    for (size_t r = 0; r < in->c->n && !suspect; r++)
        suspect = hour_is_alive(in, row, r, h) && !hour_is_complete(in, row, r, h);
    return suspect;
}

static void hours_find_suspects(struct hours_intake *in)
{
    for (size_t i = 0; i < in->n; i++)
        for (size_t h = 0; h < in->n_hours; h++)
            if (hour_is_suspect(in, &in->rows[i], h))
                in->rows[i].suspect |= 1ull << h;
}

/* --- suspects to read --------------------------------------------------------------------------------------------- */

static void hours_quote_value(struct buf *out, struct str value)
{
    for (size_t i = 0; i < value.n; i++) {
        unsigned char ch = (unsigned char)value.p[i];
        bool plain = ch >= 0x80 || ch == '_' || (ch >= '0' && ch <= '9') || ((ch | 32) >= 'a' && (ch | 32) <= 'z');
        if (!plain)
            buf_add_char(out, '\\');
        buf_add_char(out, (char)ch);
    }
}

/* Appends the label values of an hour's suspects that are not in `known` yet. False: there are too many, or a target
 * lacks the label. */
static bool hours_add_suspects(const struct hours_intake *in, size_t hour, struct map *known, struct buf *out)
{
    struct str label = in->c->by[in->c->n_by - 1];
    for (size_t i = 0; i < in->n; i++) {
        if (!(in->rows[i].suspect >> hour & 1))
            continue;
        struct str value = labels_get(in->rows[i].labels, label);
        bool added = false;
        if (value.n == 0)
            return false;
        map_add(known, value, &added);
        if (added && known->n > HOURS_SUSPECTS)
            return false;
        if (added) {
            buf_add_z(out, out->n ? "|" : "");
            hours_quote_value(out, value);
        }
    }
    return true;
}

static bool hour_has_suspects(const struct hours_intake *in, size_t hour)
{
    for (size_t i = 0; i < in->n; i++)
        if (in->rows[i].suspect >> hour & 1)
            return true;
    return false;
}

/* Divides the hours, the newest first: *clean is the first of the newest ones, which have no suspects, and *read the
 * first of those before them that have few enough, which `suspects` selects. Equal: the hour before has too many. */
static void hours_divide(const struct hours_intake *in, size_t *clean, size_t *read, struct buf *suspects)
{
    struct map known = {0};
    size_t end = 0;
    *clean = *read = in->n_hours;
    while (*read > 0 && hours_add_suspects(in, *read - 1, &known, suspects)) {
        bool any = suspects->n > end || hour_has_suspects(in, *read - 1);
        if (!any && *read < *clean)
            break;
        *clean -= !any;
        (*read)--;
        end = suspects->n;
    }
    suspects->n = end;
    map_free(&known);
}

/* --- results ------------------------------------------------------------------------------------------------------ */

/* The scrapes before and after the hour are at most an interval away from it. */
static void hours_apply_gap(struct hours_intake *in, const struct hours_row *row, size_t h)
{
    struct coverage *c = in->c;
    int64_t start = in->work->from + (int64_t)h * COVERAGE_HOUR_MS, interval = 0;
    struct coverage_target *t = map_get(&c->targets, coverage_label_key(row->labels));
    for (size_t r = 0; t && r < c->n; r++)
        interval = coverage_max(interval, t->seen[r].interval);
    struct coverage_span gap = {start - interval, start + COVERAGE_HOUR_MS + interval};
    for (size_t r = 0; t && r < c->n; r++) {
        if (in->readings[r].state != COVERAGE_READ || hour_is_alive(in, row, r, h))
            continue;
        struct coverage_seen *seen = &t->seen[r];
        for (size_t i = 0; i < LEN(seen->lists); i++)
            coverage_add_span(c, &seen->lists[i], gap);
    }
}

static void hours_apply_gaps(struct hours_intake *in, size_t first)
{
    for (size_t i = 0; i < in->n; i++)
        for (size_t h = first; h < in->n_hours; h++) {
            bool alive = false;
            for (size_t r = 0; r < in->c->n; r++)
                alive = alive || hour_is_alive(in, &in->rows[i], r, h);
            if (alive && !(in->rows[i].suspect >> h & 1))
                hours_apply_gap(in, &in->rows[i], h);
        }
}

static bool hour_is_barren(const struct hours_intake *in, size_t h)
{
    for (size_t i = 0; i < in->n; i++)
        for (size_t r = 0; r < in->c->n; r++)
            if (hour_is_alive(in, &in->rows[i], r, h))
                return false;
    return true;
}

static void hours_apply(struct hours_intake *in, int64_t now)
{
    struct coverage *c = in->c;
    struct buf suspects = {0};
    size_t clean, read;
    hours_divide(in, &clean, &read, &suspects);
    hours_apply_gaps(in, read);
    int64_t begin = in->work->from;
    if (clean == in->n_hours && read == clean)
        c->raw_to = in->work->to - COVERAGE_HOUR_MS;
    for (size_t h = in->n_hours; h > clean; h--)
        coverage_extend_past(c, in->readings, begin + (int64_t)(h - 1) * COVERAGE_HOUR_MS, hour_is_barren(in, h - 1));
    coverage_end_past(c, now);
    if (read < clean && !coverage_span_empty(c->known)) {
        buf_free(&c->suspects);
        c->suspects = suspects;
        c->suspected = (struct coverage_span){begin + (int64_t)read * COVERAGE_HOUR_MS,
                                              begin + (int64_t)clean * COVERAGE_HOUR_MS};
        return;
    }
    buf_free(&suspects);
}

void coverage_take_hours(struct coverage *c, struct arena *a, const struct coverage_work *w,
                         const struct coverage_reading *readings, int64_t now)
{
    struct hours_intake in = {.c = c, .arena = a, .work = w, .readings = readings,
                              .n_hours = (size_t)((w->to - w->from) / COVERAGE_HOUR_MS)};
    mutex_lock(&c->mutex);
    bool refused = in.n_hours > HOURS_MAX || coverage_refuse(c, w, readings, now);
    mutex_unlock(&c->mutex);
    if (refused)
        return;
    for (size_t r = 0; r < c->n; r++)
        if (readings[r].state == COVERAGE_READ)
            hours_sort_series(&in, r);
    hours_find_suspects(&in);
    mutex_lock(&c->mutex);
    hours_apply(&in, now);
    mutex_unlock(&c->mutex);
    map_free(&in.by_labels);
}
