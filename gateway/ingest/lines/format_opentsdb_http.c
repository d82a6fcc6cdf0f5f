// SPDX-License-Identifier: Apache-2.0
/* OpenTSDB's /api/put: a data point or a list of them, as vmagent reads it:
 *
 *   [{"metric":"sys.cpu.user","timestamp":1700000000,"value":42.5,"tags":{"host":"a"}}]
 *
 * Times are seconds, or milliseconds from 2^32 on; without one, and for 0, it is the time of the request. Values and times
 * may be texts. A tag without a name or value is left out. An invalid data point is skipped; a body that is not JSON gets
 * a 400, and nothing of it is stored.
 *
 * The body is read in parts, so that no data point keeps the lane for long: what is known of the current one is kept
 * between them. A series that is expected, whose text but for the two numbers is as it was, is not read as JSON.
 * Source: http://opentsdb.net/docs/build/html/api_http/put.html
 */
#include "base/hash.h"
#include "base/json/json_read.h"
#include "base/text/num.h"
#include "gateway/ingest/lines/lines.h"
#include "gateway/ingest/lines/opentsdb_time.h"
#include "gateway/services/services.h"

enum { PUT_PART_BYTES = 64 << 10, PUT_TOKENS = 64 /* at most so many in a call of `next` */ };

struct put_state {
    struct json_reader reader;
    struct str rest;           /* of the body, not yet fed */
    enum {
        PUT_TOP, PUT_LIST, PUT_POINT /* a key, or its end */, PUT_METRIC, PUT_TIME, PUT_VALUE, PUT_TAGS, PUT_TAG /* likewise */,
        PUT_TAG_VALUE, PUT_SKIP /* a value without a meaning */
    } at, after;               /* after: PUT_SKIP */
    bool list;
    /* the data point */
    struct buf text;           /* its metric, then names and values of its tags, behind each other */
    struct { uint32_t name, value; } tags[LABELS_MAX_COUNT]; /* bytes of each */
    size_t n_tags, metric;     /* metric: bytes */
    double time, value;
    bool has_metric, has_time, has_value, has_tags;
    struct err why;            /* it is invalid; kind ERR_NONE: it is not */
    /* where it lies in the part that has arrived; item.p NULL: not all of it, or its numbers are texts */
    struct str item, time_text, value_text;
    struct buf known;          /* scratch */
};

/* What is remembered of the text of a series: this, and the bytes around its numbers. */
struct put_text { uint32_t first, second; /* bytes in front of the first and the second number */ bool time_first; };

static void put_invalid(struct put_state *s, const char *why)
{
    if (s->why.kind == ERR_NONE)
        err_set(&s->why, ERR_BAD_DATA, "%s", why);
}

static void put_point_start(struct put_state *s)
{
    buf_clear(&s->text);
    s->n_tags = s->metric = 0;
    s->time = 0;
    s->has_metric = s->has_time = s->has_value = s->has_tags = false;
    s->time_text = s->value_text = STR_NONE;
    s->why.kind = ERR_NONE;
    s->at = PUT_POINT;
}

static bool put_point_labels(struct ingest *in, struct err *err)
{
    struct put_state *s = in->state;
    struct str rest = str_skip(buf_str(&s->text), s->metric);
    ingest_series_begin(in);
    if (!ingest_label(in, STR(METRIC_NAME), str_first(buf_str(&s->text), s->metric), err))
        return false;
    for (size_t i = 0; i < s->n_tags; i++) {
        struct str name = str_first(rest, s->tags[i].name), value = str_first(str_skip(rest, name.n), s->tags[i].value);
        rest = str_skip(rest, name.n + value.n);
        if (!ingest_label(in, name, value, err))
            return false;
    }
    return true;
}

/* The text of the data point that ends here. */
static struct str put_point_text(struct put_state *s)
{
    bool time_first = s->time_text.p < s->value_text.p;
    struct str one = time_first ? s->time_text : s->value_text, two = time_first ? s->value_text : s->time_text;
    if (s->item.p == NULL || one.p == NULL)
        return STR_NONE;
    const char *end = s->item.p + (s->item.n - json_unread(&s->reader));
    struct put_text text = {.first = (uint32_t)(one.p - s->item.p), .time_first = time_first};
    text.second = text.first + (uint32_t)(two.p - (one.p + one.n));
    buf_clear(&s->known);
    buf_add(&s->known, &text, sizeof text);
    buf_add(&s->known, s->item.p, text.first);
    buf_add(&s->known, one.p + one.n, text.second - text.first);
    buf_add(&s->known, two.p + two.n, (size_t)(end - (two.p + two.n)));
    return buf_str(&s->known);
}

static bool put_point_store(struct ingest *in, const struct sample *sample, struct err *err)
{
    struct put_state *s = in->state;
    const uint64_t parts[] = {s->metric, hash_keyed(s->text.p, s->text.n), hash_keyed(s->tags, s->n_tags * sizeof s->tags[0])};
    uint64_t hash = hash_keyed(parts, sizeof parts);
    if (ingest_series_known(in, hash, sample, 1))
        return true;
    if (!put_point_labels(in, err) || !ingest_series_end(in, sample, 1, err))
        return false;
    ingest_series_remember(in, hash, put_point_text(s));
    return true;
}

static const char *put_expected_number(const char *p, const char *end, double *v)
{
    const char *stop = num_scan(p, end, v);
    return stop && json_number_valid(str_n(p, (size_t)(stop - p))) ? stop : NULL;
}

/* The position after the text, if it is at p; else NULL. */
static const char *put_expected_text(const char *p, const char *end, const char *text, size_t n)
{
    return p && (size_t)(end - p) >= n && memcmp(p, text, n) == 0 ? p + n : NULL;
}

/* The next data point, if it is the one that is expected. */
static bool put_expected(struct ingest *in)
{
    struct put_state *s = in->state;
    struct str known = ingest_expected(in, 0), items = known.n > 0 ? json_items(&s->reader) : STR_NONE;
    struct put_text text;
    struct sample sample;
    struct err err;
    double one = 0, two = 0;
    if (items.n == 0)
        return false;
    memcpy(&text, known.p, sizeof text);
    known = str_skip(known, sizeof text);
    const char *end = items.p + items.n, *p = put_expected_text(items.p, end, known.p, text.first);
    p = p ? put_expected_number(p, end, &one) : NULL;
    p = put_expected_text(p, end, known.p + text.first, text.second - text.first);
    p = p ? put_expected_number(p, end, &two) : NULL;
    p = put_expected_text(p, end, known.p + text.second, known.n - text.second);
    sample.v = text.time_first ? two : one;
    double time = text.time_first ? one : two;
    if (p == NULL || !opentsdb_time(in, time, in->services->flags.ingest.opentsdb_http_trim, &sample.t, &err)
        || !ingest_expected_have_come(in, &sample, 1))
        return false;
    json_item_read(&s->reader, (size_t)(p - items.p));
    return true;
}

static void put_point_end(struct ingest *in)
{
    struct put_state *s = in->state;
    struct sample sample = {.v = s->value};
    struct err err;
    if (s->metric == 0)
        put_invalid(s, "`metric` is missing, empty, or no text");
    if (!s->has_value)
        put_invalid(s, "`value` is missing");
    if (s->text.over)
        put_invalid(s, "its texts are too long");
    if (s->why.kind != ERR_NONE)
        ingest_skip(in, &s->why);
    else if (!opentsdb_time(in, s->time, in->services->flags.ingest.opentsdb_http_trim, &sample.t, &err)
             || !put_point_store(in, &sample, &err))
        ingest_skip(in, &err);
    s->at = s->list ? PUT_LIST : PUT_TOP;
}

/* A value that is none of those of a data point: an object or a list is skipped. */
static void put_begin_skip(struct put_state *s, enum json_token token)
{
    if (token != JSON_OBJECT && token != JSON_ARRAY)
        return;
    s->after = s->at;
    s->at = PUT_SKIP;
}

static void put_key(struct put_state *s)
{
    struct str key = s->reader.text;
    if (str_is(key, "metric") && !s->has_metric)
        s->at = PUT_METRIC;
    else if (str_is(key, "timestamp") && !s->has_time)
        s->at = PUT_TIME;
    else if (str_is(key, "value") && !s->has_value)
        s->at = PUT_VALUE;
    else if (str_is(key, "tags") && !s->has_tags)
        s->at = PUT_TAGS;
    else {
        s->after = s->at;
        s->at = PUT_SKIP;
    }
}

static void put_metric(struct put_state *s, enum json_token token)
{
    s->has_metric = true;
    if (token == JSON_STRING) { /* before the tags, which may have come first */
        struct buf tags = s->text;
        s->text = (struct buf){.max = tags.max};
        buf_add_str(&s->text, s->reader.text);
        buf_add(&s->text, tags.p, tags.n);
        s->text.over = s->text.over || tags.over;
        s->metric = s->reader.text.n;
        buf_free(&tags);
    }
    put_begin_skip(s, token);
}

static void put_number(struct put_state *s, enum json_token token, double *out, struct str *text, const char *why)
{
    *out = s->reader.number;
    *text = token == JSON_NUMBER ? s->reader.text : STR_NONE;
    if (token != JSON_NUMBER && !(token == JSON_STRING && line_number(s->reader.text, out)))
        put_invalid(s, why);
    put_begin_skip(s, token);
}

static void put_tag_name(struct put_state *s)
{
    s->at = PUT_TAG_VALUE;
    if (s->n_tags == LABELS_MAX_COUNT) {
        put_invalid(s, "it has too many tags");
        s->n_tags--;
    }
    s->tags[s->n_tags].name = (uint32_t)s->reader.text.n;
    buf_add_str(&s->text, s->reader.text);
}

static void put_tag_value(struct put_state *s, enum json_token token)
{
    size_t name = s->tags[s->n_tags].name;
    s->at = PUT_TAG;
    if (token != JSON_STRING) {
        put_invalid(s, "the value of a tag is no text");
        put_begin_skip(s, token);
    } else if (name == 0 || s->reader.text.n == 0) {
        s->text.n -= s->text.over ? 0 : name;
    } else {
        s->tags[s->n_tags++].value = (uint32_t)s->reader.text.n;
        buf_add_str(&s->text, s->reader.text);
    }
}

static enum ingest_item put_item(struct ingest *in, enum json_token token)
{
    struct put_state *s = in->state;
    struct err err;
    if (token == JSON_OBJECT) {
        put_point_start(s);
    } else {
        err_set(&err, ERR_BAD_DATA, "expected a data point, an object");
        ingest_skip(in, &err);
        put_begin_skip(s, token);
    }
    return INGEST_ITEM;
}

static enum ingest_item put_take(struct ingest *in, enum json_token token)
{
    struct put_state *s = in->state;
    switch (s->at) {
    case PUT_TOP:
        s->list = token == JSON_ARRAY;
        if (!s->list)
            return put_item(in, token);
        s->at = PUT_LIST;
        break;
    case PUT_LIST:
        if (token != JSON_END_ARRAY)
            return put_item(in, token);
        s->at = PUT_TOP;
        break;
    case PUT_POINT:
        if (token == JSON_KEY)
            put_key(s);
        else
            put_point_end(in);
        break;
    case PUT_METRIC: s->at = PUT_POINT; put_metric(s, token); break;
    case PUT_TIME:
        s->at = PUT_POINT;
        s->has_time = true;
        put_number(s, token, &s->time, &s->time_text, "`timestamp` is no number");
        break;
    case PUT_VALUE:
        s->at = PUT_POINT;
        s->has_value = true;
        put_number(s, token, &s->value, &s->value_text, "`value` is no number");
        break;
    case PUT_TAGS:
        s->at = token == JSON_OBJECT ? PUT_TAG : PUT_POINT;
        s->has_tags = true;
        if (token != JSON_OBJECT)
            put_invalid(s, "`tags` is no object");
        if (token == JSON_ARRAY)
            put_begin_skip(s, token);
        break;
    case PUT_TAG:
        if (token == JSON_KEY)
            put_tag_name(s);
        else
            s->at = PUT_POINT;
        break;
    case PUT_TAG_VALUE: put_tag_value(s, token); break;
    case PUT_SKIP: s->at = s->after; break;
    }
    return INGEST_ITEM;
}

static enum ingest_item put_next(struct ingest *in, struct err *err)
{
    struct put_state *s = in->state;
    for (unsigned i = 0; i < PUT_TOKENS; i++) {
        if (s->at == PUT_LIST) {
            if (put_expected(in))
                continue;
            s->item = json_items(&s->reader);
        }
        enum json_token token = s->at == PUT_SKIP ? json_skip(&s->reader) : json_next(&s->reader);
        if (token == JSON_ERROR) {
            *err = s->reader.err;
            return INGEST_INVALID_ITEM;
        }
        if (token == JSON_END)
            return INGEST_END;
        if (token == JSON_MORE) {
            s->item = STR_NONE; /* it moves */
            struct str part = str_first(s->rest, PUT_PART_BYTES);
            s->rest = str_skip(s->rest, part.n);
            if (part.n > 0)
                json_feed(&s->reader, part.p, part.n);
            else
                json_finish(&s->reader);
            return INGEST_ITEM;
        }
        put_take(in, token);
    }
    return INGEST_ITEM;
}

static bool put_document(struct ingest *in, struct str body, struct err *err UNUSED)
{
    struct put_state *s = in->state;
    json_reader_free(&s->reader);
    json_reader_init(&s->reader);
    s->rest = body;
    s->at = PUT_TOP;
    return true;
}

static bool put_begin(struct ingest *in, struct err *err UNUSED)
{
    struct put_state *s = in->state = mem_zalloc(sizeof *s);
    json_reader_init(&s->reader);
    buf_limit(&s->text, 2 * LABELS_MAX_BYTES);
    in->max_text = (size_t)in->services->flags.ingest.opentsdb_http_max;
    return true;
}

static void put_end(struct ingest *in)
{
    struct put_state *s = in->state;
    if (s == NULL)
        return;
    json_reader_free(&s->reader);
    buf_free(&s->known);
    buf_free(&s->text);
    mem_free(s);
}

const struct ingest_format ingest_opentsdb_http = {
    .id = INGEST_OPENTSDB_HTTP, .all_or_nothing = true, .success = 204, .begin = put_begin, .document = put_document,
    .next = put_next, .end = put_end,
    .counted = {&line_stats, LINE_OPENTSDB_HTTP_REQUESTS, LINE_OPENTSDB_HTTP_ERRORS},
};

void api_opentsdb_put(struct http_request *r) { ingest_request(r, &ingest_opentsdb_http); }
