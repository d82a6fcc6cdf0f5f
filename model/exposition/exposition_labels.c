// SPDX-License-Identifier: Apache-2.0
/* Parses the text of a series into labels. Done once per text: when a target exposes it for the first time. */
#include "model/exposition/exposition.h"

#include "base/text/utf8.h"
#include "model/exposition/exposition_internal.h"

/* \\, \" and \n; a backslash before any other character is literal, as in Prometheus. */
static struct str exposition_unescape_label(struct arena *a, struct str s)
{
    if (str_find(s, '\\') == s.n)
        return s;
    char *to = arena_bytes(a, s.n);
    size_t n = 0;
    for (size_t i = 0; to && i < s.n; i++) {
        char next = i + 1 < s.n ? s.p[i + 1] : 0;
        bool escape = s.p[i] == '\\' && (next == '\\' || next == '"' || next == 'n');
        to[n++] = !escape ? s.p[i] : next == 'n' ? '\n' : next;
        i += escape;
    }
    return str_n(to, n);
}

static bool exposition_labels_refuse(struct err *err, const char *what, struct str series)
{
    series = str_first(series, 200);
    return err_set(err, ERR_BAD_DATA, "%s in `%.*s`", what, STR_ARG(series));
}

static bool exposition_add_label(struct labels_builder *b, struct str name, struct str value, struct str series,
                                 struct err *err)
{
    name = exposition_unescape_label(b->scratch, name);
    value = exposition_unescape_label(b->scratch, value);
    if (!label_name_valid(name))
        return exposition_labels_refuse(err, name.n ? "label name is not UTF-8" : "label name is empty", series);
    if (!utf8_valid(value))
        return exposition_labels_refuse(err, "label value is not UTF-8", series);
    if (b->n == LABELS_MAX_COUNT)
        return exposition_labels_refuse(err, "too many labels", series);
    builder_add(b, name, value);
    return true;
}

static bool add_piece(struct labels_builder *b, enum scan kind, const struct scan_piece *piece, struct str series,
                      struct err *err)
{
    if (kind == SCAN_LABEL)
        return exposition_add_label(b, piece->name, piece->value, series, err);
    if (piece->name.n == 0)
        return exposition_labels_refuse(err, "metric name is empty", series);
    return exposition_add_label(b, STR(METRIC_NAME), piece->name, series, err);
}

/* The pieces between the braces; p is after the opening one. Returns the position after the closing one; NULL: err is
 * set. */
static const char *exposition_add_pieces(struct labels_builder *b, const char *p, bool lax, struct str series,
                                         struct err *err)
{
    const char *end = series.p + series.n;
    struct scan_piece piece;
    for (;;) {
        enum scan kind = lax ? exposition_lax_scan(&p, end, &piece) : exposition_scan(&p, end, false, &piece);
        if (kind == SCAN_CLOSE)
            return p;
        if (kind == SCAN_BAD) {
            err_set(err, ERR_BAD_DATA, "expected %s in `%.*s`", piece.expected, STR_ARG(str_first(series, 200)));
            return NULL;
        }
        bool nameless = lax && kind == SCAN_LABEL && piece.name.n == 0;
        if (!nameless && !add_piece(b, kind, &piece, series, err))
            return NULL;
    }
}

bool exposition_labels(struct str series, bool lax, struct labels_builder *b, struct err *err)
{
    const char *start = series.p, *end = start + series.n;
    struct str metric = lax ? exposition_lax_name(series)
                            : str_n(start, (size_t)(exposition_name_end(start, end, NAME_METRIC) - start));
    const char *p = metric.p + metric.n;
    builder_start(b, (struct labels){0});
    if (metric.n > 0 && !exposition_add_label(b, STR(METRIC_NAME), metric, series, err))
        return false;
    p = exposition_blanks_end(p, end);
    if (p < end && *p++ == '{' && (p = exposition_add_pieces(b, p, lax, series, err)) == NULL)
        return false;
    struct str name;
    size_t count;
    if (p != end)
        return exposition_labels_refuse(err, "unexpected bytes after the labels", series);
    if (builder_duplicate(b, &name))
        return err_set(err, ERR_BAD_DATA, "duplicate label name `%.*s` in `%.*s`", STR_ARG(str_first(name, 100)),
                       STR_ARG(str_first(series, 200)));
    return builder_size(b, &count) <= LABELS_MAX_BYTES || exposition_labels_refuse(err, "labels too long", series);
}

struct str exposition_unescape_help(struct arena *a, struct str s, enum exposition_format format)
{
    char *to = arena_bytes(a, s.n);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        char next = i + 1 < s.n ? s.p[i + 1] : 0;
        bool quote = next == '"' && format == EXPOSITION_OPENMETRICS;
        bool escape = s.p[i] == '\\' && (next == '\\' || next == 'n' || quote);
        to[n++] = !escape ? s.p[i] : next == 'n' ? '\n' : next;
        i += escape;
    }
    return str_n(to, n);
}
