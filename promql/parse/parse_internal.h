// SPDX-License-Identifier: Apache-2.0
/* The parser's shared state and functions. A parser parses one text: recursive descent, with precedence climbing for
 * binary operators. One token of lookahead is read only when needed, so that of two errors the same one is found
 * first as in Prometheus.
 *
 * Errors are raised by longjmp to the entry function: parse_fail and its callers do not return on an error, nor does
 * an allocation when the arena is full. Only the first error is reported. The entry function frees the regexes
 * compiled so far.
 */
#ifndef PROMQL_PARSE_PARSE_INTERNAL_H
#define PROMQL_PARSE_PARSE_INTERNAL_H

#include "promql/ast/ast.h"
#include "promql/parse/lexer.h"
#include "promql/promql.h"

#include <setjmp.h>

struct made_regex { struct regex *re; struct made_regex *next; };

struct parser {
    struct lexer lexer;
    struct token token;             /* lookahead, valid when have_token */
    bool have_token;
    size_t end;                     /* position after the last token consumed */
    struct arena *arena;
    struct promql_syntax syntax;
    const char *where, *expected;   /* for "unexpected X in WHERE, expected EXPECTED" */
    unsigned depth;
    struct made_regex *made;
    struct buf scratch;
    struct err *err;
    jmp_buf failed;
};

/* --- parse.c: errors, tokens, nodes ------------------------------------------------------------------------------- */
_Noreturn void parse_fail(struct parser *p, size_t pos, const char *format, ...) PRINTF(3, 4);
_Noreturn void parse_unexpected(struct parser *p);         /* the next token, in the current context */
_Noreturn void parse_unexpected_in(struct parser *p, const char *where, const char *expected);
const char *parse_quoted(struct parser *p, struct str s);  /* for messages; the next call overwrites it */

/* The context that messages name for an unexpected token, until the previous one is restored. */
struct parse_context { const char *where, *expected; };
struct parse_context parse_place(struct parser *p, const char *where, const char *expected);
static inline void parse_leave(struct parser *p, struct parse_context outer)
{
    p->where = outer.where;
    p->expected = outer.expected;
}

struct token parse_peek(struct parser *p);
struct token parse_next_token(struct parser *p);
bool parse_accept(struct parser *p, enum token_kind kind); /* consumed if present */
struct token parse_expect(struct parser *p, enum token_kind kind);
static inline bool parse_at(struct parser *p, enum token_kind kind) { return parse_peek(p).kind == kind; }

void parse_enter(struct parser *p);                        /* enters a nesting level; fails at the 1001st */
static inline void parse_exit(struct parser *p) { p->depth--; }
struct expr *parse_new(struct parser *p, enum expr_kind kind, enum value_type type, size_t pos, uint32_t height);
/* Height of a node with children of heights a and b; fails when too high. */
uint32_t parse_height(struct parser *p, size_t pos, uint32_t a, uint32_t b);

/* --- parse_binary.c ----------------------------------------------------------------------------------------------- */
struct expr *parse_expr(struct parser *p);

/* --- parse_call.c: words, lists in parentheses -------------------------------------------------------------------- */
struct expr *parse_named(struct parser *p);
const struct str *parse_labels(struct parser *p, size_t *n); /* (a, b, "c.d") */
bool parse_starts_expr(enum token_kind kind);

/* --- parse_selector.c --------------------------------------------------------------------------------------------- */
struct expr *parse_vector_selector(struct parser *p, const struct token *name); /* name NULL: '{' is next */
bool parse_is_metric(enum token_kind kind);                  /* valid as a metric name */

/* --- parse_postfix.c: numbers and modifiers ----------------------------------------------------------------------- */
struct expr *parse_number(struct parser *p);                 /* a NUMBER or DURATION token */
struct expr *parse_postfix(struct parser *p, struct expr *e); /* [..], offset, @, anchored, smoothed */

/* --- parse_duration.c --------------------------------------------------------------------------------------------- */
const struct duration_expr *parse_duration_expr(struct parser *p);
const struct duration_expr *parse_offset(struct parser *p);  /* the expression after `offset` */
/* Called when `op` follows e, whose offset is printed last. An offset in parentheses would absorb what follows, as in
 * foo offset (5m) @ 7 + 3; a '+' terminates it: foo @ 7.000 offset +(5m) + 3. */
void parse_end_offset(struct parser *p, struct expr *e, enum token_kind op);

/* --- typecheck.c: types, after the complete text was parsed ------------------------------------------------------- */
void check_expr(struct parser *p, struct expr *e);

#endif
