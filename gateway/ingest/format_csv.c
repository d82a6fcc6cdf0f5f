// SPDX-License-Identifier: Apache-2.0
/* CSV, with the columns that the parameter `format` names, as in VictoriaMetrics:
 *
 *   format=1:label:ticker,2:metric:ask,3:time:unix_s      GOOG,1.23,1700000000   becomes   ask{ticker="GOOG"} 1.23
 *
 * A column is POSITION:metric:NAME, POSITION:label:NAME or POSITION:time:FORMAT; columns without an entry are ignored.
 * A quoted column may contain commas, and "" for a quote. An empty metric is left out. An invalid line, such as a header,
 * is skipped. Source: https://docs.victoriametrics.com/victoriametrics/#how-to-import-csv-data
 */
#include "base/hash.h"
#include "base/text/duration.h"
#include "base/text/num.h"
#include "gateway/ingest/csv_time.h"
#include "gateway/ingest/ingest_format.h"
#include "gateway/services/services.h"

#include <math.h>

enum { CSV_MAX_COLUMN = 10000 };
struct csv_column { enum { CSV_IGNORED, CSV_METRIC, CSV_LABEL, CSV_TIME } kind; struct str name; struct str text; };
struct csv_state {
    struct csv_column *columns; size_t n_columns; /* by position */
    size_t n_metrics;
};

/* ---- the parameter `format` ---- */

static bool csv_kind(struct csv_state *s, struct str kind, struct csv_column *c, struct err *err)
{
    if (str_is(kind, "metric"))
        c->kind = CSV_METRIC;
    else if (str_is(kind, "label"))
        c->kind = CSV_LABEL;
    else if (str_is(kind, "time"))
        c->kind = CSV_TIME;
    else
        return err_set(err, ERR_BAD_DATA, "format: `%.*s` is not one of metric, label and time", STR_ARG(str_first(kind, 100)));
    s->n_metrics += c->kind == CSV_METRIC;
    if (c->kind == CSV_TIME)
        return csv_time_known(c->name) || err_set(err, ERR_BAD_DATA, "format: `%.*s` is not one of unix_s, unix_ms, unix_ns, "
                                                  "rfc3339 and custom:LAYOUT", STR_ARG(str_first(c->name, 100)));
    return c->name.n > 0 || err_set(err, ERR_BAD_DATA, "format: a %.*s has no name", STR_ARG(kind));
}

static bool csv_entry(struct csv_state *s, struct str entry, struct err *err)
{
    struct str rest = entry, position = STR_NONE, kind = STR_NONE;
    uint64_t n;
    str_cut(&rest, ':', &position);
    if (!str_cut(&rest, ':', &kind) || !num_parse_u64(position, &n) || n == 0 || n > CSV_MAX_COLUMN)
        return err_set(err, ERR_BAD_DATA, "format: expected POSITION:metric|label|time:NAME, got `%.*s`; positions begin at 1",
                       STR_ARG(str_first(entry, 100)));
    struct csv_column *c = &s->columns[n - 1];
    if (c->kind != CSV_IGNORED)
        return err_set(err, ERR_BAD_DATA, "format: column %llu is named twice", (unsigned long long)n);
    c->name = rest;
    s->n_columns = n > s->n_columns ? n : s->n_columns;
    return csv_kind(s, kind, c, err);
}

static bool csv_begin(struct ingest *in, struct err *err)
{
    struct csv_state *s = in->state = ARENA_NEW(&in->r->arena, struct csv_state);
    struct str format = form_get(&in->r->form, "format"), entry;
    s->columns = ARENA_ARRAY(&in->r->arena, struct csv_column, CSV_MAX_COLUMN);
    memset(s->columns, 0, CSV_MAX_COLUMN * sizeof *s->columns);
    ingest_same(in, format);
    while (str_cut(&format, ',', &entry))
        if (!csv_entry(s, entry, err))
            return false;
    return s->n_metrics > 0 || err_set(err, ERR_BAD_DATA, "format: no column is a metric; use format=1:metric:NAME,...");
}

/* ---- lines ---- */

/* The column between quotes at the start of *line; "" stands for a quote. */
static bool csv_quoted(struct arena *a, struct str *line, struct str *text)
{
    size_t end = 1, quotes = 0, n = 0;
    for (; end < line->n && (line->p[end] != '"' || (end + 1 < line->n && line->p[end + 1] == '"')); end++)
        if (line->p[end] == '"') {
            end++;
            quotes++;
        }
    if (end >= line->n)
        return false;
    char *to = arena_bytes(a, end - quotes);
    for (size_t i = 1; i < end; i++) {
        i += line->p[i] == '"';
        to[n++] = line->p[i];
    }
    *text = str_n(to, n);
    *line = str_skip(*line, end + 1);
    return line->n == 0 || line->p[0] == ',';
}

/* Takes the next column from the front of *line. */
static bool csv_next(struct arena *a, struct str *line, struct str *text)
{
    char quote = line->n > 0 ? line->p[0] : 0;
    if (quote == '"') {
        if (!csv_quoted(a, line, text))
            return false;
    } else {
        *text = str_first(*line, str_find(*line, ','));
        *line = str_skip(*line, text->n);
    }
    *line = line->n > 0 ? str_skip(*line, 1) : STR_NONE; /* p is NULL after the last column */
    return true;
}

static bool csv_split(struct ingest *in, struct str line, struct err *err)
{
    struct csv_state *s = in->state;
    for (size_t i = 0; i < s->n_columns; i++) {
        if (line.p == NULL)
            return err_set(err, ERR_BAD_DATA, "the line has %zu columns; format names column %zu", i, s->n_columns);
        if (!csv_next(in->scratch, &line, &s->columns[i].text))
            return err_set(err, ERR_BAD_DATA, "column %zu: text after a closing quote, or no closing quote", i + 1);
    }
    return true;
}

static bool csv_labels(struct ingest *in, struct err *err)
{
    struct csv_state *s = in->state;
    ingest_series_begin(in);
    for (size_t i = 0; i < s->n_columns; i++) {
        struct csv_column *c = &s->columns[i];
        if (c->kind == CSV_LABEL && !ingest_label(in, c->name, c->text, err))
            return false;
    }
    return true;
}

/* Reads the time, and hashes what the labels are made of. */
static bool csv_time_and_hash(struct ingest *in, int64_t *t, uint64_t *hash, struct err *err)
{
    struct csv_state *s = in->state;
    *hash = 0;
    for (size_t i = 0; i < s->n_columns; i++) {
        struct csv_column *c = &s->columns[i];
        const uint64_t parts[] = {*hash, c->kind == CSV_LABEL ? hash_keyed(c->text.p, c->text.n) : 0};
        if (c->kind == CSV_LABEL)
            *hash = hash_keyed(parts, sizeof parts);
        if (c->kind == CSV_TIME && !csv_time(c->name, c->text, t))
            return err_set(err, ERR_BAD_DATA, "column %zu: `%.*s` is not a time of format %.*s", i + 1,
                           STR_ARG(str_first(c->text, 100)), STR_ARG(str_first(c->name, 100)));
    }
    return true;
}

static bool csv_value(struct csv_column *c, size_t i, double *v, struct err *err)
{
    if (!num_parse(c->text, v))
        return err_set(err, ERR_BAD_DATA, "column %zu: `%.*s` is not a number", i + 1, STR_ARG(str_first(c->text, 100)));
    if (isnan(*v))
        *v = normal_nan();
    return true;
}

/* The sample of column i. labels: whether they are built already. */
static bool csv_sample(struct ingest *in, size_t i, uint64_t hash, const struct sample *sample, bool *labels, struct err *err)
{
    struct csv_state *s = in->state;
    const uint64_t parts[] = {hash, i};
    hash = hash_keyed(parts, sizeof parts);
    if (ingest_series_known(in, hash, sample, 1))
        return true;
    if (!*labels && !csv_labels(in, err))
        return false;
    *labels = true;
    builder_set(in->labels, STR(METRIC_NAME), s->columns[i].name);
    if (!ingest_series_end(in, sample, 1, err))
        return false;
    ingest_series_remember(in, hash, STR_NONE);
    return true;
}

static bool csv_line(struct ingest *in, struct str line, struct err *err)
{
    struct csv_state *s = in->state;
    struct sample sample = {.t = in->now};
    uint64_t hash;
    bool labels = false;
    if (!csv_split(in, line, err) || !csv_time_and_hash(in, &sample.t, &hash, err))
        return false;
    sample.t -= sample.t % in->services->flags.ingest.csv_trim;
    for (size_t i = 0; i < s->n_columns; i++) {
        struct csv_column *c = &s->columns[i];
        if (c->kind != CSV_METRIC || c->text.n == 0)
            continue;
        if (!csv_value(c, i, &sample.v, err) || !csv_sample(in, i, hash, &sample, &labels, err))
            return false;
    }
    return true;
}

const struct ingest_format ingest_csv = {.id = INGEST_CSV, .success = 204, .begin = csv_begin, .line = csv_line};
