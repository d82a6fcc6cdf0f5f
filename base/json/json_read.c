// SPDX-License-Identifier: Apache-2.0
/* The streaming JSON reader.
 *
 * The reader is always between two tokens. A token whose end has not arrived is copied into _tail and read again from
 * its first byte when more input has arrived. The copy is bounded: a string by max_string, a number or a pair by
 * JSON_LONGEST. Commas and colons are consumed as they arrive; `_state` says what may follow.
 */
#include "base/json/json_read.h"

#include "base/json/json_reader.h"
#include "base/json/json_string.h"
#include "base/text/num.h"
#include "base/text/utf8.h"

void json_reader_init(struct json_reader *r) { *r = (struct json_reader){0}; }

void json_reader_free(struct json_reader *r)
{
    buf_free(&r->_tail);
    buf_free(&r->_unescaped);
}

/* Input. */

static void stash(struct json_reader *r)
{
    size_t left = (size_t)(r->_end - r->_p);
    if (r->_tail.n > 0 && r->_end == r->_tail.p + r->_tail.n) {
        buf_drop_front(&r->_tail, r->_tail.n - left);
    } else {
        buf_clear(&r->_tail);
        buf_add(&r->_tail, r->_p, left);
    }
    r->_p = r->_tail.p;
    r->_end = left ? r->_p + left : r->_p; /* _tail may not be allocated yet */
}

void json_feed(struct json_reader *r, const char *p, size_t n)
{
    if (r->_p < r->_end) {
        stash(r);
        buf_add(&r->_tail, p, n);
        p = r->_tail.p;
        n = r->_tail.n;
    } else {
        buf_clear(&r->_tail);
    }
    r->_p = p;
    r->_end = n > 0 ? p + n : p; /* p may be NULL */
}

void json_finish(struct json_reader *r) { r->_finished = true; }

enum json_token json_reader_fail(struct json_reader *r, const char *what)
{
    if (r->_state != BROKEN)
        err_set(&r->err, ERR_BAD_DATA, "invalid JSON at byte %llu: %s", (unsigned long long)r->offset, what);
    r->_state = BROKEN;
    return JSON_ERROR;
}

enum json_token json_reader_more(struct json_reader *r, size_t longest)
{
    if (r->_finished)
        return json_reader_fail(r, "unexpected end of input");
    if ((size_t)(r->_end - r->_p) > longest)
        return json_reader_fail(r, "string or number too long");
    stash(r);
    return JSON_MORE;
}

/* Nesting. */

static enum json_token open_value(struct json_reader *r, enum json_token token)
{
    if (r->_depth == JSON_DEPTH)
        return json_reader_fail(r, "nested too deeply");
    r->_stack[r->_depth++] = (uint8_t)token;
    r->_state = token == JSON_OBJECT ? AT_FIRST_KEY : AT_FIRST;
    json_reader_consume(r, r->_p + 1);
    return token;
}

static void value_done(struct json_reader *r) { r->_state = r->_depth ? AFTER_VALUE : AFTER_DOCUMENT; }

enum json_token json_reader_close(struct json_reader *r)
{
    enum json_token token = json_reader_in_object(r) ? JSON_END_OBJECT : JSON_END_ARRAY;
    json_reader_consume(r, r->_p + 1);
    r->_depth--;
    value_done(r);
    return token;
}

/* Strings. */

/* The closing quote of the string whose text begins at p; NULL when it has not arrived. *bits is the OR of all bytes
 * seen in its lowest eight bits, plus ESCAPE and CONTROL. */
enum { HIGH = 0x80, ESCAPE = 0x100, CONTROL = 0x200 };

static const char *closing_quote(const char *p, const char *end, unsigned *bits)
{
    unsigned seen = 0;
    for (; p < end && *p != '"'; p++) {
        unsigned char c = (unsigned char)*p;
        seen |= c;
        if (c < 0x20)
            seen |= CONTROL;
        if (c == '\\') {
            seen |= ESCAPE;
            if (++p == end)
                break;
        }
    }
    *bits = seen;
    return p < end ? p : NULL;
}

static enum json_token json_read_string(struct json_reader *r, enum json_token token)
{
    size_t longest = json_reader_longest(r);
    const char *first = r->_p + 1;
    unsigned seen;
    const char *quote = closing_quote(first, r->_end, &seen);
    if (quote == NULL)
        return json_reader_more(r, longest + 1);
    r->text = str_n(first, (size_t)(quote - first));
    if (r->text.n > longest)
        return json_reader_fail(r, "string or number too long");
    if (seen & CONTROL)
        return json_reader_fail(r, "control character in a string");
    if ((seen & ESCAPE) || ((seen & HIGH) && !utf8_valid(r->text))) {
        if (!json_unescape(&r->_unescaped, first, quote))
            return json_reader_fail(r, "invalid escape in a string");
        r->text = buf_str(&r->_unescaped);
    }
    json_reader_consume(r, quote + 1);
    if (token == JSON_KEY)
        r->_state = AT_COLON;
    else
        value_done(r);
    return token;
}

/* Numbers and words. */

static const char *json_skip_digits(const char *p, const char *end)
{
    while (p < end && (unsigned char)(*p - '0') < 10)
        p++;
    return p;
}

bool json_number_valid(struct str s)
{
    const char *p = s.p, *end = s.p + s.n, *q;
    p += p < end && *p == '-';
    q = json_skip_digits(p, end);
    if (q == p || (*p == '0' && q - p > 1))
        return false;
    p = q;
    if (p < end && *p == '.') {
        q = json_skip_digits(++p, end);
        if (q == p)
            return false;
        p = q;
    }
    if (p < end && (*p | 0x20) == 'e') {
        p++;
        p += p < end && (*p == '+' || *p == '-');
        q = json_skip_digits(p, end);
        if (q == p)
            return false;
        p = q;
    }
    return p == end;
}

static bool in_number(char c)
{
    return (unsigned char)(c - '0') < 10 || c == '-' || c == '+' || c == '.' || (c | 0x20) == 'e';
}

static enum json_token json_read_number(struct json_reader *r)
{
    const char *p = r->_p;
    while (p < r->_end && in_number(*p))
        p++;
    if (p == r->_end && !r->_finished)
        return json_reader_more(r, JSON_LONGEST);
    r->text = str_n(r->_p, (size_t)(p - r->_p));
    if (!json_number_valid(r->text) || num_scan(r->_p, p, &r->number) != p)
        return json_reader_fail(r, "invalid number");
    json_reader_consume(r, p);
    value_done(r);
    return JSON_NUMBER;
}

static enum json_token json_read_word(struct json_reader *r, struct str word, enum json_token token)
{
    struct str there = str_first(str_n(r->_p, (size_t)(r->_end - r->_p)), word.n);
    if (!str_eq(there, str_first(word, there.n)))
        return json_reader_fail(r, "expected a value");
    if (there.n < word.n)
        return json_reader_more(r, JSON_LONGEST);
    json_reader_consume(r, r->_p + word.n);
    value_done(r);
    return token;
}

static enum json_token json_read_value(struct json_reader *r)
{
    switch (*r->_p) {
    case '{': return open_value(r, JSON_OBJECT);
    case '[': return open_value(r, JSON_ARRAY);
    case '"': return json_read_string(r, JSON_STRING);
    case 't': return json_read_word(r, STR("true"), JSON_TRUE);
    case 'f': return json_read_word(r, STR("false"), JSON_FALSE);
    case 'n': return json_read_word(r, STR("null"), JSON_NULL);
    case 'N': return r->nan ? json_read_word(r, STR("NaN"), JSON_NULL) : json_reader_fail(r, "expected a value");
    default: return in_number(*r->_p) ? json_read_number(r) : json_reader_fail(r, "expected a value");
    }
}

/* Consumes a comma or colon where one is required. False when there is another character. */
static bool json_read_separator(struct json_reader *r, char c)
{
    if (r->_state == AT_COLON) {
        r->_state = AT_VALUE;
        json_reader_consume(r, r->_p + 1);
        return c == ':';
    }
    r->_state = json_reader_in_object(r) ? AT_KEY : AT_VALUE;
    json_reader_consume(r, r->_p + 1);
    return c == ',';
}

static bool between_documents(const struct json_reader *r)
{
    return r->_state == AFTER_DOCUMENT || (r->many && r->_depth == 0);
}

static enum json_token json_read_token(struct json_reader *r)
{
    for (;;) {
        json_reader_consume(r, json_skip_space(r->_p, r->_end));
        if (r->_state == BROKEN)
            return JSON_ERROR;
        if (r->offset - r->_token > JSON_BLANKS)
            return json_reader_fail(r, "too much white space");
        if (r->_p == r->_end)
            return r->_finished && between_documents(r) ? JSON_END : json_reader_more(r, 0);
        char c = *r->_p;
        switch ((enum json_state)r->_state) {
        case AT_FIRST:
            return c == ']' ? json_reader_close(r) : json_read_value(r);
        case AT_VALUE:
            return json_read_value(r);
        case AT_FIRST_KEY:
            if (c == '}')
                return json_reader_close(r);
            /* fall through */
        case AT_KEY:
            return c == '"' ? json_read_string(r, JSON_KEY) : json_reader_fail(r, "expected a key");
        case AFTER_VALUE:
            if (c == (json_reader_in_object(r) ? '}' : ']'))
                return json_reader_close(r);
            /* fall through */
        case AT_COLON:
            if (!json_read_separator(r, c))
                return json_reader_fail(r, "expected a comma, a colon or a bracket");
            break;
        default:
            if (!r->many)
                return json_reader_fail(r, "unexpected data after the document");
            r->_state = AT_VALUE;
        }
    }
}

enum json_token json_next(struct json_reader *r)
{
    enum json_token token = json_read_token(r);
    if (token != JSON_MORE)
        r->_token = r->offset;
    return token;
}

enum json_token json_skip(struct json_reader *r)
{
    uint64_t before = r->offset;
    if (r->_skip == 0) {
        bool begun = r->_state == AT_FIRST || r->_state == AT_FIRST_KEY;
        r->_skip = r->_depth - begun + 1;
    }
    for (;;) {
        enum json_token token = json_next(r);
        r->skipped += r->offset - before;
        before = r->offset;
        if (token == JSON_MORE)
            return token;
        if (token == JSON_ERROR || token == JSON_END || (r->_depth + 1 == r->_skip && token != JSON_KEY)) {
            r->_skip = 0;
            return token;
        }
    }
}
