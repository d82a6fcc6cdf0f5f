// SPDX-License-Identifier: Apache-2.0
/* Rows computed on demand. An aggregation reads each row of its argument once. If the argument is a selector or a
 * range function of one, its labels are known in advance, and all rows can share one column, which stays in the CPU
 * cache. sum by (job) (rate(x[5m])) over 10,000 series and 241 steps would otherwise write and read 19 MB.
 */
#include "promql/eval/eval_internal.h"

static const struct expr *selector_of_call(const struct expr *e)
{
    size_t at = e->kind == EXPR_CALL ? range_argument(e) : 0;
    bool is = e->kind == EXPR_CALL && at < e->u.call.n_args && e->u.call.args[at]->kind == EXPR_MATRIX;
    return is ? e->u.call.args[at]->u.matrix.selector : NULL;
}

static void lazy_rows_add_labels(struct eval *ev, const struct series_set *set, bool keeps_name, struct value *out)
{
    *out = (struct value){.type = VALUE_VECTOR, .rows = ARENA_ARRAY(ev->arena, struct row, set->n), .n = set->n};
    for (size_t i = 0; i < set->n; i++) {
        out->rows[i].labels = set->series[i].labels;
        if (!keeps_name)
            row_drop_name(ev, &out->rows[i]);
    }
}

static struct lazy_rows *lazy_rows_of_instant(struct eval *ev, const struct expr *e, struct value *out)
{
    struct lazy_rows *l = ARENA_NEW(ev->arena, struct lazy_rows);
    struct instant *in = ARENA_NEW(ev->arena, struct instant);
    *in = instant_begin(ev, e, &ev->sets[e->u.selector.select], SAMPLE_VALUE);
    *l = (struct lazy_rows){.instant = in};
    lazy_rows_add_labels(ev, in->set, true, out);
    return l;
}

static struct lazy_rows *lazy_rows_of_call(struct eval *ev, const struct expr *e, struct value *out)
{
    const struct function_impl *impl = function_impl(e->u.call.fn->id);
    if (impl->finish)
        return NULL;
    const struct series_set *set = &ev->sets[selector_of_call(e)->u.selector.select];
    lazy_rows_add_labels(ev, set, impl->keeps_name, out);
    if (!impl->keeps_name && !ev->delayed_names && !set_differs_without_names(ev, set) && value_repeats_labels(ev, out))
        return NULL;
    struct lazy_rows *l = ARENA_NEW(ev->arena, struct lazy_rows);
    *l = (struct lazy_rows){.call = ARENA_NEW(ev->arena, struct range_call)};
    range_begin(ev, e, l->call);
    return l;
}

struct lazy_rows *lazy_rows_begin(struct eval *ev, const struct expr *e, struct value *out)
{
    if (ev->grid.n == 0)
        return NULL;
    if (e->kind == EXPR_SELECTOR && !e->u.selector.smoothed)
        return lazy_rows_of_instant(ev, e, out);
    return selector_of_call(e) ? lazy_rows_of_call(ev, e, out) : NULL;
}

bool lazy_row(struct eval *ev, struct lazy_rows *l, size_t i, struct row *row)
{
    uint64_t n_samples;
    if (l->column == NULL)
        l->column = arena_alloc(ev->arena, ev->grid.n * sizeof *l->column);
    row->v = l->column;
    if (l->instant) {
        n_samples = instant_row(ev, l->instant, i, row);
    } else {
        column_clear(row->v, ev->grid.n);
        n_samples = range_row(ev, l->call, i, row);
    }
    if (row->h) /* rows with histograms keep their column */
        l->column = NULL;
    return n_samples > 0;
}
