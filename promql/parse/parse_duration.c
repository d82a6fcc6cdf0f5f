// SPDX-License-Identifier: Apache-2.0
/* Parses durations in brackets and after `offset`: 5m, 300, step() * 2, -max_of(1m, range() / 10). */
#include "promql/parse/parse_internal.h"

#include <math.h>

enum { PREC_NONE, PREC_ADD, PREC_MUL, PREC_POW };
static const struct { int kind, prec; } operators[] = {
    [TOKEN_ADD] = {DUR_ADD, PREC_ADD}, [TOKEN_SUB] = {DUR_SUB, PREC_ADD}, [TOKEN_MUL] = {DUR_MUL, PREC_MUL},
    [TOKEN_DIV] = {DUR_DIV, PREC_MUL}, [TOKEN_MOD] = {DUR_MOD, PREC_MUL}, [TOKEN_POW] = {DUR_POW, PREC_POW},
};

static int duration_precedence(enum token_kind kind) { return kind < LEN(operators) ? operators[kind].prec
    : PREC_NONE; }

/* Positions are those of Prometheus' messages: an operator and min_of extend from the first operand to the second, a
 * parenthesized expression has its own position. */
static struct duration_expr *new_node(struct parser *p, int kind, size_t pos, const struct duration_expr *left,
                                      const struct duration_expr *right)
{
    struct duration_expr *d = ARENA_NEW(p->arena, struct duration_expr);
    d->kind = kind;
    d->left = left;
    d->right = right;
    d->pos = right ? left->pos : (uint32_t)pos;
    d->end = right ? right->end : left && left->kind != DUR_NUMBER ? left->end : (uint32_t)p->end;
    bool in_chain = left && duration_is_binary(d) && duration_is_binary(left);
    d->height = parse_height(p, pos, left ? left->height - in_chain : 0, right ? right->height : 0);
    return d;
}

/* Prometheus stores durations as 64-bit nanoseconds. */
static void check_range(struct parser *p, size_t pos, double seconds)
{
    if (!(fabs(seconds) <= 0x1p63 / 1e9))
        parse_fail(p, pos, "duration out of range");
}

static struct duration_expr *parse_literal(struct parser *p)
{
    const struct expr *number = parse_number(p);
    struct duration_expr *d = new_node(p, DUR_NUMBER, number->pos, NULL, NULL);
    d->seconds = number->u.number.v;
    d->as_duration = number->u.number.as_duration;
    return d;
}

static struct duration_expr *parse_checked_literal(struct parser *p)
{
    struct duration_expr *d = parse_literal(p);
    check_range(p, d->pos, d->seconds);
    return d;
}

static struct duration_expr *apply_sign(struct parser *p, struct token sign, struct duration_expr *d)
{
    if (d->kind == DUR_NUMBER) {
        d->seconds = sign.kind == TOKEN_SUB ? -d->seconds : d->seconds;
        d->pos = (uint32_t)sign.pos;
        check_range(p, sign.pos, d->seconds);
        return d;
    }
    return sign.kind == TOKEN_SUB ? new_node(p, DUR_NEG, sign.pos, d, NULL) : d;
}

static struct duration_expr *parse_climb(struct parser *p, struct duration_expr *left, int least);
static struct duration_expr *parse_unary_duration(struct parser *p);

static struct duration_expr *parse_from(struct parser *p, int least)
{
    return parse_climb(p, parse_unary_duration(p), least);
}

static struct duration_expr *parse_function(struct parser *p)
{
    struct token name = parse_next_token(p);
    parse_expect(p, TOKEN_LEFT_PAREN);
    const struct duration_expr *left = NULL, *right = NULL;
    int kind = name.kind == TOKEN_STEP ? DUR_STEP : DUR_RANGE;
    if (name.kind == TOKEN_MIN_OF || name.kind == TOKEN_MAX_OF) {
        kind = name.kind == TOKEN_MIN_OF ? DUR_MIN : DUR_MAX;
        left = parse_from(p, PREC_ADD);
        parse_expect(p, TOKEN_COMMA);
        right = parse_from(p, PREC_ADD);
    }
    parse_expect(p, TOKEN_RIGHT_PAREN);
    return new_node(p, kind, name.pos, left, right);
}

static struct duration_expr *parse_paren_duration(struct parser *p)
{
    struct token open = parse_next_token(p);
    struct duration_expr *inner = parse_from(p, PREC_ADD);
    parse_expect(p, TOKEN_RIGHT_PAREN);
    if (inner->kind == DUR_PAREN)
        return inner;
    return new_node(p, DUR_PAREN, inner->kind == DUR_NUMBER ? open.pos : inner->pos, inner, NULL);
}

static struct duration_expr *parse_atom(struct parser *p)
{
    switch (parse_peek(p).kind) {
    case TOKEN_NUMBER: case TOKEN_DURATION: return parse_checked_literal(p);
    case TOKEN_STEP: case TOKEN_RANGE: case TOKEN_MIN_OF: case TOKEN_MAX_OF: return parse_function(p);
    case TOKEN_LEFT_PAREN: return parse_paren_duration(p);
    default: parse_unexpected(p);
    }
}

static struct duration_expr *parse_unary_duration(struct parser *p)
{
    parse_enter(p);
    struct token t = parse_peek(p);
    struct duration_expr *d;
    if (t.kind == TOKEN_ADD || t.kind == TOKEN_SUB) {
        parse_next_token(p);
        d = apply_sign(p, t, parse_from(p, PREC_POW));
    } else {
        d = parse_atom(p);
    }
    parse_exit(p);
    return d;
}

static void check_divisor(struct parser *p, struct token op, const struct duration_expr *right)
{
    if (right->kind == DUR_NUMBER && right->seconds == 0 && (op.kind == TOKEN_DIV || op.kind == TOKEN_MOD))
        parse_fail(p, op.pos, "%s by zero", op.kind == TOKEN_DIV ? "division" : "modulo");
}

static struct duration_expr *parse_climb(struct parser *p, struct duration_expr *left, int least)
{
    parse_enter(p);
    for (;;) {
        struct token op = parse_peek(p);
        int prec = duration_precedence(op.kind);
        if (prec == PREC_NONE || prec < least)
            break;
        parse_next_token(p);
        struct duration_expr *right = parse_from(p, prec == PREC_POW ? prec : prec + 1);
        check_divisor(p, op, right);
        left->next = new_node(p, operators[op.kind].kind, left->pos, left, right);
        left = left->next;
    }
    parse_exit(p);
    return left;
}

const struct duration_expr *parse_duration_expr(struct parser *p) { return parse_from(p, PREC_ADD); }

/* `foo offset 5m + 3` is (foo offset 5m) + 3, and `foo offset -2 ^ 2` is (foo offset -2) ^ 2: the offset ends after
 * one literal or function, with or without a sign. Arithmetic belongs to the offset only after a leading parenthesis
 * or a second sign. Since two signs may be merged into one, their operand is kept in parentheses. */
const struct duration_expr *parse_offset(struct parser *p)
{
    struct token t = parse_peek(p);
    if (t.kind == TOKEN_LEFT_PAREN)
        return parse_climb(p, parse_paren_duration(p), PREC_ADD);
    if (t.kind != TOKEN_ADD && t.kind != TOKEN_SUB)
        return parse_atom(p);
    parse_next_token(p);
    enum token_kind next = parse_peek(p).kind;
    if (next == TOKEN_ADD || next == TOKEN_SUB) {
        const struct duration_expr *d = parse_climb(p, apply_sign(p, t, parse_from(p, PREC_POW)), PREC_ADD);
        return d->kind == DUR_NUMBER || d->kind == DUR_PAREN ? d : new_node(p, DUR_PAREN, t.pos, d, NULL);
    }
    bool literal = next == TOKEN_NUMBER || next == TOKEN_DURATION;
    struct duration_expr *d = apply_sign(p, t, literal ? parse_literal(p) : parse_atom(p));
    d->plus = t.kind == TOKEN_ADD && duration_is_function(d);
    return d;
}

void parse_end_offset(struct parser *p, struct expr *e, enum token_kind op)
{
    while (e->kind == EXPR_BINARY || e->kind == EXPR_UNARY)
        e = e->kind == EXPR_BINARY ? e->u.binary.right : e->u.unary.inner;
    const struct duration_expr *d = e->kind == EXPR_SELECTOR ? e->u.selector.shift.offset_expr : NULL;
    if (duration_precedence(op) == PREC_NONE || d == NULL || d->kind == DUR_NEG || duration_is_function(d))
        return;
    struct duration_expr *ended = new_node(p, DUR_PAREN, d->pos, d->kind == DUR_PAREN ? d->left : d, NULL);
    ended->plus = true;
    e->u.selector.shift.offset_expr = ended;
}
