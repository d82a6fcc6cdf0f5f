// SPDX-License-Identifier: Apache-2.0
/* Decides what to read from a group next: the newest samples, the origin of a metric, the past, or counts. */
#include "gateway/coverage/coverage_internal.h"

enum {
    FIRST_MS = 300000,          /* the first reading of a group */
    LEAST_MS = 60000, MOST_MS = 3600000, /* overlap of readings */
    CHUNK_LEAST_MS = 120000, CHUNK_MOST_MS = 6 * COVERAGE_HOUR_MS, CHUNK_SAMPLES = 400000, /* of one reading */
    HOURS_LEAST_MS = 6 * COVERAGE_HOUR_MS, HOURS_MOST = 24, /* minimum time, and hours of one reading */
    SETTLED_MS = 2000, SETTLED_LATE_MS = 40000, /* VictoriaMetrics */
};

static int64_t schedule_margin(const struct coverage *c) { return coverage_clamp(3 * c->longest, LEAST_MS, MOST_MS); }

static int64_t schedule_chunk(const struct coverage *c)
{
    if (c->hourly == 0)
        return FIRST_MS >> c->halved;
    return coverage_clamp((int64_t)CHUNK_SAMPLES * COVERAGE_HOUR_MS / c->hourly, CHUNK_LEAST_MS, CHUNK_MOST_MS);
}

static bool needs_forward(const struct coverage *c, int64_t now, struct coverage_work *w)
{
    if (now < c->next_at)
        return false;
    *w = (struct coverage_work){.kind = COVERAGE_SAMPLES, .from = now - (FIRST_MS >> c->halved), .to = now};
    if (coverage_span_empty(c->known))
        return true;
    int64_t back = c->resumed ? schedule_margin(c) : coverage_clamp(2 * c->longest, LEAST_MS, MOST_MS / 6);
    w->from = c->known.to - back;
    w->to = coverage_min(now, c->known.to + schedule_chunk(c));
    return w->to > c->known.to;
}

/* Scrapes per hour are much smaller than samples; they are used where one reading has few hours of samples. */
static bool needs_hours(const struct coverage *c, int64_t wanted, struct coverage_work *w)
{
    int64_t to = (c->known.from + COVERAGE_HOUR_MS - 1) / COVERAGE_HOUR_MS * COVERAGE_HOUR_MS;
    bool many = c->known.from - wanted > HOURS_LEAST_MS && schedule_chunk(c) < HOURS_LEAST_MS;
    if (!many || to > c->known.to || c->raw_to < c->known.from)
        return false;
    int64_t hours = coverage_min(HOURS_MOST, (to - wanted + COVERAGE_HOUR_MS - 1) / COVERAGE_HOUR_MS);
    *w = (struct coverage_work){.kind = COVERAGE_HOURS, .past = true, .from = to - hours * COVERAGE_HOUR_MS, .to = to};
    return true;
}

static bool needs_past(const struct coverage *c, int64_t now, struct coverage_work *w)
{
    int64_t wanted = coverage_max(c->wanted_from, coverage_max(now - COVERAGE_PAST_MS, c->oldest));
    bool suspects = !coverage_span_empty(c->suspected);
    if (coverage_span_empty(c->known) || c->known.from <= wanted || now < c->next_past_at || c->resumed)
        return false;
    if (!suspects && needs_hours(c, wanted, w))
        return true;
    int64_t from = coverage_max(wanted, c->known.from - schedule_chunk(c));
    *w = (struct coverage_work){.kind = COVERAGE_SAMPLES, .past = true, .from = suspects ? c->suspected.from : from,
                                .to = coverage_min(c->known.from + schedule_margin(c), c->known.to)};
    return true;
}

/* Age after which all series of a scrape are visible. */
static int64_t schedule_settling(const struct coverage *c)
{
    bool late = false;
    for (size_t r = 0; r < c->n; r++)
        late = late || c->shows_late[r];
    return late ? SETTLED_LATE_MS : SETTLED_MS;
}

void coverage_next(struct coverage *c, struct arena *a, int64_t now, struct coverage_work *out)
{
    char name[COVERAGE_NAME_LENGTH + 1];
    struct buf only = {0};
    size_t n = 0;
    *out = (struct coverage_work){.kind = COVERAGE_REST};
    mutex_lock(&c->mutex);
    const struct coverage_name *due = NULL;
    bool asleep = c->n < 2 || c->n > COVERAGE_REPLICAS || now - c->queried_at > COVERAGE_IDLE_MS || now < c->full_until;
    if (!asleep) {
        c->full_until = 0;
        if (!coverage_span_empty(c->known) && now - c->known.to > COVERAGE_PAST_MS)
            coverage_forget(c, COVERAGE_NOTHING);
    }
    if (!asleep && !needs_forward(c, now, out)) {
        if ((due = coverage_name_due(c, now)) != NULL) {
            *out = (struct coverage_work){.kind = COVERAGE_NAME, .to = now - schedule_settling(c)};
        } else if (!needs_past(c, now, out)) {
            *out = (struct coverage_work){.kind = COVERAGE_REST};
            due = coverage_count_due(c, now, out);
        }
    }
    n = due ? due->name.n : 0;
    if (n > 0)
        memcpy(name, due->name.p, n);
    if (out->kind == COVERAGE_SAMPLES && out->past && !coverage_span_empty(c->suspected))
        buf_add_str(&only, buf_str(&c->suspects));
    mutex_unlock(&c->mutex);
    out->name = arena_str(a, (struct str){name, n});
    out->only = arena_str(a, buf_str(&only));
    out->only_label = c->by[c->n_by - 1];
    buf_free(&only);
}
