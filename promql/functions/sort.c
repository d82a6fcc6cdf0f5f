// SPDX-License-Identifier: Apache-2.0
/* sort(), sort_by_label() and their descending variants: set the order of rows, which is visible only in the result
 * of an instant query. */
#include "promql/functions/functions_internal.h"

#include "base/pdqsort.h"
#include "base/text/num.h"
#include "model/labels_sort.h"

struct order { struct eval *ev; const struct row *rows; const struct call *call; };

static double sort_value_of(const void *order, uint32_t row) { return ((const struct order *)order)->rows[row].v[0]; }

/* NaN is last in both directions. */
static bool is_lower(const void *order, uint32_t x, uint32_t y)
{
    double b = sort_value_of(order, y);
    eval_charge(((const struct order *)order)->ev, 8);
    return isnan(b) || sort_value_of(order, x) < b;
}

static bool is_higher(const void *order, uint32_t x, uint32_t y)
{
    double b = sort_value_of(order, y);
    eval_charge(((const struct order *)order)->ev, 8);
    return isnan(b) || sort_value_of(order, x) > b;
}

static bool sort_is_digit(char c) { return c >= '0' && c <= '9'; }

/* The leading run of digits or of non-digits. */
static struct str cut_run(struct str *s)
{
    size_t n = 0;
    while (n < s->n && sort_is_digit(s->p[n]) == sort_is_digit(s->p[0]))
        n++;
    struct str run = str_first(*s, n);
    *s = str_skip(*s, n);
    return run;
}

/* False when it is not a number, or larger than Go's int. */
static bool run_number(struct str run, int64_t *n)
{
    return run.n > 0 && sort_is_digit(run.p[0]) && num_parse_i64(run, n);
}

static int compare_runs(struct str x, struct str y)
{
    int64_t i, j;
    if (run_number(x, &i) && run_number(y, &j))
        return i < j ? -1 : i > j;
    return str_cmp(x, y);
}

/* Natural order: node2 before node10. A prefix sorts before the longer text, a number with more leading zeros before
 * an equal one (007 before 7); the empty text sorts last. */
static bool precedes(struct str a, struct str b)
{
    while (a.n > 0 && b.n > 0) {
        int order = compare_runs(cut_run(&a), cut_run(&b));
        if (order != 0)
            return order < 0;
        if (a.n == 0)
            return true;
    }
    return false;
}

/* The first sort label in which the rows differ; false: there is none. */
static bool differing(const struct order *o, uint32_t x, uint32_t y, struct str *a, struct str *b)
{
    eval_charge(o->ev, CHARGE_LABELS * o->call->n_args);
    for (size_t i = 1; i < o->call->n_args; i++) {
        struct str name = o->call->args[i].string;
        *a = labels_get(o->rows[x].labels, name);
        *b = labels_get(o->rows[y].labels, name);
        if (!str_eq(*a, *b))
            return true;
    }
    return false;
}

static bool labels_rise(const void *order, uint32_t x, uint32_t y)
{
    const struct order *o = order;
    struct str a, b;
    return differing(o, x, y, &a, &b) ? precedes(a, b) : labels_cmp(o->rows[x].labels, o->rows[y].labels) < 0;
}

static bool labels_fall(const void *order, uint32_t x, uint32_t y)
{
    const struct order *o = order;
    struct str a, b;
    return differing(o, x, y, &a, &b) ? !precedes(a, b) : labels_cmp(o->rows[x].labels, o->rows[y].labels) > 0;
}

static void sort_rows(struct eval *ev, const struct call *c, struct value *out, pdqsort_less_fn *is_less)
{
    const struct value *in = &c->args[0];
    if (ev->grid.n > 1 || in->n < 2) {
        fn_reuse_rows(out, in);
        return;
    }
    uint32_t *places = ARENA_ARRAY(ev->arena, uint32_t, in->n);
    for (uint32_t i = 0; i < in->n; i++)
        places[i] = i;
    pdqsort(places, in->n, is_less, &(struct order){ev, in->rows, c});
    arena_grow(ev->arena, &out->rows, &out->_cap, in->n, sizeof *out->rows);
    for (size_t i = 0; i < in->n; i++)
        out->rows[out->n++] = in->rows[places[i]];
}

static void drop_histograms(struct eval *ev, const struct call *c)
{
    for (size_t r = 0; r < c->args[0].n; r++)
        for (uint32_t i = 0; i < ev->grid.n; i++)
            if (row_hist(&c->args[0].rows[r], i))
                row_clear(&c->args[0].rows[r], i);
}

static void sort_by_value(struct eval *ev, const struct call *c, struct value *out, pdqsort_less_fn *is_less)
{
    struct value *in = &c->args[0];
    drop_histograms(ev, c);
    value_drop_empty(in, ev->grid.n);
    if (ev->source->united && ev->grid.n == 1 && /* decides the order of equal values */
        !labels_sort(&ev->work, ev->arena, in->rows, in->n, sizeof *in->rows, offsetof(struct row, labels), ev->err))
        eval_stop(ev);
    sort_rows(ev, c, out, is_less);
}

#define SORT(name, sort, is_less) \
    static void by_##name(struct eval *ev, const struct call *c, struct value *out) { sort(ev, c, out, is_less); } \
    const struct function_impl fn_##name = {.rows = by_##name}
SORT(sort, sort_by_value, is_lower);
SORT(sort_desc, sort_by_value, is_higher);
SORT(sort_by_label, sort_rows, labels_rise);
SORT(sort_by_label_desc, sort_rows, labels_fall);
