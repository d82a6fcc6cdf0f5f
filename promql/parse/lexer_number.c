// SPDX-License-Identifier: Apache-2.0
/* Finds the extent of a number; literal.c converts and validates it. The rules are Prometheus': one point, one
 * exponent, '_' only between digits, no fraction in hexadecimal, no letter after it. */
#include "promql/parse/lexer_internal.h"

#include <ctype.h>

static int at(const struct lexer *lx) { return lx->pos < lx->text.n ? (unsigned char)lx->text.p[lx->pos] : -1; }
static bool is(const struct lexer *lx, const char *set) { return at(lx) > 0 && strchr(set, at(lx)) != NULL; }
static bool lexer_is_word(int c) { return c >= 0 && c < 0x80 && (isalnum(c) || c == '_'); }

static bool accept(struct lexer *lx, const char *set)
{
    bool yes = is(lx, set);
    lx->pos += yes;
    return yes;
}

struct number_scan { const char *digits; bool hex, point, exponent; };

/* One point, exponent, underscore or run of digits. */
static bool scan_piece(struct lexer *lx, struct number_scan *s)
{
    if (accept(lx, ".")) {
        bool again = s->point;
        s->point = true;
        return !again && !accept(lx, "_.") && !s->hex;
    }
    if (accept(lx, "eE")) {
        bool again = s->exponent;
        s->exponent = true;
        if (again)
            return false;
        accept(lx, "+-");
        return !accept(lx, "._eE") && at(lx) >= 0;
    }
    if (accept(lx, "_"))
        return !accept(lx, "._eE") && at(lx) >= 0;
    while (accept(lx, s->digits))
        ;
    return true;
}

bool lexer_scan_number(struct lexer *lx)
{
    struct number_scan s = {.digits = "0123456789"};
    size_t from = lx->pos;
    if (accept(lx, "0") && accept(lx, "xX")) {
        accept(lx, "_");
        s.digits = "0123456789abcdefABCDEF";
        s.hex = true;
    }
    accept(lx, ".");
    accept(lx, s.digits);
    while (is(lx, s.digits) || is(lx, "._eE"))
        if (!scan_piece(lx, &s))
            return false;
    return lx->pos > from && !lexer_is_word(at(lx));
}

bool lexer_scan_duration(struct lexer *lx)
{
    static const char digits[] = "0123456789";
    if (!accept(lx, "smhdwy"))
        return false;
    accept(lx, "s"); /* the s of ms; hs and the like are rejected by the conversion */
    while (accept(lx, digits)) {
        while (accept(lx, digits))
            ;
        if (!accept(lx, "smhdw"))
            return false;
        accept(lx, "s");
    }
    bool more = lexer_is_word(at(lx));
    lx->pos += more; /* included in the message */
    return !more;
}
