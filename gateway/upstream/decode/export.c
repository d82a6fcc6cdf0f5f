// SPDX-License-Identifier: Apache-2.0
/* Decodes VictoriaMetrics' /api/v1/export: one JSON object per line, each a series or a part of one:
 *   {"metric":{..},"values":[1,null,"Infinity"],"timestamps":[ms,ms,ms]}
 * null, and NaN of older releases, is a stale marker, since VictoriaMetrics stores no other NaN (it drops them at ingestion). A sample that was
 * written twice is there twice.
 */
#include "gateway/upstream/decode/response.h"

#include "base/json/json_read.h"
#include "model/json_labels.h"

enum export_position { LINES, LINE, METRIC, VALUES, TIMES, SKIP };

struct export_response {
    struct decoder decoder;
    struct response *response;
    struct json_reader r;
    enum export_position place;
    unsigned seen;  /* bits: the keys of this line */
    struct json_labels names;
    struct labels labels;
    struct sample *samples; size_t n_values, n_times, cap;
};

static void export_next_key(struct export_response *x)
{
    struct str key = x->r.text;
    x->place = str_is(key, "metric") ? METRIC
             : str_is(key, "values") ? VALUES
             : str_is(key, "timestamps") ? TIMES : SKIP;
    x->seen |= 1u << x->place;
    if (x->place == METRIC)
        json_labels_start(&x->names);
}

static bool export_metric(struct export_response *x, enum json_token token, struct err *err)
{
    if (token == JSON_KEY)
        json_labels_name(&x->names, x->r.text);
    else if (token == JSON_STRING)
        json_labels_value(&x->names, x->r.text);
    else if (token == JSON_END_OBJECT) {
        x->place = LINE;
        return json_labels_end(&x->names, &x->labels, err);
    }
    return token == JSON_KEY || token == JSON_STRING || token == JSON_OBJECT;
}

static bool export_value_of(const struct export_response *x, enum json_token token, double *v)
{
    *v = token == JSON_NUMBER ? x->r.number : stale_nan();
    if (token == JSON_STRING && str_is(x->r.text, "Infinity"))
        *v = INFINITY;
    else if (token == JSON_STRING && str_is(x->r.text, "-Infinity"))
        *v = -INFINITY;
    else
        return token == JSON_NUMBER || token == JSON_NULL;
    return true;
}

static bool take_number(struct export_response *x, enum json_token token, struct err *err)
{
    if (token == JSON_ARRAY)
        return true;
    if (token == JSON_END_ARRAY) {
        x->place = LINE;
        return true;
    }
    size_t n = x->place == VALUES ? x->n_values++ : x->n_times++;
    if (!response_check_budget(x->response, n + 1, err))
        return false;
    mem_grow(&x->samples, &x->cap, n + 1, sizeof *x->samples);
    if (x->place == VALUES)
        return export_value_of(x, token, &x->samples[n].v);
    bool possible = token == JSON_NUMBER && fabs(x->r.number) < 9e15;
    x->samples[n].t = possible ? (int64_t)x->r.number : 0;
    return possible;
}

static bool export_end_line(struct export_response *x, struct err *err)
{
    const unsigned needed = 1u << METRIC | 1u << VALUES | 1u << TIMES;
    if ((x->seen & needed) != needed)
        return err_set(err, ERR_BAD_GATEWAY, "a line of the export lacks metric, values or timestamps");
    x->seen = 0;
    if (x->n_values != x->n_times)
        return err_set(err, ERR_BAD_GATEWAY, "an exported series has %zu values and %zu timestamps", x->n_values,
                       x->n_times);
    size_t n = samples_drop_duplicates(x->samples, x->n_values);
    x->n_values = x->n_times = 0;
    x->place = LINES;
    struct labels labels = x->labels;
    x->labels = (struct labels){0};
    return response_add(x->response, labels, x->samples, n, NULL, 0, err);
}

static bool export_token(struct export_response *x, enum json_token token, struct err *err)
{
    struct err inner = {0};
    bool ok = false;
    switch (x->place) {
    case LINES:
        ok = token == JSON_OBJECT;
        x->place = LINE;
        break;
    case LINE:
        if (token == JSON_END_OBJECT)
            return export_end_line(x, err);
        ok = token == JSON_KEY;
        export_next_key(x);
        break;
    case METRIC: ok = export_metric(x, token, &inner); break;
    case VALUES:
    case TIMES: ok = take_number(x, token, &inner); break;
    case SKIP: break;
    }
    if (ok)
        return true;
    if (inner.kind)
        return err_set(err, inner.kind, "%s", inner.text);
    return err_set(err, ERR_BAD_GATEWAY, "cannot parse the export: unexpected JSON at byte %llu",
                   (unsigned long long)x->r.offset);
}

static bool export_read(struct export_response *x, struct err *err)
{
    for (;;) {
        bool skipping = x->place == SKIP;
        struct str name, value;
        while (x->place == METRIC && json_member(&x->r, &name, &value))
            json_labels_add(&x->names, name, value);
        enum json_token token = skipping ? json_skip(&x->r) : json_next(&x->r);
        if (token == JSON_MORE && json_mostly_skipped(&x->r))
            return response_waste(err);
        if (token == JSON_MORE || token == JSON_END)
            return true;
        if (token == JSON_ERROR)
            return err_set(err, ERR_BAD_GATEWAY, "%s", x->r.err.text);
        if (skipping)
            x->place = LINE;
        else if (!export_token(x, token, err))
            return false;
    }
}

static bool export_feed(struct decoder *d, struct str piece, struct err *err)
{
    struct export_response *x = CONTAINER(d, struct export_response, decoder);
    json_feed(&x->r, piece.p, piece.n);
    return export_read(x, err);
}

static bool export_finish(struct decoder *d, struct err *err)
{
    struct export_response *x = CONTAINER(d, struct export_response, decoder);
    json_finish(&x->r);
    return export_read(x, err);
}

static void free_export(struct decoder *d)
{
    struct export_response *x = CONTAINER(d, struct export_response, decoder);
    json_reader_free(&x->r);
    json_labels_free(&x->names);
    mem_free(x->samples);
    mem_free(x);
}

struct decoder *export_decoder_new(struct response *a)
{
    struct export_response *x = mem_zalloc(sizeof *x);
    x->decoder = (struct decoder){export_feed, export_finish, free_export, NULL};
    x->response = a;
    json_reader_init(&x->r);
    x->r.many = x->r.nan = true;
    return &x->decoder;
}
