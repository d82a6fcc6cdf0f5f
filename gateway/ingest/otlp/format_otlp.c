// SPDX-License-Identifier: Apache-2.0
/* Metrics of OpenTelemetry over HTTP (OTLP, protobuf), with the conversion that VictoriaMetrics documents:
 *
 *   gauge, sum      name
 *   histogram       name_bucket{le="..."}, name_sum, name_count
 *   summary         name{quantile="..."}, name_sum, name_count
 *   exponential     a native histogram, name
 *
 * Names are as the client sends them, attributes are labels: those of the resource, of the scope as scope.name,
 * scope.version and scope.attributes.NAME, and those of the data point, which replace the others. A point without a
 * recorded value is a stale marker. Deltas are stored as they are, or summed up (otlp_delta.h).
 *
 *   ExportMetricsServiceRequest { ResourceMetrics 1 }   ResourceMetrics { Resource 1, ScopeMetrics 2 }
 *   ScopeMetrics { InstrumentationScope 1, Metric 2 }   Metric { name 1, description 2, unit 3, data 5 7 9 10 11 }
 *
 * A document is read a data point at a time, by a cursor on each of these levels.
 * Source: https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/metrics/v1/metrics.proto
 */
#include "base/json/json_write.h"
#include "gateway/ingest/otlp/otlp.h"
#include "gateway/ingest/otlp/otlp_names.h"
#include "gateway/services/services.h"

/* ---- resources, scopes and metrics ---- */

static bool promoted(const struct ingest_flags *f, struct str name)
{
    return f->otlp_all_resource_attributes ? !otlp_list_has(&f->otlp_ignored_attributes, name)
                                           : otlp_list_has(&f->otlp_resource_attributes, name);
}

static bool read_resource_labels(struct ingest *in, struct str resource, struct err *err)
{
    struct otlp_state *s = in->state;
    struct pb_cursor c = pb_cursor_of(resource);
    struct pb_field f;
    struct str key;
    while (pb_next(&c.p, c.end, &f)) {
        if (f.number != 1)
            continue;
        if (!otlp_attribute_key(f.bytes, &key, err))
            return false;
        if ((s->prometheus || promoted(&in->services->flags.ingest, key))
            && !otlp_add_attribute(&s->arena, &s->labels, STR_NONE, f.bytes, err))
            return false;
    }
    return c.p == c.end || otlp_bad(err, "a resource");
}

static bool read_resource(struct ingest *in, struct str message, struct err *err)
{
    struct otlp_state *s = in->state;
    struct pb_cursor c = s->resource = pb_cursor_of(message);
    struct pb_field f;
    arena_reset(&s->arena);
    s->labels = (struct otlp_labels){.whole_maps = s->prometheus};
    s->target_from = INT64_MAX;
    s->target_to = INT64_MIN;
    while (pb_next(&c.p, c.end, &f))
        if (f.number == 1 && !read_resource_labels(in, f.bytes, err))
            return false;
    if (!s->prometheus)
        otlp_store_label_names(in, &s->arena, &s->labels, 0);
    else if (!otlp_prometheus_resource(s, err))
        return false;
    s->resource_labels = (struct otlp_labels){s->labels.items, s->labels.n, s->labels.n, s->labels.bytes, s->labels.whole_maps};
    s->resource_end = arena_mark(&s->arena);
    return c.p == c.end || otlp_bad(err, "ResourceMetrics");
}

void otlp_add_scope_label(struct otlp_state *s, const char *name, struct str value)
{
    if (value.n == 0)
        return;
    if (s->labels.n == s->labels.cap)
        arena_grow(&s->arena, &s->labels.items, &s->labels.cap, s->labels.n + 1, sizeof *s->labels.items);
    s->labels.items[s->labels.n++] = (struct label){str_of(name), value};
}

static bool read_scope_labels(struct otlp_state *s, struct str scope, struct err *err)
{
    struct pb_cursor c = pb_cursor_of(scope);
    struct pb_field f;
    while (pb_next(&c.p, c.end, &f)) {
        if (f.number == 1 || f.number == 2)
            otlp_add_scope_label(s, f.number == 1 ? "scope.name" : "scope.version", f.bytes);
        else if (f.number == 3 && !otlp_add_attribute(&s->arena, &s->labels, STR("scope.attributes"), f.bytes, err))
            return false;
    }
    return c.p == c.end || otlp_bad(err, "a scope");
}

static bool read_scope(struct ingest *in, struct str message, struct err *err)
{
    struct otlp_state *s = in->state;
    struct pb_cursor c = s->scope = pb_cursor_of(message);
    struct pb_field f;
    arena_release(&s->arena, s->resource_end);
    s->labels = s->resource_labels; /* full: those of the scope are added to a copy */
    while (pb_next(&c.p, c.end, &f))
        if (f.number == 1 && !s->prometheus && in->services->flags.ingest.otlp_scope && !read_scope_labels(s, f.bytes, err))
            return false;
    if (!s->prometheus)
        otlp_store_label_names(in, &s->arena, &s->labels, s->resource_labels.n);
    else if (!otlp_prometheus_scope(s, message, err))
        return false;
    s->scope_end = arena_mark(&s->arena);
    return c.p == c.end || otlp_bad(err, "ScopeMetrics");
}

static enum metric_type otlp_type(const struct otlp_state *s)
{
    switch (s->kind) {
    case OTLP_SUM: return s->monotonic ? METRIC_COUNTER : METRIC_GAUGE;
    case OTLP_HISTOGRAM: case OTLP_EXPONENTIAL: return METRIC_HISTOGRAM;
    case OTLP_SUMMARY: return METRIC_SUMMARY;
    case OTLP_GAUGE: break;
    }
    return METRIC_GAUGE;
}

/* Whether a Sum is monotonic, and whether the points of a Sum or Histogram are to be summed up. */
static void read_data_kind(struct ingest *in, struct str data)
{
    enum { DELTA = 1, CUMULATIVE };
    struct otlp_state *s = in->state;
    bool has = s->kind == OTLP_SUM || s->kind == OTLP_HISTOGRAM || s->kind == OTLP_EXPONENTIAL;
    bool wanted = s->kind == OTLP_SUM || (has && (s->prometheus || in->services->otlp_deltas));
    struct pb_cursor c = pb_cursor_of(data);
    struct pb_field f;
    uint64_t temporality = 0;
    s->monotonic = false;
    while (wanted && pb_next(&c.p, c.end, &f)) {
        if (f.number == 2)
            temporality = f.value;
        else if (f.number == 3 && s->kind == OTLP_SUM)
            s->monotonic = f.value != 0;
    }
    s->delta = has && temporality == DELTA && in->services->otlp_deltas;
    s->temporality = !s->prometheus || !has || s->delta || temporality == CUMULATIVE;
}

static void otlp_set_full_name(struct ingest *in)
{
    struct otlp_state *s = in->state;
    const struct ingest_flags *f = &in->services->flags.ingest;
    buf_clear(&s->full_name);
    enum otlp_name_kind kind = s->kind == OTLP_SUM && s->monotonic ? OTLP_NAME_COUNTER
                               : s->kind == OTLP_GAUGE || (s->kind == OTLP_SUM && !s->prometheus) ? OTLP_NAME_GAUGE
                                                                                                  : OTLP_NAME_OTHER;
    if (s->prometheus)
        otlp_prometheus_name(s, kind);
    else if (f->otlp_prometheus_names || f->otlp_prometheus_metric_names)
        otlp_name_vmagent(&s->full_name, s->name, s->unit, kind);
    else
        buf_add_str(&s->full_name, s->name);
}

static bool read_metric(struct ingest *in, struct str message, struct err *err)
{
    struct otlp_state *s = in->state;
    struct pb_cursor c = pb_cursor_of(message);
    struct pb_field f;
    s->name = s->description = s->unit = STR_NONE;
    s->data = (struct pb_cursor){0};
    while (pb_next(&c.p, c.end, &f))
        switch (f.number) {
        case 1: s->name = f.bytes; break;
        case 2: s->description = f.bytes; break;
        case 3: s->unit = f.bytes; break;
        case OTLP_GAUGE: case OTLP_SUM: case OTLP_HISTOGRAM: case OTLP_EXPONENTIAL: case OTLP_SUMMARY:
            s->kind = (enum otlp_kind)f.number;
            s->data = pb_cursor_of(f.bytes);
            read_data_kind(in, f.bytes);
            break;
        default: break;
        }
    if (c.p != c.end)
        return otlp_bad(err, "Metric");
    otlp_set_full_name(in);
    if (s->full_name.n > 0 && s->data.p)
        ingest_metadata(in, &(struct metadata){.family = buf_str(&s->full_name), .help = s->description, .unit = s->unit,
                                               .type = otlp_type(s)});
    return true;
}

/* ---- the document ---- */

static bool otlp_document(struct ingest *in, struct str body, struct err *err UNUSED)
{
    struct otlp_state *s = in->state;
    s->request = pb_cursor_of(s->is_json ? ingest_json_document(&s->json, body) : body);
    s->resource = s->scope = s->data = (struct pb_cursor){0};
    s->n_skipped = 0;
    s->rest.left = false;
    return true;
}

/* The next field of this level; false: there is none. */
static bool cursor_next(struct pb_cursor *c, unsigned number, struct str *message, bool *bad)
{
    struct pb_field f;
    while (c->p && pb_next(&c->p, c->end, &f))
        if (f.number == number) {
            *message = f.bytes;
            return true;
        }
    *bad = *bad || c->p != c->end;
    return false;
}

static enum ingest_item otlp_next(struct ingest *in, struct err *err)
{
    struct otlp_state *s = in->state;
    struct str message;
    bool bad = false, ok = true;
    struct arena_mark mark = arena_mark(in->scratch);
    if (ingest_json_open(&s->json)) {
        if (!ingest_json_step(in, &s->json, err))
            return INGEST_INVALID_ITEM;
        s->request = pb_cursor_of(buf_str(&s->json.message));
        return INGEST_ITEM;
    }
    if (s->rest.left)
        otlp_point_more(in);
    else if (cursor_next(&s->data, 1, &message, &bad))
        ok = otlp_point(in, message, err);
    else if (cursor_next(&s->scope, 2, &message, &bad))
        ok = read_metric(in, message, err);
    else if (cursor_next(&s->resource, 2, &message, &bad))
        ok = read_scope(in, message, err);
    else if (s->resource.p) { /* it has ended */
        otlp_prometheus_target(in);
        s->resource = (struct pb_cursor){0};
    } else if (cursor_next(&s->request, 1, &message, &bad))
        ok = read_resource(in, message, err);
    else
        return bad ? (otlp_bad(err, "the body"), INGEST_INVALID_ITEM) : INGEST_END;
    arena_release(in->scratch, mark);
    if (ok && bad)
        ok = otlp_bad(err, "a part of the body");
    return !ok ? INGEST_INVALID_ITEM : s->rest.left ? INGEST_ITEM_PART : INGEST_ITEM;
}

extern const struct ingest_format ingest_otlp_prometheus;

static bool otlp_begin(struct ingest *in, struct err *err UNUSED)
{
    struct otlp_state *s = in->state = mem_zalloc(sizeof *s);
    s->prometheus = in->format == &ingest_otlp_prometheus;
    s->config = s->prometheus ? services_config_on_lane(in->services) : NULL;
    s->conf = s->config ? &s->config->otlp : NULL;
    arena_init(&s->arena, 0); /* bounded by struct otlp_labels */
    in->max_text = (size_t)in->services->flags.ingest.otlp_max_request;
    struct str type = http_header(in->r, "Content-Type"), media;
    in->reads_twice = in->services->otlp_deltas != NULL;
    s->is_json = str_cut(&type, ';', &media) && str_ieq(str_trim(media), STR("application/json"));
    if (s->is_json)
        ingest_json_init(&s->json, in, &otlp_request_json, JSON_PROTO3);
    return true;
}

/* ExportMetricsServiceResponse { partial_success { rejected_data_points 1, error_message 2 } 1 }. */
static void otlp_respond(struct ingest *in)
{
    struct otlp_state *s = in->state;
    struct str why = str_of(s->skipped.text);
    struct buf partial = {0};
    if (s->is_json) {
        struct json_writer w = {.out = &in->r->out};
        in->r->content_type = "application/json";
        json_begin_object(&w);
        if (s->n_skipped > 0) {
            json_key(&w, "partialSuccess");
            json_begin_object(&w);
            json_key(&w, "rejectedDataPoints");
            buf_printf(&partial, "%zu", s->n_skipped);
            json_str(&w, buf_str(&partial));
            json_key(&w, "errorMessage");
            json_str(&w, why);
            json_end_object(&w);
        }
        json_end_object(&w);
    } else if (s->n_skipped > 0) {
        in->r->content_type = "application/x-protobuf";
        pb_add_int(&partial, 1, (int64_t)s->n_skipped);
        pb_add_bytes(&partial, 2, why);
        pb_add_bytes(&in->r->out, 1, buf_str(&partial));
    }
    buf_free(&partial);
}

static void otlp_end(struct ingest *in)
{
    struct otlp_state *s = in->state;
    if (s == NULL)
        return;
    config_unref(s->config);
    classic_free(&s->classic);
    arena_free(&s->arena);
    ingest_json_free(&s->json);
    buf_free(&s->full_name);
    buf_free(&s->text);
    buf_free(&s->histogram);
    buf_free(&s->rest.values);
    mem_free(s);
}

const struct ingest_format ingest_otlp = {
    .id = INGEST_OTLP, .all_or_nothing = true, .success = 200, .begin = otlp_begin, .document = otlp_document,
    .next = otlp_next, .respond = otlp_respond, .end = otlp_end,
};
const struct ingest_format ingest_otlp_prometheus = {
    .id = INGEST_OTLP, .all_or_nothing = true, .success = 200, .begin = otlp_begin, .document = otlp_document,
    .next = otlp_next, .respond = otlp_respond, .end = otlp_end,
};
void api_otlp_write_prometheus(struct http_request *r) { ingest_request(r, &ingest_otlp_prometheus); }
void api_otlp_write(struct http_request *r) { ingest_request(r, &ingest_otlp); }
