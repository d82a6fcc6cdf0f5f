// SPDX-License-Identifier: Apache-2.0
/* Prints an expression in several lines, as /api/v1/format_query returns it: an expression longer than 100 bytes is
 * split, with its children indented by two more spaces. */
#include "promql/ast/functions.h"
#include "promql/ast/print.h"

enum { LINE = 100 };

static void pretty(struct buf *out, const struct expr *e, int level);

static void indent(struct buf *out, int level)
{
    for (int i = 0; i < level && !out->over; i++)
        buf_add_z(out, "  ");
}

/* A chain of this many operations is longer than a line, since each is at least " + a". */
static bool is_long_chain(const struct expr *e)
{
    size_t n = 0;
    for (; e->kind == EXPR_BINARY && n <= LINE / 4; e = e->u.binary.left)
        n++;
    return n > LINE / 4;
}

static bool is_short(const struct expr *e)
{
    if (is_long_chain(e))
        return false;
    struct buf line = {.max = 16 * LINE}; /* enough to see that a line is too long */
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

/* Each left side of a chain is indented one level deeper, until it fits on one line. */
static void pretty_chain(struct buf *out, const struct expr *e, int level)
{
    const struct expr *b = e;
    while (b->u.binary.left->kind == EXPR_BINARY && !is_short(b->u.binary.left)) {
        b = b->u.binary.left;
        level++;
    }
    if (print_is_infinite_base(b)) {
        indent(out, level + 1);
        buf_add_z(out, "Inf");
    } else {
        pretty(out, b->u.binary.left, level + 1);
    }
    for (; !out->over; b = b->u.binary.next, level--) {
        buf_add_char(out, '\n');
        indent(out, level);
        print_operator(out, b);
        buf_add_char(out, '\n');
        pretty(out, b->u.binary.right, level + 1);
        if (b == e)
            break;
    }
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
    struct buf inner = {.max = out->max};
    pretty(&inner, e->u.unary.inner, level);
    indent(out, level);
    buf_add_char(out, e->u.unary.minus ? '-' : '+');
    buf_add_str(out, str_trim(buf_str(&inner)));
    out->over |= inner.over;
    buf_free(&inner);
}

static void pretty_long(struct buf *out, const struct expr *e, int level)
{
    switch (e->kind) {
    case EXPR_AGGREGATE: pretty_aggregate(out, e, level); break;
    case EXPR_BINARY: pretty_chain(out, e, level); break;
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
    default: /* cannot be split */
        indent(out, level);
        promql_print(out, e);
    }
}

static void pretty(struct buf *out, const struct expr *e, int level)
{
    if (out->over) {
        return;
    } else if (e->kind == EXPR_UNARY) {
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
