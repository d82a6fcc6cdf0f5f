// SPDX-License-Identifier: Apache-2.0
/* Parses expressions that begin with a word: a function call, an aggregation, or a selector, since most keywords are
 * valid metric names. */
#include "promql/ast/functions.h"
#include "promql/parse/literal.h"
#include "promql/parse/parse_internal.h"

/* --- label lists -------------------------------------------------------------------------------------------------- */

/* Outside of braces the lexer returns keywords where label names are expected. */
static bool may_be_label(enum token_kind kind)
{
    switch (kind) {
    case TOKEN_BOOL: case TOKEN_ON: case TOKEN_IGNORING: case TOKEN_GROUP_LEFT: case TOKEN_GROUP_RIGHT:
    case TOKEN_ATAN2:
        return true;
    case TOKEN_WITHOUT:
        return false;
    default:
        return parse_is_metric(kind);
    }
}

static struct str parse_label(struct parser *p)
{
    struct token t = parse_peek(p);
    if (t.kind != TOKEN_STRING && !may_be_label(t.kind))
        parse_unexpected_in(p, "grouping opts", "label");
    parse_next_token(p);
    struct str name = t.kind == TOKEN_STRING ? literal_string(p->arena, t.text) : t.text;
    if (!label_name_valid(name))
        parse_fail(p, t.pos, "invalid label name for grouping: %s", parse_quoted(p, name));
    return name;
}

const struct str *parse_labels(struct parser *p, size_t *n)
{
    struct str *items = NULL;
    size_t cap = 0;
    *n = 0;
    if (!parse_at(p, TOKEN_LEFT_PAREN))
        parse_unexpected_in(p, "grouping opts", "\"(\"");
    parse_next_token(p);
    while (!parse_accept(p, TOKEN_RIGHT_PAREN)) {
        struct str name = parse_label(p);
        arena_grow(p->arena, &items, &cap, *n + 1, sizeof *items);
        items[(*n)++] = name;
        if (!parse_accept(p, TOKEN_COMMA) && !parse_at(p, TOKEN_RIGHT_PAREN))
            parse_unexpected_in(p, "grouping opts", "\",\" or \")\"");
    }
    return items;
}

/* --- arguments ---------------------------------------------------------------------------------------------------- */

bool parse_starts_expr(enum token_kind kind)
{
    switch (kind) {
    case TOKEN_NUMBER: case TOKEN_DURATION: case TOKEN_STRING: case TOKEN_LEFT_PAREN: case TOKEN_LEFT_BRACE:
    case TOKEN_ADD: case TOKEN_SUB:
        return true;
    default:
        return parse_is_metric(kind);
    }
}

struct args { struct expr **items; size_t n, cap; uint32_t height; };

static struct args parse_args(struct parser *p)
{
    struct args args = {0};
    parse_expect(p, TOKEN_LEFT_PAREN);
    if (parse_accept(p, TOKEN_RIGHT_PAREN))
        return args;
    for (;;) {
        struct expr *e = parse_expr(p);
        arena_grow(p->arena, &args.items, &args.cap, args.n + 1, sizeof *args.items);
        args.items[args.n++] = e;
        args.height = e->height > args.height ? e->height : args.height;
        if (!parse_at(p, TOKEN_COMMA))
            break;
        struct token comma = parse_next_token(p);
        if (!parse_starts_expr(parse_peek(p).kind))
            parse_fail(p, comma.pos, "trailing commas not allowed in function call args");
    }
    parse_expect(p, TOKEN_RIGHT_PAREN);
    return args;
}

static const struct function *known_function(struct parser *p, struct token name)
{
    const struct function *fn = function_find(name.text);
    if (fn == NULL)
        parse_fail(p, name.pos, "unknown function with name %s", parse_quoted(p, name.text));
    return fn;
}

static struct expr *parse_call(struct parser *p, struct token name)
{
    struct args args = parse_args(p);
    const struct function *fn = known_function(p, name);
    if (fn->attributes & FUNCTION_EXPERIMENTAL && p->syntax.no_experimental_functions)
        parse_fail(p, name.pos, "function %s is not enabled", parse_quoted(p, name.text));
    struct expr *e = parse_new(p, EXPR_CALL, fn->returns, name.pos, parse_height(p, name.pos, args.height, 0));
    e->u.call.fn = fn;
    e->u.call.args = args.items;
    e->u.call.n_args = args.n;
    return e;
}

/* --- aggregations ------------------------------------------------------------------------------------------------- */

static bool parse_grouping(struct parser *p, struct expr *e)
{
    bool without = parse_at(p, TOKEN_WITHOUT);
    if (!without && !parse_at(p, TOKEN_BY))
        return false;
    parse_next_token(p);
    e->u.aggregate.without = without;
    e->u.aggregate.labels = parse_labels(p, &e->u.aggregate.n_labels);
    return true;
}

static void set_arguments(struct parser *p, struct expr *e, struct args args)
{
    enum aggregate_op op = e->u.aggregate.op;
    size_t wanted = aggregate_has_param(op) ? 2 : 1;
    if (args.n == 0)
        parse_fail(p, e->pos, "no arguments for aggregate expression provided");
    if ((op == AGG_LIMITK || op == AGG_LIMIT_RATIO) && p->syntax.no_experimental_functions)
        parse_fail(p, e->pos, "%s() is experimental and must be enabled with "
                   "--enable-feature=promql-experimental-functions", aggregate_op_text(op));
    if (args.n != wanted)
        parse_fail(p, e->pos, "wrong number of arguments for aggregate expression provided, expected %zu, got %zu",
                   wanted, args.n);
    e->u.aggregate.param = wanted == 2 ? args.items[0] : NULL;
    e->u.aggregate.inner = args.items[wanted - 1];
    e->height = parse_height(p, e->pos, args.height, 0);
    e->end = (uint32_t)p->end;
}

static struct expr *parse_aggregate(struct parser *p, struct token op)
{
    struct parse_context outer = parse_place(p, "aggregation", NULL);
    struct expr *e = parse_new(p, EXPR_AGGREGATE, VALUE_VECTOR, op.pos, 1);
    e->u.aggregate.op = (enum aggregate_op)(op.kind - TOKEN_SUM);
    bool grouped = parse_grouping(p, e);
    struct args args = parse_args(p);
    if (!grouped)
        parse_grouping(p, e);
    set_arguments(p, e, args);
    parse_leave(p, outer);
    return e;
}

struct expr *parse_named(struct parser *p)
{
    struct token name = parse_peek(p);
    if (!parse_is_metric(name.kind))
        parse_unexpected(p);
    parse_next_token(p);
    enum token_kind next = parse_peek(p).kind;
    bool paren = next == TOKEN_LEFT_PAREN;
    if (token_is_aggregate(name.kind) && (paren || next == TOKEN_BY || next == TOKEN_WITHOUT))
        return parse_aggregate(p, name);
    if (paren && (name.kind == TOKEN_IDENTIFIER || (name.kind >= TOKEN_START && name.kind <= TOKEN_MIN_OF)))
        return parse_call(p, name);
    return parse_vector_selector(p, &name);
}
