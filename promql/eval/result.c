// SPDX-License-Identifier: Apache-2.0
/* Converts rows to the result: drops delayed names, rejects duplicate label sets, and sorts series by labels unless
 * the query determines their order. The rows' columns become the series' values. A range vector at the top level of
 * an instant query is not evaluated: its samples are the result.
 */
#include "promql/eval/eval_internal.h"

#include "base/text/duration.h"
#include "model/labels_sort.h"

static void result_drop_names(struct eval *ev, struct value *v)
{
    if (!ev->delayed_names)
        return;
    for (size_t i = 0; i < v->n; i++)
        if (v->rows[i].drop_name) {
            eval_charge(ev, CHARGE_LABELS);
            v->rows[i].labels = labels_without_name(ev->arena, v->rows[i].labels);
        }
    value_merge(ev, v);
}

static const int64_t *grid_times(struct eval *ev, const struct grid *g)
{
    int64_t *t = arena_alloc(ev->arena, g->n * sizeof *t);
    eval_charge(ev, g->n);
    for (uint32_t i = 0; i < g->n; i++)
        t[i] = grid_time(g, i);
    return t;
}

static void rows_to_series(struct eval *ev, struct value *v, const struct grid *g, struct promql_result *out)
{
    const int64_t *t = grid_times(ev, g);
    value_drop_empty(v, g->n);
    out->series = ARENA_ARRAY(ev->arena, struct promql_series, v->n);
    for (size_t i = 0; i < v->n; i++)
        out->series[out->n++] = (struct promql_series){v->rows[i].labels, t, v->rows[i].v, v->rows[i].h, g->n};
}

static void sort_series(struct eval *ev, struct promql_result *out)
{
    int64_t start = clock_mono_ns();
    if (!labels_sort(&ev->work, ev->arena, out->series, out->n, sizeof *out->series, offsetof(struct promql_series, labels),
                     ev->err))
        eval_stop(ev);
    ev->stats.sort_ns = clock_mono_ns() - start;
}

/* --- range vectors as results ------------------------------------------------------------------------------------- */

static struct promql_series sample_points(struct eval *ev, const struct range_input *in)
{
    size_t n = (size_t)in->n_samples + in->n_hists;
    int64_t *t = arena_alloc(ev->arena, n * sizeof *t);
    double *v = arena_alloc(ev->arena, n * sizeof *v);
    const struct histogram **hists = in->n_hists ? ARENA_ARRAY(ev->arena, const struct histogram *, n) : NULL;
    uint32_t f = 0, h = 0;
    for (size_t i = 0; i < n; i++) {
        bool is_float = h == in->n_hists || (f < in->n_samples && in->samples[f].t <= in->hists[h].t);
        t[i] = is_float ? in->samples[f].t : in->hists[h].t;
        v[i] = is_float ? in->samples[f++].v : 0;
        if (!is_float)
            hists[i] = in->hists[h++].h;
    }
    return (struct promql_series){in->labels, t, v, hists, n};
}

static double at_edge(const struct sample *p, const struct sample *q, int64_t t)
{
    return p->v + (q->v - p->v) * (double)(t - p->t) / (double)(q->t - p->t);
}

/* anchored: the value at the start of the window, the samples in it, and the last one again at its end; smoothed: the
 * boundaries are interpolated. False: the window is empty. */
static bool extend(struct eval *ev, struct range_input *in)
{
    int64_t end = window_end(in, 0), start = end - in->range;
    const struct sample *s = in->samples;
    uint32_t first = 0, last = in->n_samples - 1;
    while (first + 1 <= last && s[first + 1].t <= start)
        first++;
    while (in->smoothed && last > 0 && s[last - 1].t >= end)
        last--;
    if (s[last].t <= start)
        return false;
    struct sample *to = ARENA_ARRAY(ev->arena, struct sample, (size_t)in->n_samples + 2), *p = to;
    bool cut = in->smoothed && s[first].t < start, cut_last = in->smoothed && last > 0 && s[last].t > end;
    *p++ = (struct sample){start, cut ? at_edge(&s[first], &s[first + 1], start) : s[first].v};
    for (uint32_t i = first; i <= last; i++)
        if (s[i].t > start && s[i].t < end)
            *p++ = s[i];
    *p++ = (struct sample){end, cut_last ? at_edge(&s[last - 1], &s[last], end) : s[last].v};
    in->samples = to;
    in->n_samples = (uint32_t)(p - to);
    return true;
}

static bool prepare_input(struct eval *ev, struct range_input *in)
{
    if (!in->anchored && !in->smoothed)
        return true;
    if (in->n_hists > 0)
        eval_fail(ev, ERR_EXEC, "%s modifier is not supported with histograms", in->anchored ? "anchored" : "smoothed");
    return extend(ev, in);
}

static void matrix_result(struct eval *ev, const struct expr *e, struct promql_result *out)
{
    const struct expr *selector = e->u.matrix.selector;
    struct series_set *set = &ev->sets[selector->u.selector.select];
    struct range_input in = {.arg = e, .first_end = eval_times_shifted(&ev->grid, &selector->u.selector.shift).first,
                             .range = e->u.matrix.range,
                             .lookback = ev->lookback, .anchored = selector->u.selector.anchored,
                             .smoothed = selector->u.selector.smoothed};
    struct range_window window = {0};
    out->series = ARENA_ARRAY(ev->arena, struct promql_series, set->n);
    for (size_t i = 0; i < set->n; i++) {
        if (!range_window_series(ev, &window, set, i, &in) || !prepare_input(ev, &in))
            continue;
        uint64_t bytes = input_mem_estimate(&in);
        eval_hold(ev, bytes);
        eval_count_read(ev, 0, bytes);
        out->series[out->n++] = sample_points(ev, &in);
    }
}

static void subquery_result(struct eval *ev, const struct expr *e, struct promql_result *out)
{
    struct value rows;
    struct grid outer = ev->grid, inner;
    eval_subquery(ev, e, &rows, &inner);
    ev->grid = inner;
    result_drop_names(ev, &rows);
    ev->grid = outer;
    rows_to_series(ev, &rows, &inner, out);
}

/* --- scalars, strings and vectors --------------------------------------------------------------------------------- */

static void scalar_result(struct eval *ev, const struct value *v, struct promql_result *out)
{
    struct value one = {.type = VALUE_VECTOR, .rows = &(struct row){.v = v->scalar}, .n = ev->grid.n > 0};
    if (ev->params->range)
        rows_to_series(ev, &one, &ev->grid, out);
    else
        out->scalar = v->scalar[0];
}

static const struct expr *ordering_side(const struct expr *e)
{
    const struct matching *m = e->u.binary.matching;
    bool right = m ? m->card == CARD_ONE_TO_MANY : e->u.binary.left->type == VALUE_SCALAR;
    return right ? e->u.binary.right : e->u.binary.left;
}

static const struct expr *vector_argument(const struct expr *call)
{
    for (size_t i = 0; i < call->u.call.n_args; i++)
        if (call->u.call.args[i]->type == VALUE_VECTOR)
            return call->u.call.args[i];
    return NULL;
}

/* Whether the query determines the order of its result: sort() and its variants, topk and bottomk do. Other functions
 * and operators keep the order of their operand (the "many" side; for set operators the left one). */
static bool order_decided(const struct expr *e)
{
    while (e) {
        switch (e->kind) {
        case EXPR_PAREN: e = e->u.paren.inner; break;
        case EXPR_STEP_INVARIANT: e = e->u.invariant.inner; break;
        case EXPR_UNARY: e = e->u.unary.inner; break;
        case EXPR_BINARY: e = ordering_side(e); break;
        case EXPR_CALL:
            if (function_is_sort(e->u.call.fn->id))
                return true;
            e = vector_argument(e);
            break;
        default: return e->kind == EXPR_AGGREGATE && (e->u.aggregate.op == AGG_TOPK ||
                                                      e->u.aggregate.op == AGG_BOTTOMK);
        }
    }
    return false;
}

static enum promql_type result_type(const struct eval *ev, const struct expr *e)
{
    if (ev->params->range || e->type == VALUE_MATRIX)
        return PROMQL_MATRIX;
    return e->type == VALUE_SCALAR ? PROMQL_SCALAR : e->type == VALUE_STRING ? PROMQL_STRING : PROMQL_VECTOR;
}

void make_result(struct eval *ev, const struct expr *e, struct promql_result *out)
{
    while (e->kind == EXPR_PAREN)
        e = e->u.paren.inner;
    out->t = ev->params->start;
    out->type = result_type(ev, e);
    if (e->kind == EXPR_MATRIX) {
        matrix_result(ev, e, out);
    } else if (e->kind == EXPR_SUBQUERY) {
        subquery_result(ev, e, out);
    } else {
        struct value v;
        eval_expr(ev, e, &v);
        result_drop_names(ev, &v);
        out->string = v.string;
        if (v.type == VALUE_SCALAR)
            scalar_result(ev, &v, out);
        else if (v.type == VALUE_VECTOR)
            rows_to_series(ev, &v, &ev->grid, out);
    }
    if (out->type == PROMQL_MATRIX || (out->type == PROMQL_VECTOR && !order_decided(e)))
        sort_series(ev, out);
}
