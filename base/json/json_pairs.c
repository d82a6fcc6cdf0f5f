// SPDX-License-Identifier: Apache-2.0
/* What most bytes of a response are, read in place, without a token per bracket:
 *
 *   json_pairs    [[t,"v"],...], as many complete pairs as the input holds. Each function before it reads one item at p and
 *                 returns the position after it, or NULL: *wrong says whether more input cannot make it valid.
 *   json_pair     one of them alone
 *   json_member   "name":"value" of an object, if it is plain and complete; everything else is left to json_next.
 */
#include "base/json/json_read.h"

#include "base/json/json_reader.h"
#include "base/json/json_string.h"
#include "base/text/num.h"
#include "base/text/duration.h"

static inline const char *expect(const char *p, const char *end, char c, const char **wrong)
{
    p = json_skip_space(p, end);
    if (p < end && *p == c)
        return p + 1;
    if (p < end)
        *wrong = "expected a pair of a time and a quoted number";
    return NULL;
}

static const char *any_time(const char *p, const char *end, int64_t *ms, const char **wrong)
{
    const char *comma = memchr(p, ',', (size_t)(end - p));
    if (comma == NULL)
        return NULL;
    double v;
    struct str text = str_trim(str_n(p, (size_t)(comma - p)));
    if (json_number_valid(text) && num_scan(text.p, text.p + text.n, &v) && time_from_seconds(v, ms))
        return comma + 1;
    *wrong = "invalid time";
    return NULL;
}

/* A time and the comma after it. Nearly all are digits with at most three decimals: those are exact. */
static inline const char *json_pairs_read_time(const char *p, const char *end, int64_t *ms, const char **wrong)
{
    static const int scale[] = {1000, 100, 10, 1};
    p = json_skip_space(p, end);
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
    stop = memchr(p, '"', (size_t)(end - p)); /* NaN, +Inf, and incomplete values */
    if (stop == NULL)
        return NULL;
    if (num_parse(str_n(p, (size_t)(stop - p)), v))
        return stop + 1;
    *wrong = "invalid sample value";
    return NULL;
}

static inline const char *json_pairs_read_pair(const char *p, const char *end, struct json_pair *pair,
                                               const char **wrong)
{
    p = expect(p, end, '[', wrong);
    p = p ? json_pairs_read_time(p, end, &pair->t_ms, wrong) : NULL;
    p = p ? read_quoted(p, end, &pair->v, wrong) : NULL;
    return p ? expect(p, end, ']', wrong) : NULL;
}

size_t json_pairs(struct json_reader *r, struct json_pair *out, size_t max, enum json_token *next)
{
    size_t n = 0;
    const char *wrong = NULL, *end = r->_end;
    *next = JSON_ARRAY;
    if ((r->_state != AT_FIRST && r->_state != AFTER_VALUE) || json_reader_in_object(r))
        wrong = "expected pairs";
    while (n < max && wrong == NULL) {
        const char *p = json_skip_space(r->_p, end);
        if (p < end && *p == ']') {
            json_reader_consume(r, p);
            *next = json_reader_close(r);
            r->_token = r->offset;
            return n;
        }
        if (r->_state == AFTER_VALUE)
            p = expect(p, end, ',', &wrong);
        p = p ? json_pairs_read_pair(p, end, &out[n], &wrong) : NULL;
        if (p == NULL)
            break;
        json_reader_consume(r, p);
        r->_state = AFTER_VALUE;
        n++;
    }
    r->_token = r->offset;
    if (wrong)
        *next = json_reader_fail(r, wrong);
    else if (n < max)
        *next = json_reader_more(r, JSON_LONGEST);
    return n;
}

bool json_pair(struct json_reader *r, struct json_pair *out)
{
    const char *wrong, *p = r->_state == AT_COLON ? expect(r->_p, r->_end, ':', &wrong) : NULL;
    p = p ? json_pairs_read_pair(p, r->_end, out, &wrong) : NULL;
    if (p == NULL)
        return false;
    json_reader_consume(r, p);
    r->_state = AFTER_VALUE;
    r->_token = r->offset;
    return true;
}

/* The text between the quotes, and the position behind them. NULL: it is not plain, or not complete. */
static inline const char *json_plain_text(const char *p, const char *end, struct str *text)
{
    if (p == end || *p != '"')
        return NULL;
    const char *stop = json_plain_end(++p, end);
    *text = str_n(p, (size_t)(stop - p));
    return stop < end && *stop == '"' ? stop + 1 : NULL;
}

bool json_member(struct json_reader *r, struct str *name, struct str *value)
{
    size_t longest = json_reader_longest(r);
    const char *p = r->_p, *end = r->_end;
    if (p == end || (r->_state != AT_FIRST_KEY && (r->_state != AFTER_VALUE || *p != ',' || !json_reader_in_object(r))))
        return false;
    p = json_plain_text(p + (r->_state == AFTER_VALUE), end, name);
    if (p == NULL || p == end || *p != ':' || (p = json_plain_text(p + 1, end, value)) == NULL ||
        name->n > longest || value->n > longest)
        return false;
    json_reader_consume(r, p);
    r->_state = AFTER_VALUE;
    r->_token = r->offset;
    return true;
}

/* ---- items that the caller reads ---- */

struct str json_items(const struct json_reader *r)
{
    const char *p = r->_p, *end = r->_end;
    if (p == end || r->_depth == 0 || json_reader_in_object(r))
        return STR_NONE;
    p = json_skip_space(p, end);
    if (r->_state == AFTER_VALUE && p < end && *p == ',')
        p = json_skip_space(p + 1, end);
    else if (r->_state != AT_FIRST && r->_state != AT_VALUE)
        return STR_NONE;
    return str_n(p, (size_t)(end - p));
}

void json_item_read(struct json_reader *r, size_t n)
{
    json_reader_consume(r, json_items(r).p + n);
    r->_state = AFTER_VALUE;
    r->_token = r->offset;
}

size_t json_unread(const struct json_reader *r) { return (size_t)(r->_end - r->_p); }
