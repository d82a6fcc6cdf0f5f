// SPDX-License-Identifier: Apache-2.0
/* Calls on range vectors: the function gets one series at a time (range_window.c) and fills a complete row. */
#include "promql/eval/eval_internal.h"

uint64_t input_mem_estimate(const struct range_input *in)
{
    uint64_t sum = in->n_samples;
    for (uint32_t i = 0; i < in->n_hists; i++)
        sum += histogram_mem_estimate(in->hists[i].h);
    return sum;
}

/* Charges each step with all samples of its window, as Prometheus counts them. */
static void count_windows(struct eval *ev, const struct range_input *in, const uint32_t *replica_of, uint32_t replica)
{
    struct window w = {0};
    if (replica_of == NULL && ev->per_step == NULL && in->n_hists == 0) {
        ev->stats.samples += in->in_windows;
        return;
    }
    for (uint32_t i = 0; i < ev->grid.n; i++) {
        if (replica_of && replica_of[i] != replica)
            continue;
        window_move(in, i, &w);
        uint64_t sum = w.to - w.from;
        eval_charge(ev, w.hist_to - w.hist_from);
        for (uint32_t h = w.hist_from; h < w.hist_to; h++)
            sum += histogram_mem_estimate(in->hists[h].h);
        if (sum > 0)
            eval_count_read(ev, i, sum);
    }
}

void range_fill_windows(struct eval *ev, struct range_call *c, const uint32_t *replica_of, uint32_t replica,
                        struct row *row)
{
    uint64_t estimate = input_mem_estimate(&c->in);
    eval_charge(ev, estimate + ev->grid.n);
    eval_hold(ev, estimate);
    count_windows(ev, &c->in, replica_of, replica);
    c->impl->range(ev, &c->in, row);
    ev->live -= estimate;
}

/* Fills a row whose column is absent; returns the number of samples that it holds. */
static uint64_t range_fill_row(struct eval *ev, struct range_call *c, struct row *row)
{
    if (c->window.several)
        replica_windows_fill(ev, c, row);
    else
        range_fill_windows(ev, c, NULL, 0, row);
    uint64_t bytes = row_mem_estimate(row, ev->grid.n);
    eval_hold(ev, bytes);
    return bytes;
}

static void range_add_row(struct eval *ev, struct range_call *c, bool drops_name, struct value *out)
{
    struct row *row = value_add_row(ev, out, c->in.labels);
    if (drops_name || !c->impl->keeps_name)
        row_drop_name(ev, row);
    if (range_fill_row(ev, c, row) == 0)
        out->n--;
}

static void check_modifiers(struct eval *ev, const struct range_call *c)
{
    const char *name = c->in.call->u.call.fn->name;
    if (c->in.anchored && !c->impl->anchored_safe)
        eval_fail(ev, ERR_EXEC,
                  "anchored modifier can only be used with: changes, delta, increase, rate, resets - not with %s",
                  name);
    if (c->in.smoothed && !c->impl->smoothed_safe)
        eval_fail(ev, ERR_EXEC, "smoothed modifier can only be used with: delta, increase, rate - not with %s", name);
}

static void aim_at_selector(struct eval *ev, struct range_call *c)
{
    const struct expr *selector = c->in.arg->u.matrix.selector;
    struct eval_times times = eval_times_shifted(&ev->grid, &selector->u.selector.shift);
    c->set = &ev->sets[selector->u.selector.select];
    c->window.drop_buckets = selector->u.selector.drop_buckets;
    c->in.first_end = times.first;
    c->in.stride = times.stride;
    c->in.range = c->in.arg->u.matrix.range;
    c->in.anchored = selector->u.selector.anchored;
    c->in.smoothed = selector->u.selector.smoothed;
    check_modifiers(ev, c);
}

size_t range_argument(const struct expr *call)
{
    size_t at = 0;
    while (at < call->u.call.n_args && call->u.call.args[at]->type != VALUE_MATRIX)
        at++;
    return at;
}

void range_begin(struct eval *ev, const struct expr *e, struct range_call *c)
{
    size_t at = range_argument(e);
    struct value *args = arguments(ev, e->u.call.n_args);
    *c = (struct range_call){.impl = function_impl(e->u.call.fn->id),
                             .in = {.call = e, .arg = e->u.call.args[at], .args = args, .lookback = ev->lookback}};
    for (size_t i = 0; i < e->u.call.n_args; i++)
        if (i != at)
            eval_expr(ev, e->u.call.args[i], &args[i]);
    if (c->in.arg->kind == EXPR_MATRIX)
        aim_at_selector(ev, c);
}

void eval_subquery(struct eval *ev, const struct expr *e, struct value *out, struct grid *inner)
{
    struct grid outer = ev->grid;
    *inner = ev->grid = subquery_grid(ev, &outer, e);
    eval_expr(ev, e->u.subquery.inner, out);
    ev->grid = outer;
}

static void over_subquery(struct eval *ev, struct range_call *c, struct value *out)
{
    struct value rows;
    struct grid inner;
    struct eval_times times = eval_times_shifted(&ev->grid, &c->in.arg->u.subquery.shift);
    struct sample_budget budget = sample_budget_pause(ev);
    eval_subquery(ev, c->in.arg, &rows, &inner);
    sample_budget_resume(ev, budget);
    c->in.first_end = times.first;
    c->in.stride = times.stride;
    c->in.range = c->in.arg->u.subquery.range;
    c->in.subquery = true;
    for (size_t i = 0; i < rows.n; i++)
        if (range_window_row(ev, &c->window, &rows.rows[i], &inner, &c->in))
            range_add_row(ev, c, rows.rows[i].drop_name, out);
}

static void over_selector(struct eval *ev, struct range_call *c, struct value *out)
{
    for (size_t i = 0; i < c->set->n; i++)
        if (range_window_series(ev, &c->window, c->set, i, &c->in))
            range_add_row(ev, c, false, out);
}

void eval_range_call(struct eval *ev, const struct expr *e, struct value *out)
{
    struct range_call c;
    range_begin(ev, e, &c);
    if (c.set)
        over_selector(ev, &c, out);
    else
        over_subquery(ev, &c, out);
    if (c.impl->finish)
        c.impl->finish(ev, e, out);
    bool differ = c.set && c.impl->finish == NULL && set_differs_without_names(ev, c.set);
    if (!ev->delayed_names && !differ)
        value_merge(ev, out);
}

uint64_t range_row(struct eval *ev, struct range_call *c, size_t i, struct row *row)
{
    return range_window_series(ev, &c->window, c->set, i, &c->in) ? range_fill_row(ev, c, row) : 0;
}
