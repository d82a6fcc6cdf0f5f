#include "promql/parse.h"

#include "promql/literal.h"
#include "promql/quote.h"

/* --- errors ---------------------------------------------------------------------------------------------------------- */

static void print_position(struct buf *out, struct str text, size_t pos)
{
    if (text.n == 0) {
        buf_add_z(out, "unknown position");
        return;
    }
    size_t line = 1, start = 0;
    for (size_t i = 0; i < pos && i < text.n; i++)
        if (text.p[i] == '\n') {
            line++;
            start = i + 1;
        }
    buf_printf(out, "%zu:%zu", line, pos - start + 1);
}

void parse_fail(struct parser *p, size_t pos, const char *format, ...)
{
    struct buf message = {0};
    va_list args;
    print_position(&message, p->lexer.text, pos);
    buf_add_z(&message, ": parse error: ");
    va_start(args, format);
    buf_vprintf(&message, format, args);
    va_end(args);
    err_set(p->err, ERR_BAD_DATA, "%.*s", STR_ARG(buf_str(&message)));
    buf_free(&message);
    longjmp(p->failed, 1);
}

static void out_of_memory(struct arena *a, size_t wanted, void *arg)
{
    struct parser *p = arg;
    err_set(p->err, ERR_LIMIT, "the query is too large: reading it takes %zu bytes beyond the %zu that a query may use", wanted, a->max);
    longjmp(p->failed, 1);
}

struct place parse_place(struct parser *p, const char *where, const char *expected)
{
    struct place outer = {p->where, p->expected};
    p->where = where;
    p->expected = expected;
    return outer;
}

const char *parse_quoted(struct parser *p, struct str s)
{
    buf_clear(&p->scratch);
    quote_text(&p->scratch, s);
    return buf_z(&p->scratch);
}

void parse_unexpected_in(struct parser *p, const char *where, const char *expected)
{
    struct token t = parse_peek(p);
    buf_clear(&p->scratch);
    token_describe(&p->scratch, t);
    parse_fail(p, t.pos, "unexpected %s%s%s%s%s", buf_z(&p->scratch), where ? " in " : "", where ? where : "",
               expected ? ", expected " : "", expected ? expected : "");
}

void parse_unexpected(struct parser *p) { parse_unexpected_in(p, p->where, p->expected); }

/* --- tokens and nodes ------------------------------------------------------------------------------------------------ */

struct token parse_peek(struct parser *p)
{
    if (!p->have_token) {
        p->token = lexer_next(&p->lexer);
        p->have_token = true;
        if (p->token.kind == TOKEN_ERROR)
            parse_fail(p, p->lexer.start, "%s", p->lexer.error);
    }
    return p->token;
}

struct token parse_take(struct parser *p)
{
    struct token t = parse_peek(p);
    p->have_token = false;
    p->end = t.pos + t.text.n;
    return t;
}

bool parse_accept(struct parser *p, enum token_kind kind)
{
    if (!parse_at(p, kind))
        return false;
    parse_take(p);
    return true;
}

struct token parse_expect(struct parser *p, enum token_kind kind)
{
    if (!parse_at(p, kind))
        parse_unexpected(p);
    return parse_take(p);
}

static _Noreturn void fail_nesting(struct parser *p, size_t pos)
{
    parse_fail(p, pos, "expression is nested deeper than %d levels", PROMQL_MAX_NESTING);
}

void parse_enter(struct parser *p)
{
    if (++p->depth > PROMQL_MAX_NESTING)
        fail_nesting(p, p->end);
}

uint32_t parse_height(struct parser *p, size_t pos, uint32_t a, uint32_t b)
{
    uint32_t height = (a > b ? a : b) + 1;
    if (height > PROMQL_MAX_NESTING)
        fail_nesting(p, pos);
    return height;
}

struct expr *parse_new(struct parser *p, enum expr_kind kind, enum value_type type, size_t pos, uint32_t height)
{
    struct expr *e = ARENA_NEW(p->arena, struct expr);
    e->kind = kind;
    e->type = type;
    e->pos = (uint32_t)pos;
    e->end = (uint32_t)p->end;
    e->height = height;
    return e;
}

/* --- binary operators ------------------------------------------------------------------------------------------------ */

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

static int precedence(enum token_kind kind) { return kind < LEN(operators) ? operators[kind].prec : PREC_NONE; }

static double parse_fill(struct parser *p)
{
    parse_take(p); /* fill, fill_left or fill_right: the lexer saw that a parenthesis follows */
    parse_expect(p, TOKEN_LEFT_PAREN);
    bool minus = parse_at(p, TOKEN_SUB);
    if (minus || parse_at(p, TOKEN_ADD))
        parse_take(p);
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
        parse_take(p);
        m->labels = parse_labels(p, &m->n_labels);
        bool left = parse_at(p, TOKEN_GROUP_LEFT);
        if (left || parse_at(p, TOKEN_GROUP_RIGHT)) {
            parse_take(p);
            m->card = left ? CARD_MANY_TO_ONE : CARD_ONE_TO_MANY;
            if (parse_at(p, TOKEN_LEFT_PAREN) || !may_follow_group(parse_peek(p).kind))
                m->include = parse_labels(p, &m->n_include);
        }
    }
    parse_fills(p, m);
    return m;
}

static struct expr *parse_binary(struct parser *p, int least);

static struct expr *parse_operand(struct parser *p)
{
    struct token t = parse_peek(p);
    switch (t.kind) {
    case TOKEN_NUMBER: case TOKEN_DURATION:
        return parse_number(p);
    case TOKEN_STRING: {
        parse_take(p);
        struct expr *e = parse_new(p, EXPR_STRING, VALUE_STRING, t.pos, 1);
        e->u.string = literal_string(p->arena, t.text);
        return e;
    }
    case TOKEN_LEFT_PAREN: {
        parse_take(p);
        struct expr *inner = parse_expr(p);
        parse_expect(p, TOKEN_RIGHT_PAREN);
        struct expr *e = parse_new(p, EXPR_PAREN, inner->type, t.pos, parse_height(p, t.pos, inner->height, 0));
        e->u.paren.inner = inner;
        return e;
    }
    case TOKEN_LEFT_BRACE:
        return parse_vector_selector(p, NULL);
    default:
        return parse_named(p);
    }
}

/* A sign binds like '*': it takes all of a^b, and only a of a*b. Before a number it belongs to the number. */
static struct expr *parse_unary(struct parser *p)
{
    struct token t = parse_peek(p);
    if (t.kind != TOKEN_ADD && t.kind != TOKEN_SUB)
        return parse_postfix(p, parse_operand(p));
    parse_take(p);
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

static struct expr *parse_binary(struct parser *p, int least)
{
    parse_enter(p);
    struct expr *left = parse_unary(p);
    for (;;) {
        struct token t = parse_peek(p);
        int prec = precedence(t.kind);
        if (prec == PREC_NONE || prec < least)
            break;
        parse_take(p);
        parse_end_offset(p, left, t.kind);
        bool is_bool;
        struct matching *m = parse_matching(p, &is_bool);
        struct expr *right = parse_binary(p, prec == PREC_POW ? prec : prec + 1);
        bool scalars = left->type == VALUE_SCALAR && right->type == VALUE_SCALAR;
        struct expr *e = parse_new(p, EXPR_BINARY, scalars ? VALUE_SCALAR : VALUE_VECTOR, left->pos,
                                   parse_height(p, t.pos, left->height, right->height));
        e->end = right->end;
        e->u.binary.op = operators[t.kind].op;
        e->u.binary.is_bool = is_bool;
        e->u.binary.left = left;
        e->u.binary.right = right;
        e->u.binary.matching = m;
        left = e;
    }
    parse_exit(p);
    return left;
}

struct expr *parse_expr(struct parser *p) { return parse_binary(p, PREC_OR); }

/* --- entries --------------------------------------------------------------------------------------------------------- */

static void free_made(struct parser *p)
{
    for (struct made_regex *r = p->made; r; r = r->next)
        regex_free(r->re);
}

/* The whole text by one of the rules below. The arena's own answer to being full is ours meanwhile. */
static struct expr *parse_whole(struct parser *p, struct str text, struct expr *(*rule)(struct parser *p))
{
    struct arena *a = p->arena;
    void (*on_full)(struct arena *, size_t, void *) = a->on_full;
    void *on_full_arg = a->on_full_arg;
    struct expr *volatile e = NULL;
    a->on_full = out_of_memory;
    a->on_full_arg = p;
    if (setjmp(p->failed) == 0) {
        lexer_init(&p->lexer, text);
        if (text.n > UINT32_MAX)
            parse_fail(p, 0, "a query of %zu bytes is too long", text.n);
        lexer_init(&p->lexer, arena_str(p->arena, text));
        e = rule(p);
    } else {
        free_made(p);
    }
    a->on_full = on_full;
    a->on_full_arg = on_full_arg;
    buf_free(&p->scratch);
    return e;
}

static struct expr *whole_expr(struct parser *p)
{
    if (parse_at(p, TOKEN_EOF))
        parse_fail(p, 0, "no expression found in input");
    struct expr *e = parse_expr(p);
    parse_expect(p, TOKEN_EOF);
    check_expr(p, e);
    return e;
}

static struct expr *whole_selector(struct parser *p)
{
    struct token name = parse_peek(p);
    bool named = parse_is_metric(name.kind);
    if (named)
        parse_take(p);
    else if (name.kind != TOKEN_LEFT_BRACE)
        parse_unexpected(p);
    struct expr *e = parse_vector_selector(p, named ? &name : NULL);
    parse_expect(p, TOKEN_EOF);
    return e;
}

struct expr *promql_parse(struct arena *a, struct str text, const struct promql_syntax *syntax, struct err *err)
{
    struct parser p = {.arena = a, .err = err};
    if (syntax)
        p.syntax = *syntax;
    return parse_whole(&p, text, whole_expr); /* cppcheck-suppress returnDanglingLifetime ; the tree is the arena's */
}

bool promql_parse_selector(struct arena *a, struct str text, const struct matcher **out, size_t *n, struct err *err)
{
    struct parser p = {.arena = a, .err = err};
    const struct expr *e = parse_whole(&p, text, whole_selector);
    if (e == NULL)
        return false;
    *out = e->u.selector.matchers;
    *n = e->u.selector.n_matchers;
    return true;
}
