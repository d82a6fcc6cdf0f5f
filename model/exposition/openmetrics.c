// SPDX-License-Identifier: Apache-2.0
/* The lines of OpenMetrics 1.0:
 *
 *   # TYPE http_seconds histogram
 *   # UNIT http_seconds seconds
 *   http_seconds_bucket{le="0.1"} 17 1700000000.5 # {trace_id="ab"} 0.07 1699999999.1
 *   # EOF
 *
 * It accepts and rejects what Prometheus does. That is the grammar of the standard, with one blank between tokens, and
 * the end of the data: a page that was cut off is an error and not a shorter page. What the standard demands beyond the
 * grammar (the order of families, suffixes and values that a type allows) is not checked. Of the 211 pages of the
 * standard's test suite (tests/system/test_openmetrics_suite.py) those 79 are accepted that Prometheus accepts against
 * it. Stricter than Prometheus: a NUL byte is an error.
 */
#include "base/text/utf8.h"
#include "model/exposition/exposition_internal.h"
#include "model/remote_write.h"

static enum exposition_kind fail_no_eof(struct exposition *e, const char *entry)
{
    e->p = entry;
    err_set(&e->err, ERR_BAD_DATA, "data does not end with # EOF");
    return EXPOSITION_ERROR;
}

/* ---- comments ---- */

static bool openmetrics_type(struct str s) { return metric_type_parse(s) != METRIC_UNKNOWN || str_is(s, "unknown"); }

/* `http_seconds` has the unit `seconds`. */
static bool has_unit(struct str name, struct str unit)
{
    return unit.n == 0 || (name.n > unit.n && name.p[name.n - unit.n - 1] == '_' &&
                           str_eq(str_skip(name, name.n - unit.n), unit));
}

/* `# EOF` and nothing after it. The position stays there. */
static enum exposition_kind read_eof(struct exposition *e, const char *start, struct str line)
{
    const char *after = line.p + line.n;
    if (after + (after < e->end) == e->end)
        return EXPOSITION_END;
    return exposition_fail(e, start, after + 1, "nothing after # EOF");
}

static enum exposition_kind read_metadata(struct exposition *e, const char *start)
{
    enum { WORD = 4, BEGIN = 2 + WORD + 1 /* `# TYPE ` */ };
    const char *eol = memchr(start, '\n', (size_t)(e->end - start));
    struct str line = str_n(start, (size_t)((eol ? eol : e->end) - start));
    if (str_is(line, "# EOF"))
        return read_eof(e, start, line);
    enum exposition_kind kind = EXPOSITION_END;
    if (line.n > BEGIN && line.p[1] == ' ' && line.p[BEGIN - 1] == ' ')
        kind = exposition_comment_kind(str_n(start + 2, WORD));
    if (kind == EXPOSITION_END)
        return exposition_fail(e, start, start, "`# HELP`, `# TYPE`, `# UNIT` or `# EOF`");
    if (eol == NULL)
        return fail_no_eof(e, start);
    const char *at = start + BEGIN, *after = exposition_metric_name(e, at, eol, &e->name);
    if (after == NULL)
        return exposition_fail(e, start, at, "a metric name");
    if (after == eol || *after != ' ')
        return exposition_fail(e, start, after, "a blank and a text");
    e->text = str_n(after + 1, (size_t)(eol - after - 1));
    if (kind == EXPOSITION_TYPE && !openmetrics_type(e->text))
        return exposition_fail_text(e, start, "unknown metric type", e->text);
    if (kind == EXPOSITION_HELP && !utf8_valid(e->text))
        return exposition_fail_text(e, start, "help text is not UTF-8:", e->text);
    if (kind == EXPOSITION_UNIT && !has_unit(e->name, e->text))
        return exposition_fail_text(e, start, "the metric name does not end with the unit", e->text);
    e->p = eol + 1;
    return kind;
}

/* ---- labels ---- */

/* What the text format allows besides is refused: blanks, line feeds in values, labels without a comma between. */
static enum scan openmetrics_scan(const char **p, const struct exposition *e, struct scan_piece *piece)
{
    const char *start = *p;
    enum scan kind = exposition_scan(p, e->end, e->lax, piece);
    if (kind == SCAN_BAD || (kind == SCAN_CLOSE && *start == '}'))
        return kind;
    bool quoted = *start == '"', label = kind == SCAN_LABEL;
    struct str last = label ? piece->value : piece->name;
    const char *after = kind == SCAN_CLOSE ? start : last.p + last.n + 1; /* the quote; a brace may be the only piece */
    if (kind == SCAN_CLOSE || piece->name.p != start + quoted ||
        (label && piece->value.p != piece->name.p + piece->name.n + quoted + 2))
        piece->expected = "no blanks";
    else if (after == e->end || (*after != ',' && *after != '}'))
        piece->expected = "a comma or `}`";
    else if (label && memchr(last.p, '\n', last.n))
        piece->expected = "a label value on one line";
    else
        return kind;
    *p = start;
    return SCAN_BAD;
}

/* From the opening brace of a series or exemplar to the position after the closing one; NULL on error. A series has a
 * metric name, before the braces or inside. */
static const char *read_label_set(struct exposition *e, const char *entry, const char *p, unsigned names)
{
    struct scan_piece piece = {0};
    enum scan kind;
    while ((kind = openmetrics_scan(&p, e, &piece)) == SCAN_LABEL || (kind == SCAN_METRIC && names == 0))
        names += kind == SCAN_METRIC;
    if (kind == SCAN_CLOSE && names > 0)
        return p;
    const char *expected = kind == SCAN_METRIC ? "a label name and value" : "a metric name before the braces or inside";
    exposition_fail(e, entry, p, kind == SCAN_BAD ? piece.expected : expected);
    return NULL;
}

/* ---- values and times ---- */

/* Seconds become milliseconds, rounded towards zero; what does not fit becomes the nearest time that does. */
static const char *read_seconds(const char *p, const char *end, int64_t *t)
{
    const double most = 0x1p63;
    double seconds;
    const char *stop = exposition_value(p, end, &seconds);
    if (stop == NULL || !isfinite(seconds))
        return NULL;
    double ms = seconds * 1e3;
    *t = ms >= most ? INT64_MAX : ms < -most ? INT64_MIN : (int64_t)ms;
    return stop;
}

static bool starts_exemplar(const char *p, const char *end) { return end - p >= 4 && memcmp(p, " # {", 4) == 0; }

struct exemplar_tail { double value; int64_t t; bool has_t; };
/* Value and time after the braces; NULL: *expected is missing at *at. */
static const char *read_exemplar_tail(const char *p, const char *end, struct exemplar_tail *x, const char **expected,
                                      const char **at)
{
    *at = p;
    *expected = "a blank and the value of the exemplar";
    if (p == end || *p != ' ' || (p = exposition_value(*at = p + 1, end, &x->value)) == NULL)
        return NULL;
    x->has_t = p < end && *p == ' ';
    *expected = "the time of the exemplar in seconds";
    return x->has_t ? read_seconds(*at = p + 1, end, &x->t) : p;
}

/* The exemplar at p; NULL on error. */
static const char *check_exemplar(struct exposition *e, const char *entry, const char *p)
{
    struct exemplar_tail tail;
    const char *expected, *at, *brace = p + 3, *after = read_label_set(e, entry, brace + 1, 1);
    if (after == NULL)
        return NULL;
    const char *stop = read_exemplar_tail(after, e->end, &tail, &expected, &at);
    if (stop == NULL) {
        exposition_fail(e, entry, at, expected);
        return NULL;
    }
    e->exemplar = str_n(brace, (size_t)(stop - brace));
    return stop;
}

enum exposition_kind openmetrics_rest(struct exposition *e, const char *p)
{
    const char *end = e->end, *entry = e->series.p;
    if (p < end && *p == ' ' && !starts_exemplar(p, end)) {
        const char *stop = read_seconds(p + 1, end, &e->t);
        if (stop == NULL)
            return exposition_fail(e, entry, p + 1, "a timestamp in seconds");
        e->has_t = true;
        p = stop;
    }
    if (starts_exemplar(p, end) && (p = check_exemplar(e, entry, p)) == NULL)
        return EXPOSITION_ERROR;
    if (p == end)
        return fail_no_eof(e, entry);
    if (*p != '\n')
        return exposition_fail(e, entry, p, "the end of the line");
    e->p = p + 1;
    return EXPOSITION_SERIES;
}

static enum exposition_kind openmetrics_series(struct exposition *e, const char *start)
{
    const char *end = e->end, *p = exposition_name_end(start, end, exposition_metric_kind(e));
    if (p < end && *p == '{') {
        p = read_label_set(e, start, p + 1, p > start);
        if (p == NULL)
            return EXPOSITION_ERROR;
    } else if (p == start) {
        return exposition_fail(e, start, start, "a metric name or a comment");
    }
    e->series = str_n(start, (size_t)(p - start));
    e->has_t = false;
    e->exemplar.n = 0;
    if (p == end || *p != ' ')
        return exposition_fail(e, start, p, "a blank and a value");
    const char *stop = exposition_value(p + 1, end, &e->value);
    return stop ? openmetrics_rest(e, stop) : exposition_fail(e, start, p + 1, "a value");
}

enum exposition_kind openmetrics_next(struct exposition *e)
{
    if (e->p == e->end)
        return e->goes_on ? EXPOSITION_END : fail_no_eof(e, e->p);
    return *e->p == '#' ? read_metadata(e, e->p) : openmetrics_series(e, e->p);
}

/* ---- exemplars ---- */

static size_t count_chars(struct str utf8)
{
    size_t n = 0;
    for (size_t i = 0; i < utf8.n; i++)
        n += (utf8.p[i] & 0xc0) != 0x80;
    return n;
}

bool exemplar_labels_too_long(struct labels l)
{
    enum { CHARS_MAX = 128 };
    struct labels_iter it = labels_iter(l);
    struct label label;
    size_t n = 0;
    while (labels_next(&it, &label))
        n += count_chars(label.name) + count_chars(label.value);
    return n > CHARS_MAX;
}

bool exposition_exemplar(struct str exemplar, int64_t t, struct labels_builder *b, struct buf *out)
{
    const char *end = exemplar.p + exemplar.n, *close = exemplar.p + 1, *expected, *at;
    struct scan_piece piece;
    while (exposition_scan(&close, end, false, &piece) == SCAN_LABEL) {
    }
    struct exemplar_tail tail;
    struct err err;
    if (read_exemplar_tail(close, end, &tail, &expected, &at) == NULL ||
        !exposition_labels(str_n(exemplar.p, (size_t)(close - exemplar.p)), false, b, &err))
        return false;
    struct labels labels = builder_labels(b, b->scratch);
    if (exemplar_labels_too_long(labels))
        return false;
    rw_append_exemplar(out, labels, tail.value, tail.has_t ? tail.t : t);
    return true;
}
