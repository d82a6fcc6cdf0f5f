// SPDX-License-Identifier: Apache-2.0
/* A pull parser for Prometheus' text format; openmetrics.c parses the lines of OpenMetrics, exposition_lax.c
 * those of vmagent's dialect.
 *
 * It accepts what Prometheus' own lexer accepts. Compared with the format's documentation that is wider in some
 * places (blanks anywhere between tokens, no comma required between labels, line feeds inside label values) and
 * narrower in others (no carriage return, no hexadecimal value, one blank between name and type). Wider than
 * Prometheus: UNIT lines, OpenMetrics type names and exemplars are understood or skipped. Narrower: a NUL byte is an
 * error, not the end.
 */
#include "base/text/num.h"
#include "base/text/utf8.h"
#include "model/exposition/exposition_internal.h"
#include "model/remote_write.h"

void exposition_start(struct exposition *e, struct str page)
{
    const char *p = page.n > 0 ? page.p : "";
    *e = (struct exposition){.p = p, .end = p + page.n, ._start = p};
}

static const char *line_end(const char *p, const char *end)
{
    const char *at = p < end ? memchr(p, '\n', (size_t)(end - p)) : NULL;
    return at ? at : end;
}

void exposition_skip_line(struct exposition *e)
{
    const char *eol = line_end(e->p, e->end);
    eol += eol < e->end;
    struct exposition rest = {.p = eol, .end = e->end, ._start = eol, .format = e->format, .lax = e->lax,
                              .goes_on = e->goes_on};
    *e = rest;
}

static struct str excerpt(const char *p, const char *end)
{
    enum { MOST = 100 };
    return str_first(str_n(p, (size_t)(line_end(p, end) - p)), MOST);
}

/* Counted only for an error: responses are long and errors rare. */
static unsigned line_at(const struct exposition *e, const char *p)
{
    unsigned line = 1 + e->lines_left_out;
    for (const char *at = e->_start; (at = line_end(at, p)) < p; at++)
        line++;
    return line;
}

enum exposition_kind exposition_fail(struct exposition *e, const char *entry, const char *at, const char *expected)
{
    e->p = entry;
    e->line = line_at(e, at);
    struct str line = excerpt(entry, e->end), got = str_first(excerpt(at, e->end), 20);
    err_set(&e->err, ERR_BAD_DATA, "line %u: expected %s, got `%.*s` in `%.*s`", e->line, expected, STR_ARG(got),
            STR_ARG(line));
    return EXPOSITION_ERROR;
}

enum exposition_kind exposition_fail_text(struct exposition *e, const char *entry, const char *what, struct str text)
{
    e->p = entry;
    e->line = line_at(e, entry);
    text = str_first(text, 100);
    err_set(&e->err, ERR_BAD_DATA, "line %u: %s `%.*s`", e->line, what, STR_ARG(text));
    return EXPOSITION_ERROR;
}

static bool metric_type_known(struct str s)
{
    return metric_type_parse(s) != METRIC_UNKNOWN || str_is(s, "untyped") || str_is(s, "unknown");
}

const char *exposition_metric_name(const struct exposition *e, const char *p, const char *end, struct str *name)
{
    bool quoted = p < end && *p == '"';
    p += quoted;
    const char *stop = quoted ? exposition_quote_end(p, end) : exposition_name_end(p, end, exposition_metric_kind(e));
    if (stop == NULL || stop == p)
        return NULL;
    *name = str_n(p, (size_t)(stop - p));
    return stop + quoted;
}

enum exposition_kind exposition_comment_kind(struct str word)
{
    if (str_is(word, "HELP"))
        return EXPOSITION_HELP;
    if (str_is(word, "TYPE"))
        return EXPOSITION_TYPE;
    return str_is(word, "UNIT") ? EXPOSITION_UNIT : EXPOSITION_END;
}

enum exposition_kind exposition_comment(struct exposition *e, const char *start)
{
    enum { WORD = 4 };
    const char *eol = line_end(start, e->end), *p = exposition_blanks_end(start + 1, eol);
    e->p = eol + (eol < e->end);
    if (p == start + 1 || eol - p <= WORD || (p[WORD] != ' ' && p[WORD] != '\t'))
        return EXPOSITION_END;
    enum exposition_kind kind = exposition_comment_kind(str_n(p, WORD));
    if (kind == EXPOSITION_END)
        return kind;
    p = exposition_blanks_end(p + WORD, eol);
    const char *after = exposition_metric_name(e, p, eol, &e->name);
    if (after == NULL)
        return exposition_fail(e, start, p, "a metric name");
    e->text = str_skip(str_n(after, (size_t)(eol - after)), 1);
    if (kind == EXPOSITION_TYPE && !metric_type_known(e->text))
        return exposition_fail_text(e, start, "unknown metric type", e->text);
    if (kind == EXPOSITION_HELP && !utf8_valid(e->text))
        return exposition_fail_text(e, start, "help text is not UTF-8:", e->text);
    return kind;
}

static bool has_any(struct str s, const char *chars)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] && strchr(chars, s.p[i]))
            return true;
    return false;
}

/* Values that are not plain decimals: Inf and NaN in Go's spellings. Prometheus accepts the number syntax of older
 * Go: no hexadecimal (it would need a p), no underscores; out of range is an error. */
static const char *read_odd_value(const char *p, const char *end, double *v)
{
    const char *stop = p;
    while (stop < end && *stop != ' ' && *stop != '\t' && *stop != '\n' && *stop != '{')
        stop++;
    struct str token = str_n(p, (size_t)(stop - p));
    if (has_any(token, "pP_") || !num_parse(token, v) || (isinf(*v) && !has_any(token, "nN")))
        return NULL;
    if (isnan(*v))
        *v = normal_nan();
    return stop;
}

static inline const char *read_value(const char *p, const char *end, double *v)
{
    const char *stop = num_scan(p, end, v);
    if (stop && (stop == end || *stop == '\n' || *stop == ' ' || *stop == '\t') && !isinf(*v))
        return stop;
    return read_odd_value(p, end, v);
}

const char *exposition_value(const char *p, const char *end, double *v) { return read_value(p, end, v); }

static const char *exposition_read_time(const char *p, const char *end, int64_t *t)
{
    const char *stop = p;
    while (stop < end && *stop >= '0' && *stop <= '9')
        stop++;
    return stop > p && num_parse_i64(str_n(p, (size_t)(stop - p)), t) ? stop : NULL;
}

/* The rest of the line after the value: a timestamp, an exemplar (skipped), the end of the line. */
static enum exposition_kind read_rest(struct exposition *e, const char *p)
{
    const char *end = e->end, *entry = e->series.p;
    if (e->format == EXPOSITION_OPENMETRICS)
        return openmetrics_rest(e, p);
    p = exposition_blanks_end(p, end);
    if (p < end && *p >= '0' && *p <= '9') {
        const char *stop = exposition_read_time(p, end, &e->t);
        if (stop == NULL)
            return exposition_fail(e, entry, p, "a timestamp in milliseconds");
        e->has_t = true;
        p = exposition_blanks_end(stop, end);
    }
    if (end - p >= 3 && memcmp(p, "# {", 3) == 0)
        p = line_end(p, end);
    if (p < end && *p != '\n')
        return exposition_fail(e, entry, p,
                               e->has_t ? "the end of the line" : "a timestamp in milliseconds or the end of the line");
    e->p = p + (p < end);
    return EXPOSITION_SERIES;
}

static inline enum exposition_kind value_read(struct exposition *e, const char *p)
{
    e->has_t = false;
    e->exemplar.n = 0;
    if (p < e->end && *p == '\n') {
        e->p = p + 1;
        return EXPOSITION_SERIES;
    }
    return read_rest(e, p);
}

/* From the opening brace to the position after the closing one; NULL on error. */
static const char *read_braces(struct exposition *e, const char *start, const char *p, bool named)
{
    struct scan_piece piece;
    enum scan kind;
    while ((kind = exposition_scan(&p, e->end, false, &piece)) == SCAN_LABEL || (kind == SCAN_METRIC && !named))
        named = named || kind == SCAN_METRIC;
    if (kind == SCAN_CLOSE && named)
        return p;
    const char *expected = kind == SCAN_METRIC ? "one metric name only" : "a metric name before the braces or inside";
    exposition_fail(e, start, p, kind == SCAN_BAD ? piece.expected : expected);
    return NULL;
}

static enum exposition_kind read_series(struct exposition *e, const char *start)
{
    const char *end = e->end, *p = exposition_name_end(start, end, exposition_metric_kind(e)), *brace = exposition_blanks_end(p,
                                                                                                                   end);
    if (brace < end && *brace == '{') {
        p = read_braces(e, start, brace + 1, p > start);
        if (p == NULL)
            return EXPOSITION_ERROR;
    } else if (p == start) {
        return exposition_fail(e, start, start, "a metric name, a comment or an empty line");
    }
    e->series = str_n(start, (size_t)(p - start));
    p = exposition_blanks_end(p, end);
    const char *stop = read_value(p, end, &e->value);
    return stop ? value_read(e, stop) : exposition_fail(e, start, p, "a value");
}

enum exposition_kind exposition_next(struct exposition *e)
{
    if (e->format == EXPOSITION_OPENMETRICS)
        return openmetrics_next(e);
    for (;;) {
        const char *p = exposition_blanks_end(e->p, e->end);
        if (p == e->end)
            return EXPOSITION_END;
        if (*p == '\n') {
            e->p = p + 1;
        } else if (*p == '#') {
            enum exposition_kind kind = exposition_comment(e, p);
            if (kind != EXPOSITION_END)
                return kind;
        } else {
            return e->lax ? exposition_lax_series(e, p) : read_series(e, p);
        }
    }
}

enum exposition_kind exposition_next_known(struct exposition *e, struct str known, bool *hit)
{
    const char *p = e->p, *end = e->end;
    *hit = false;
    if (known.n == 0 || (size_t)(end - p) <= known.n || (p[known.n] != ' ' && p[known.n] != '\t'))
        return exposition_next(e);
    if (memcmp(p, known.p, known.n) != 0)
        return exposition_next(e);
    if (e->lax && e->format == EXPOSITION_TEXT) {
        *hit = exposition_lax_known(e, known);
        return *hit ? EXPOSITION_SERIES : exposition_next(e);
    }
    double v;
    const char *at = exposition_blanks_end(p + known.n, end), *stop = read_value(at, end, &v);
    bool one_space = p[known.n] == ' ' && at == p + known.n + 1;
    if (stop == NULL || (e->format == EXPOSITION_OPENMETRICS && !one_space))
        return exposition_next(e); /* a brace after the blank, or an error: parse the complete line */
    *hit = true;
    e->series = str_n(p, known.n);
    e->value = v;
    return value_read(e, stop);
}
