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
 * recorded value is a stale marker. Temporality is not converted: deltas are stored as they are.
 *
 *   ExportMetricsServiceRequest { ResourceMetrics 1 }   ResourceMetrics { Resource 1, ScopeMetrics 2 }
 *   ScopeMetrics { InstrumentationScope 1, Metric 2 }   Metric { name 1, description 2, unit 3, data 5 7 9 10 11 }
 *
 * A document is read a data point at a time, by a cursor on each of these levels.
 * Source: https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/metrics/v1/metrics.proto
 */
#include "base/protobuf.h"
#include "base/text/num.h"
#include "base/text/utf8.h"
#include "base/varint.h"
#include "gateway/ingest/ingest_format.h"
#include "gateway/ingest/otlp_attributes.h"
#include "gateway/services/services.h"

#include <math.h>

enum otlp_kind { OTLP_GAUGE = 5, OTLP_SUM = 7, OTLP_HISTOGRAM = 9, OTLP_EXPONENTIAL = 10, OTLP_SUMMARY = 11 };
enum { OTLP_NS_PER_MS = 1000000, OTLP_NO_VALUE = 1 /* of a point's flags */ };

struct otlp_cursor { const uint8_t *p, *end; };
struct otlp_state {
    struct otlp_cursor request, resource, scope, data;
    struct arena arena;         /* labels of the resource and the scope */
    struct arena_mark resource_end;
    struct otlp_labels labels;  /* of the resource, then of the scope */
    struct otlp_labels resource_labels;
    struct str name, description, unit;
    enum otlp_kind kind;
    bool monotonic;
    struct buf text;            /* a name or a bound */
    struct buf histogram;
};

static struct otlp_cursor cursor_of(struct str s)
{
    return (struct otlp_cursor){(const uint8_t *)s.p, (const uint8_t *)s.p + s.n};
}

static bool otlp_bad(struct err *err, const char *what)
{
    return err_set(err, ERR_BAD_DATA, "%s is no valid protobuf message", what);
}

/* ---- resources, scopes and metrics ---- */

static bool flag_names(const struct str_list *list, struct str name)
{
    for (size_t i = 0; i < list->n; i++)
        if (str_eq(list->items[i], name))
            return true;
    return false;
}

static bool promoted(const struct ingest_flags *f, struct str name)
{
    return f->otlp_all_resource_attributes ? !flag_names(&f->otlp_ignored_attributes, name)
                                           : flag_names(&f->otlp_resource_attributes, name);
}

static bool read_resource_labels(struct ingest *in, struct str resource, struct err *err)
{
    struct otlp_state *s = in->state;
    struct otlp_cursor c = cursor_of(resource);
    struct pb_field f;
    struct str key;
    while (pb_next(&c.p, c.end, &f)) {
        if (f.number != 1)
            continue;
        if (!otlp_attribute_key(f.bytes, &key, err))
            return false;
        if (promoted(&in->services->flags.ingest, key)
            && !otlp_add_attribute(&s->arena, &s->labels, STR_NONE, f.bytes, err))
            return false;
    }
    return c.p == c.end || otlp_bad(err, "a resource");
}

static bool read_resource(struct ingest *in, struct str message, struct err *err)
{
    struct otlp_state *s = in->state;
    struct otlp_cursor c = s->resource = cursor_of(message);
    struct pb_field f;
    arena_reset(&s->arena);
    s->labels = (struct otlp_labels){0};
    while (pb_next(&c.p, c.end, &f))
        if (f.number == 1 && !read_resource_labels(in, f.bytes, err))
            return false;
    s->resource_labels = (struct otlp_labels){s->labels.items, s->labels.n, s->labels.n, s->labels.bytes};
    s->resource_end = arena_mark(&s->arena);
    return c.p == c.end || otlp_bad(err, "ResourceMetrics");
}

static void add_scope_label(struct otlp_state *s, const char *name, struct str value)
{
    if (value.n == 0)
        return;
    if (s->labels.n == s->labels.cap)
        arena_grow(&s->arena, &s->labels.items, &s->labels.cap, s->labels.n + 1, sizeof *s->labels.items);
    s->labels.items[s->labels.n++] = (struct label){str_of(name), value};
}

static bool read_scope_labels(struct otlp_state *s, struct str scope, struct err *err)
{
    struct otlp_cursor c = cursor_of(scope);
    struct pb_field f;
    while (pb_next(&c.p, c.end, &f)) {
        if (f.number == 1 || f.number == 2)
            add_scope_label(s, f.number == 1 ? "scope.name" : "scope.version", f.bytes);
        else if (f.number == 3 && !otlp_add_attribute(&s->arena, &s->labels, STR("scope.attributes"), f.bytes, err))
            return false;
    }
    return c.p == c.end || otlp_bad(err, "a scope");
}

static bool read_scope(struct ingest *in, struct str message, struct err *err)
{
    struct otlp_state *s = in->state;
    struct otlp_cursor c = s->scope = cursor_of(message);
    struct pb_field f;
    arena_release(&s->arena, s->resource_end);
    s->labels = s->resource_labels; /* full: those of the scope are added to a copy */
    while (pb_next(&c.p, c.end, &f))
        if (f.number == 1 && in->services->flags.ingest.otlp_scope && !read_scope_labels(s, f.bytes, err))
            return false;
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

static bool is_monotonic(struct str sum)
{
    struct otlp_cursor c = cursor_of(sum);
    struct pb_field f;
    bool monotonic = false;
    while (pb_next(&c.p, c.end, &f))
        monotonic = f.number == 3 ? f.value != 0 : monotonic;
    return monotonic;
}

static bool read_metric(struct ingest *in, struct str message, struct err *err)
{
    struct otlp_state *s = in->state;
    struct otlp_cursor c = cursor_of(message);
    struct pb_field f;
    s->name = s->description = s->unit = STR_NONE;
    s->data = (struct otlp_cursor){0};
    while (pb_next(&c.p, c.end, &f))
        switch (f.number) {
        case 1: s->name = f.bytes; break;
        case 2: s->description = f.bytes; break;
        case 3: s->unit = f.bytes; break;
        case OTLP_GAUGE: case OTLP_SUM: case OTLP_HISTOGRAM: case OTLP_EXPONENTIAL: case OTLP_SUMMARY:
            s->kind = (enum otlp_kind)f.number;
            s->data = cursor_of(f.bytes);
            s->monotonic = s->kind == OTLP_SUM && is_monotonic(f.bytes);
            break;
        default: break;
        }
    if (c.p != c.end)
        return otlp_bad(err, "Metric");
    if (s->name.n > 0 && s->data.p)
        ingest_metadata(in, &(struct metadata){.family = s->name, .help = s->description, .unit = s->unit,
                                               .type = otlp_type(s)});
    return true;
}

/* ---- data points: the numbers of their fields differ by kind ---- */

struct otlp_point {
    struct otlp_labels attributes;
    int64_t t;
    uint64_t flags, count;
    double sum, value;
    bool has_sum;
    struct str bounds, counts;        /* packed, of a histogram */
    struct str positive, negative;    /* Buckets of an exponential one */
    int32_t scale;
    uint64_t zero_count;
    double zero_threshold;
};

static double bits_double(uint64_t bits)
{
    double v = double_from_bits(bits);
    return isnan(v) ? normal_nan() : v;
}

static void number_field(struct otlp_point *p, const struct pb_field *f)
{
    switch (f->number) {
    case 4: p->value = bits_double(f->value); break;
    case 6: p->value = (double)(int64_t)f->value; break;
    case 8: p->flags = f->value; break;
    default: break;
    }
}

static void histogram_field(struct otlp_point *p, const struct pb_field *f)
{
    switch (f->number) {
    case 4: p->count = f->value; break;
    case 5: p->sum = bits_double(f->value); p->has_sum = true; break;
    case 6: p->counts = f->bytes; break;
    case 7: p->bounds = f->bytes; break;
    case 10: p->flags = f->value; break;
    default: break;
    }
}

static void exponential_field(struct otlp_point *p, const struct pb_field *f)
{
    switch (f->number) {
    case 4: p->count = f->value; break;
    case 5: p->sum = bits_double(f->value); p->has_sum = true; break;
    case 6: p->scale = (int32_t)unzigzag((uint32_t)f->value); break;
    case 7: p->zero_count = f->value; break;
    case 8: p->positive = f->bytes; break;
    case 9: p->negative = f->bytes; break;
    case 10: p->flags = f->value; break;
    case 14: p->zero_threshold = bits_double(f->value); break;
    default: break;
    }
}

static void summary_field(struct otlp_point *p, const struct pb_field *f)
{
    switch (f->number) {
    case 4: p->count = f->value; break;
    case 5: p->sum = bits_double(f->value); p->has_sum = true; break;
    case 8: p->flags = f->value; break;
    default: break;
    }
}

static bool read_point(struct ingest *in, struct str message, struct otlp_point *p, struct err *err)
{
    enum otlp_kind kind = ((struct otlp_state *)in->state)->kind;
    unsigned attributes = kind == OTLP_HISTOGRAM ? 9 : kind == OTLP_EXPONENTIAL ? 1 : 7;
    struct otlp_cursor c = cursor_of(message);
    struct pb_field f;
    *p = (struct otlp_point){0};
    while (pb_next(&c.p, c.end, &f)) {
        if (f.number == attributes && !otlp_add_attribute(in->scratch, &p->attributes, STR_NONE, f.bytes, err))
            return false;
        if (f.number == 3)
            p->t = (int64_t)(f.value / OTLP_NS_PER_MS);
        else if (kind == OTLP_HISTOGRAM)
            histogram_field(p, &f);
        else if (kind == OTLP_EXPONENTIAL)
            exponential_field(p, &f);
        else if (kind == OTLP_SUMMARY)
            summary_field(p, &f);
        else
            number_field(p, &f);
    }
    if (p->t == 0)
        p->t = in->now;
    return c.p == c.end || otlp_bad(err, "a data point");
}

/* ---- series ---- */

static bool begin_point(struct ingest *in, const struct otlp_point *p, struct err *err)
{
    const struct otlp_state *s = in->state;
    ingest_series_begin(in);
    if (!ingest_label(in, STR(METRIC_NAME), s->name, err))
        return false;
    for (size_t i = 0; i < s->labels.n; i++)
        if (!ingest_label(in, s->labels.items[i].name, s->labels.items[i].value, err))
            return false;
    for (size_t i = 0; i < p->attributes.n; i++) {
        struct label l = p->attributes.items[i];
        if (!label_name_valid(l.name) || !utf8_valid(l.value))
            return err_set(err, ERR_BAD_DATA, "an attribute of a data point is not UTF-8, or has no name");
        builder_set(in->labels, l.name, l.value);
    }
    return true;
}

static bool put_point(struct ingest *in, const struct otlp_point *p, double v, struct err *err)
{
    v = p->flags & OTLP_NO_VALUE ? stale_nan() : v;
    return ingest_series_end(in, &(struct sample){.t = p->t, .v = v}, 1, err);
}

static bool put_named(struct ingest *in, const struct otlp_point *p, const char *suffix, double v, struct err *err)
{
    struct otlp_state *s = in->state;
    buf_clear(&s->text);
    buf_add_str(&s->text, s->name);
    buf_add_z(&s->text, suffix);
    builder_set(in->labels, STR(METRIC_NAME), buf_str(&s->text));
    return put_point(in, p, v, err);
}

static bool put_count_and_sum(struct ingest *in, const struct otlp_point *p, struct err *err)
{
    return put_named(in, p, "_count", (double)p->count, err) && (!p->has_sum || put_named(in, p, "_sum", p->sum, err));
}

static uint64_t packed_u64(struct str packed, size_t i)
{
    uint64_t v;
    memcpy(&v, packed.p + i * sizeof v, sizeof v);
    return v;
}

static bool put_bucket(struct ingest *in, const struct otlp_point *p, double bound, uint64_t below, struct err *err)
{
    char text[NUM_MAX];
    builder_set(in->labels, STR("le"), str_n(text, num_format_go(text, bound)));
    return put_named(in, p, "_bucket", (double)below, err);
}

/* One without buckets has count and sum only. */
static bool put_histogram(struct ingest *in, const struct otlp_point *p, struct err *err)
{
    size_t n = p->counts.n / sizeof(uint64_t), bounds = p->bounds.n / sizeof(double);
    uint64_t below = 0;
    if (n != bounds + 1 && n + bounds > 0)
        return err_set(err, ERR_BAD_DATA, "a histogram has %zu buckets and %zu bounds; one less is expected", n, bounds);
    if (n > HISTOGRAM_MAX_BUCKETS) /* its series are one step of the lane, and one batch */
        return err_set(err, ERR_BAD_DATA, "a histogram has more than %d buckets", HISTOGRAM_MAX_BUCKETS);
    if (!put_count_and_sum(in, p, err))
        return false;
    for (size_t i = 0; i < bounds; i++) {
        below += packed_u64(p->counts, i);
        if (!put_bucket(in, p, double_from_bits(packed_u64(p->bounds, i)), below, err))
            return false;
    }
    return put_bucket(in, p, INFINITY, n > 0 ? below + packed_u64(p->counts, bounds) : p->count, err);
}

static bool put_quantiles(struct ingest *in, const struct otlp_point *p, struct str message, struct err *err)
{
    struct otlp_cursor c = cursor_of(message), value;
    struct pb_field f, part;
    char text[NUM_MAX];
    while (pb_next(&c.p, c.end, &f)) {
        double q = 0, v = 0;
        if (f.number != 6)
            continue;
        for (value = cursor_of(f.bytes); pb_next(&value.p, value.end, &part); )
            *(part.number == 1 ? &q : &v) = bits_double(part.value);
        builder_set(in->labels, STR("quantile"), str_n(text, num_format_go(text, q)));
        if (!put_named(in, p, "", v, err))
            return false;
    }
    return true;
}

/* ---- exponential histograms ---- */

/* Buckets { sint32 offset = 1; repeated uint64 bucket_counts = 2; } merged 2^shift to one, as Prometheus has them: an
 * index there is the upper bound's. */
static bool read_exponential(struct arena *a, struct str message, unsigned shift, struct buckets *out, struct err *err)
{
    struct otlp_cursor c = cursor_of(message);
    struct pb_field f;
    int32_t offset = 0;
    struct str packed = STR_NONE;
    while (pb_next(&c.p, c.end, &f)) {
        if (f.number == 1)
            offset = (int32_t)unzigzag((uint32_t)f.value);
        else if (f.number == 2)
            packed = f.bytes;
    }
    if (packed.n > 10 * HISTOGRAM_MAX_BUCKETS) /* a count has 1 to 10 bytes */
        return err_set(err, ERR_BAD_DATA, "an exponential histogram has more than %d buckets", HISTOGRAM_MAX_BUCKETS);
    size_t n = 0;
    double *counts = ARENA_ARRAY(a, double, packed.n + 1);
    struct otlp_cursor values = cursor_of(packed);
    int64_t first = ((int64_t)offset >> shift) + 1;
    for (int64_t i = offset; values.p < values.end; i++) {
        uint64_t v = 0;
        values.p = varint_get(values.p, values.end, &v);
        if (values.p == NULL)
            return otlp_bad(err, "an exponential histogram");
        size_t at = (size_t)((i >> shift) + 1 - first);
        for (; n <= at; n++)
            counts[n] = 0;
        counts[at] += (double)v;
    }
    if (n > HISTOGRAM_MAX_BUCKETS)
        return err_set(err, ERR_BAD_DATA, "an exponential histogram has more than %d buckets", HISTOGRAM_MAX_BUCKETS);
    if (c.p != c.end || first + (int64_t)n > INT32_MAX || first < INT32_MIN)
        return otlp_bad(err, "an exponential histogram");
    struct span *span = ARENA_NEW(a, struct span);
    *span = (struct span){(int32_t)first, (uint32_t)n};
    *out = (struct buckets){.spans = span, .n_spans = n > 0, .counts = counts, .n_counts = (uint32_t)n};
    return true;
}

static bool put_exponential(struct ingest *in, const struct otlp_point *p, struct err *err)
{
    struct otlp_state *s = in->state;
    unsigned shift = p->scale > HISTOGRAM_SCHEMA_MAX ? (unsigned)(p->scale - HISTOGRAM_SCHEMA_MAX) : 0;
    struct histogram h = {.schema = p->scale - (int32_t)shift, .zero_threshold = p->zero_threshold > 0 ? p->zero_threshold : 1e-128,
                          .zero_count = (double)p->zero_count, .count = (double)p->count, .sum = p->sum};
    if (p->scale < HISTOGRAM_SCHEMA_MIN || shift > 31)
        return err_set(err, ERR_BAD_DATA, "an exponential histogram has the scale %d; %d to %d are supported", (int)p->scale,
                       HISTOGRAM_SCHEMA_MIN, HISTOGRAM_SCHEMA_MAX + 31);
    if (p->flags & OTLP_NO_VALUE)
        h = (struct histogram){.sum = stale_nan()};
    else if (!read_exponential(in->scratch, p->positive, shift, &h.positive, err)
             || !read_exponential(in->scratch, p->negative, shift, &h.negative, err))
        return false;
    buf_clear(&s->histogram);
    histogram_encode(&s->histogram, &h, p->t);
    return ingest_series_histogram(in, buf_str(&s->histogram), err);
}

static bool put_all(struct ingest *in, const struct otlp_point *p, struct str message, struct err *err)
{
    switch (((struct otlp_state *)in->state)->kind) {
    case OTLP_GAUGE: case OTLP_SUM: return put_point(in, p, p->value, err);
    case OTLP_HISTOGRAM: return put_histogram(in, p, err);
    case OTLP_EXPONENTIAL: return put_exponential(in, p, err);
    case OTLP_SUMMARY: return put_count_and_sum(in, p, err) && put_quantiles(in, p, message, err);
    }
    return true;
}

/* A point that cannot be stored is skipped and counted: the labels, or the shape of a histogram, are invalid. */
static bool otlp_point(struct ingest *in, struct str message, struct err *err)
{
    struct otlp_point p;
    struct err why;
    if (!read_point(in, message, &p, err))
        return false;
    if (((struct otlp_state *)in->state)->name.n == 0)
        err_set(&why, ERR_BAD_DATA, "a metric has no name");
    else if (begin_point(in, &p, &why) && put_all(in, &p, message, &why))
        return true;
    ingest_skip(in, &why);
    return true;
}

/* ---- the document ---- */

static bool otlp_document(struct ingest *in, struct str body, struct err *err UNUSED)
{
    struct otlp_state *s = in->state;
    s->request = cursor_of(body);
    s->resource = s->scope = s->data = (struct otlp_cursor){0};
    return true;
}

/* The next field of this level; false: there is none. */
static bool cursor_next(struct otlp_cursor *c, unsigned number, struct str *message, bool *bad)
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
    if (cursor_next(&s->data, 1, &message, &bad))
        ok = otlp_point(in, message, err);
    else if (cursor_next(&s->scope, 2, &message, &bad))
        ok = read_metric(in, message, err);
    else if (cursor_next(&s->resource, 2, &message, &bad))
        ok = read_scope(in, message, err);
    else if (cursor_next(&s->request, 1, &message, &bad))
        ok = read_resource(in, message, err);
    else
        return bad ? (otlp_bad(err, "the body"), INGEST_INVALID_ITEM) : INGEST_END;
    arena_release(in->scratch, mark);
    if (ok && bad)
        ok = otlp_bad(err, "a part of the body");
    return ok ? INGEST_ITEM : INGEST_INVALID_ITEM;
}

static bool otlp_begin(struct ingest *in, struct err *err)
{
    struct otlp_state *s = in->state = mem_zalloc(sizeof *s);
    arena_init(&s->arena, 0); /* bounded by struct otlp_labels */
    in->max_text = (size_t)in->services->flags.ingest.otlp_max_request;
    struct str type = http_header(in->r, "Content-Type"), media;
    return !str_cut(&type, ';', &media) || !str_ieq(str_trim(media), STR("application/json"))
           || err_set(err, ERR_UNSUPPORTED, "JSON is not supported; send application/x-protobuf");
}

static void otlp_end(struct ingest *in)
{
    struct otlp_state *s = in->state;
    if (s == NULL)
        return;
    arena_free(&s->arena);
    buf_free(&s->text);
    buf_free(&s->histogram);
    mem_free(s);
}

const struct ingest_format ingest_otlp = {
    .id = INGEST_OTLP, .all_or_nothing = true, .success = 200, .begin = otlp_begin, .document = otlp_document,
    .next = otlp_next, .end = otlp_end,
};
