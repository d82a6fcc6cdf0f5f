// SPDX-License-Identifier: Apache-2.0
/* Describes tokens in error messages. */
#include "base/text/utf8.h"
#include "promql/parse/lexer.h"
#include "promql/ast/quote.h"

enum { SHOWN_RUNES = 10 };

/* The part of a long string or number that messages show. */
static struct str beginning(struct str text)
{
    size_t n = 0, len;
    for (unsigned runes = 0; runes < SHOWN_RUNES && n < text.n; runes++, n += len)
        utf8_next(str_skip(text, n), &len);
    return str_first(text, n);
}

void token_describe(struct buf *out, struct token t)
{
    static const char *const kinds[] = {
        [TOKEN_IDENTIFIER] = "identifier ", [TOKEN_METRIC_IDENTIFIER] = "metric identifier ",
        [TOKEN_STRING] = "string ", [TOKEN_NUMBER] = "number ", [TOKEN_DURATION] = "duration ",
    };
    if (t.kind == TOKEN_EOF) {
        buf_add_z(out, "end of input");
    } else if (token_is_operator(t.kind) || token_is_aggregate(t.kind) || token_is_keyword(t.kind)) {
        const char *group = token_is_operator(t.kind) ? "op:" : token_is_aggregate(t.kind) ? "aggr:" : "";
        buf_printf(out, "<%s%.*s>", group, STR_ARG(t.text));
    } else {
        bool cut = t.text.n > SHOWN_RUNES && t.kind != TOKEN_IDENTIFIER && t.kind != TOKEN_METRIC_IDENTIFIER;
        buf_add_z(out, t.kind < LEN(kinds) ? kinds[t.kind] : "");
        quote_text(out, cut ? beginning(t.text) : t.text);
        buf_add_z(out, cut ? "..." : "");
    }
}
