// SPDX-License-Identifier: Apache-2.0
/* The parser's entry points, errors, and functions for tokens and nodes. */
#include "promql/parse/parse_internal.h"

#include "promql/ast/quote.h"

/* --- errors ------------------------------------------------------------------------------------------------------- */

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
    err_set(p->err, ERR_LIMIT, "query too large: parsing it needs %zu bytes beyond the memory limit of %zu bytes per "
                               "query",
            wanted, a->max);
    longjmp(p->failed, 1);
}

struct parse_context parse_place(struct parser *p, const char *where, const char *expected)
{
    struct parse_context outer = {p->where, p->expected};
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

/* --- tokens and nodes --------------------------------------------------------------------------------------------- */

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

struct token parse_next_token(struct parser *p)
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
    parse_next_token(p);
    return true;
}

struct token parse_expect(struct parser *p, enum token_kind kind)
{
    if (!parse_at(p, kind))
        parse_unexpected(p);
    return parse_next_token(p);
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

/* --- entries ------------------------------------------------------------------------------------------------------ */

static void parse_free_regexes(struct parser *p)
{
    for (struct made_regex *r = p->made; r; r = r->next)
        regex_free(r->re);
}

/* Parses the complete text by one of the rules below. The arena's on_full is replaced meanwhile. */
static struct expr *parse_complete(struct parser *p, struct str text, struct expr *(*rule)(struct parser *p))
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
            parse_fail(p, 0, "query of %zu bytes is too long", text.n);
        lexer_init(&p->lexer, arena_str(p->arena, text));
        e = rule(p);
    } else {
        parse_free_regexes(p);
    }
    a->on_full = on_full;
    a->on_full_arg = on_full_arg;
    buf_free(&p->scratch);
    return e;
}

static struct expr *parse_complete_expr(struct parser *p)
{
    if (parse_at(p, TOKEN_EOF))
        parse_fail(p, 0, "no expression found in input");
    struct expr *e = parse_expr(p);
    parse_expect(p, TOKEN_EOF);
    check_expr(p, e);
    return e;
}

static struct expr *parse_complete_selector(struct parser *p)
{
    struct token name = parse_peek(p);
    bool named = parse_is_metric(name.kind);
    if (named)
        parse_next_token(p);
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
    /* cppcheck-suppress returnDanglingLifetime ; the tree is in the arena */
    return parse_complete(&p, text, parse_complete_expr);
}

bool promql_parse_selector(struct arena *a, struct str text, const struct matcher **out, size_t *n, struct err *err)
{
    struct parser p = {.arena = a, .err = err};
    const struct expr *e = parse_complete(&p, text, parse_complete_selector);
    if (e == NULL)
        return false;
    *out = e->u.selector.matchers;
    *n = e->u.selector.n_matchers;
    return true;
}
