// SPDX-License-Identifier: Apache-2.0
/* irate() and idelta(): from the last two samples of a window, floats or histograms. */
#include "promql/functions/functions_internal.h"

enum instant_kind { IRATE, IDELTA };
struct rate_point { int64_t t; double v; const struct histogram *h; };

/* The latest two, older first. */
static bool last_two(const struct range_input *in, const struct window *w, struct rate_point out[2])
{
    uint32_t f = w->to, h = w->hist_to;
    if (f - w->from + h - w->hist_from < 2)
        return false;
    for (size_t k = 2; k-- > 0;) {
        bool hist = f == w->from || (h > w->hist_from && in->hists[h - 1].t > in->samples[f - 1].t);
        if (hist) {
            h--;
            out[k] = (struct rate_point){in->hists[h].t, 0, in->hists[h].h};
        } else {
            f--;
            out[k] = (struct rate_point){in->samples[f].t, in->samples[f].v, NULL};
        }
    }
    return out[0].t != out[1].t;
}

static const struct histogram *hist_change(struct eval *ev, enum instant_kind kind, const struct rate_point p[2],
                                           unsigned *notes)
{
    bool gauge = p[0].h->hint == RESET_GAUGE, both = gauge && p[1].h->hint == RESET_GAUGE;
    if (kind == IRATE && (gauge || p[1].h->hint == RESET_GAUGE))
        *notes |= NOTE_NOT_COUNTER;
    if (kind == IDELTA && !both)
        *notes |= NOTE_NOT_GAUGE;
    if (kind == IRATE && histogram_was_reset(ev->arena, p[1].h, p[0].h))
        return histogram_compact(ev->arena, p[1].h);
    unsigned flags = 0;
    const struct histogram *change = histogram_sub(ev->arena, p[1].h, p[0].h, &flags);
    if (flags & HISTOGRAM_BOUNDS_RECONCILED)
        *notes |= NOTE_BOUNDS_SUB;
    if (flags & HISTOGRAM_INCOMPATIBLE)
        *notes |= NOTE_SCHEMAS;
    return change;
}

static void instant_rate_hist_step(struct eval *ev, enum instant_kind kind, const struct rate_point p[2], uint32_t i,
                                   struct row *out, unsigned *notes)
{
    const struct histogram *change = hist_change(ev, kind, p, notes);
    if (change == NULL)
        return;
    if (kind == IRATE)
        change = histogram_div(ev->arena, change, (double)(p[1].t - p[0].t) / 1000);
    row_set_hist(ev, out, i, histogram_hinted(ev->arena, change, RESET_GAUGE));
}

static void instant_rate_float_step(enum instant_kind kind, const struct rate_point p[2], uint32_t i, struct row *out)
{
    double change = kind == IRATE && p[1].v < p[0].v ? p[1].v : p[1].v - p[0].v;
    row_set(out, i, kind == IRATE ? change / ((double)(p[1].t - p[0].t) / 1000) : change);
}

static void instant_rate_row(struct eval *ev, const struct range_input *in, struct row *out, enum instant_kind kind)
{
    struct window w = {0};
    struct rate_point p[2];
    unsigned notes = 0;
    for (uint32_t i = 0; i < ev->grid.n; i++) {
        window_move(in, i, &w);
        if (!last_two(in, &w, p))
            continue;
        eval_charge(ev, p[0].h ? CHARGE_HISTOGRAM : 1);
        if (p[0].h && p[1].h)
            instant_rate_hist_step(ev, kind, p, i, out, &notes);
        else if (p[0].h || p[1].h)
            notes |= NOTE_MIXED;
        else
            instant_rate_float_step(kind, p, i, out);
    }
    fn_annotate(ev, in, notes);
}

static void irate(struct eval *ev, const struct range_input *in, struct row *out)
{
    instant_rate_row(ev, in, out, IRATE);
}
static void idelta(struct eval *ev, const struct range_input *in, struct row *out)
{
    instant_rate_row(ev, in, out, IDELTA);
}

const struct function_impl fn_irate = {.range = irate};
const struct function_impl fn_idelta = {.range = idelta};
