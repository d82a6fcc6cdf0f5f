// SPDX-License-Identifier: Apache-2.0
/* Prints an expression in one line as Prometheus does: matchers sorted, one space around operators. The output parses
 * to the same tree.
 *
 * Some bugs of Prometheus are not reproduced, since they violate that: +Inf before ^ loses its sign (+Inf ^ 2 would
 * parse as +(Inf ^ 2)), -0s keeps it, milliseconds of durations are rounded, not truncated (4s35ms does not become
 * 4s34ms), an offset in parentheses is terminated before arithmetic, and a selector without matchers, valid in
 * info(), is {}.
 */
#include "promql/ast/print.h"

#include "base/text/num.h"
#include "base/text/duration.h"
#include "promql/ast/functions.h"
#include "promql/ast/quote.h"

#include <math.h>
#include <stdlib.h>

void print_number(struct buf *out, double v)
{
    char text[NUM_PLAIN_MAX];
    buf_add(out, text, num_format_plain(text, v));
}

static void print_seconds(struct buf *out, double v, bool as_duration)
{
    if (!as_duration) {
        print_number(out, v);
        return;
    }
    if (signbit(v))
        buf_add_char(out, '-'); /* of -0s too */
    buf_add_duration(out, llround(fabs(v) * 1000));
}

static void print_str_list(struct buf *out, const struct str *items, size_t n, const char *between,
                           void (*print)(struct buf *out, struct str item))
{
    for (size_t i = 0; i < n && !out->over; i++) {
        buf_add_z(out, i > 0 ? between : "");
        print(out, items[i]);
    }
}

static void print_label_list(struct buf *out, const struct str *labels, size_t n)
{
    buf_add_char(out, '(');
    print_str_list(out, labels, n, ", ", quote_label);
    buf_add_char(out, ')');
}

/* --- times -------------------------------------------------------------------------------------------------------- */

static void print_duration_expr(struct buf *out, const struct duration_expr *d);

static void print_duration_around(struct buf *out, const char *before, const struct duration_expr *d, const char *after)
{
    buf_add_z(out, before);
    print_duration_expr(out, d);
    buf_add_z(out, after);
}

static void print_duration_call(struct buf *out, const char *name, const struct duration_expr *d)
{
    print_duration_around(out, name, d->left, ", ");
    print_duration_around(out, "", d->right, ")");
}

static void print_duration_chain(struct buf *out, const struct duration_expr *d)
{
    static const char *const operators[] = {[DUR_ADD] = " + ", [DUR_SUB] = " - ", [DUR_MUL] = " * ", [DUR_DIV] = " / ",
                                            [DUR_MOD] = " % ", [DUR_POW] = " ^ "};
    const struct duration_expr *b = duration_chain_start(d);
    print_duration_expr(out, b->left);
    for (;; b = b->next) {
        print_duration_around(out, operators[b->kind], b->right, "");
        if (b == d)
            break;
    }
}

static void print_duration_expr(struct buf *out, const struct duration_expr *d)
{
    switch (d->kind) {
    case DUR_NUMBER: print_seconds(out, d->seconds, d->as_duration); break;
    case DUR_STEP: buf_add_z(out, "step()"); break;
    case DUR_RANGE: buf_add_z(out, "range()"); break;
    case DUR_NEG: print_duration_around(out, "-", d->left, ""); break;
    case DUR_PAREN: print_duration_around(out, d->plus ? "+(" : "(", d->left, ")"); break;
    case DUR_MIN: print_duration_call(out, "min_of(", d); break;
    case DUR_MAX: print_duration_call(out, "max_of(", d); break;
    case DUR_ADD: case DUR_SUB: case DUR_MUL: case DUR_DIV: case DUR_MOD: case DUR_POW:
        print_duration_chain(out, d);
        break;
    }
}

static void print_span(struct buf *out, int64_t ms, const struct duration_expr *d)
{
    if (d)
        print_duration_expr(out, d);
    else
        buf_add_duration(out, ms);
}

static void print_at(struct buf *out, const struct time_shift *s)
{
    switch (s->at) {
    case AT_NONE: break;
    case AT_TIME: buf_printf(out, " @ %.3f", (double)s->at_time / 1000); break;
    case AT_START: buf_add_z(out, " @ start()"); break;
    case AT_END: buf_add_z(out, " @ end()"); break;
    }
}

static void print_offset(struct buf *out, const struct time_shift *s)
{
    if (s->offset == 0 && s->offset_expr == NULL)
        return;
    buf_add_z(out, " offset ");
    print_span(out, s->offset, s->offset_expr);
}

static void print_extension(struct buf *out, const struct expr *selector)
{
    if (selector->u.selector.anchored)
        buf_add_z(out, " anchored");
    if (selector->u.selector.smoothed)
        buf_add_z(out, " smoothed");
}

void print_subquery_suffix(struct buf *out, const struct expr *e)
{
    buf_add_char(out, '[');
    print_span(out, e->u.subquery.range, e->u.subquery.range_expr);
    buf_add_char(out, ':');
    if (e->u.subquery.step != 0 || e->u.subquery.step_expr)
        print_span(out, e->u.subquery.step, e->u.subquery.step_expr);
    buf_add_char(out, ']');
    print_at(out, &e->u.subquery.shift);
    print_offset(out, &e->u.subquery.shift);
}

/* --- selectors ---------------------------------------------------------------------------------------------------- */

static bool is_name_matcher(const struct expr *e, const struct matcher *m)
{
    struct str name = e->u.selector.name;
    return m->type == MATCH_EQ && m->value.n > 0 && str_is(m->name, METRIC_NAME) && str_eq(m->value, name);
}

static int print_compare_text(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static void print_matchers(struct buf *out, const struct expr *e)
{
    size_t n = 0, total = e->u.selector.n_matchers;
    struct buf text = {.max = out->max};
    struct str *items = mem_alloc((total + 1) * sizeof *items);
    for (size_t i = 0; i < total && !text.over; i++) {
        const struct matcher *m = &e->u.selector.matchers[i];
        if (is_name_matcher(e, m))
            continue;
        size_t from = text.n;
        quote_label(&text, m->name);
        buf_add_z(&text, match_type_text(m->type));
        quote_text(&text, m->value);
        items[n++] = str_n(NULL, text.n - from);
    }
    const char *p = text.p;
    for (size_t i = 0; i < n; p += items[i++].n)
        items[i].p = p;
    qsort(items, n, sizeof *items, print_compare_text);
    if (n > 0 || e->u.selector.name.n == 0) {
        buf_add_char(out, '{');
        print_str_list(out, items, n, ",", buf_add_str);
        buf_add_char(out, '}');
    }
    out->over |= text.over;
    mem_free(items);
    buf_free(&text);
}

static void print_selector(struct buf *out, const struct expr *e)
{
    buf_add_str(out, e->u.selector.name);
    print_matchers(out, e);
    print_at(out, &e->u.selector.shift);
    print_extension(out, e);
    print_offset(out, &e->u.selector.shift);
}

static void print_matrix(struct buf *out, const struct expr *e)
{
    const struct expr *selector = e->u.matrix.selector;
    buf_add_str(out, selector->u.selector.name);
    print_matchers(out, selector);
    buf_add_char(out, '[');
    print_span(out, e->u.matrix.range, e->u.matrix.range_expr);
    buf_add_char(out, ']');
    print_extension(out, selector);
    print_at(out, &selector->u.selector.shift);
    print_offset(out, &selector->u.selector.shift);
}

/* --- operators and calls ------------------------------------------------------------------------------------------ */

void print_aggregate_head(struct buf *out, const struct expr *e)
{
    buf_add_z(out, aggregate_op_text(e->u.aggregate.op));
    if (!e->u.aggregate.without && e->u.aggregate.n_labels == 0)
        return;
    buf_add_z(out, e->u.aggregate.without ? " without " : " by ");
    print_label_list(out, e->u.aggregate.labels, e->u.aggregate.n_labels);
    buf_add_char(out, ' ');
}

static void print_fill(struct buf *out, const char *name, double v)
{
    char text[NUM_MAX];
    buf_printf(out, " %s (%.*s)", name, (int)num_format_go(text, v), text);
}

static void print_fills(struct buf *out, const struct matching *m)
{
    if (m->fill_left && m->fill_right && m->fill_left_value == m->fill_right_value) {
        print_fill(out, "fill", m->fill_left_value);
        return;
    }
    if (m->fill_left)
        print_fill(out, "fill_left", m->fill_left_value);
    if (m->fill_right)
        print_fill(out, "fill_right", m->fill_right_value);
}

void print_operator(struct buf *out, const struct expr *e)
{
    const struct matching *m = e->u.binary.matching;
    buf_add_z(out, binary_op_text(e->u.binary.op));
    if (e->u.binary.is_bool)
        buf_add_z(out, " bool");
    if (m == NULL)
        return;
    bool grouped = m->card == CARD_MANY_TO_ONE || m->card == CARD_ONE_TO_MANY;
    if (m->n_labels > 0 || m->on || grouped) {
        buf_add_z(out, m->on ? " on " : " ignoring ");
        print_label_list(out, m->labels, m->n_labels);
    }
    if (grouped) {
        buf_add_z(out, m->card == CARD_MANY_TO_ONE ? " group_left " : " group_right ");
        print_label_list(out, m->include, m->n_include);
    }
    print_fills(out, m);
}

bool print_is_infinite_base(const struct expr *e)
{
    const struct expr *left = e->u.binary.left;
    return e->u.binary.op == OP_POW && left->kind == EXPR_NUMBER && isinf(left->u.number.v);
}

static void print_chain(struct buf *out, const struct expr *e)
{
    const struct expr *b = binary_chain_start(e);
    if (print_is_infinite_base(b))
        buf_add_z(out, "Inf");
    else
        promql_print(out, b->u.binary.left);
    for (; !out->over; b = b->u.binary.next) {
        buf_add_char(out, ' ');
        print_operator(out, b);
        buf_add_char(out, ' ');
        promql_print(out, b->u.binary.right);
        if (b == e)
            break;
    }
}

static void print_aggregate(struct buf *out, const struct expr *e)
{
    print_aggregate_head(out, e);
    buf_add_char(out, '(');
    if (e->u.aggregate.param) {
        promql_print(out, e->u.aggregate.param);
        buf_add_z(out, ", ");
    }
    promql_print(out, e->u.aggregate.inner);
    buf_add_char(out, ')');
}

static void print_call(struct buf *out, const struct expr *e)
{
    buf_printf(out, "%s(", e->u.call.fn->name);
    for (size_t i = 0; i < e->u.call.n_args; i++) {
        if (i > 0)
            buf_add_z(out, ", ");
        promql_print(out, e->u.call.args[i]);
    }
    buf_add_char(out, ')');
}

void promql_print(struct buf *out, const struct expr *e)
{
    if (out->over) /* the buffer's limit is exceeded; promql_pretty needs only to know that the line is too long */
        return;
    switch (e->kind) {
    case EXPR_NUMBER: print_seconds(out, e->u.number.v, e->u.number.as_duration); break;
    case EXPR_STRING: quote_text(out, e->u.string); break;
    case EXPR_PAREN: buf_add_char(out, '('); promql_print(out, e->u.paren.inner); buf_add_char(out, ')'); break;
    case EXPR_UNARY: buf_add_char(out, e->u.unary.minus ? '-' : '+'); promql_print(out, e->u.unary.inner); break;
    case EXPR_BINARY: print_chain(out, e); break;
    case EXPR_AGGREGATE: print_aggregate(out, e); break;
    case EXPR_CALL: print_call(out, e); break;
    case EXPR_SELECTOR: print_selector(out, e); break;
    case EXPR_MATRIX: print_matrix(out, e); break;
    case EXPR_SUBQUERY: promql_print(out, e->u.subquery.inner); print_subquery_suffix(out, e); break;
    case EXPR_STEP_INVARIANT: promql_print(out, e->u.invariant.inner); break;
    case EXPR_FETCHED: promql_print(out, e->u.fetched.of); break;
    case EXPR_CUT: promql_print(out, e->u.cut.parts[e->u.cut.n - 1].value); break;
    }
}
