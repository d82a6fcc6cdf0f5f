// SPDX-License-Identifier: Apache-2.0
/* VictoriaMetrics' JSON lines, as its /api/v1/export writes them, one series a line:
 *
 *   {"metric":{"__name__":"up","job":"node"},"values":[1,null,"Infinity"],"timestamps":[1700000000000,...]}
 *
 * null and "NaN" are NaN, times are milliseconds. An invalid line is skipped.
 *
 * A line may have a million samples. It is read in parts, of which none keeps the lane for long, and stored in parts when
 * its end is known to be valid. The lists are scanned directly; other values are skipped by the JSON reader, and labels
 * are read when a series is new.
 * Source: https://docs.victoriametrics.com/victoriametrics/#json-line-format
 */
#include "base/hash.h"
#include "base/json/json_read.h"
#include "base/text/num.h"
#include "gateway/ingest/ingest_format.h"
#include "gateway/services/services.h"

#include <math.h>

enum {
    JSONL_LONG_LINE = 16 << 10,
    JSONL_PART_ITEMS = 2048,      /* of a list, read or stored at a time */
    JSONL_PART_BYTES = 64 << 10   /* skipped at a time */
};

struct jsonl_state {
    const char *start, *p, *end;  /* of the line; what is before p is read */
    enum { JSONL_OBJECT, JSONL_KEY, JSONL_SKIP, JSONL_VALUES, JSONL_TIMES, JSONL_AFTER /* a member */, JSONL_STORE } at;
    struct str metric;            /* the object of labels, as it is in the line */
    struct json_reader reader;    /* JSONL_SKIP; and of labels */
    struct { const char *start, *fed; bool begun, metric; } skip; /* fed: up to here */
    struct sample *samples; size_t cap; /* of one line: values and times are separate lists there */
    size_t n_values, n_times, stored;
};

static bool jsonl_expected(const struct jsonl_state *s, const char *what, struct err *err)
{
    if (s->p >= s->end)
        return err_set(err, ERR_BAD_DATA, "the line ends before the object does");
    return err_set(err, ERR_BAD_DATA, "expected %s at byte %zu", what, (size_t)(s->p - s->start));
}

static bool jsonl_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

/* Blanks, then this character. */
static bool jsonl_take(struct jsonl_state *s, char c)
{
    while (s->p < s->end && jsonl_blank(*s->p))
        s->p++;
    if (s->p == s->end || *s->p != c)
        return false;
    s->p++;
    return true;
}

/* ---- lists ---- */

static struct sample *jsonl_sample(struct jsonl_state *s, size_t i)
{
    if (i == s->cap)
        mem_grow(&s->samples, &s->cap, i + 1, sizeof *s->samples);
    return &s->samples[i];
}

static bool jsonl_digit(char c) { return (unsigned char)(c - '0') < 10; }

/* As JSON writes numbers: no plus, no zero before other digits, digits on both sides of the point. */
static bool jsonl_number_valid(const char *p, const char *end)
{
    p += p < end && *p == '-';
    if (p == end || !jsonl_digit(*p) || (*p == '0' && p + 1 < end && jsonl_digit(p[1])) || !jsonl_digit(end[-1]))
        return false;
    const char *point = memchr(p, '.', (size_t)(end - p));
    return point == NULL || jsonl_digit(point[1]);
}

static bool jsonl_text_value(struct jsonl_state *s, double *v)
{
    const char *from = s->p + 1, *to = from < s->end ? memchr(from, '"', (size_t)(s->end - from)) : NULL;
    if (to == NULL || !num_parse(str_n(from, (size_t)(to - from)), v))
        return false;
    if (isnan(*v))
        *v = normal_nan();
    s->p = to + 1;
    return true;
}

static bool jsonl_value(struct jsonl_state *s, double *v)
{
    const char *stop = num_scan(s->p, s->end, v);
    if (stop && jsonl_number_valid(s->p, stop)) {
        s->p = stop;
        return true;
    }
    if (s->p < s->end && *s->p == '"')
        return jsonl_text_value(s, v);
    if (!str_starts(str_n(s->p, (size_t)(s->end - s->p)), STR("null")))
        return false;
    *v = normal_nan();
    s->p += 4;
    return true;
}

static bool jsonl_time(struct jsonl_state *s, int64_t *t)
{
    const char *p = s->p;
    int64_t n = 0;
    while (p < s->end && p - s->p < 18 && jsonl_digit(*p))
        n = n * 10 + (*p++ - '0');
    if (p > s->p && p < s->end && (*p == ',' || *p == ']') && (*s->p != '0' || p == s->p + 1)) {
        *t = n;
        s->p = p;
        return true;
    }
    while (p < s->end && (jsonl_digit(*p) || *p == '-'))
        p++;
    if (p == s->p || !jsonl_number_valid(s->p, p) || !num_parse_i64(str_n(s->p, (size_t)(p - s->p)), t))
        return false;
    s->p = p;
    return true;
}

/* A part of a list, which begins at its bracket or at the comma after the last part. */
static bool jsonl_list(struct jsonl_state *s, bool times, struct err *err)
{
    size_t *n = times ? &s->n_times : &s->n_values;
    for (size_t i = 0; i < JSONL_PART_ITEMS; i++) {
        if (*n == 0) {
            if (jsonl_take(s, ']')) {
                s->at = JSONL_AFTER;
                return true;
            }
        } else if (!jsonl_take(s, ',')) {
            s->at = JSONL_AFTER;
            return jsonl_take(s, ']') || jsonl_expected(s, "a comma or the end of the list", err);
        }
        while (s->p < s->end && jsonl_blank(*s->p))
            s->p++;
        struct sample *sample = jsonl_sample(s, *n);
        if (times ? !jsonl_time(s, &sample->t) : !jsonl_value(s, &sample->v))
            return jsonl_expected(s, times ? "a time in milliseconds"
                                           : "a value: a number, null, \"NaN\", \"Infinity\" or \"-Infinity\",", err);
        ++*n;
    }
    return true;
}

/* ---- members ---- */

static void jsonl_begin_skip(struct jsonl_state *s, bool metric)
{
    while (s->p < s->end && jsonl_blank(*s->p))
        s->p++;
    s->skip.start = s->skip.fed = s->p;
    s->skip.begun = false;
    s->skip.metric = metric;
    json_reader_free(&s->reader);
    json_reader_init(&s->reader);
    s->at = JSONL_SKIP;
}

/* A part of a value that is not read, or not yet. */
static bool jsonl_skip(struct jsonl_state *s, struct err *err)
{
    struct json_reader *r = &s->reader;
    enum json_token token = s->skip.begun ? JSON_OBJECT : json_next(r);
    if (!s->skip.begun && token != JSON_MORE && token != JSON_ERROR) {
        s->skip.begun = true;
        if (s->skip.metric && token != JSON_OBJECT)
            return jsonl_expected(s, "an object of labels", err);
        if (token != JSON_OBJECT && token != JSON_ARRAY) {
            s->p = s->skip.start + r->offset;
            s->at = JSONL_AFTER;
            return true;
        }
    }
    if (s->skip.begun)
        token = json_skip(r);
    if (token == JSON_ERROR) {
        *err = r->err;
        return false;
    }
    if (token == JSON_MORE) {
        size_t left = (size_t)(s->end - s->skip.fed), n = left < JSONL_PART_BYTES ? left : JSONL_PART_BYTES;
        if (left == 0) {
            s->p = s->end;
            return jsonl_expected(s, "", err);
        }
        json_feed(r, s->skip.fed, n);
        s->skip.fed += n;
        return true;
    }
    s->p = s->skip.start + r->offset;
    if (s->skip.metric)
        s->metric = str_n(s->skip.start, (size_t)(s->p - s->skip.start));
    s->at = JSONL_AFTER;
    return true;
}

/* The labels of a series that is expected need not be read. */
static void jsonl_begin_metric(struct ingest *in, struct jsonl_state *s)
{
    struct str expected = ingest_expected(in, 0), rest = str_n(s->p, (size_t)(s->end - s->p));
    if (expected.n > 0 && str_starts(rest, expected)) {
        s->metric = str_first(rest, expected.n);
        s->p += expected.n;
        s->at = JSONL_AFTER;
    } else {
        jsonl_begin_skip(s, true);
    }
}

static bool jsonl_key(struct ingest *in, struct jsonl_state *s, struct err *err)
{
    if (!jsonl_take(s, '"'))
        return jsonl_expected(s, "the name of a member", err);
    struct str rest = str_n(s->p, (size_t)(s->end - s->p));
    size_t n = 0;
    while (n < rest.n && rest.p[n] != '"') /* an escaped quote does not end it */
        n += rest.p[n] == '\\' ? 2 : 1;
    struct str key = str_first(rest, n < rest.n ? n : rest.n);
    s->p = n < rest.n ? s->p + n + 1 : s->end;
    if (!jsonl_take(s, ':'))
        return jsonl_expected(s, "a colon", err);
    bool values = str_is(key, "values"), times = str_is(key, "timestamps");
    if (values || times) {
        if (!jsonl_take(s, '['))
            return jsonl_expected(s, values ? "a list of values" : "a list of times", err);
        *(values ? &s->n_values : &s->n_times) = 0;
        s->at = values ? JSONL_VALUES : JSONL_TIMES;
    } else if (str_is(key, "metric")) {
        jsonl_begin_metric(in, s);
    } else {
        jsonl_begin_skip(s, false);
    }
    return true;
}

static bool jsonl_after(struct jsonl_state *s, struct err *err)
{
    if (jsonl_take(s, ',')) {
        s->at = JSONL_KEY;
        return true;
    }
    if (!jsonl_take(s, '}'))
        return jsonl_expected(s, "a comma or the end of the object", err);
    while (s->p < s->end && jsonl_blank(*s->p))
        s->p++;
    if (s->p < s->end)
        return jsonl_expected(s, "the end of the line", err);
    if (s->n_values != s->n_times)
        return err_set(err, ERR_BAD_DATA, "%zu values but %zu timestamps", s->n_values, s->n_times);
    s->at = JSONL_STORE;
    return s->n_values > 0 || err_set(err, ERR_BAD_DATA, "the line has no values");
}

/* ---- storing ---- */

static bool jsonl_labels(struct ingest *in, struct jsonl_state *s, struct err *err)
{
    struct json_reader *r = &s->reader;
    enum json_token token;
    json_reader_free(r);
    json_reader_init(r);
    json_feed(r, s->metric.p, s->metric.n);
    json_finish(r);
    ingest_series_begin(in);
    (void)!json_next(r); /* the brace; none if the line has no labels */
    while ((token = json_next(r)) == JSON_KEY) {
        struct str name = arena_str(in->scratch, r->text);
        if (json_next(r) != JSON_STRING)
            return err_set(err, ERR_BAD_DATA, "the value of label `%.*s` is no text", STR_ARG(str_first(name, 100)));
        if (!ingest_label(in, name, arena_str(in->scratch, r->text), err))
            return false;
    }
    return true;
}

static bool jsonl_store(struct ingest *in, struct jsonl_state *s, struct err *err)
{
    size_t left = s->n_values - s->stored, n = left < JSONL_PART_ITEMS ? left : JSONL_PART_ITEMS;
    const struct sample *samples = s->samples + s->stored;
    uint64_t hash = hash_keyed(s->metric.p, s->metric.n);
    s->stored += n;
    in->item_labels = 0; /* its labels are those of one series */
    if (ingest_series_known(in, hash, samples, n))
        return true;
    if (!jsonl_labels(in, s, err) || !ingest_series_end(in, samples, n, err))
        return false;
    ingest_series_remember(in, hash, STR_NONE);
    return true;
}

/* ---- lines ---- */

static bool jsonl_part(struct ingest *in, struct jsonl_state *s, struct err *err)
{
    switch (s->at) {
    case JSONL_OBJECT:
        if (!jsonl_take(s, '{'))
            return jsonl_expected(s, "an object", err);
        s->at = JSONL_KEY;
        if (!jsonl_take(s, '}'))
            return true;
        s->p--; /* an empty object */
        s->at = JSONL_AFTER;
        return true;
    case JSONL_KEY: return jsonl_key(in, s, err);
    case JSONL_SKIP: return jsonl_skip(s, err);
    case JSONL_VALUES: return jsonl_list(s, false, err);
    case JSONL_TIMES: return jsonl_list(s, true, err);
    case JSONL_AFTER: return jsonl_after(s, err);
    case JSONL_STORE: return jsonl_store(in, s, err);
    }
    return false;
}

static bool jsonl_done(const struct jsonl_state *s) { return s->at == JSONL_STORE && s->stored == s->n_values && s->stored > 0; }

static void jsonl_free_line(struct jsonl_state *s)
{
    json_reader_free(&s->reader);
    mem_free(s->samples);
    s->samples = NULL;
    s->cap = 0;
}

/* Reads a short line to its end, and of a long one a part: then it is open. The memory of a long line is not kept: the
 * client may send the next one slowly, as many others do. */
static bool jsonl_more(struct ingest *in, struct err *err)
{
    struct jsonl_state *s = in->state;
    bool ok, last = s->end - s->start <= JSONL_LONG_LINE;
    do
        ok = jsonl_part(in, s, err);
    while (ok && last && !jsonl_done(s));
    in->line_open = ok && !jsonl_done(s);
    if (!in->line_open && s->end - s->start > JSONL_LONG_LINE)
        jsonl_free_line(s);
    return ok;
}

static bool jsonl_line(struct ingest *in, struct str line, struct err *err)
{
    struct jsonl_state *s = in->state;
    s->start = s->p = line.p;
    s->end = line.p + line.n;
    s->at = JSONL_OBJECT;
    s->metric = STR_NONE;
    s->n_values = s->n_times = s->stored = 0;
    return jsonl_more(in, err);
}

static bool jsonl_begin(struct ingest *in, struct err *err UNUSED)
{
    struct jsonl_state *s = in->state = mem_zalloc(sizeof *s);
    json_reader_init(&s->reader);
    in->max_line = (size_t)in->services->flags.ingest.jsonl_max_line;
    return true;
}

static void jsonl_end(struct ingest *in)
{
    struct jsonl_state *s = in->state;
    if (s == NULL)
        return;
    jsonl_free_line(s);
    mem_free(s);
}

const struct ingest_format ingest_jsonl = {
    .id = INGEST_JSONL, .success = 204, .begin = jsonl_begin, .line = jsonl_line, .more = jsonl_more, .end = jsonl_end,
};
