// SPDX-License-Identifier: Apache-2.0
/* Metrics as agents of Datadog send them: /api/v1/series (JSON) and /api/v2/series (JSON, protobuf), with the labels that
 * VictoriaMetrics documents.
 *
 *   {"series":[{"metric":"a.b","host":"h","device":"d","tags":["env:prod"],"points":[[1700000000,1.5]]}]}    version 1
 *   {"series":[{"metric":"a.b","resources":[{"type":"host","name":"h"}],"tags":["env:prod"],"source_type_name":"s",
 *               "points":[{"timestamp":1700000000,"value":1.5}]}]}                                            version 2
 *
 * become  a.b{host="h",device="d",env="prod"} 1.5. A tag named host is exported_host. Times are seconds; 0 and less is the
 * time of the request. Type, unit, interval and metadata are ignored.
 *
 * JSON is made protobuf first. A series is read twice: its labels, which may follow its points, then its points, both some
 * at a time.
 * Source: https://github.com/DataDog/agent-payload/blob/master/proto/metrics/agent_payload.proto
 */
#include "base/hash.h"
#include "base/protobuf.h"
#include "gateway/ingest/datadog.h"
#include "gateway/ingest/ingest_json.h"
#include "gateway/services/services.h"

#include <math.h>

/* MetricSeries; HOST, DEVICE and TIME_FLOAT are version 1's, and in no message of Datadog. */
enum { DD_RESOURCES = 1, DD_METRIC = 2, DD_TAGS = 3, DD_POINTS = 4, DD_SOURCE = 7, DD_HOST = 1001, DD_DEVICE = 1002 };
enum { DD_VALUE = 1, DD_TIME = 2, DD_TIME_FLOAT = 1003 };

static const struct json_field point_1_fields[] = {
    {.name = "", .number = DD_TIME_FLOAT, .kind = JSON_FIELD_DOUBLE}, {.name = "", .number = DD_VALUE, .kind = JSON_FIELD_DOUBLE}};
static const struct json_message point_1 = {point_1_fields, LEN(point_1_fields)};
static const struct json_field series_1_fields[] = {
    {.name = "metric", .number = DD_METRIC, .kind = JSON_FIELD_TEXT},
    {.name = "host", .number = DD_HOST, .kind = JSON_FIELD_TEXT},
    {.name = "device", .number = DD_DEVICE, .kind = JSON_FIELD_TEXT},
    {.name = "tags", .number = DD_TAGS, .kind = JSON_FIELD_TEXT, .repeated = true},
    {.name = "points", .number = DD_POINTS, .kind = JSON_FIELD_TUPLE, .repeated = true, .message = &point_1}};
static const struct json_message series_1 = {series_1_fields, LEN(series_1_fields)};
static const struct json_field request_1_fields[] = {
    {.name = "series", .number = 1, .kind = JSON_FIELD_MESSAGE, .repeated = true, .message = &series_1}};
static const struct json_message request_1 = {request_1_fields, LEN(request_1_fields)};

static const struct json_field resource_fields[] = {
    {.name = "type", .number = 1, .kind = JSON_FIELD_TEXT}, {.name = "name", .number = 2, .kind = JSON_FIELD_TEXT}};
static const struct json_message resource_2 = {resource_fields, LEN(resource_fields)};
static const struct json_field point_2_fields[] = {
    {.name = "timestamp", .number = DD_TIME, .kind = JSON_FIELD_INT}, {.name = "value", .number = DD_VALUE, .kind = JSON_FIELD_DOUBLE}};
static const struct json_message point_2 = {point_2_fields, LEN(point_2_fields)};
static const struct json_field series_2_fields[] = {
    {.name = "metric", .number = DD_METRIC, .kind = JSON_FIELD_TEXT},
    {.name = "resources", .number = DD_RESOURCES, .kind = JSON_FIELD_MESSAGE, .repeated = true, .message = &resource_2},
    {.name = "source_type_name", .number = DD_SOURCE, .kind = JSON_FIELD_TEXT},
    {.name = "tags", .number = DD_TAGS, .kind = JSON_FIELD_TEXT, .repeated = true},
    {.name = "points", .number = DD_POINTS, .kind = JSON_FIELD_MESSAGE, .repeated = true, .message = &point_2}};
static const struct json_message series_2 = {series_2_fields, LEN(series_2_fields)};
static const struct json_field request_2_fields[] = {
    {.name = "series", .number = 1, .kind = JSON_FIELD_MESSAGE, .repeated = true, .message = &series_2}};
static const struct json_message request_2 = {request_2_fields, LEN(request_2_fields)};

struct dd_label { unsigned field; struct str bytes; };
struct datadog_state {
    bool is_json;
    struct ingest_json json;
    struct pb_cursor request, labels, points; /* labels, points: of one series; p is NULL: read */
    struct str metric;
    uint64_t hash;                      /* of the fields that make the labels */
    struct dd_label *items; size_t n, cap; /* these fields, but for the metric's name */
    bool too_many;
};

static bool dd_bad(struct err *err) { return err_set(err, ERR_BAD_DATA, "the body is no valid protobuf message"); }

/* ---- series ---- */

static void dd_series_begin(struct datadog_state *s, struct str message)
{
    s->labels = s->points = pb_cursor_of(message);
    s->metric = STR_NONE;
    s->hash = s->n = 0;
    s->too_many = false;
}

static void dd_label_field(struct datadog_state *s, const struct pb_field *f)
{
    const uint64_t parts[] = {s->hash, f->number, hash_keyed(f->bytes.p, f->bytes.n)};
    s->hash = hash_keyed(parts, sizeof parts);
    if (f->number == DD_METRIC) {
        s->metric = f->bytes;
        return;
    }
    s->too_many = s->too_many || s->n == LABELS_MAX_COUNT;
    if (s->too_many)
        return;
    if (s->n == s->cap)
        mem_grow(&s->items, &s->cap, s->n + 1, sizeof *s->items);
    s->items[s->n++] = (struct dd_label){f->number, f->bytes};
}

/* Some fields of the series. False: the message is corrupted. */
static bool dd_read_labels(struct ingest *in, struct err *err)
{
    struct datadog_state *s = in->state;
    struct pb_field f;
    for (unsigned i = 0; i < DATADOG_PART; i++) {
        if (!pb_next(&s->labels.p, s->labels.end, &f)) {
            bool ok = s->labels.p == s->labels.end;
            s->labels.p = NULL;
            return ok || dd_bad(err);
        }
        bool version_1 = in->format->id == INGEST_DATADOG_1;
        if (f.wire == 2 && (f.number == DD_METRIC || f.number == DD_TAGS
                            || (version_1 ? f.number == DD_HOST || f.number == DD_DEVICE
                                          : f.number == DD_RESOURCES || f.number == DD_SOURCE)))
            dd_label_field(s, &f);
    }
    return true;
}

static bool dd_resource(struct ingest *in, struct str message, struct err *err)
{
    struct pb_cursor c = pb_cursor_of(message);
    struct pb_field f;
    struct str type = STR_NONE, name = STR_NONE;
    while (pb_next(&c.p, c.end, &f)) {
        if (f.number == 1)
            type = f.bytes;
        else if (f.number == 2)
            name = f.bytes;
    }
    return c.p == c.end ? datadog_label(in, type, name, err) : dd_bad(err);
}

/* The order is vmagent's: tags replace what has their name. */
static bool dd_set_labels(struct ingest *in, struct err *err)
{
    static const unsigned order[] = {DD_HOST, DD_DEVICE, DD_RESOURCES, DD_SOURCE, DD_TAGS};
    struct datadog_state *s = in->state;
    if (s->too_many)
        return err_set(err, ERR_BAD_DATA, "more than %d labels", LABELS_MAX_COUNT);
    ingest_series_begin(in);
    if (!ingest_label(in, STR(METRIC_NAME), datadog_name(in, s->metric), err))
        return false;
    for (size_t kind = 0; kind < LEN(order); kind++)
        for (size_t i = 0; i < s->n; i++) {
            struct str bytes = s->items[i].bytes;
            bool ok = true;
            if (s->items[i].field != order[kind])
                continue;
            switch (order[kind]) {
            case DD_HOST: ok = datadog_label(in, STR("host"), bytes, err); break;
            case DD_DEVICE: ok = datadog_label(in, STR("device"), bytes, err); break;
            case DD_RESOURCES: ok = dd_resource(in, bytes, err); break;
            case DD_SOURCE: ok = datadog_label(in, STR("source_type_name"), bytes, err); break;
            default: ok = datadog_tag(in, bytes, "exported_host", err); break;
            }
            if (!ok)
                return false;
        }
    return true;
}

/* ---- points ---- */

static int64_t dd_time(const struct ingest *in, double seconds)
{
    double ms = seconds * 1000;
    return seconds > 0 && ms < 0x1p62 ? (int64_t)ms : in->now;
}

static bool dd_point(const struct ingest *in, struct str message, struct sample *out)
{
    struct pb_cursor c = pb_cursor_of(message);
    struct pb_field f;
    double seconds = 0;
    *out = (struct sample){0};
    while (pb_next(&c.p, c.end, &f)) {
        if (f.number == DD_VALUE)
            out->v = double_from_bits(f.value);
        else if (f.number == DD_TIME)
            seconds = (double)(int64_t)f.value;
        else if (f.number == DD_TIME_FLOAT)
            seconds = double_from_bits(f.value);
    }
    if (isnan(out->v))
        out->v = normal_nan();
    out->t = dd_time(in, seconds);
    return c.p == c.end;
}

static bool dd_report(struct ingest *in, const struct sample *samples, size_t n, struct err *err)
{
    struct datadog_state *s = in->state;
    if (n == 0 || ingest_series_known(in, s->hash, samples, n))
        return true;
    if (!dd_set_labels(in, err) || !ingest_series_end(in, samples, n, err))
        return false;
    ingest_series_remember(in, s->hash, STR_NONE);
    return true;
}

static bool dd_read_points(struct ingest *in, struct err *err)
{
    struct datadog_state *s = in->state;
    struct sample samples[DATADOG_PART];
    struct pb_field f;
    struct err why;
    size_t n = 0;
    for (unsigned i = 0; i < DATADOG_PART; i++) {
        if (!pb_next(&s->points.p, s->points.end, &f)) {
            s->points.p = NULL; /* dd_read_labels has found the end */
            break;
        }
        if (f.number == DD_POINTS && f.wire == 2 && !dd_point(in, f.bytes, &samples[n++]))
            return dd_bad(err);
    }
    if (dd_report(in, samples, n, &why))
        return true;
    s->points.p = NULL;
    ingest_skip(in, &why);
    return true;
}

/* ---- the document ---- */

static bool datadog_document(struct ingest *in, struct str body, struct err *err UNUSED)
{
    struct datadog_state *s = in->state;
    s->labels.p = s->points.p = NULL;
    s->request = pb_cursor_of(s->is_json ? ingest_json_document(&s->json, body) : body);
    return true;
}

static enum ingest_item dd_transcode(struct ingest *in, struct datadog_state *s, struct err *err)
{
    if (!ingest_json_step(in, &s->json, err))
        return INGEST_INVALID_ITEM;
    s->request = pb_cursor_of(buf_str(&s->json.message));
    return INGEST_ITEM;
}

static enum ingest_item datadog_next(struct ingest *in, struct err *err)
{
    struct datadog_state *s = in->state;
    struct arena_mark mark = arena_mark(in->scratch);
    struct pb_field f;
    bool ok;
    if (ingest_json_open(&s->json))
        return dd_transcode(in, s, err);
    if (s->labels.p == NULL && s->points.p == NULL) {
        if (!pb_next(&s->request.p, s->request.end, &f))
            return s->request.p == s->request.end ? INGEST_END : (dd_bad(err), INGEST_INVALID_ITEM);
        if (f.number != 1 || f.wire != 2)
            return INGEST_ITEM;
        dd_series_begin(s, f.bytes);
    }
    ok = s->labels.p == NULL || dd_read_labels(in, err);
    if (ok && s->labels.p == NULL)
        ok = dd_read_points(in, err);
    arena_release(in->scratch, mark);
    return ok ? INGEST_ITEM : INGEST_INVALID_ITEM;
}

static bool datadog_begin(struct ingest *in, struct err *err UNUSED)
{
    struct datadog_state *s = in->state = mem_zalloc(sizeof *s);
    in->max_text = (size_t)in->services->flags.ingest.datadog_max_request;
    s->is_json = in->format->id == INGEST_DATADOG_1 || !str_is(http_header(in->r, "Content-Type"), "application/x-protobuf");
    if (s->is_json)
        ingest_json_init(&s->json, in, in->format->id == INGEST_DATADOG_1 ? &request_1 : &request_2, JSON_GO);
    return true;
}

static void datadog_end(struct ingest *in)
{
    struct datadog_state *s = in->state;
    if (s == NULL)
        return;
    ingest_json_free(&s->json);
    mem_free(s->items);
    mem_free(s);
}

static void datadog_respond(struct ingest *in)
{
    in->r->content_type = "application/json";
    buf_add_z(&in->r->out, "{\"status\":\"ok\"}");
}

const struct ingest_format ingest_datadog_1 = {
    .id = INGEST_DATADOG_1, .all_or_nothing = true, .success = 202, .begin = datadog_begin, .document = datadog_document,
    .next = datadog_next, .respond = datadog_respond, .end = datadog_end,
};
const struct ingest_format ingest_datadog_2 = {
    .id = INGEST_DATADOG_2, .all_or_nothing = true, .success = 202, .begin = datadog_begin, .document = datadog_document,
    .next = datadog_next, .respond = datadog_respond, .end = datadog_end,
};
void api_datadog_series_1(struct http_request *r) { ingest_request(r, &ingest_datadog_1); }
void api_datadog_series_2(struct http_request *r) { ingest_request(r, &ingest_datadog_2); }
