// SPDX-License-Identifier: Apache-2.0
/* What the two text formats share: exposition.c parses Prometheus' format, openmetrics.c OpenMetrics. */
#ifndef MODEL_EXPOSITION_INTERNAL_H
#define MODEL_EXPOSITION_INTERNAL_H

#include "model/exposition/exposition.h"
#include "model/exposition/exposition_scan.h"

/* Both move the position back to the beginning of the entry, so that further calls return the same error. */
enum exposition_kind exposition_fail(struct exposition *e, const char *entry, const char *at, const char *expected);
enum exposition_kind exposition_fail_text(struct exposition *e, const char *entry, const char *what, struct str text);

/* A metric name, plain or quoted; returns the position after it, or NULL when there is none. */
const char *exposition_metric_name(const struct exposition *e, const char *p, const char *end, struct str *name);
/* HELP, TYPE and UNIT; END: another word. */
enum exposition_kind exposition_comment_kind(struct str word);
/* A value of the formats' number syntax that ends before a blank, a line feed or the end; NULL if there is none. */
const char *exposition_value(const char *p, const char *end, double *v);

static inline enum name_kind exposition_metric_kind(const struct exposition *e)
{
    return e->lax ? NAME_ANY_METRIC : NAME_METRIC;
}

/* A line that begins with #: END when it is a plain comment. */
enum exposition_kind exposition_comment(struct exposition *e, const char *start);

/* Lines as vmagent reads them (exposition_lax.c). */
enum exposition_kind exposition_lax_series(struct exposition *e, const char *start); /* a line that is no comment */
/* The entry begins with `known` and a blank. False: it is to be read by exposition_next. */
bool exposition_lax_known(struct exposition *e, struct str known);
/* As exposition_scan; the name of a label may be empty. */
enum scan exposition_lax_scan(const char **p, const char *end, struct scan_piece *piece);
struct str exposition_lax_name(struct str series); /* before the braces; may be empty */

enum exposition_kind openmetrics_next(struct exposition *e);
/* The line after the value of e->series. */
enum exposition_kind openmetrics_rest(struct exposition *e, const char *p);

#endif
