// SPDX-License-Identifier: Apache-2.0
/* A pull parser for the text exposition format 0.0.4, with Prometheus 3's quoted UTF-8 names; `# EOF` and exemplars
 * of OpenMetrics are skipped. It allocates nothing: slices point into the scrape response. Strict: parsing ends at
 * the first invalid line, with its number, as in Prometheus. Quotes and line ends are found with SSE2. Source:
 * https://prometheus.io/docs/instrumenting/exposition_formats/
 */
#ifndef MODEL_EXPOSITION_H
#define MODEL_EXPOSITION_H

#include "model/labels.h"

enum exposition_kind {
    EXPOSITION_END, EXPOSITION_SERIES, EXPOSITION_HELP, EXPOSITION_TYPE, EXPOSITION_UNIT, EXPOSITION_ERROR
};
struct exposition {
    const char *p, *end;  /* unread input */
    const char *_start;
    bool any_names;       /* set after exposition_start: accept vmagent's syntax for unquoted names */
    unsigned line;        /* ERROR: number of the invalid line, 1-based */
    struct str series;    /* SERIES: the text from the name to the closing brace, the key of a series of this target */
    double value;         /* never the stale marker: every NaN is converted to the ordinary one */
    int64_t t;            /* ms; only when has_t */
    bool has_t;
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
 * invalid UTF-8, too many labels. any_names: see struct exposition. */
bool exposition_labels(struct str series, bool any_names, struct labels_builder *b, struct err *err) MUST_USE;

#endif
