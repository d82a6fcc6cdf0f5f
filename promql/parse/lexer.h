// SPDX-License-Identifier: Apache-2.0
/* PromQL text cut into tokens, one at a time, on demand. A lexer borrows its text; tokens point into it. It knows where
 * it is - between braces, between brackets - because the same characters mean other things there.
 *
 * After TOKEN_ERROR nothing more is to be read: lexer.error says what is wrong and lexer.start where.
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
    /* words that are functions in some places */
    TOKEN_START, TOKEN_END, TOKEN_STEP, TOKEN_RANGE, TOKEN_MAX_OF, TOKEN_MIN_OF
};

struct token {
    enum token_kind kind;
    size_t pos;
    struct str text; /* as written */
};

struct lexer {
    struct str text;
    size_t start, pos; /* of the token being read, and behind what was read of it */
    int parens;
    bool in_braces;
    bool in_brackets;
    bool in_duration;  /* in brackets, before the first number: only duration expressions are understood */
    bool got_colon, got_number;
    char error[512];
};

void lexer_init(struct lexer *lx, struct str text);
struct token lexer_next(struct lexer *lx);

/* What a message calls it: identifier "foo", <op:*>, end of input (token.c). */
void token_describe(struct buf *out, struct token t);

static inline bool token_is_aggregate(enum token_kind k) { return k >= TOKEN_SUM && k <= TOKEN_LIMIT_RATIO; }
static inline bool token_is_keyword(enum token_kind k) { return k >= TOKEN_BOOL && k <= TOKEN_SMOOTHED; }
static inline bool token_is_operator(enum token_kind k) { return k >= TOKEN_ADD && k <= TOKEN_AT; }

#endif
