// SPDX-License-Identifier: Apache-2.0
/* The keywords of PromQL. */
#include "promql/parse/lexer_internal.h"

#include "promql/promql.h"

#include <stdlib.h>

struct word { const char *text; enum token_kind kind; };
static const struct word lexer_keywords[] = { /* in byte order */
    {"anchored", TOKEN_ANCHORED}, {"and", TOKEN_AND}, {"atan2", TOKEN_ATAN2}, {"avg", TOKEN_AVG},
    {"bool", TOKEN_BOOL}, {"bottomk", TOKEN_BOTTOMK}, {"by", TOKEN_BY}, {"count", TOKEN_COUNT},
    {"count_values", TOKEN_COUNT_VALUES}, {"end", TOKEN_END}, {"fill", TOKEN_FILL}, {"fill_left", TOKEN_FILL_LEFT},
    {"fill_right", TOKEN_FILL_RIGHT}, {"group", TOKEN_GROUP}, {"group_left", TOKEN_GROUP_LEFT},
    {"group_right", TOKEN_GROUP_RIGHT}, {"ignoring", TOKEN_IGNORING}, {"inf", TOKEN_NUMBER},
    {"limit_ratio", TOKEN_LIMIT_RATIO}, {"limitk", TOKEN_LIMITK}, {"max", TOKEN_MAX}, {"max_of", TOKEN_MAX_OF},
    {"min", TOKEN_MIN}, {"min_of", TOKEN_MIN_OF}, {"nan", TOKEN_NUMBER}, {"offset", TOKEN_OFFSET}, {"on", TOKEN_ON},
    {"or", TOKEN_OR}, {"quantile", TOKEN_QUANTILE}, {"range", TOKEN_RANGE}, {"smoothed", TOKEN_SMOOTHED},
    {"start", TOKEN_START}, {"stddev", TOKEN_STDDEV}, {"stdvar", TOKEN_STDVAR}, {"step", TOKEN_STEP},
    {"sum", TOKEN_SUM}, {"topk", TOKEN_TOPK}, {"unless", TOKEN_UNLESS}, {"without", TOKEN_WITHOUT},
};

static int compare_word(const void *text, const void *word)
{
    return str_icmp(*(const struct str *)text, str_of(((const struct word *)word)->text));
}

enum token_kind lexer_word(struct str text)
{
    const struct word *w = bsearch(&text, lexer_keywords, LEN(lexer_keywords), sizeof lexer_keywords[0], compare_word);
    return w ? w->kind : TOKEN_IDENTIFIER;
}

void promql_words(void (*visit)(void *arg, enum promql_word kind, const char *name), void *arg)
{
    static const char *const functions[] = {
#define FUNCTION(id, name, ...) name,
#include "promql/ast/functions.def"
#undef FUNCTION
    };
    static const char *const symbols[] = {"+", "-", "*", "/", "%", "^", "==", "!=", "<", ">", "<=", ">=", "</", ">/",
                                          "=~", "!~", "@"};
    for (size_t i = 0; i < LEN(functions); i++)
        visit(arg, PROMQL_FUNCTION, functions[i]);
    for (size_t i = 0; i < LEN(symbols); i++)
        visit(arg, PROMQL_OPERATOR, symbols[i]);
    for (size_t i = 0; i < LEN(lexer_keywords); i++) {
        enum token_kind kind = lexer_keywords[i].kind;
        if (token_is_operator(kind) || token_is_aggregate(kind))
            visit(arg, PROMQL_OPERATOR, lexer_keywords[i].text);
        else if (token_is_keyword(kind))
            visit(arg, PROMQL_KEYWORD, lexer_keywords[i].text);
    }
}
