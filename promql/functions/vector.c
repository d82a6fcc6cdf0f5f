// SPDX-License-Identifier: Apache-2.0
/* Conversions between scalars and vectors, absent(), and constants. */
#include "promql/functions/functions_internal.h"

/* Without what does not change the value, and as it was before servers computed it. */
static const struct expr *plain(const struct expr *e)
{
    for (;;) {
        switch (e->kind) {
        case EXPR_PAREN: e = e->u.paren.inner; break;
        case EXPR_STEP_INVARIANT: e = e->u.invariant.inner; break;
        case EXPR_FETCHED: e = e->u.fetched.of; break;
        case EXPR_CUT: e = e->u.cut.of; break;
        default: return e;
        }
    }
}

/* Whether a matcher cancels the label of an equality matcher on the same name: any matcher after it, or one that
 * rejects a value, at any position, since Prometheus sorts those last. */
static bool matcher_cancels_label(const struct matcher *m, bool after)
{
    return after || ((m->type == MATCH_NE || m->type == MATCH_NRE) && matcher_value(m, STR_NONE));
}

/* The first equality matcher on a label sets its value. */
static bool matcher_sets_label(const struct expr *selector, size_t at)
{
    const struct matcher *m = selector->u.selector.matchers;
    if (m[at].type != MATCH_EQ || str_is(m[at].name, METRIC_NAME))
        return false;
    for (size_t i = 0; i < selector->u.selector.n_matchers; i++)
        if (i != at && str_eq(m[i].name, m[at].name) && (m[i].type == MATCH_EQ || matcher_cancels_label(&m[i], i > at)))
            return false;
    return true;
}

/* The labels of the missing series. */
struct labels fn_absent_labels(struct eval *ev, const struct expr *arg)
{
    const struct expr *e = plain(arg);
    if (e->kind == EXPR_MATRIX)
        e = e->u.matrix.selector;
    struct labels labels = {0};
    if (e->kind != EXPR_SELECTOR)
        return labels;
    for (size_t i = 0; i < e->u.selector.n_matchers; i++) {
        const struct matcher *m = &e->u.selector.matchers[i];
        if (matcher_sets_label(e, i))
            labels = labels_with(ev->arena, labels, m->name, m->value);
    }
    return labels;
}

/* 1 where no row has a value. */
static void absent_of(struct eval *ev, const struct expr *arg, const struct value *in, struct value *out)
{
    double *v = eval_column(ev);
    for (uint32_t i = 0; i < ev->grid.n; i++) {
        size_t r = 0;
        while (r < in->n && is_absent(in->rows[r].v[i]))
            r++;
        eval_charge(ev, 4 * r);
        if (r == in->n)
            v[i] = 1;
    }
    struct value made = {.type = VALUE_VECTOR};
    value_add_row(ev, &made, fn_absent_labels(ev, arg))->v = v;
    value_drop_empty(&made, ev->grid.n);
    *out = made;
}

static void absent(struct eval *ev, const struct call *c, struct value *out)
{
    absent_of(ev, c->expr->u.call.args[0], &c->args[0], out);
}

static void absent_over_time(struct eval *ev, const struct expr *call, struct value *out)
{
    struct value present = *out;
    absent_of(ev, call->u.call.args[0], &present, out);
}

/* The only float of each step, NaN when there are none or several. */
static void scalar(struct eval *ev, const struct call *c, struct value *out)
{
    const struct value *in = &c->args[0];
    out->scalar = eval_column(ev);
    for (uint32_t i = 0; i < ev->grid.n; i++) {
        size_t found = 0;
        double v = NAN;
        for (size_t r = 0; r < in->n && found < 2; r++) {
            eval_charge(ev, 4);
            if (is_absent(in->rows[r].v[i]) || row_hist(&in->rows[r], i))
                continue;
            v = in->rows[r].v[i];
            found++;
        }
        out->scalar[i] = found == 1 ? v : NAN;
    }
}

static void vector(struct eval *ev, const struct call *c, struct value *out)
{
    value_add_row(ev, out, (struct labels){0})->v = c->args[0].scalar;
}

static void pi_of_steps(struct eval *ev, const struct call *c, struct value *out)
{
    (void)c;
    out->scalar = eval_column(ev);
    for (uint32_t i = 0; i < ev->grid.n; i++)
        out->scalar[i] = 3.14159265358979323846;
}

static void max_of(struct eval *ev, const struct call *c, struct value *out)
{
    out->scalar = c->args[0].scalar;
    for (uint32_t i = 0; i < ev->grid.n; i++)
        out->scalar[i] = go_max(c->args[0].scalar[i], c->args[1].scalar[i]);
}

static void min_of(struct eval *ev, const struct call *c, struct value *out)
{
    out->scalar = c->args[0].scalar;
    for (uint32_t i = 0; i < ev->grid.n; i++)
        out->scalar[i] = go_min(c->args[0].scalar[i], c->args[1].scalar[i]);
}

static void present_row(struct eval *ev, const struct range_input *in, struct row *out)
{
    fn_present_over_time.range(ev, in, out);
}

const struct function_impl fn_absent = {.rows = absent};
const struct function_impl fn_absent_over_time = {.range = present_row, .finish = absent_over_time};
const struct function_impl fn_scalar = {.rows = scalar};
const struct function_impl fn_vector = {.rows = vector};
const struct function_impl fn_pi = {.rows = pi_of_steps};
const struct function_impl fn_max_of = {.rows = max_of};
const struct function_impl fn_min_of = {.rows = min_of};
