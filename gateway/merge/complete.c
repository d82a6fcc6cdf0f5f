// SPDX-License-Identifier: Apache-2.0
/* Finds the spans in which each independent replica is complete, so that a range function uses one replica per window.
 *
 * A merged sequence changes from one replica to another around a gap, where neighbouring samples are between half and
 * one and a half intervals apart: a rate whose window begins or ends there is off by up to an interval, while a rate
 * over one complete replica is exact. So a merged series also carries its replicas, each with the spans in which it is
 * complete; a window that is in no span uses the merged sequence.
 *
 * 1. A replica is overdue from 1.1 intervals after a live sample on, or from its stale marker on. It is incomplete from
 *    the first time at which it is overdue and another replica is alive, that is, the latest sample of the other is
 *    live and it is not overdue. If none is alive before the next live sample, there was nothing to scrape, and the
 *    span continues.
 * 2. This does not depend on later samples, so that instant and range queries agree. When a target ends, the replica
 *    that scraped it first is incomplete only until the others have noticed the end, too: the window must end after
 *    that.
 * 3. The next span begins 1.1 intervals before the next live sample. So does the first one, if another replica has
 *    older samples.
 */
#include "gateway/merge/merge_internal.h"

struct spans { struct series_span *items; size_t n, cap; };

static int64_t live_time(const struct sequence *s, size_t i, int64_t none)
{
    while (i < s->n && sequence_stale(s, i))
        i++;
    return i < s->n ? sequence_time(s, i) : none;
}

/* The first moment t with due <= t < before at which a replica other than r is alive. Cursors move forward. */
static bool other_is_alive(const struct merging *m, size_t r, int64_t due, int64_t before, size_t *cursors, int64_t *t)
{
    *t = before;
    for (size_t k = 0; k < m->n && *t > due; k++) {
        const struct sequence *s = &m->replicas[k].s;
        size_t *at = &cursors[k];
        if (k == r)
            continue;
        while (*at < s->n && sequence_time(s, *at) <= due)
            (*at)++;
        bool seen = *at > 0 && due - sequence_time(s, *at - 1) <= near_interval(m->replicas[k].interval);
        int64_t alive = seen && !sequence_stale(s, *at - 1) ? due : live_time(s, *at, before);
        *t = alive < *t ? alive : *t;
    }
    return *t < before;
}

/* Windows begin at m->from at the earliest. */
static int64_t first_span_start(const struct merging *m, size_t r)
{
    int64_t reach = live_time(&m->replicas[r].s, 0, SERIES_FAR) - near_interval(m->replicas[r].interval);
    for (size_t k = 0; k < m->n && reach >= m->from; k++)
        if (k != r && live_time(&m->replicas[k].s, 0, SERIES_FAR) - near_interval(m->replicas[k].interval) < reach)
            return reach;
    return -SERIES_FAR;
}

static void series_spans_add(struct arena *a, struct spans *spans, struct series_span span)
{
    arena_grow(a, &spans->items, &spans->cap, spans->n + 1, sizeof *spans->items);
    spans->items[spans->n++] = span;
}

static struct spans find_spans(const struct merging *m, size_t r)
{
    const struct sequence *s = &m->replicas[r].s;
    struct arena *a = m->job->arena;
    struct spans spans = {0};
    size_t *cursors = ARENA_ARRAY(a, size_t, m->n);
    int64_t near = near_interval(m->replicas[r].interval), due = SERIES_FAR, since;
    struct series_span span = {first_span_start(m, r), -SERIES_FAR, SERIES_FAR};
    for (size_t i = 0; i < s->n; i++) {
        int64_t t = sequence_time(s, i);
        bool marker = sequence_stale(s, i);
        if (t > due && other_is_alive(m, r, due, t, cursors, &since)) {
            series_spans_add(a, &spans, (struct series_span){span.start, span.end_from, since - 1});
            span.start = marker ? span.start : t - near;
            span.end_from = marker ? t : -SERIES_FAR;
        }
        due = !marker ? t + near + 1 : due < SERIES_FAR ? t : due;
        if (marker)
            continue;
        i = sequence_skip_regular(s, i + 1, near + 1) - 1;
        due = sequence_time(s, i) + near + 1;
    }
    if (due <= m->to && other_is_alive(m, r, due, m->to + 1, cursors, &since))
        span.end_to = since - 1;
    if (due < SERIES_FAR)
        series_spans_add(a, &spans, span);
    return spans;
}

static bool always_complete(const struct spans *s)
{
    return s->n == 1 && s->items[0].start == -SERIES_FAR && s->items[0].end_to == SERIES_FAR;
}

void complete_replicas(const struct merging *m, struct series *into)
{
    struct arena *a = m->job->arena;
    struct series_replica *replicas = ARENA_ARRAY(a, struct series_replica, m->n);
    uint32_t n = 0;
    bool always = false;
    for (size_t r = 0; r < m->n && !always; r++) {
        struct spans spans = find_spans(m, r);
        struct series samples;
        if (spans.n == 0)
            continue;
        always = always_complete(&spans);
        if (always && n == 0 && r == 0)
            return; /* the base, which the merged sequence is */
        sequence_to(a, m->replicas[r].s, &samples);
        replicas[n++] = (struct series_replica){samples.samples, samples.n_samples, samples.hists, samples.n_hists,
                                                spans.items, (uint32_t)spans.n};
    }
    into->replicas = replicas;
    into->n_replicas = n;
}
