// SPDX-License-Identifier: Apache-2.0
/* Splits PromQL text into tokens, on demand. A lexer borrows its text; tokens point into it. It tracks whether it is
 * inside braces or brackets, because the same characters have another meaning there.
 *
 * TOKEN_ERROR ends the input: lexer.error has the message and lexer.start the position.
 */
#ifndef PROMQL_PARSE_LEXER_H
#define PROMQL_PARSE_LEXER_H

#include "base/buf.h"

enum token_kind {
    TOKEN_ERROR, TOKEN_EOF,
    TOKEN_IDENTIFIER, TOKEN_METRIC_IDENTIFIER /* has a colon */, TOKEN_STRING /* with its quotes */, TOKEN_NUMBER,
    TOKEN_DURATION,
    TOKEN_LEFT_PAREN, TOKEN_RIGHT_PAREN, TOKEN_LEFT_BRACE, TOKEN_RIGHT_BRACE, TOKEN_LEFT_BRACKET, TOKEN_RIGHT_BRACKET,
    TOKEN_COMMA, TOKEN_COLON, TOKEN_EQL,
    /* operators, named <op:...> in messages */
    TOKEN_ADD, TOKEN_SUB, TOKEN_MUL, TOKEN_DIV, TOKEN_MOD, TOKEN_POW, TOKEN_ATAN2,
    TOKEN_EQLC, TOKEN_NEQ, TOKEN_LSS, TOKEN_GTR, TOKEN_LTE, TOKEN_GTE, TOKEN_TRIM_UPPER, TOKEN_TRIM_LOWER,
    TOKEN_AND, TOKEN_OR, TOKEN_UNLESS, TOKEN_EQL_REGEX, TOKEN_NEQ_REGEX, TOKEN_AT,
    /* aggregations, named <aggr:...>; in the order of enum aggregate_op */
    TOKEN_SUM, TOKEN_AVG, TOKEN_COUNT, TOKEN_MIN, TOKEN_MAX, TOKEN_GROUP, TOKEN_STDDEV, TOKEN_STDVAR, TOKEN_TOPK,
    TOKEN_BOTTOMK, TOKEN_COUNT_VALUES, TOKEN_QUANTILE, TOKEN_LIMITK, TOKEN_LIMIT_RATIO,
    /* keywords, named <...> */
    TOKEN_BOOL, TOKEN_BY, TOKEN_WITHOUT, TOKEN_ON, TOKEN_IGNORING, TOKEN_GROUP_LEFT, TOKEN_GROUP_RIGHT, TOKEN_FILL,
    TOKEN_FILL_LEFT, TOKEN_FILL_RIGHT, TOKEN_OFFSET, TOKEN_ANCHORED, TOKEN_SMOOTHED,
    /* keywords that are functions in duration expressions */
    TOKEN_START, TOKEN_END, TOKEN_STEP, TOKEN_RANGE, TOKEN_MAX_OF, TOKEN_MIN_OF
};

struct token {
    enum token_kind kind;
    size_t pos;
    struct str text; /* as written */
};

struct lexer {
    struct str text;
    size_t start, pos; /* start of the current token, and the position after the consumed part of it */
    int parens;
    bool in_braces;
    bool in_brackets;
    bool in_duration;  /* in brackets, before the first number: only duration expressions are recognized */
    bool got_colon, got_number;
    char error[512];
};

void lexer_init(struct lexer *lx, struct str text);
struct token lexer_next(struct lexer *lx);

/* The name of a token in messages: identifier "foo", <op:*>, end of input (token.c). */
void token_describe(struct buf *out, struct token t);

static inline bool token_is_aggregate(enum token_kind k) { return k >= TOKEN_SUM && k <= TOKEN_LIMIT_RATIO; }
static inline bool token_is_keyword(enum token_kind k) { return k >= TOKEN_BOOL && k <= TOKEN_SMOOTHED; }
static inline bool token_is_operator(enum token_kind k) { return k >= TOKEN_ADD && k <= TOKEN_AT; }

#endif
