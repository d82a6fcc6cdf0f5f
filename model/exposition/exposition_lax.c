// SPDX-License-Identifier: Apache-2.0
/* Lines of Prometheus' text format as vmagent reads them:
 *
 *   NAME{LABEL="VALUE", "QUOTED"="VALUE"} NUMBER [TIME] [# anything]
 *
 * 1. A line ends at the line feed, whatever it holds: an invalid one does not reach into the next.
 * 2. The name is everything before the first brace or, without braces, before the first blank. Any byte may be in it.
 * 3. The name of a label is everything between the comma and `="`. A label with an empty name is left out.
 * 4. A time may have a fraction, an exponent and a sign. From -2^31 to 2^31 it is in seconds, otherwise in
 *    milliseconds; one that becomes 0 is none.
 *
 * Wider than vmagent: a number may have a plus sign, and a brace of an exemplar does not make the name of the series
 * longer. Narrower, since receivers refuse the result: a label that a line has twice, times that are not finite, and
 * what is not UTF-8. Everything that is scraped in vmagent's dialect goes through this file once per text of a series,
 * and after that through the fast path of exposition_next_known.
 */
#include "base/text/num.h"
#include "model/exposition/exposition_internal.h"
#include "model/series.h"

static const char *lax_line_end(const char *p, const char *end)
{
    const char *at = p < end ? memchr(p, '\n', (size_t)(end - p)) : NULL;
    return at ? at : end;
}

static const char *lax_blank(const char *p, const char *end)
{
    while (p < end && *p != ' ' && *p != '\t')
        p++;
    return p;
}

static struct str lax_trim(const char *p, const char *end)
{
    p = exposition_blanks_end(p, end);
    while (end > p && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    return str_n(p, (size_t)(end - p));
}

/* ---- names and labels ---- */

struct str exposition_lax_name(struct str series)
{
    return lax_trim(series.p, series.p + str_find(series, '{'));
}

static enum scan lax_bad(struct scan_piece *piece, const char *expected)
{
    piece->expected = expected;
    return SCAN_BAD;
}

/* The quoted text at *p, which then is the position after it. */
static bool lax_quoted(const char **p, const char *end, struct str *text)
{
    const char *close = exposition_quote_end(*p + 1, end);
    if (close == NULL)
        return false;
    *text = str_n(*p + 1, (size_t)(close - *p - 1));
    *p = close + 1;
    return true;
}

/* Moves over a comma, or to the brace. */
static bool lax_separator(const char **p, const char *end)
{
    const char *at = *p = exposition_blanks_end(*p, end);
    if (at == end || (*at != ',' && *at != '}'))
        return false;
    *p += *at == ',';
    return true;
}

enum scan exposition_lax_scan(const char **p, const char *end, struct scan_piece *piece)
{
    const char *at = *p = exposition_blanks_end(*p, end);
    if (at < end && *at == '}') {
        ++*p;
        return SCAN_CLOSE;
    }
    const char *quote = at < end ? memchr(at, '"', (size_t)(end - at)) : NULL;
    if (quote == NULL)
        return lax_bad(piece, "a label name or `}`");
    if (quote > at) {
        struct str name = lax_trim(at, quote);
        if (name.n == 0 || name.p[name.n - 1] != '=')
            return lax_bad(piece, "`=` after the label name");
        piece->name = lax_trim(name.p, name.p + name.n - 1);
        at = quote;
    } else {
        if (!lax_quoted(&at, end, &piece->name))
            return lax_bad(piece, "a closing quote");
        *p = at;
        if (lax_separator(p, end))
            return SCAN_METRIC;
        at = *p;
        if (at == end || *at != '=')
            return lax_bad(piece, "`=` after the label name");
        at = exposition_blanks_end(at + 1, end);
        if (at == end || *at != '"')
            return lax_bad(piece, "a quoted label value");
    }
    *p = at;
    if (!lax_quoted(p, end, &piece->value))
        return lax_bad(piece, "a closing quote");
    return lax_separator(p, end) ? SCAN_LABEL : lax_bad(piece, "a comma or `}`");
}

/* From the opening brace to the position after the closing one; NULL on error. */
static const char *lax_braces(struct exposition *e, const char *start, const char *p, const char *eol)
{
    struct scan_piece piece;
    enum scan kind;
    bool named = p - 1 > start;
    while ((kind = exposition_lax_scan(&p, eol, &piece)) == SCAN_LABEL || (kind == SCAN_METRIC && !named))
        named = named || (kind == SCAN_METRIC && piece.name.n > 0);
    if (kind == SCAN_CLOSE && named)
        return p;
    const char *expected = kind == SCAN_METRIC ? "one metric name only" : "a metric name before the braces or inside";
    exposition_fail(e, start, p, kind == SCAN_BAD ? piece.expected : expected);
    return NULL;
}

/* ---- numbers and times ---- */

/* A token as fastfloat of Go reads it: decimal, or infinite or not a number in any case. Out of range is infinite. */
static bool lax_number(struct str token, double *v)
{
    double plain;
    const char *end = token.p + token.n, *stop = num_scan(token.p, end, &plain);
    if (stop == end && token.n > 0) {
        *v = plain;
        return true;
    }
    struct str unsigned_token = str_skip(token, token.n > 0 && (token.p[0] == '-' || token.p[0] == '+'));
    if (str_ieq(unsigned_token, STR("nan"))) {
        *v = normal_nan();
        return true;
    }
    return (str_ieq(unsigned_token, STR("inf")) || str_ieq(unsigned_token, STR("infinity"))) && num_parse(token, v);
}

/* TIME, or nothing. */
static bool lax_time(struct exposition *e, struct str token)
{
    const double seconds_end = 0x1p31, most = 0x1p63;
    double t;
    e->has_t = false;
    if (token.n == 0)
        return true;
    if (!lax_number(token, &t) || !(t > -most && t < most))
        return false;
    if (t >= -seconds_end && t < seconds_end)
        t *= 1e3;
    e->t = (int64_t)t;
    e->has_t = e->t != 0;
    return true;
}

/* After the series: number, time, comment. */
static enum exposition_kind lax_rest(struct exposition *e, const char *p, const char *eol)
{
    const char *entry = e->series.p;
    p = exposition_blanks_end(p, eol);
    const char *comment = p < eol ? memchr(p, '#', (size_t)(eol - p)) : NULL, *end = comment ? comment : eol;
    const char *after = lax_blank(p, end);
    if (!lax_number(str_n(p, (size_t)(after - p)), &e->value))
        return exposition_fail(e, entry, p, "a value");
    struct str time = lax_trim(after, end);
    if (!lax_time(e, time))
        return exposition_fail(e, entry, time.p, "a timestamp or the end of the line");
    e->exemplar.n = 0;
    e->p = eol + (eol < e->end);
    return EXPOSITION_SERIES;
}

/* ---- lines ---- */

/* The brace that begins the labels, and not those of an exemplar of a series without labels; NULL: there is none. */
static const char *lax_brace(const char *start, const char *eol)
{
    const char *brace = memchr(start, '{', (size_t)(eol - start));
    for (const char *p = start + 1; brace && p < brace; p++)
        if (*p == '#' && (p[-1] == ' ' || p[-1] == '\t'))
            return NULL;
    return brace;
}

enum exposition_kind exposition_lax_series(struct exposition *e, const char *start)
{
    const char *eol = lax_line_end(start, e->end), *brace = lax_brace(start, eol);
    const char *p = brace ? lax_braces(e, start, brace + 1, eol) : lax_blank(start, eol);
    if (p == NULL)
        return EXPOSITION_ERROR;
    e->series = str_n(start, (size_t)(p - start));
    return lax_rest(e, p, eol);
}

bool exposition_lax_known(struct exposition *e, struct str known)
{
    const char *p = e->p + known.n, *stop = num_scan(exposition_blanks_end(p, e->end), e->end, &e->value);
    e->series = str_n(e->p, known.n);
    if (stop && stop < e->end && *stop == '\n') {
        e->has_t = false;
        e->exemplar.n = 0;
        e->p = stop + 1;
        return true;
    }
    const char *eol = lax_line_end(p, e->end);
    bool name = known.p[known.n - 1] != '}'; /* which may be the beginning of a longer one */
    return (!name || memchr(p, '{', (size_t)(eol - p)) == NULL) && lax_rest(e, p, eol) == EXPOSITION_SERIES;
}
