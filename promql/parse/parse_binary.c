// SPDX-License-Identifier: Apache-2.0
/* Parses operators and their operands: a + on (b) c, -a ^ 2, (a). */
#include "promql/parse/literal.h"
#include "promql/parse/parse_internal.h"

enum { PREC_NONE, PREC_OR, PREC_AND, PREC_COMPARE, PREC_ADD, PREC_MUL, PREC_POW };
static const struct { enum binary_op op; int prec; } operators[] = {
    [TOKEN_ADD] = {OP_ADD, PREC_ADD}, [TOKEN_SUB] = {OP_SUB, PREC_ADD},
    [TOKEN_MUL] = {OP_MUL, PREC_MUL}, [TOKEN_DIV] = {OP_DIV, PREC_MUL}, [TOKEN_MOD] = {OP_MOD, PREC_MUL},
    [TOKEN_ATAN2] = {OP_ATAN2, PREC_MUL}, [TOKEN_POW] = {OP_POW, PREC_POW},
    [TOKEN_EQLC] = {OP_EQ, PREC_COMPARE}, [TOKEN_NEQ] = {OP_NE, PREC_COMPARE}, [TOKEN_LSS] = {OP_LT, PREC_COMPARE},
    [TOKEN_GTR] = {OP_GT, PREC_COMPARE}, [TOKEN_LTE] = {OP_LE, PREC_COMPARE}, [TOKEN_GTE] = {OP_GE, PREC_COMPARE},
    [TOKEN_TRIM_UPPER] = {OP_TRIM_UPPER, PREC_COMPARE}, [TOKEN_TRIM_LOWER] = {OP_TRIM_LOWER, PREC_COMPARE},
    [TOKEN_AND] = {OP_AND, PREC_AND}, [TOKEN_UNLESS] = {OP_UNLESS, PREC_AND}, [TOKEN_OR] = {OP_OR, PREC_OR},
};

static int operator_precedence(enum token_kind kind) { return kind < LEN(operators) ? operators[kind].prec
    : PREC_NONE; }

static double parse_fill(struct parser *p)
{
    parse_next_token(p); /* fill, fill_left or fill_right: the lexer saw the parenthesis that follows */
    parse_expect(p, TOKEN_LEFT_PAREN);
    bool minus = parse_at(p, TOKEN_SUB);
    if (minus || parse_at(p, TOKEN_ADD))
        parse_next_token(p);
    if (!parse_at(p, TOKEN_NUMBER) && !parse_at(p, TOKEN_DURATION))
        parse_unexpected(p);
    double v = parse_number(p)->u.number.v;
    parse_expect(p, TOKEN_RIGHT_PAREN);
    return minus ? -v : v;
}

static void parse_fills(struct parser *p, struct matching *m)
{
    if (parse_at(p, TOKEN_FILL)) {
        m->fill_left_value = m->fill_right_value = parse_fill(p);
        m->fill_left = m->fill_right = true;
        return;
    }
    for (;;) {
        if (parse_at(p, TOKEN_FILL_LEFT) && !m->fill_left) {
            m->fill_left_value = parse_fill(p);
            m->fill_left = true;
        } else if (parse_at(p, TOKEN_FILL_RIGHT) && !m->fill_right) {
            m->fill_right_value = parse_fill(p);
            m->fill_right = true;
        } else {
            return;
        }
    }
}

static bool may_follow_group(enum token_kind kind)
{
    return parse_starts_expr(kind) || kind == TOKEN_FILL || kind == TOKEN_FILL_LEFT || kind == TOKEN_FILL_RIGHT;
}

static struct matching *parse_matching(struct parser *p, bool *is_bool)
{
    struct matching *m = ARENA_NEW(p->arena, struct matching);
    *is_bool = parse_accept(p, TOKEN_BOOL);
    m->on = parse_at(p, TOKEN_ON);
    if (m->on || parse_at(p, TOKEN_IGNORING)) {
        parse_next_token(p);
        m->labels = parse_labels(p, &m->n_labels);
        bool left = parse_at(p, TOKEN_GROUP_LEFT);
        if (left || parse_at(p, TOKEN_GROUP_RIGHT)) {
            parse_next_token(p);
            m->card = left ? CARD_MANY_TO_ONE : CARD_ONE_TO_MANY;
            if (parse_at(p, TOKEN_LEFT_PAREN) || !may_follow_group(parse_peek(p).kind))
                m->include = parse_labels(p, &m->n_include);
        }
    }
    parse_fills(p, m);
    return m;
}

static struct expr *parse_binary(struct parser *p, int least);

static struct expr *parse_string(struct parser *p)
{
    struct token t = parse_next_token(p);
    struct expr *e = parse_new(p, EXPR_STRING, VALUE_STRING, t.pos, 1);
    e->u.string = literal_string(p->arena, t.text);
    return e;
}

static struct expr *parse_paren_expr(struct parser *p)
{
    struct token open = parse_next_token(p);
    struct expr *inner = parse_expr(p);
    parse_expect(p, TOKEN_RIGHT_PAREN);
    struct expr *e = parse_new(p, EXPR_PAREN, inner->type, open.pos, parse_height(p, open.pos, inner->height, 0));
    e->u.paren.inner = inner;
    return e;
}

static struct expr *parse_operand(struct parser *p)
{
    switch (parse_peek(p).kind) {
    case TOKEN_NUMBER: case TOKEN_DURATION: return parse_number(p);
    case TOKEN_STRING: return parse_string(p);
    case TOKEN_LEFT_PAREN: return parse_paren_expr(p);
    case TOKEN_LEFT_BRACE: return parse_vector_selector(p, NULL);
    default: return parse_named(p);
    }
}

/* A sign has the precedence of '*': it applies to all of a^b, but only to a of a*b. Before a number it is part of the
 * number. */
static struct expr *parse_unary_expr(struct parser *p)
{
    struct token t = parse_peek(p);
    if (t.kind != TOKEN_ADD && t.kind != TOKEN_SUB)
        return parse_postfix(p, parse_operand(p));
    parse_next_token(p);
    struct expr *inner = parse_binary(p, PREC_POW);
    bool minus = t.kind == TOKEN_SUB;
    if (inner->kind == EXPR_NUMBER) {
        inner->u.number.v = minus ? -inner->u.number.v : inner->u.number.v;
        inner->pos = (uint32_t)t.pos;
        return inner;
    }
    struct expr *e = parse_new(p, EXPR_UNARY, inner->type, t.pos, parse_height(p, t.pos, inner->height, 0));
    e->u.unary.minus = minus;
    e->u.unary.inner = inner;
    e->end = inner->end;
    return e;
}

/* The right side of the operator `op`, which is consumed already. */
static struct expr *parse_right(struct parser *p, struct expr *left, struct token op, int prec)
{
    bool is_bool;
    parse_end_offset(p, left, op.kind);
    struct matching *matching = parse_matching(p, &is_bool);
    struct expr *right = parse_binary(p, prec == PREC_POW ? prec : prec + 1);
    bool in_chain = left->kind == EXPR_BINARY, scalars = left->type == VALUE_SCALAR && right->type == VALUE_SCALAR;
    struct expr *e = parse_new(p, EXPR_BINARY, scalars ? VALUE_SCALAR : VALUE_VECTOR, left->pos,
                               parse_height(p, op.pos, in_chain ? left->height - 1 : left->height, right->height));
    if (in_chain)
        left->u.binary.next = e;
    e->end = right->end;
    e->u.binary.op = operators[op.kind].op;
    e->u.binary.is_bool = is_bool;
    e->u.binary.left = left;
    e->u.binary.right = right;
    e->u.binary.matching = matching;
    return e;
}

/* Operators with at least the precedence `least`; only ^ is right-associative. */
static struct expr *parse_binary(struct parser *p, int least)
{
    parse_enter(p);
    struct expr *left = parse_unary_expr(p);
    for (;;) {
        struct token op = parse_peek(p);
        int prec = operator_precedence(op.kind);
        if (prec == PREC_NONE || prec < least)
            break;
        parse_next_token(p);
        left = parse_right(p, left, op, prec);
    }
    parse_exit(p);
    return left;
}

struct expr *parse_expr(struct parser *p) { return parse_binary(p, PREC_OR); }
