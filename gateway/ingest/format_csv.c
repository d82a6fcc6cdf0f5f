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
    struct csv_column *columns; size_t n_columns, cap_columns; /* by position */
    size_t n_metrics;
    size_t lead;               /* leading labels and ignored columns, if no label follows; 0: lines are not expected */
    size_t first_metric;
    struct str start;          /* of the line: the leading columns, with their commas */
    uint64_t before;           /* hash of the series of the line that was reported last; 0: none yet */
};

enum { CSV_EXPECTED = 32 /* most metrics of a line that is expected */ };

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

/* Extends the columns to n. */
static void csv_add_columns(struct arena *a, struct csv_state *s, size_t n)
{
    if (n <= s->n_columns)
        return;
    arena_grow(a, &s->columns, &s->cap_columns, n, sizeof *s->columns);
    memset(s->columns + s->n_columns, 0, (n - s->n_columns) * sizeof *s->columns);
    s->n_columns = n;
}

static bool csv_entry(struct arena *a, struct csv_state *s, struct str entry, struct err *err)
{
    struct str rest = entry, position = STR_NONE, kind = STR_NONE;
    uint64_t n;
    str_cut(&rest, ':', &position);
    if (!str_cut(&rest, ':', &kind) || !num_parse_u64(position, &n) || n == 0 || n > CSV_MAX_COLUMN)
        return err_set(err, ERR_BAD_DATA, "format: expected POSITION:metric|label|time:NAME, got `%.*s`; positions begin at 1",
                       STR_ARG(str_first(entry, 100)));
    csv_add_columns(a, s, n);
    struct csv_column *c = &s->columns[n - 1];
    if (c->kind != CSV_IGNORED)
        return err_set(err, ERR_BAD_DATA, "format: column %llu is named twice", (unsigned long long)n);
    c->name = rest;
    return csv_kind(s, kind, c, err);
}

static void csv_find_lead(struct csv_state *s)
{
    size_t lead = 0;
    while (lead < s->n_columns && (s->columns[lead].kind == CSV_LABEL || s->columns[lead].kind == CSV_IGNORED))
        lead++;
    s->lead = s->n_metrics <= CSV_EXPECTED ? lead : 0;
    for (size_t i = s->n_columns; i-- > lead;) {
        if (s->columns[i].kind == CSV_LABEL)
            s->lead = 0;
        if (s->columns[i].kind == CSV_METRIC)
            s->first_metric = i;
    }
}

static bool csv_begin(struct ingest *in, struct err *err)
{
    struct csv_state *s = in->state = ARENA_NEW(&in->r->arena, struct csv_state);
    struct str format = form_get(&in->r->form, "format"), entry;
    ingest_same(in, format);
    while (str_cut(&format, ',', &entry))
        if (!csv_entry(&in->r->arena, s, entry, err))
            return false;
    csv_find_lead(s);
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
    const char *start = line.p;
    for (size_t i = 0; i < s->n_columns; i++) {
        if (i == s->lead && line.p)
            s->start = str_n(start, (size_t)(line.p - start));
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

/* What is remembered of a series: its column, and of the first of a line the columns of labels. */
static struct str csv_series_text(struct ingest *in, size_t i)
{
    struct csv_state *s = in->state;
    uint32_t column = (uint32_t)i;
    struct str start = s->before ? STR_NONE : s->start;
    if (s->lead == 0)
        return STR_NONE;
    char *text = arena_bytes(in->scratch, sizeof column + start.n);
    memcpy(text, &column, sizeof column);
    if (start.n > 0)
        memcpy(text + sizeof column, start.p, start.n);
    return str_n(text, sizeof column + start.n);
}

static void csv_remember(struct ingest *in, size_t i, uint64_t hash)
{
    struct csv_state *s = in->state;
    if (s->before)
        ingest_series_remember_behind(in, hash, csv_series_text(in, i), s->before);
    else
        ingest_series_remember(in, hash, csv_series_text(in, i));
}

/* The column of a series that is expected, and the start of its line. */
static bool csv_expects(struct ingest *in, size_t nth, size_t column, struct str *start)
{
    struct str text = ingest_expected(in, nth);
    uint32_t known;
    if (text.n < sizeof known)
        return false;
    memcpy(&known, text.p, sizeof known);
    *start = str_skip(text, sizeof known);
    return known == column;
}

/* A column after the leading ones, without quotes; *p is then behind it. */
static bool csv_expected_column(struct csv_column *c, const char **p, const char *end, double *v, int64_t *t)
{
    const char *from = *p, *stop;
    if (c->kind == CSV_METRIC) {
        stop = num_scan(from, end, v);
    } else {
        stop = memchr(from, ',', (size_t)(end - from));
        stop = stop ? stop : end;
        if (from < end && *from == '"')
            return false;
        if (c->kind == CSV_TIME && !csv_time(c->name, str_n(from, (size_t)(stop - from)), t))
            return false;
    }
    *p = stop;
    return stop && (stop == end || *stop == ',');
}

/* A line whose labels are those of the series that are expected, with a value for each metric. */
static bool csv_expected(struct ingest *in, struct str line)
{
    struct csv_state *s = in->state;
    struct sample samples[CSV_EXPECTED + 1]; /* one more, for columns after the last metric */
    struct str start, none;
    size_t n = 0;
    int64_t t = in->now;
    if (s->lead == 0 || !csv_expects(in, 0, s->first_metric, &start) || !str_starts(line, start))
        return false;
    const char *p = line.p + start.n, *end = line.p + line.n;
    for (size_t i = s->lead; i < s->n_columns; i++) {
        bool metric = s->columns[i].kind == CSV_METRIC;
        if (i > s->lead && (p == end || *p++ != ','))
            return false;
        if (metric && n > 0 && !csv_expects(in, n, i, &none))
            return false;
        if (!csv_expected_column(&s->columns[i], &p, end, &samples[n].v, &t))
            return false;
        n += metric;
    }
    t -= t % in->services->flags.ingest.csv_trim;
    for (size_t i = 0; i < n; i++)
        samples[i].t = t;
    return ingest_expected_have_come(in, samples, n);
}

/* The sample of column i. labels: whether they are built already. */
static bool csv_sample(struct ingest *in, size_t i, uint64_t hash, const struct sample *sample, bool *labels, struct err *err)
{
    struct csv_state *s = in->state;
    const uint64_t parts[] = {hash, i};
    hash = hash_keyed(parts, sizeof parts);
    if (ingest_series_known(in, hash, sample, 1)) {
        s->before = hash;
        return true;
    }
    if (!*labels && !csv_labels(in, err))
        return false;
    *labels = true;
    builder_set(in->labels, STR(METRIC_NAME), s->columns[i].name);
    if (!ingest_series_end(in, sample, 1, err))
        return false;
    csv_remember(in, i, hash);
    s->before = hash;
    return true;
}

static bool csv_line(struct ingest *in, struct str line, struct err *err)
{
    struct csv_state *s = in->state;
    struct sample sample = {.t = in->now};
    uint64_t hash;
    bool labels = false;
    if (csv_expected(in, line))
        return true;
    s->before = 0;
    s->start = STR_NONE;
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
