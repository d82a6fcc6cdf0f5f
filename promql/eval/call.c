// SPDX-License-Identifier: Apache-2.0
/* Function calls: dispatches by the kind of function, and implements timestamp(), which needs the times of samples. */
#include "promql/eval/eval_internal.h"

#include <math.h>

/* With @, an offset bounds what is read, but Prometheus applies lookback from the time of @. */
static void drop_times_before(struct eval *ev, int64_t oldest, struct row *row)
{
    for (uint32_t i = 0; i < ev->grid.n; i++)
        if (!is_absent(row->v[i]) && llround(row->v[i] * 1000) <= oldest)
            row_clear(row, i);
}

static void eval_timestamp(struct eval *ev, const struct expr *selector, struct value *out)
{
    const struct time_shift *shift = &selector->u.selector.shift;
    eval_instant(ev, selector, &ev->sets[selector->u.selector.select], SAMPLE_TIME, out);
    for (size_t i = 0; i < out->n; i++) {
        row_drop_name(ev, &out->rows[i]);
        if (shift->at != AT_NONE)
            drop_times_before(ev, shift->at_time - ev->lookback, &out->rows[i]);
    }
    value_drop_empty(out, ev->grid.n);
}

static void eval_rows_call(struct eval *ev, const struct function_impl *impl, const struct expr *e, struct value *out)
{
    struct call c = {.expr = e, .args = arguments(ev, e->u.call.n_args), .n_args = e->u.call.n_args};
    for (size_t i = 0; i < c.n_args; i++)
        eval_expr(ev, e->u.call.args[i], &c.args[i]);
    impl->rows(ev, &c, out);
    value_drop_empty(out, ev->grid.n);
}

void eval_call(struct eval *ev, const struct expr *e, struct value *out)
{
    enum function_id id = e->u.call.fn->id;
    const struct function_impl *impl = function_impl(id);
    if (range_argument(e) < e->u.call.n_args) {
        eval_range_call(ev, e, out);
        return;
    }
    if (function_is_sort(id) && ev->grid.n > 1)
        eval_warn(ev, e, "sort is ineffective for range queries since results are always ordered by labels");
    if (id == FN_TIMESTAMP && e->u.call.args[0]->kind == EXPR_SELECTOR)
        eval_timestamp(ev, e->u.call.args[0], out);
    else if (impl->walk)
        impl->walk(ev, e, out);
    else
        eval_rows_call(ev, impl, e, out);
    if (impl->sets_labels || !ev->delayed_names || ev->grid.n > 1)
        value_merge(ev, out);
}
