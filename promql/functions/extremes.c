// SPDX-License-Identifier: Apache-2.0
/* min_over_time(), max_over_time() and ts_of_...: a queue of candidates, which each sample enters and leaves once. It
 * contains the samples of the window that are not beaten by a later one, so its front is the result. Every value
 * beats NaN: NaN is the result only when there is nothing else, and then the window's last sample is used.
 */
#include "promql/functions/functions_internal.h"

/* Whether the newcomer replaces the previous candidate. Of equal values the first is kept; a timestamp is that of the
 * last. */
typedef bool beats_fn(double newcomer, double candidate);
static bool lower(double n, double c) { return n < c; }
static bool higher(double n, double c) { return n > c; }
static bool not_higher(double n, double c) { return n <= c; }
static bool not_lower(double n, double c) { return n >= c; }

struct candidates { uint32_t *at, from, to, next; }; /* positions at[from..to); next: the first sample not yet seen */

static void candidates_move(struct candidates *c, const struct range_input *in, const struct window *w, beats_fn *beats)
{
    const struct sample *s = in->samples;
    for (; c->next < w->to; c->next++) {
        if (isnan(s[c->next].v))
            continue;
        while (c->to > c->from && beats(s[c->next].v, s[c->at[c->to - 1]].v))
            c->to--;
        c->at[c->to++] = c->next;
    }
    while (c->from < c->to && c->at[c->from] < w->from)
        c->from++;
}

typedef double extreme_fn(const struct sample *s);
static double extreme_value(const struct sample *s) { return s->v; }
static double extreme_time(const struct sample *s) { return (double)s->t / 1000; }

static void extremes_row(struct eval *ev, const struct range_input *in, struct row *out, beats_fn *beats,
                         extreme_fn *extreme)
{
    struct arena_mark mark = arena_mark(ev->arena);
    struct candidates c = {.at = ARENA_ARRAY(ev->arena, uint32_t, in->n_samples)};
    struct window w = {0};
    unsigned notes = 0;
    for (uint32_t i = 0; i < ev->grid.n; i++) {
        window_move(in, i, &w);
        if (w.to == w.from)
            continue;
        if (w.hist_to > w.hist_from)
            notes |= NOTE_IGNORED;
        candidates_move(&c, in, &w, beats);
        row_set(out, i, extreme(&in->samples[c.from < c.to ? c.at[c.from] : w.to - 1]));
    }
    arena_release(ev->arena, mark);
    fn_annotate(ev, in, notes);
}

static void min_row(struct eval *ev, const struct range_input *in, struct row *out)
{
    extremes_row(ev, in, out, lower, extreme_value);
}

static void max_row(struct eval *ev, const struct range_input *in, struct row *out)
{
    extremes_row(ev, in, out, higher, extreme_value);
}

static void ts_min_row(struct eval *ev, const struct range_input *in, struct row *out)
{
    extremes_row(ev, in, out, not_higher, extreme_time);
}

static void ts_max_row(struct eval *ev, const struct range_input *in, struct row *out)
{
    extremes_row(ev, in, out, not_lower, extreme_time);
}

const struct function_impl fn_min_over_time = {.range = min_row};
const struct function_impl fn_max_over_time = {.range = max_row};
const struct function_impl fn_ts_of_min_over_time = {.range = ts_min_row};
const struct function_impl fn_ts_of_max_over_time = {.range = ts_max_row};
