// SPDX-License-Identifier: Apache-2.0
/* Scans names and quoted values inside the braces of a series. */
#include "model/exposition/exposition_scan.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* Finds the first quote or backslash, sixteen bytes at a time if possible. (1.6 to 7 times faster than byte by byte,
 * increasing with the length of the values; AVX2 adds nothing.) */
static const char *quote_or_escape(const char *p, const char *end)
{
#ifdef __SSE2__
    const __m128i quote = _mm_set1_epi8('"'), escape = _mm_set1_epi8('\\');
    for (; end - p >= 16; p += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)p);
        int hits = _mm_movemask_epi8(_mm_or_si128(_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, escape)));
        if (hits)
            return p + __builtin_ctz((unsigned)hits);
    }
#endif
    while (p < end && *p != '"' && *p != '\\')
        p++;
    return p;
}

const char *exposition_quote_end(const char *p, const char *end)
{
    while ((p = quote_or_escape(p, end)) < end && *p == '\\')
        if (end - p < 2)
            return NULL;
        else
            p += 2;
    return p < end ? p : NULL;
}

enum { LETTER = 1, DIGIT = 2, COLON = 4, DELIMITER = 8, LABEL_DELIMITER = 16 };
static const unsigned char classes[256] = {
    ['a' ... 'z'] = LETTER, ['A' ... 'Z'] = LETTER, ['_'] = LETTER, ['0' ... '9'] = DIGIT, [':'] = COLON,
    [0 ... ' '] = DELIMITER, [0x7f] = DELIMITER, ['{'] = DELIMITER, ['}'] = DELIMITER, ['"'] = DELIMITER,
    [','] = LABEL_DELIMITER, ['='] = LABEL_DELIMITER,
};

static const char *any_name_end(const char *p, const char *end, unsigned delimiters)
{
    while (p < end && !(classes[(unsigned char)*p] & delimiters))
        p++;
    return p;
}

const char *exposition_name_end(const char *p, const char *end, enum name_kind kind)
{
    if (kind == NAME_ANY_METRIC || kind == NAME_ANY_LABEL)
        return any_name_end(p, end, kind == NAME_ANY_LABEL ? DELIMITER | LABEL_DELIMITER : DELIMITER);
    unsigned first = LETTER | (kind == NAME_METRIC ? COLON : 0);
    if (p == end || !(classes[(unsigned char)*p] & first))
        return p;
    while (p < end && classes[(unsigned char)*p] & (first | DIGIT))
        p++;
    return p;
}

/* Scans a name, plain or quoted, at *p and moves *p after it. Returns what was expected when there is none, else
 * NULL. */
static const char *scan_name(const char **p, const char *end, enum name_kind kind, struct scan_piece *piece,
                             bool *quoted)
{
    const char *start = *p;
    *quoted = start < end && *start == '"';
    start += *quoted;
    const char *stop = *quoted ? exposition_quote_end(start, end) : exposition_name_end(start, end, kind);
    if (stop == NULL)
        return "a closing quote";
    if (stop == start && !*quoted)
        return "a label name or `}`";
    piece->name = str_n(start, (size_t)(stop - start));
    *p = stop + *quoted;
    return NULL;
}

static enum scan bad(struct scan_piece *piece, const char *expected)
{
    piece->expected = expected;
    return SCAN_BAD;
}

enum scan exposition_scan(const char **p, const char *end, bool any, struct scan_piece *piece)
{
    *p = exposition_blanks_end(*p, end);
    if (*p < end && **p == '}') {
        ++*p;
        return SCAN_CLOSE;
    }
    bool quoted;
    const char *expected = scan_name(p, end, any ? NAME_ANY_LABEL : NAME_LABEL, piece, &quoted);
    if (expected)
        return bad(piece, expected);
    const char *at = *p = exposition_blanks_end(*p, end);
    if (quoted && at < end && (*at == ',' || *at == '}')) {
        *p = at + (*at == ',');
        return SCAN_METRIC;
    }
    if (at == end || *at != '=')
        return bad(piece, "`=` after the label name");
    *p = at = exposition_blanks_end(at + 1, end);
    if (at == end || *at != '"')
        return bad(piece, "a quoted label value");
    const char *close = exposition_quote_end(++at, end);
    if (close == NULL)
        return bad(piece, "a closing quote");
    piece->value = str_n(at, (size_t)(close - at));
    at = exposition_blanks_end(close + 1, end);
    *p = at + (at < end && *at == ',');
    return SCAN_LABEL;
}
