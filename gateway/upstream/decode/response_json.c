// SPDX-License-Identifier: Apache-2.0
/* Decodes responses of query and query_range as a stream:
 *   {"status":"success","warnings":[..],"infos":[..],
 *    "data":{"resultType":"matrix","result":[{"metric":{..},"values":[[t,"v"],..],"histograms":[..]},..]}}
 * `place` is the value that the decoder is in. Nearly all bytes are in "values", from which json_pairs reads complete
 * pairs. Unknown keys are skipped. Of histograms only the presence is recorded: this form lacks their layout.
 *
 * A response without an end is recognized early, if nothing valid can follow what has arrived: times that go back, more
 * points than steps, the same series again, or mostly values of unknown keys. Samples after the window are dropped at
 * once. The response as a whole is checked when it is complete.
 */
#include "gateway/upstream/decode/stored.h"

#include "base/json/json_read.h"
#include "base/text/num.h"
#include "model/json_labels.h"

enum json_position {
    BEFORE, TOP, STATUS, ERROR_TEXT, WARNINGS, INFOS, DATA, RESULT, SERIES, METRIC, VALUES, VALUE, SKIP, AFTER
};
enum { PAIRS = 4096 }; /* requested from the reader at a time */

struct json_response {
    struct decoder decoder;
    struct response *response;
    struct json_reader r;
    enum json_position place, back; /* back: the place after SKIP and after lists of notes */
    bool succeeded, failed, has_result;
    bool at_partial, partial;     /* at the value of "isPartial"; it is true */
    bool in_values;               /* after the [ of "values" */
    unsigned value_part;          /* of "value": the next token */
    char error[256];
    struct json_labels names;
    struct labels labels;         /* of the current series */
    struct buf last;              /* those of the previous series */
    bool has_labels;
    struct json_pair *pairs; size_t n, cap;
};

static bool unexpected(const struct json_response *j, struct err *err)
{
    return err_set(err, ERR_BAD_GATEWAY, "cannot parse the response: unexpected JSON at byte %llu",
                   (unsigned long long)j->r.offset);
}

/* --- places by key ------------------------------------------------------------------------------------------------ */

static enum json_position at_key(const struct json_response *j)
{
    static const struct { enum json_position in; const char *key; enum json_position place; } keys[] = {
        {TOP, "status", STATUS}, {TOP, "error", ERROR_TEXT}, {TOP, "warnings", WARNINGS}, {TOP, "infos", INFOS},
        {TOP, "data", DATA},
        {DATA, "result", RESULT}, {SERIES, "metric", METRIC}, {SERIES, "values", VALUES}, {SERIES, "value", VALUE}};
    for (size_t i = 0; i < LEN(keys); i++)
        if (keys[i].in == j->place && str_is(j->r.text, keys[i].key))
            return keys[i].place;
    return SKIP;
}

static void json_response_next_key(struct json_response *j)
{
    bool histogram = j->place == SERIES && (str_is(j->r.text, "histogram") || str_is(j->r.text, "histograms"));
    j->response->lossy = j->response->lossy || histogram;
    j->at_partial = j->place == TOP && str_is(j->r.text, "isPartial"); /* skipped, as all that has no place */
    j->back = j->place;
    j->place = at_key(j);
    if (j->place == METRIC)
        json_labels_start(&j->names);
}

static bool json_response_end_series(struct json_response *j, struct err *err)
{
    _Static_assert(sizeof(struct json_pair) == sizeof(struct sample) &&
                   offsetof(struct json_pair, v) == offsetof(struct sample, v),
                   "a pair is a sample");
    if (!j->has_labels)
        return err_set(err, ERR_BAD_GATEWAY, "the response has a series without \"metric\"");
    struct str labels = str_n((const char *)j->labels.p, j->labels.n);
    if (j->last.n > 0 && str_eq(labels, buf_str(&j->last)))
        return response_clash(j->labels, true, err);
    buf_clear(&j->last);
    buf_add_str(&j->last, labels);
    j->place = RESULT;
    j->has_labels = false;
    size_t n = j->n;
    j->n = 0;
    return response_add(j->response, j->labels, (const struct sample *)(const void *)j->pairs, n, NULL, 0, err);
}

/* --- tokens by place ---------------------------------------------------------------------------------------------- */

/* Of those that are too late one is kept, to compare the next with. */
static void json_response_drop_late(struct json_response *j)
{
    size_t last = j->n - 1, n = last;
    while (n > 0 && j->pairs[n - 1].t_ms > j->response->t_max)
        n--;
    j->pairs[n] = j->pairs[last];
    j->n = n + 1;
}

/* False: *next is an error, or the samples are invalid. */
static bool json_response_pairs(struct json_response *j, enum json_token *next, struct err *err)
{
    size_t before = j->n;
    mem_grow(&j->pairs, &j->cap, j->n + PAIRS, sizeof *j->pairs);
    j->n += json_pairs(&j->r, j->pairs + j->n, PAIRS, next);
    if (before > 0 && j->n > before && j->pairs[j->n - 1].t_ms <= j->pairs[before - 1].t_ms)
        return response_disorder(j->labels, err);
    if (j->n > before)
        json_response_drop_late(j);
    if (*next == JSON_END_ARRAY) {
        j->place = SERIES;
        j->in_values = false;
    }
    return response_check_budget(j->response, j->n, err);
}

/* What the reader has of the labels or of a value's pair in the usual form; the rest is left to tokens. */
static bool json_response_read_plain(struct json_response *j, struct err *err)
{
    struct str name, value;
    while (j->place == METRIC && json_member(&j->r, &name, &value))
        json_labels_add(&j->names, name, value);
    if (j->place != VALUE || j->value_part > 0)
        return true;
    mem_grow(&j->pairs, &j->cap, j->n + 1, sizeof *j->pairs);
    if (!json_pair(&j->r, &j->pairs[j->n]))
        return true;
    j->n++;
    j->place = SERIES;
    return response_check_budget(j->response, j->n, err);
}

/* [time, "value"] of an instant vector, token by token. */
static bool take_value(struct json_response *j, enum json_token token)
{
    static const enum json_token order[] = {JSON_ARRAY, JSON_NUMBER, JSON_STRING, JSON_END_ARRAY};
    if (token != order[j->value_part])
        return false;
    j->value_part = (j->value_part + 1) % LEN(order);
    mem_grow(&j->pairs, &j->cap, j->n + 1, sizeof *j->pairs);
    if (token == JSON_END_ARRAY)
        j->place = SERIES;
    if (token == JSON_STRING)
        return num_parse(j->r.text, &j->pairs[j->n++].v);
    if (token != JSON_NUMBER)
        return true;
    bool possible = fabs(j->r.number) < 9e12;
    j->pairs[j->n].t_ms = possible ? (int64_t)round(j->r.number * 1000) : 0;
    return possible;
}

static bool take_note(struct json_response *j, enum json_token token)
{
    if (token == JSON_STRING && j->place == WARNINGS)
        response_warn(j->response->notes, j->response->secrets, j->r.text);
    else if (token == JSON_STRING)
        response_info(j->response->notes, j->response->secrets, j->r.text);
    else if (token == JSON_END_ARRAY || token == JSON_NULL)
        j->place = TOP;
    else
        return token == JSON_ARRAY;
    return true;
}

static bool take_text(struct json_response *j, enum json_token token)
{
    if (token != JSON_STRING)
        return false;
    if (j->place == STATUS) {
        j->succeeded = str_is(j->r.text, "success");
        j->failed = !j->succeeded;
    } else {
        size_t n = j->r.text.n < sizeof j->error - 1 ? j->r.text.n : sizeof j->error - 1;
        memcpy(j->error, j->r.text.p, n);
        j->error[n] = 0;
    }
    j->place = TOP;
    return true;
}

static bool json_response_metric(struct json_response *j, enum json_token token, struct err *err)
{
    if (token == JSON_KEY)
        json_labels_name(&j->names, j->r.text);
    else if (token == JSON_STRING)
        json_labels_value(&j->names, j->r.text);
    else if (token == JSON_END_OBJECT) {
        j->place = SERIES;
        j->has_labels = true;
        return json_labels_end(&j->names, &j->labels, err);
    }
    return token == JSON_KEY || token == JSON_STRING || token == JSON_OBJECT || unexpected(j, err);
}

static bool take_structure(struct json_response *j, enum json_token token, struct err *err)
{
    static const struct { enum json_position in; enum json_token token; enum json_position place; } moves[] = {
        {BEFORE, JSON_OBJECT, TOP}, {TOP, JSON_END_OBJECT, AFTER}, {DATA, JSON_OBJECT, DATA}, {DATA, JSON_NULL, TOP},
        {DATA, JSON_END_OBJECT, TOP},
        {RESULT, JSON_ARRAY, RESULT}, {RESULT, JSON_NULL, DATA}, {RESULT, JSON_END_ARRAY, DATA},
        {RESULT, JSON_OBJECT, SERIES}};
    if (token == JSON_KEY && (j->place == TOP || j->place == DATA || j->place == SERIES)) {
        json_response_next_key(j);
        return true;
    }
    if (token == JSON_END_OBJECT && j->place == SERIES)
        return json_response_end_series(j, err);
    for (size_t i = 0; i < LEN(moves); i++)
        if (moves[i].in == j->place && moves[i].token == token) {
            j->has_result = j->has_result || j->place == RESULT;
            j->place = moves[i].place;
            return true;
        }
    return unexpected(j, err);
}

static bool json_response_token(struct json_response *j, enum json_token token, struct err *err)
{
    switch (j->place) {
    case STATUS:
    case ERROR_TEXT: return take_text(j, token) || unexpected(j, err);
    case WARNINGS:
    case INFOS: return take_note(j, token) || unexpected(j, err);
    case METRIC: return json_response_metric(j, token, err);
    case VALUE:
        return take_value(j, token) ? response_check_budget(j->response, j->n, err) : unexpected(j, err);
    default: return take_structure(j, token, err);
    }
}

/* Decodes the bytes that have arrived. False: invalid. */
static bool json_response_read(struct json_response *j, struct err *err)
{
    for (;;) {
        enum json_token token;
        if (j->in_values) {
            if (!json_response_pairs(j, &token, err))
                return false;
            if (token == JSON_ARRAY || token == JSON_END_ARRAY)
                continue;
        } else if (j->place == SKIP) {
            token = json_skip(&j->r);
            if (token != JSON_MORE && token != JSON_ERROR) {
                j->place = j->back;
                j->partial = j->partial || (j->at_partial && token == JSON_TRUE);
                continue;
            }
        } else {
            if (!json_response_read_plain(j, err))
                return false;
            token = json_next(&j->r);
        }
        if (token == JSON_MORE && json_mostly_skipped(&j->r) && !j->response->lossy)
            return response_waste(err);
        if (token == JSON_MORE || token == JSON_END)
            return true;
        if (token == JSON_ERROR)
            return err_set(err, ERR_BAD_GATEWAY, "%s", j->r.err.text);
        j->in_values = j->place == VALUES && token == JSON_ARRAY;
        if (!j->in_values && !json_response_token(j, token, err))
            return false;
    }
}

static bool json_response_feed(struct decoder *d, struct str piece, struct err *err)
{
    struct json_response *j = CONTAINER(d, struct json_response, decoder);
    json_feed(&j->r, piece.p, piece.n);
    return json_response_read(j, err);
}

static bool json_response_finish(struct decoder *d, struct err *err)
{
    struct json_response *j = CONTAINER(d, struct json_response, decoder);
    json_finish(&j->r);
    if (!json_response_read(j, err))
        return false;
    if (j->failed)
        return err_set(err, ERR_BAD_GATEWAY, "the server returned an error: %s",
                       j->error[0] ? j->error : "no error message");
    if (!j->succeeded || !j->has_result)
        return err_set(err, ERR_BAD_GATEWAY,
                       "the response has no result; check whether the server has the Prometheus API");
    const struct response *a = j->response;
    return !j->partial || response_partial(a->work.q, a->notes, a->secrets, err);
}

static void json_response_free(struct decoder *d)
{
    struct json_response *j = CONTAINER(d, struct json_response, decoder);
    json_reader_free(&j->r);
    json_labels_free(&j->names);
    buf_free(&j->last);
    mem_free(j->pairs);
    mem_free(j);
}

struct decoder *json_decoder_new(struct response *a)
{
    struct json_response *j = mem_zalloc(sizeof *j);
    j->decoder = (struct decoder){json_response_feed, json_response_finish, json_response_free, NULL};
    j->response = a;
    json_reader_init(&j->r);
    return &j->decoder;
}
