// SPDX-License-Identifier: Apache-2.0
/* Converts the text of literals to values, with Go's and Prometheus' error messages. */
#include "promql/parse/literal.h"

#include "base/text/num.h"
#include "base/text/utf8.h"
#include "promql/ast/quote.h"

#include <ctype.h>
#include <math.h>

/* --- numbers ------------------------------------------------------------------------------------------------------ */

unsigned literal_digit(int32_t c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    return c > 0 && c < 0x80 && isxdigit(c) ? (unsigned)((c | 0x20) - 'a' + 10) : 16;
}

static bool literal_is_hex(struct str s) { return s.n >= 2 && s.p[0] == '0' && (s.p[1] | 0x20) == 'x'; }

/* '_' is allowed between digits, and between 0x and a digit. */
static bool underscores_fit(struct str s)
{
    bool hex = literal_is_hex(s);
    unsigned base = hex ? 16 : 10;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != '_')
            continue;
        bool before = i > 0 && ((hex && i == 2) || literal_digit(s.p[i - 1]) < base);
        if (!before || i + 1 == s.n || literal_digit(s.p[i + 1]) >= base)
            return false;
    }
    return true;
}

/* As Go's ParseInt with base 0; false when it is not a 64-bit integer; it is then parsed as a float. */
static bool read_integer(struct str s, double *v)
{
    bool hex = literal_is_hex(s);
    unsigned base = hex ? 16 : s.n > 1 && s.p[0] == '0' ? 8 : 10;
    int64_t n = 0;
    for (size_t i = hex ? 2 : 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '_')
            continue;
        unsigned digit = literal_digit(c);
        if (digit >= base || __builtin_mul_overflow(n, (int64_t)base, &n) ||
            __builtin_add_overflow(n, (int64_t)digit, &n))
            return false;
    }
    *v = (double)n;
    return s.n > (hex ? 2 : 0);
}

static bool read_float(struct str s, double *v)
{
    struct buf plain = {0};
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] != '_')
            buf_add_char(&plain, s.p[i]);
    bool ok = num_parse(buf_str(&plain), v);
    buf_free(&plain);
    return ok;
}

bool literal_number(struct str text, double *v, const char **why)
{
    *why = "invalid syntax";
    if (!underscores_fit(text))
        return false;
    if (read_integer(text, v))
        return true;
    if (literal_is_hex(text) || !read_float(text, v))
        return false;
    *why = "value out of range";
    return !isinf(*v) || isalpha((unsigned char)text.p[0]);
}

/* --- durations ---------------------------------------------------------------------------------------------------- */

#define SECOND UINT64_C(1000000000) /* ns */
static const struct { const char *name; uint64_t ns; } units[] = {
    {"y", 365 * 86400 * SECOND}, {"w", 7 * 86400 * SECOND}, {"d", 86400 * SECOND}, {"h", 3600 * SECOND},
    {"m", 60 * SECOND}, {"s", SECOND}, {"ms", SECOND / 1000},
};

static size_t literal_count_digits(struct str s)
{
    size_t n = 0;
    while (n < s.n && isdigit((unsigned char)s.p[n]))
        n++;
    return n;
}

static bool not_a_duration(struct buf *why, struct str text)
{
    buf_add_z(why, "not a valid duration string: ");
    quote_text(why, text);
    return false;
}

/* Adds one number with its unit to *ns; *next is the first unit allowed after it. */
static bool read_unit(struct str text, struct str *left, size_t *next, uint64_t *ns, struct buf *why)
{
    uint64_t value, part;
    size_t n = literal_count_digits(*left);
    if (!num_parse_u64(str_first(*left, n), &value))
        return not_a_duration(why, text);
    *left = str_skip(*left, n);
    for (n = 0; n < left->n && !isdigit((unsigned char)left->p[n]); )
        n++;
    struct str unit = str_first(*left, n);
    *left = str_skip(*left, n);
    size_t u = 0;
    while (u < LEN(units) && !str_is(unit, units[u].name))
        u++;
    if (u == LEN(units)) {
        buf_add_z(why, "unknown unit ");
        quote_text(why, unit);
        buf_add_z(why, " in duration ");
        quote_text(why, text);
        return false;
    }
    if (u < *next)
        return not_a_duration(why, text);
    *next = u + 1;
    if (__builtin_mul_overflow(value, units[u].ns, &part) || __builtin_add_overflow(*ns, part, ns) || *ns > INT64_MAX) {
        buf_add_z(why, "duration out of range");
        return false;
    }
    return true;
}

bool literal_duration(struct str text, double *seconds, struct buf *why)
{
    uint64_t ns = 0;
    size_t next = 0;
    for (struct str left = text; left.n > 0; )
        if (!read_unit(text, &left, &next, &ns, why))
            return false;
    *seconds = (double)(ns / SECOND) + (double)(ns % SECOND) / 1e9;
    return true;
}

/* --- strings ------------------------------------------------------------------------------------------------------ */

static uint32_t read_code(struct str s, size_t from, size_t n, unsigned base)
{
    uint32_t code = 0;
    for (size_t i = from; i < from + n && i < s.n; i++)
        code = code * base + literal_digit((unsigned char)s.p[i]);
    return code;
}

/* Decodes the escape at the start of `s` (a backslash); returns the number of bytes consumed. */
static size_t literal_unescape(struct str s, char *to, size_t *n)
{
    static const char letters[] = "abtnvfr"; /* 7 to 13 */
    char c = s.p[1];
    const char *letter = strchr(letters, c);
    *n = 1;
    if (c >= '0' && c <= '7') {
        *to = (char)read_code(s, 1, 3, 8);
        return 4;
    }
    if (c == 'x') { /* a byte, not a code point */
        *to = (char)read_code(s, 2, 2, 16);
        return 4;
    }
    if (c == 'u' || c == 'U') {
        size_t hex = c == 'u' ? 4 : 8;
        *n = utf8_encode(to, read_code(s, 2, hex, 16));
        return 2 + hex;
    }
    *to = letter ? (char)(7 + (letter - letters)) : c;
    return 2;
}

struct str literal_string(struct arena *a, struct str text)
{
    struct str s = str_n(text.p + 1, text.n - 2);
    if (text.p[0] == '`' || str_find(s, '\\') == s.n)
        return s;
    char *to = arena_bytes(a, s.n); /* an escape is never shorter than its decoded form */
    size_t len = 0;
    while (s.n > 0) {
        size_t used = 1, n = 1;
        if (s.p[0] == '\\' && s.n > 1)
            used = literal_unescape(s, to + len, &n);
        else
            to[len] = s.p[0];
        len += n;
        s = str_skip(s, used);
    }
    return str_n(to, len);
}
