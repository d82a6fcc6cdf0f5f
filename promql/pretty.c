// SPDX-License-Identifier: Apache-2.0
/* Many lines, as /api/v1/format_query answers: what is longer than 100 bytes is taken apart, its children one level
 * deeper (two spaces a level). */
#include "promql/functions.h"
#include "promql/print.h"

enum { LINE = 100 };

static void pretty(struct buf *out, const struct expr *e, int level);

static void indent(struct buf *out, int level)
{
    for (int i = 0; i < level; i++)
        buf_add_z(out, "  ");
}

static bool is_short(const struct expr *e)
{
    struct buf line = {.max = 16 * LINE}; /* a long one need not be printed to its end */
    promql_print(&line, e);
    bool fits = !line.over && line.n <= LINE;
    buf_free(&line);
    return fits;
}

static void close_on_new_line(struct buf *out, int level)
{
    buf_add_char(out, '\n');
    indent(out, level);
    buf_add_char(out, ')');
}

static void pretty_aggregate(struct buf *out, const struct expr *e, int level)
{
    indent(out, level);
    print_aggregate_head(out, e);
    buf_add_z(out, "(\n");
    if (e->u.aggregate.param) {
        pretty(out, e->u.aggregate.param, level + 1);
        buf_add_z(out, ",\n");
    }
    pretty(out, e->u.aggregate.inner, level + 1);
    close_on_new_line(out, level);
}

static void pretty_binary(struct buf *out, const struct expr *e, int level)
{
    if (print_is_infinite_base(e)) {
        indent(out, level + 1);
        buf_add_z(out, "Inf");
    } else {
        pretty(out, e->u.binary.left, level + 1);
    }
    buf_add_char(out, '\n');
    indent(out, level);
    print_operator(out, e);
    buf_add_char(out, '\n');
    pretty(out, e->u.binary.right, level + 1);
}

static void pretty_call(struct buf *out, const struct expr *e, int level)
{
    indent(out, level);
    buf_printf(out, "%s(\n", e->u.call.fn->name);
    for (size_t i = 0; i < e->u.call.n_args; i++) {
        if (i > 0)
            buf_add_z(out, ",\n");
        pretty(out, e->u.call.args[i], level + 1);
    }
    close_on_new_line(out, level);
}

static void pretty_unary(struct buf *out, const struct expr *e, int level)
{
    struct buf inner = {0};
    pretty(&inner, e->u.unary.inner, level);
    indent(out, level);
    buf_add_char(out, e->u.unary.minus ? '-' : '+');
    buf_add_str(out, str_trim(buf_str(&inner)));
    buf_free(&inner);
}

static void pretty_long(struct buf *out, const struct expr *e, int level)
{
    switch (e->kind) {
    case EXPR_AGGREGATE: pretty_aggregate(out, e, level); break;
    case EXPR_BINARY: pretty_binary(out, e, level); break;
    case EXPR_CALL: pretty_call(out, e, level); break;
    case EXPR_SUBQUERY:
        pretty(out, e->u.subquery.inner, level);
        print_subquery_suffix(out, e);
        break;
    case EXPR_PAREN:
        indent(out, level);
        buf_add_z(out, "(\n");
        pretty(out, e->u.paren.inner, level + 1);
        close_on_new_line(out, level);
        break;
    default: /* cannot be taken apart */
        indent(out, level);
        promql_print(out, e);
    }
}

static void pretty(struct buf *out, const struct expr *e, int level)
{
    if (e->kind == EXPR_UNARY) {
        pretty_unary(out, e, level);
    } else if (e->kind == EXPR_STEP_INVARIANT) {
        pretty(out, e->u.invariant.inner, level);
    } else if (is_short(e)) {
        indent(out, e->kind == EXPR_SUBQUERY ? 0 : level); /* Prometheus leaves a short subquery at the margin */
        promql_print(out, e);
    } else {
        pretty_long(out, e, level);
    }
}

void promql_pretty(struct buf *out, const struct expr *e) { pretty(out, e, 0); }
