/* The reader stands always between two tokens: what it has taken is done with, and a token whose end has not arrived is
 * left where it is, copied into _tail, and read again from its first byte when more has come. The copy is bounded: a
 * string by max_string, a number or a pair by LONGEST. Commas and colons are taken as they come, `_state` remembers
 * what may follow. */
#include "base/json_read.h"
#include "base/json_string.h"
#include "base/num.h"
#include "base/utf8.h"

#include <math.h>

enum { LONGEST = 4096, DEFAULT_STRING = 1 << 20 };

enum state {
    AT_VALUE,       /* a value must come */
    AT_FIRST,       /* behind [: a value or ] */
    AT_FIRST_KEY,   /* behind {: a key or } */
    AT_KEY,         /* behind , in an object */
    AT_COLON,
    AFTER_VALUE,    /* , or the end of what is open */
    AFTER_DOCUMENT,
    BROKEN
};

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
    r->_end = left ? r->_p + left : r->_p; /* _tail may have no memory yet */
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
    r->_end = p + n;
}

void json_finish(struct json_reader *r) { r->_finished = true; }

static void take_to(struct json_reader *r, const char *p)
{
    r->offset += (uint64_t)(p - r->_p);
    r->_p = p;
}

static enum json_token fail(struct json_reader *r, const char *what)
{
    if (r->_state != BROKEN)
        err_set(&r->err, ERR_BAD_DATA, "bad JSON at byte %llu: %s", (unsigned long long)r->offset, what);
    r->_state = BROKEN;
    return JSON_ERROR;
}

/* The bytes ran out inside or before a token of at most `longest` bytes. */
static enum json_token need_more(struct json_reader *r, size_t longest)
{
    if (r->_finished)
        return fail(r, "it ends in the middle");
    if ((size_t)(r->_end - r->_p) > longest)
        return fail(r, "an overlong string or number");
    stash(r);
    return JSON_MORE;
}

static inline const char *skip_space(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
        p++;
    return p;
}

/* Nesting. */

static enum json_token open_value(struct json_reader *r, enum json_token token)
{
    if (r->_depth == JSON_DEPTH)
        return fail(r, "nested too deeply");
    r->_stack[r->_depth++] = (uint8_t)token;
    r->_state = token == JSON_OBJECT ? AT_FIRST_KEY : AT_FIRST;
    take_to(r, r->_p + 1);
    return token;
}

static bool in_object(const struct json_reader *r) { return r->_stack[r->_depth - 1] == JSON_OBJECT; }
static void value_done(struct json_reader *r) { r->_state = r->_depth ? AFTER_VALUE : AFTER_DOCUMENT; }

static enum json_token close_value(struct json_reader *r)
{
    enum json_token token = in_object(r) ? JSON_END_OBJECT : JSON_END_ARRAY;
    take_to(r, r->_p + 1);
    r->_depth--;
    value_done(r);
    return token;
}

/* Strings. */

/* The closing quote of the string whose text begins at p; NULL when it has not arrived. *bits collects what was seen:
 * its lowest eight bits are those of all bytes together, ESCAPE and CONTROL are set on their own. */
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

static enum json_token read_string(struct json_reader *r, enum json_token token)
{
    size_t longest = r->max_string ? r->max_string : DEFAULT_STRING;
    const char *first = r->_p + 1;
    unsigned seen;
    const char *quote = closing_quote(first, r->_end, &seen);
    if (quote == NULL)
        return need_more(r, longest + 1);
    r->text = str_n(first, (size_t)(quote - first));
    if (r->text.n > longest)
        return fail(r, "an overlong string or number");
    if (seen & CONTROL)
        return fail(r, "a control character in a string");
    if ((seen & ESCAPE) || ((seen & HIGH) && !utf8_valid(r->text))) {
        if (!json_unescape(&r->_unescaped, first, quote))
            return fail(r, "a bad escape in a string");
        r->text = buf_str(&r->_unescaped);
    }
    take_to(r, quote + 1);
    if (token == JSON_KEY)
        r->_state = AT_COLON;
    else
        value_done(r);
    return token;
}

/* Numbers and words. */

static const char *digits(const char *p, const char *end)
{
    while (p < end && (unsigned char)(*p - '0') < 10)
        p++;
    return p;
}

/* RFC 8259's grammar, which is narrower than what num_scan takes. */
static bool is_number(struct str s)
{
    const char *p = s.p, *end = s.p + s.n, *q;
    p += p < end && *p == '-';
    q = digits(p, end);
    if (q == p || (*p == '0' && q - p > 1))
        return false;
    p = q;
    if (p < end && *p == '.') {
        q = digits(++p, end);
        if (q == p)
            return false;
        p = q;
    }
    if (p < end && (*p | 0x20) == 'e') {
        p++;
        p += p < end && (*p == '+' || *p == '-');
        q = digits(p, end);
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

static enum json_token read_number(struct json_reader *r)
{
    const char *p = r->_p;
    while (p < r->_end && in_number(*p))
        p++;
    if (p == r->_end && !r->_finished)
        return need_more(r, LONGEST);
    r->text = str_n(r->_p, (size_t)(p - r->_p));
    if (!is_number(r->text) || num_scan(r->_p, p, &r->number) != p)
        return fail(r, "a malformed number");
    take_to(r, p);
    value_done(r);
    return JSON_NUMBER;
}

static enum json_token read_word(struct json_reader *r, struct str word, enum json_token token)
{
    struct str there = str_first(str_n(r->_p, (size_t)(r->_end - r->_p)), word.n);
    if (!str_eq(there, str_first(word, there.n)))
        return fail(r, "a value was expected");
    if (there.n < word.n)
        return need_more(r, LONGEST);
    take_to(r, r->_p + word.n);
    value_done(r);
    return token;
}

static enum json_token read_value(struct json_reader *r)
{
    switch (*r->_p) {
    case '{': return open_value(r, JSON_OBJECT);
    case '[': return open_value(r, JSON_ARRAY);
    case '"': return read_string(r, JSON_STRING);
    case 't': return read_word(r, STR("true"), JSON_TRUE);
    case 'f': return read_word(r, STR("false"), JSON_FALSE);
    case 'n': return read_word(r, STR("null"), JSON_NULL);
    default: return in_number(*r->_p) ? read_number(r) : fail(r, "a value was expected");
    }
}

/* Takes a comma or colon, if one must come here. False when there is something else. */
static bool take_separator(struct json_reader *r, char c)
{
    if (r->_state == AT_COLON) {
        r->_state = AT_VALUE;
        take_to(r, r->_p + 1);
        return c == ':';
    }
    r->_state = in_object(r) ? AT_KEY : AT_VALUE;
    take_to(r, r->_p + 1);
    return c == ',';
}

static bool between_documents(const struct json_reader *r)
{
    return r->_state == AFTER_DOCUMENT || (r->many && r->_depth == 0);
}

enum json_token json_next(struct json_reader *r)
{
    for (;;) {
        take_to(r, skip_space(r->_p, r->_end));
        if (r->_state == BROKEN)
            return JSON_ERROR;
        if (r->_p == r->_end)
            return r->_finished && between_documents(r) ? JSON_END : need_more(r, 0);
        char c = *r->_p;
        switch ((enum state)r->_state) {
        case AT_FIRST:
            return c == ']' ? close_value(r) : read_value(r);
        case AT_VALUE:
            return read_value(r);
        case AT_FIRST_KEY:
            if (c == '}')
                return close_value(r);
            /* fall through */
        case AT_KEY:
            return c == '"' ? read_string(r, JSON_KEY) : fail(r, "a key was expected");
        case AFTER_VALUE:
            if (c == (in_object(r) ? '}' : ']'))
                return close_value(r);
            /* fall through */
        case AT_COLON:
            if (!take_separator(r, c))
                return fail(r, "a comma, a colon or a bracket was expected");
            break;
        default:
            if (!r->many)
                return fail(r, "something follows the document");
            r->_state = AT_VALUE;
        }
    }
}

enum json_token json_skip(struct json_reader *r)
{
    if (r->_skip == 0) {
        bool begun = r->_state == AT_FIRST || r->_state == AT_FIRST_KEY;
        r->_skip = r->_depth - begun + 1;
    }
    for (;;) {
        enum json_token token = json_next(r);
        if (token == JSON_MORE)
            return token;
        if (token == JSON_ERROR || token == JSON_END || (r->_depth + 1 == r->_skip && token != JSON_KEY)) {
            r->_skip = 0;
            return token;
        }
    }
}

/* Pairs. Each function below reads one thing at p and returns what follows it, or NULL: *wrong says whether it cannot
 * become right with more bytes. */

static inline const char *expect(const char *p, const char *end, char c, const char **wrong)
{
    p = skip_space(p, end);
    if (p < end && *p == c)
        return p + 1;
    if (p < end)
        *wrong = "a pair of a time and a quoted number was expected";
    return NULL;
}

static const char *any_time(const char *p, const char *end, int64_t *ms, const char **wrong)
{
    const char *comma = memchr(p, ',', (size_t)(end - p));
    if (comma == NULL)
        return NULL;
    double v = NAN;
    struct str text = str_trim(str_n(p, (size_t)(comma - p)));
    bool good = is_number(text) && num_scan(text.p, text.p + text.n, &v);
    if (!good || !(fabs(v) < (double)(INT64_MAX / 1000))) {
        *wrong = "a malformed time";
        return NULL;
    }
    double whole, fraction = modf(v, &whole);
    *ms = (int64_t)whole * 1000 + (int64_t)round(fraction * 1000);
    return comma + 1;
}

/* A time and the comma behind it. Nearly all are digits with at most three more behind a point: those are exact. */
static inline const char *read_time(const char *p, const char *end, int64_t *ms, const char **wrong)
{
    static const int scale[] = {1000, 100, 10, 1};
    p = skip_space(p, end);
    int64_t v = 0;
    const char *q = p;
    for (; q < end && (unsigned char)(*q - '0') < 10 && q - p < 15; q++)
        v = v * 10 + (*q - '0');
    if (q == p || *p == '0' || q == end)
        return any_time(p, end, ms, wrong);
    const char *point = q;
    if (*q == '.')
        for (q++; q < end && (unsigned char)(*q - '0') < 10 && q - point <= 3; q++)
            v = v * 10 + (*q - '0');
    if (q == end || *q != ',' || q - point == 1)
        return any_time(p, end, ms, wrong);
    *ms = v * scale[q > point ? q - point - 1 : 0];
    return q + 1;
}

static inline const char *read_quoted(const char *p, const char *end, double *v, const char **wrong)
{
    p = expect(p, end, '"', wrong);
    if (p == NULL)
        return NULL;
    const char *stop = num_scan(p, end, v);
    if (stop && stop < end && *stop == '"')
        return stop + 1;
    stop = memchr(p, '"', (size_t)(end - p)); /* NaN, +Inf, and what is not all there */
    if (stop == NULL)
        return NULL;
    if (num_parse(str_n(p, (size_t)(stop - p)), v))
        return stop + 1;
    *wrong = "a malformed sample value";
    return NULL;
}

static inline const char *read_pair(const char *p, const char *end, struct json_pair *pair, const char **wrong)
{
    p = expect(p, end, '[', wrong);
    p = p ? read_time(p, end, &pair->t_ms, wrong) : NULL;
    p = p ? read_quoted(p, end, &pair->v, wrong) : NULL;
    return p ? expect(p, end, ']', wrong) : NULL;
}

size_t json_pairs(struct json_reader *r, struct json_pair *out, size_t max, enum json_token *next)
{
    size_t n = 0;
    const char *wrong = NULL, *end = r->_end;
    *next = JSON_ARRAY;
    if ((r->_state != AT_FIRST && r->_state != AFTER_VALUE) || in_object(r))
        wrong = "pairs were expected";
    while (n < max && wrong == NULL) {
        const char *p = skip_space(r->_p, end);
        if (p < end && *p == ']') {
            take_to(r, p);
            *next = close_value(r);
            return n;
        }
        if (r->_state == AFTER_VALUE)
            p = expect(p, end, ',', &wrong);
        p = p ? read_pair(p, end, &out[n], &wrong) : NULL;
        if (p == NULL)
            break;
        take_to(r, p);
        r->_state = AFTER_VALUE;
        n++;
    }
    if (wrong)
        *next = fail(r, wrong);
    else if (n < max)
        *next = need_more(r, LONGEST);
    return n;
}
