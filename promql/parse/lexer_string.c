// SPDX-License-Identifier: Apache-2.0
/* Scans quoted and raw strings. Escapes are validated here and decoded by literal.c. */
#include "promql/parse/lexer_internal.h"
#include "promql/parse/literal.h"
#include "promql/ast/quote.h"

#include <stdio.h>

static bool lexer_string_fail(struct lexer *lx, const char *text)
{
    snprintf(lx->error, sizeof lx->error, "%s", text);
    return false;
}

static bool fail_code_point(struct lexer *lx, const char *before, int32_t c, const char *after)
{
    struct buf shown = {0};
    quote_code_point(&shown, c);
    snprintf(lx->error, sizeof lx->error, "%s%s%s", before, buf_z(&shown), after);
    buf_free(&shown);
    return false;
}

/* The digits of \ooo, \xhh, \uhhhh or \Uhhhhhhhh. */
static bool scan_code(struct lexer *lx, unsigned digits, unsigned base, uint32_t max)
{
    uint32_t code = 0;
    for (; digits > 0; digits--) {
        int32_t c = lexer_rune(lx);
        unsigned d = literal_digit(c);
        if (c < 0)
            return lexer_string_fail(lx, "escape sequence not terminated");
        if (d >= base)
            return fail_code_point(lx, "illegal character ", c, " in escape sequence");
        code = code * base + d;
    }
    if (code > max || (code >= 0xd800 && code < 0xe000))
        return lexer_string_fail(lx, "escape sequence is an invalid Unicode code point");
    return true;
}

static bool scan_escape(struct lexer *lx, int32_t quote)
{
    int32_t c = lexer_rune(lx);
    if (c >= '0' && c <= '7') {
        lx->pos--;
        return scan_code(lx, 3, 8, 255);
    }
    switch (c) {
    case 'x': return scan_code(lx, 2, 16, 255);
    case 'u': return scan_code(lx, 4, 16, 0x10ffff);
    case 'U': return scan_code(lx, 8, 16, 0x10ffff);
    case -1: return lexer_string_fail(lx, "escape sequence not terminated");
    }
    if (c == quote || (c > 0 && c < 0x80 && strchr("abfnrtv\\", c)))
        return true;
    return fail_code_point(lx, "unknown escape sequence ", c, "");
}

bool lexer_scan_string(struct lexer *lx, int32_t quote)
{
    bool raw = quote == '`';
    for (;;) {
        int32_t c = lexer_rune(lx);
        if (c == quote)
            return true;
        if (c == 0xfffd)
            return lexer_string_fail(lx, "invalid UTF-8 rune");
        if (c < 0 || (c == '\n' && !raw))
            return lexer_string_fail(lx, raw ? "unterminated raw string" : "unterminated quoted string");
        if (c == '\\' && !raw && !scan_escape(lx, quote))
            return false;
    }
}
