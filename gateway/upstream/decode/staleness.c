// SPDX-License-Identifier: Apache-2.0
#include "gateway/upstream/decode/staleness.h"

#include "base/map.h"
#include "base/median.h"

static uint64_t step_count(const struct select *sel)
{
    return sel->step > 0 && sel->end > sel->start ? (uint64_t)(sel->end - sel->start) / (uint64_t)sel->step + 1 : 1;
}

static int64_t step_time(const struct select *sel, uint64_t k) { return sel->start + (int64_t)k * sel->step; }

/* --- ends --------------------------------------------------------------------------------------------------------- */

static bool on_grid(const struct select *sel, int64_t t)
{
    if (t < sel->start || t > sel->end)
        return false;
    return t == sel->start || (sel->step > 0 && (t - sel->start) % sel->step == 0);
}

static bool ends_at(const struct series *s, uint32_t i, const struct select *sel)
{
    int64_t t = s->samples[i].t;
    return t < sel->end && (i + 1 == s->n_samples || s->samples[i + 1].t != t + sel->step);
}

static void staleness_end_series(struct arena *a, struct series *s, const struct select *sel)
{
    uint32_t ends = 0, n = 0;
    for (uint32_t i = 0; i < s->n_samples; i++)
        ends += ends_at(s, i, sel);
    if (ends == 0)
        return;
    struct sample *out = ARENA_ARRAY(a, struct sample, (size_t)s->n_samples + ends);
    for (uint32_t i = 0; i < s->n_samples; i++) {
        out[n++] = s->samples[i];
        if (ends_at(s, i, sel))
            out[n++] = (struct sample){s->samples[i].t + 1, stale_nan()};
    }
    s->samples = out;
    s->n_samples = n;
}

static bool staleness_check_steps(const struct series *s, const struct select *sel, struct err *err)
{
    for (uint32_t i = 0; i < s->n_samples; i++)
        if (!on_grid(sel, s->samples[i].t))
            return err_set(err, ERR_BAD_GATEWAY, "response timestamps do not match the requested steps");
    return true;
}

bool staleness_end(struct response *a, const struct select *sel, struct err *err)
{
    for (size_t i = 0; i < a->n; i++) {
        if (!query_charge(&a->work, QUERY_CHARGE_LABELS + a->series[i].n_samples, err))
            return false;
        if (!staleness_check_steps(&a->series[i], sel, err))
            return false;
        staleness_end_series(a->arena, &a->series[i], sel);
    }
    return true;
}

/* --- marks -------------------------------------------------------------------------------------------------------- */

/* The two responses are not of the same moment: a sample that arrived in between is in one of them only. A marker is
 * never that recent. */
enum { SOON_MS = 1000, MOST_GAPS = 64 };

/* Interval between samples of the series, 0 = unknown. */
static int64_t interval(const struct series *s)
{
    int64_t gaps[MOST_GAPS];
    size_t n = 0;
    for (uint32_t i = 1; i < s->n_samples && n < MOST_GAPS; i += s->n_samples / MOST_GAPS + 1)
        gaps[n++] = s->samples[i].t - s->samples[i - 1].t;
    return n ? upper_median(gaps, n) : 0;
}

/* The marker is after `after` and not after `before`, most likely where the next sample would have been. */
static struct sample marker(int64_t last, int64_t gap, int64_t after, int64_t before)
{
    int64_t t = gap > 0 ? last + ((after - last) / gap + 1) * gap : after + 1;
    return (struct sample){t > before ? before : t, stale_nan()};
}

static void mark_series(struct arena *a, struct series *s, const struct series *steps, const struct select *sel)
{
    struct sample *out = ARENA_ARRAY(a, struct sample, (size_t)s->n_samples * 2);
    uint32_t n = 0, seen = 0, shown = 0, n_steps = steps ? steps->n_samples : 0;
    int64_t gap = interval(s), after = INT64_MIN;
    bool marked = false;
    for (uint64_t k = 0; k < step_count(sel); k++) {
        int64_t t = step_time(sel, k);
        for (; seen < s->n_samples && s->samples[seen].t <= t; seen++, marked = false)
            after = (out[n++] = s->samples[seen]).t;
        while (shown < n_steps && steps->samples[shown].t < t)
            shown++;
        bool present = shown < n_steps && steps->samples[shown].t == t;
        int64_t last = seen ? s->samples[seen - 1].t : INT64_MIN;
        bool expected = seen && last > t - sel->window && t - last >= SOON_MS;
        if (present)
            after = t;
        else if (expected && !marked) {
            out[n++] = marker(last, gap, after > last ? after : last, t);
            marked = true;
        }
    }
    for (; seen < s->n_samples; seen++)
        out[n++] = s->samples[seen];
    s->samples = out;
    s->n_samples = n;
}

bool staleness_mark(struct response *raw, const struct response *steps, const struct select *sel, struct err *err)
{
    struct map by_labels = {0};
    bool added, ok = query_charge(&raw->work, steps->n * QUERY_CHARGE_LABELS + steps->n_samples, err);
    for (size_t i = 0; ok && i < steps->n; i++)
        ok = staleness_check_steps(&steps->series[i], sel, err);
    for (size_t i = 0; ok && i < steps->n; i++)
        map_add(&by_labels, str_n(steps->series[i].labels.p, steps->series[i].labels.n),
                &added)->value.p = &steps->series[i];
    for (size_t i = 0; ok && i < raw->n; i++) {
        struct series *s = &raw->series[i];
        ok = query_charge(&raw->work, QUERY_CHARGE_LABELS + s->n_samples + step_count(sel), err);
        if (ok)
            mark_series(raw->arena, s, map_get(&by_labels, str_n(s->labels.p, s->labels.n)), sel);
    }
    map_free(&by_labels);
    return ok;
}
