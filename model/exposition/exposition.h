// SPDX-License-Identifier: Apache-2.0
/* A pull parser for the text exposition formats: Prometheus' text format (0.0.4, and 1.0.0 with quoted UTF-8 names) and
 * OpenMetrics 1.0. It allocates nothing: slices point into the scrape response. Strict: parsing ends at the first
 * invalid line, with its number, as in Prometheus. Quotes and line ends are found with SSE2. Sources:
 * https://prometheus.io/docs/instrumenting/exposition_formats/
 * https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md
 */
#ifndef MODEL_EXPOSITION_H
#define MODEL_EXPOSITION_H

#include "model/labels.h"

enum exposition_kind {
    EXPOSITION_END, EXPOSITION_SERIES, EXPOSITION_HELP, EXPOSITION_TYPE, EXPOSITION_UNIT, EXPOSITION_ERROR
};
enum exposition_format {
    EXPOSITION_TEXT,        /* `# EOF` is a comment, and exemplars are skipped */
    EXPOSITION_OPENMETRICS  /* one blank between tokens, times in seconds, exemplars, `# EOF` at the end */
};
/* An addition to the series whose text begins at the byte `at` of a page: a message of remote write, which is in
 * page_text.messages, or the start time of the series. In the order of the page. */
struct page_extra {
    uint32_t at, message, n;
    enum { PAGE_EXEMPLAR, PAGE_HISTOGRAM, PAGE_START, PAGE_WAITS_FOR_START /* while the page is made */ } kind;
    union {
        uint64_t hash;    /* of an exemplar as it was received */
        int64_t start;    /* ms; 0: unknown */
    };
};
struct page_text {
    struct str text;
    enum exposition_format format;
    const struct page_extra *extras; size_t n_extras;
    const char *messages;
    unsigned lines_left_out; /* before the first invalid line: its number includes them */
};
struct exposition {
    const char *p, *end;  /* unread input */
    const char *_start;
    enum exposition_format format; /* set after exposition_start, else EXPOSITION_TEXT; and so is: */
    bool lax;             /* the text format as vmagent reads it; in OpenMetrics any bytes in unquoted names */
    bool goes_on;         /* the page continues after `end`: no # EOF is required there */
    unsigned line;        /* ERROR: number of the invalid line, 1-based */
    unsigned lines_left_out; /* set after exposition_start: counted in `line` */
    struct str series;    /* SERIES: the text from the name to the closing brace, the key of a series of this target */
    double value;         /* never the stale marker: every NaN is converted to the ordinary one */
    int64_t t;            /* ms; only when has_t */
    bool has_t;
    struct str exemplar;  /* SERIES in OpenMetrics: from the opening brace to the end of the line, checked; or empty */
    struct str name, text; /* HELP, TYPE, UNIT: metric name, and the text (HELP still escaped) */
    /* ERROR: "line 12: expected a value, got `x` in `foo{a=\"b\"} x`"; every later call returns it again */
    struct err err;
};
void exposition_start(struct exposition *e, struct str page);
/* after an ERROR: skips the line; line numbers restart there */
void exposition_skip_line(struct exposition *e);
enum exposition_kind exposition_next(struct exposition *e);
/* A fast path for callers that expect a series text (`known`): when the line begins with exactly these bytes followed
 * by a blank, the value is read without parsing the labels. Otherwise the same as exposition_next; *hit says which. */
enum exposition_kind exposition_next_known(struct exposition *e, struct str known, bool *hit);

/* Parses the labels of a series text into the builder, which is emptied first; unescaped values are stored in its
 * scratch arena, the others point into the text. False with the reason: a duplicate label name, an empty name,
 * invalid UTF-8, too many labels. lax: as the line was read. */
bool exposition_labels(struct str series, bool lax, struct labels_builder *b, struct err *err) MUST_USE;

/* The text of a HELP line, with \\, \n and in OpenMetrics \" unescaped into the arena. */
struct str exposition_unescape_help(struct arena *a, struct str s, enum exposition_format format);

/* Appends struct exposition.exemplar to `out` as a prometheus.Exemplar message; t: its time if it has none. Uses the
 * builder as exposition_labels does. False: its labels are not valid, or longer than OpenMetrics allows. */
bool exposition_exemplar(struct str exemplar, int64_t t, struct labels_builder *b, struct buf *out) MUST_USE;
bool exemplar_labels_too_long(struct labels l); /* more than 128 characters, the limit of OpenMetrics */

#endif
