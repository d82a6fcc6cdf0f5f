// SPDX-License-Identifier: Apache-2.0
/* VictoriaMetrics' JSON lines, as its /api/v1/export writes them, one series a line:
 *
 *   {"metric":{"__name__":"up","job":"node"},"values":[1,null,"Infinity"],"timestamps":[1700000000000,...]}
 *
 * null and "NaN" are NaN, times are milliseconds. An invalid line is skipped.
 * Source: https://docs.victoriametrics.com/victoriametrics/#json-line-format
 */
#include "base/json/json_read.h"
#include "base/text/num.h"
#include "gateway/ingest/ingest_format.h"
#include "gateway/services/services.h"

#include <math.h>

enum { JSONL_LONG_LINE = 16 << 10 };
struct jsonl_state {
    struct json_reader reader;
    struct sample *samples; size_t cap; /* of one line: values and times are separate arrays there */
    size_t n_values, n_times;
};

static bool jsonl_fail(const struct json_reader *r, enum json_token got, const char *expected, struct err *err)
{
    if (got == JSON_ERROR)
        *err = r->err;
    else if (got == JSON_MORE || got == JSON_END)
        err_set(err, ERR_BAD_DATA, "the line ends before the object does");
    else
        err_set(err, ERR_BAD_DATA, "expected %s at byte %llu", expected, (unsigned long long)r->offset);
    return false;
}

static bool jsonl_labels(struct ingest *in, struct err *err)
{
    struct json_reader *r = &((struct jsonl_state *)in->state)->reader;
    enum json_token token = json_next(r);
    if (token != JSON_OBJECT)
        return jsonl_fail(r, token, "an object of labels", err);
    while ((token = json_next(r)) == JSON_KEY) {
        struct str name = arena_str(in->scratch, r->text);
        if ((token = json_next(r)) != JSON_STRING)
            return jsonl_fail(r, token, "the value of a label, a string,", err);
        if (!ingest_label(in, name, arena_str(in->scratch, r->text), err))
            return false;
    }
    return token == JSON_END_OBJECT || jsonl_fail(r, token, "a label", err);
}

static struct sample *jsonl_sample(struct jsonl_state *s, size_t i)
{
    if (i == s->cap)
        mem_grow(&s->samples, &s->cap, i + 1, sizeof *s->samples);
    return &s->samples[i];
}

static bool jsonl_value(const struct json_reader *r, enum json_token token, double *v)
{
    *v = token == JSON_NUMBER ? r->number : normal_nan();
    if (token == JSON_STRING && !num_parse(r->text, v))
        return false;
    if (isnan(*v))
        *v = normal_nan();
    return token == JSON_NUMBER || token == JSON_NULL || token == JSON_STRING;
}

static bool jsonl_values(struct jsonl_state *s, struct err *err)
{
    enum json_token token = json_next(&s->reader);
    if (token != JSON_ARRAY)
        return jsonl_fail(&s->reader, token, "an array of values", err);
    for (s->n_values = 0; (token = json_next(&s->reader)) != JSON_END_ARRAY; s->n_values++)
        if (!jsonl_value(&s->reader, token, &jsonl_sample(s, s->n_values)->v))
            return jsonl_fail(&s->reader, token, "a value: a number, null, \"NaN\", \"Infinity\" or \"-Infinity\",", err);
    return true;
}

static bool jsonl_times(struct jsonl_state *s, struct err *err)
{
    enum json_token token = json_next(&s->reader);
    if (token != JSON_ARRAY)
        return jsonl_fail(&s->reader, token, "an array of times", err);
    for (s->n_times = 0; (token = json_next(&s->reader)) != JSON_END_ARRAY; s->n_times++)
        if (token != JSON_NUMBER || !num_parse_i64(s->reader.text, &jsonl_sample(s, s->n_times)->t))
            return jsonl_fail(&s->reader, token, "a time in milliseconds", err);
    return true;
}

static bool jsonl_member(struct ingest *in, struct err *err)
{
    struct jsonl_state *s = in->state;
    if (str_is(s->reader.text, "metric"))
        return jsonl_labels(in, err);
    if (str_is(s->reader.text, "values"))
        return jsonl_values(s, err);
    if (str_is(s->reader.text, "timestamps"))
        return jsonl_times(s, err);
    enum json_token token = json_skip(&s->reader);
    return (token != JSON_ERROR && token != JSON_MORE) || jsonl_fail(&s->reader, token, "", err);
}

static bool jsonl_object(struct ingest *in, struct err *err)
{
    struct json_reader *r = &((struct jsonl_state *)in->state)->reader;
    enum json_token token = json_next(r);
    if (token != JSON_OBJECT)
        return jsonl_fail(r, token, "an object", err);
    while ((token = json_next(r)) == JSON_KEY)
        if (!jsonl_member(in, err))
            return false;
    if (token != JSON_END_OBJECT)
        return jsonl_fail(r, token, "a member", err);
    token = json_next(r);
    return token == JSON_END || jsonl_fail(r, token, "the end of the line", err);
}

static void jsonl_free_line(struct jsonl_state *s)
{
    json_reader_free(&s->reader);
    mem_free(s->samples);
    s->samples = NULL;
    s->cap = 0;
}

static bool jsonl_series(struct ingest *in, struct str line, struct err *err)
{
    struct jsonl_state *s = in->state;
    json_reader_free(&s->reader);
    json_reader_init(&s->reader);
    json_feed(&s->reader, line.p, line.n);
    json_finish(&s->reader);
    s->n_values = s->n_times = 0;
    ingest_series_begin(in);
    if (!jsonl_object(in, err))
        return false;
    if (s->n_values != s->n_times)
        return err_set(err, ERR_BAD_DATA, "%zu values but %zu timestamps", s->n_values, s->n_times);
    if (s->n_values == 0)
        return err_set(err, ERR_BAD_DATA, "the line has no values");
    return ingest_series_end(in, s->samples, s->n_values, err);
}

/* The memory of a long line is not kept: the client may send the next one slowly, as many others do. */
static bool jsonl_line(struct ingest *in, struct str line, struct err *err)
{
    struct jsonl_state *s = in->state;
    bool ok = jsonl_series(in, line, err);
    if (line.n > JSONL_LONG_LINE)
        jsonl_free_line(s);
    return ok;
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
    .id = INGEST_JSONL, .success = 204, .begin = jsonl_begin, .line = jsonl_line, .end = jsonl_end,
};
