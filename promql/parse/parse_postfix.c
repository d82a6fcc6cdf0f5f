// SPDX-License-Identifier: Apache-2.0
/* Parses number literals, and the modifiers after an expression: [range], [range:step], offset, @, anchored,
 * smoothed. */
#include "promql/parse/literal.h"
#include "promql/parse/parse_internal.h"

#include <math.h>

struct expr *parse_number(struct parser *p)
{
    struct token t = parse_next_token(p);
    struct expr *e = parse_new(p, EXPR_NUMBER, VALUE_SCALAR, t.pos, 1);
    const char *why;
    e->u.number.as_duration = t.kind == TOKEN_DURATION;
    if (t.kind == TOKEN_NUMBER) {
        if (!literal_number(t.text, &e->u.number.v, &why))
            parse_fail(p, t.pos, "error parsing number: strconv.ParseFloat: parsing %s: %s", parse_quoted(p, t.text),
                       why);
        return e;
    }
    buf_clear(&p->scratch);
    if (!literal_duration(t.text, &e->u.number.v, &p->scratch))
        parse_fail(p, t.pos, "%s", buf_z(&p->scratch));
    return e;
}

/* --- ranges ------------------------------------------------------------------------------------------------------- */

static int64_t to_ms(double seconds) { return (int64_t)(round(seconds * 1e9) / 1e6); }

/* A range or step: greater than 0, at least one millisecond (the resolution of timestamps). */
static const struct duration_expr *parse_positive(struct parser *p, int64_t *ms)
{
    const struct duration_expr *d = parse_duration_expr(p);
    parse_peek(p);
    if (d->kind != DUR_NUMBER)
        return d;
    if (d->seconds <= 0)
        parse_fail(p, d->pos, "duration must be greater than 0");
    *ms = to_ms(d->seconds);
    *ms = *ms > 0 ? *ms : 1;
    return NULL;
}

static struct expr *new_matrix(struct parser *p, struct expr *selector, size_t bracket)
{
    const struct time_shift *shift = &selector->u.selector.shift;
    if (selector->kind != EXPR_SELECTOR)
        parse_fail(p, bracket, "ranges only allowed for vector selectors");
    if (shift->offset != 0 || shift->offset_expr)
        parse_fail(p, bracket, "no offset modifiers allowed before range");
    if (shift->at != AT_NONE)
        parse_fail(p, bracket, "no @ modifiers allowed before range");
    struct expr *e = parse_new(p, EXPR_MATRIX, VALUE_MATRIX, selector->pos, 2);
    e->u.matrix.selector = selector;
    return e;
}

static struct expr *parse_brackets(struct parser *p, struct expr *inner)
{
    static const char durations[] = "number, duration, step(), or range()";
    struct token open = parse_next_token(p);
    struct parse_context outer = parse_place(p, "subquery or range selector", durations);
    int64_t range = 0, step = 0;
    const struct duration_expr *range_expr = parse_positive(p, &range), *step_expr = NULL;
    parse_place(p, "subquery or range", "\":\" or \"]\"");
    if (parse_accept(p, TOKEN_RIGHT_BRACKET)) {
        parse_leave(p, outer);
        struct expr *e = new_matrix(p, inner, open.pos);
        e->u.matrix.range = range;
        e->u.matrix.range_expr = range_expr;
        return e;
    }
    parse_expect(p, TOKEN_COLON);
    parse_place(p, "subquery selector", "number, duration, step(), range(), or \"]\"");
    if (!parse_at(p, TOKEN_RIGHT_BRACKET))
        step_expr = parse_positive(p, &step);
    parse_place(p, "subquery selector", "\"]\"");
    parse_expect(p, TOKEN_RIGHT_BRACKET);
    parse_leave(p, outer);
    struct expr *e = parse_new(p, EXPR_SUBQUERY, VALUE_MATRIX, inner->pos, parse_height(p, open.pos, inner->height, 0));
    e->u.subquery.inner = inner;
    e->u.subquery.range = range;
    e->u.subquery.step = step;
    e->u.subquery.range_expr = range_expr;
    e->u.subquery.step_expr = step_expr;
    return e;
}

/* --- offset and @ ------------------------------------------------------------------------------------------------- */

static struct time_shift *shift_of(struct parser *p, struct expr *e, const char *modifier)
{
    switch (e->kind) {
    case EXPR_SELECTOR: return &e->u.selector.shift;
    case EXPR_MATRIX: return &e->u.matrix.selector->u.selector.shift;
    case EXPR_SUBQUERY: return &e->u.subquery.shift;
    default:
        parse_fail(p, e->pos, "%s modifier must be preceded by an instant vector selector or range vector selector "
                   "or a subquery", modifier);
    }
}

static void parse_offset_modifier(struct parser *p, struct expr *e)
{
    parse_next_token(p);
    struct parse_context outer = parse_place(p, "offset", "number, duration, step(), or range()");
    const struct duration_expr *d = parse_offset(p);
    parse_leave(p, outer);
    struct time_shift *shift = shift_of(p, e, "offset");
    if (shift->offset != 0 || shift->offset_expr)
        parse_fail(p, e->pos, "offset may not be set multiple times");
    if (d->kind == DUR_NUMBER)
        shift->offset = to_ms(d->seconds);
    else
        shift->offset_expr = d;
    e->end = (uint32_t)p->end;
}

/* Milliseconds that a double represents exactly: +-285,000 years. */
static int64_t parse_timestamp(struct parser *p, const struct expr *e)
{
    bool minus = parse_at(p, TOKEN_SUB);
    if (minus || parse_at(p, TOKEN_ADD))
        parse_next_token(p);
    if (!parse_at(p, TOKEN_NUMBER) && !parse_at(p, TOKEN_DURATION))
        parse_unexpected(p);
    double v = parse_number(p)->u.number.v, seconds = minus ? -v : v;
    if (isnan(seconds) || isinf(seconds))
        parse_fail(p, e->pos, "timestamp out of bounds for @ modifier: %s",
                   isnan(seconds) ? "NaN" : seconds > 0 ? "+Inf" : "-Inf");
    if (fabs(seconds) >= 0x1p53 / 1000)
        parse_fail(p, e->pos, "timestamp out of bounds for @ modifier: %f", seconds);
    return (int64_t)round(seconds * 1000);
}

static void parse_at_modifier(struct parser *p, struct expr *e)
{
    parse_next_token(p);
    struct parse_context outer = parse_place(p, "@", "timestamp");
    enum at_kind at = parse_at(p, TOKEN_START) ? AT_START : parse_at(p, TOKEN_END) ? AT_END : AT_TIME;
    int64_t time = 0;
    if (at == AT_TIME) {
        time = parse_timestamp(p, e);
    } else {
        parse_next_token(p);
        parse_expect(p, TOKEN_LEFT_PAREN);
        parse_expect(p, TOKEN_RIGHT_PAREN);
    }
    parse_leave(p, outer);
    struct time_shift *shift = shift_of(p, e, "@");
    if (shift->at != AT_NONE)
        parse_fail(p, e->pos, "@ <timestamp> may not be set multiple times");
    shift->at = at;
    shift->at_time = time;
    e->end = (uint32_t)p->end;
}

/* --- anchored and smoothed ---------------------------------------------------------------------------------------- */

static void parse_extension(struct parser *p, struct expr *e)
{
    bool anchored = parse_next_token(p).kind == TOKEN_ANCHORED;
    const char *name = anchored ? "anchored" : "smoothed";
    if (e->kind == EXPR_SUBQUERY)
        parse_fail(p, e->pos, "%s modifier is not supported for subqueries", name);
    if (e->kind != EXPR_SELECTOR && e->kind != EXPR_MATRIX)
        parse_fail(p, e->pos, "%s modifier not implemented", name);
    struct expr *selector = e->kind == EXPR_MATRIX ? e->u.matrix.selector : e;
    selector->u.selector.anchored |= anchored;
    selector->u.selector.smoothed |= !anchored;
    if (selector->u.selector.anchored && selector->u.selector.smoothed)
        parse_fail(p, e->pos, "anchored and smoothed modifiers cannot be used together");
}

struct expr *parse_postfix(struct parser *p, struct expr *e)
{
    for (;;) {
        switch (parse_peek(p).kind) {
        case TOKEN_LEFT_BRACKET: e = parse_brackets(p, e); break;
        case TOKEN_OFFSET: parse_offset_modifier(p, e); break;
        case TOKEN_AT: parse_at_modifier(p, e); break;
        case TOKEN_ANCHORED: case TOKEN_SMOOTHED: parse_extension(p, e); break;
        default: return e;
        }
    }
}
