// SPDX-License-Identifier: Apache-2.0
/* Data points of OpenTelemetry and the series that they become. */
#include "base/hash.h"
#include "base/text/num.h"
#include "base/text/utf8.h"
#include "base/varint.h"
#include "gateway/ingest/otlp/otlp.h"
#include "gateway/ingest/otlp/otlp_names.h"
#include "gateway/services/services.h"

#include <math.h>

enum { OTLP_STEP_SERIES = 256 /* of a point, reported in a step of the lane */ };

/* ---- data points ---- */

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

static bool read_point(struct ingest *in, struct str message, struct err *err)
{
    struct otlp_state *s = in->state;
    struct otlp_point *p = &s->point;
    enum otlp_kind kind = s->kind;
    unsigned attributes = kind == OTLP_HISTOGRAM ? 9 : kind == OTLP_EXPONENTIAL ? 1 : 7;
    struct pb_cursor c = pb_cursor_of(message);
    struct pb_field f;
    arena_release(&s->arena, s->scope_end);
    *p = (struct otlp_point){.attributes.whole_maps = s->prometheus};
    while (pb_next(&c.p, c.end, &f)) {
        if (f.number == attributes && !otlp_add_attribute(&s->arena, &p->attributes, STR_NONE, f.bytes, err))
            return false;
        if (f.number == 2)
            p->start = (int64_t)(f.value / OTLP_NS_PER_MS);
        else if (f.number == 3)
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

static struct str otlp_stored_label(struct ingest *in, struct arena *a, struct str name)
{
    const struct ingest_flags *f = &in->services->flags.ingest;
    return f->otlp_prometheus_names ? otlp_label_name(a, name, f->otlp_key_underscore) : name;
}

void otlp_store_label_names(struct ingest *in, struct arena *a, struct otlp_labels *labels, size_t from)
{
    for (size_t i = from; i < labels->n; i++)
        labels->items[i].name = otlp_stored_label(in, a, labels->items[i].name);
}

/* The text of a bound or quantile. */
static struct str bound_text(const struct ingest *in, char text[NUM_PLAIN_MAX], double v)
{
    bool plain = ((struct otlp_state *)in->state)->prometheus && isfinite(v);
    return str_n(text, plain ? num_format_plain(text, v) : num_format_go(text, v));
}

static bool otlp_set_label(struct ingest *in, struct label l, struct err *err)
{
    if (!label_name_valid(l.name) || !utf8_valid(l.value))
        return err_set(err, ERR_BAD_DATA, "an attribute is not UTF-8, or has no name");
    builder_set(in->labels, l.name, l.value);
    return true;
}

static bool begin_point(struct ingest *in, const struct otlp_point *p, struct err *err)
{
    const struct otlp_state *s = in->state;
    ingest_series_begin(in);
    if (!ingest_label(in, STR(METRIC_NAME), buf_str(&s->full_name), err))
        return false;
    for (size_t i = 0; !s->prometheus && i < s->labels.n; i++)
        if (!ingest_label(in, s->labels.items[i].name, s->labels.items[i].value, err))
            return false;
    for (size_t i = 0; i < p->attributes.n; i++) {
        struct label l = p->attributes.items[i];
        if (!s->prometheus)
            l.name = otlp_stored_label(in, in->scratch, l.name);
        if (!otlp_set_label(in, l, err))
            return false;
    }
    for (size_t i = 0; s->prometheus && i < s->promoted.n; i++)
        if (builder_get(in->labels, s->promoted.items[i].name).n == 0 && !otlp_set_label(in, s->promoted.items[i], err))
            return false;
    for (size_t i = 0; s->prometheus && i < s->labels.n; i++) /* they replace attributes of the point */
        if (!otlp_set_label(in, s->labels.items[i], err))
            return false;
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
    buf_add_str(&s->text, buf_str(&s->full_name));
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

static bool otlp_put_number(struct ingest *in, const struct otlp_point *p, struct err *err)
{
    double v = p->value;
    return (!((struct otlp_state *)in->state)->delta || otlp_sum_values(in, p, 0, &v, 1, err)) && put_point(in, p, v, err);
}

static bool put_bucket(struct ingest *in, const struct otlp_point *p, double bound, double below, struct err *err)
{
    char text[NUM_PLAIN_MAX];
    builder_set(in->labels, STR("le"), bound_text(in, text, bound));
    return put_named(in, p, "_bucket", below, err);
}

static bool otlp_check_histogram(size_t counts, size_t bounds, struct err *err)
{
    if (counts != bounds + 1 && counts + bounds > 0)
        return err_set(err, ERR_BAD_DATA, "a histogram has %zu buckets and %zu bounds; one less is expected", counts, bounds);
    return counts <= HISTOGRAM_MAX_BUCKETS
           || err_set(err, ERR_BAD_DATA, "a histogram has more than %d buckets", HISTOGRAM_MAX_BUCKETS);
}

/* values: count, sum, and the count of each bucket. */
static bool put_custom_buckets(struct ingest *in, const struct otlp_point *p, const double *values, size_t bounds,
                               struct err *err)
{
    struct otlp_state *s = in->state;
    struct classic_histogram *c = &s->classic;
    double below = 0, last = -INFINITY;
    size_t n;
    buf_clear(&s->histogram);
    if (p->flags & OTLP_NO_VALUE) {
        histogram_encode(&s->histogram, &(struct histogram){.sum = stale_nan()}, p->t);
        return ingest_series_histogram(in, buf_str(&s->histogram), err);
    }
    classic_start(c);
    for (size_t i = 0; i < bounds; i++) {
        double bound = double_from_bits(packed_u64(p->bounds, i));
        if (!(bound > last))
            return err_set(err, ERR_BAD_DATA, "bounds of a histogram are not in ascending order");
        last = bound;
        below += values[2 + i];
        classic_add_bucket(c, bound, below);
    }
    classic_set_count(c, values[0]);
    classic_set_sum(c, values[1]);
    if (!classic_convert(c, RESET_UNKNOWN, p->t, in->scratch, &s->histogram, &n))
        return err_set(err, ERR_BAD_DATA, "a histogram has fewer observations than its buckets");
    return ingest_series_histogram(in, buf_str(&s->histogram), err);
}

/* values: as above. Reports some buckets from rest.at on; sets rest.left. */
static bool put_some_buckets(struct ingest *in, const struct otlp_point *p, const double *values, struct err *err)
{
    struct otlp_state *s = in->state;
    size_t n = p->counts.n / sizeof(uint64_t), bounds = p->bounds.n / sizeof(double);
    size_t end = bounds - s->rest.at > OTLP_STEP_SERIES ? s->rest.at + OTLP_STEP_SERIES : bounds;
    for (; s->rest.at < end; s->rest.at++) {
        s->rest.below += values[2 + s->rest.at];
        if (!put_bucket(in, p, double_from_bits(packed_u64(p->bounds, s->rest.at)), s->rest.below, err))
            return false;
    }
    s->rest.left = end < bounds;
    if (s->rest.left)
        return true;
    return put_bucket(in, p, INFINITY, n > 0 && !s->prometheus ? s->rest.below + values[2 + bounds] : values[0], err);
}

/* One without buckets has count and sum only. */
static bool put_histogram(struct ingest *in, const struct otlp_point *p, struct err *err)
{
    size_t n = p->counts.n / sizeof(uint64_t), bounds = p->bounds.n / sizeof(double);
    struct otlp_state *s = in->state;
    bool nhcb = s->prometheus && s->conf->histograms_to_nhcb;
    if (!otlp_check_histogram(n, bounds, err))
        return false;
    double *values = ARENA_ARRAY(in->scratch, double, n + 2), *counts = values + 2;
    values[0] = (double)p->count;
    values[1] = p->sum;
    for (size_t i = 0; i < n; i++)
        counts[i] = (double)packed_u64(p->counts, i);
    const uint64_t shape[] = {p->has_sum, hash_keyed(p->bounds.p, p->bounds.n)};
    if (s->delta && !otlp_sum_values(in, p, hash_keyed(shape, sizeof shape), values, n + 2, err))
        return false;
    if (nhcb)
        return put_custom_buckets(in, p, values, bounds, err);
    if (!put_named(in, p, "_count", values[0], err) || (p->has_sum && !put_named(in, p, "_sum", values[1], err)))
        return false;
    s->rest.at = 0;
    s->rest.below = 0;
    buf_clear(&s->rest.values);
    if (bounds > OTLP_STEP_SERIES)
        buf_add(&s->rest.values, values, (n + 2) * sizeof *values);
    return put_some_buckets(in, p, values, err);
}

/* Some of those from rest.quantiles on; sets rest.left. */
static bool put_some_quantiles(struct ingest *in, const struct otlp_point *p, struct err *err)
{
    struct otlp_state *s = in->state;
    struct pb_cursor *c = &s->rest.quantiles, value;
    struct pb_field f, part;
    char text[NUM_PLAIN_MAX];
    s->rest.left = false;
    for (size_t n = 0; n < OTLP_STEP_SERIES; n++) {
        if (!pb_next(&c->p, c->end, &f))
            return true;
        double q = 0, v = 0;
        if (f.number != 6)
            continue;
        for (value = pb_cursor_of(f.bytes); pb_next(&value.p, value.end, &part); )
            *(part.number == 1 ? &q : &v) = bits_double(part.value);
        builder_set(in->labels, STR("quantile"), bound_text(in, text, q));
        if (!put_named(in, p, "", v, err))
            return false;
    }
    s->rest.left = true;
    return true;
}

/* ---- exponential histograms ---- */

/* Buckets { sint32 offset = 1; repeated uint64 bucket_counts = 2; } merged 2^shift to one, as Prometheus has them: an
 * index there is the upper bound's. */
static bool read_exponential(struct arena *a, struct str message, unsigned shift, struct buckets *out, struct err *err)
{
    struct pb_cursor c = pb_cursor_of(message);
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
    struct pb_cursor values = pb_cursor_of(packed);
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
    struct histogram h = {.schema = p->scale - (int32_t)shift, .zero_threshold = p->zero_threshold > 0 && !s->prometheus ? p->zero_threshold : 1e-128,
                          .zero_count = (double)p->zero_count, .count = (double)p->count, .sum = p->sum};
    if (p->scale < HISTOGRAM_SCHEMA_MIN || shift > 31)
        return err_set(err, ERR_BAD_DATA, "an exponential histogram has the scale %d; %d to %d are supported", (int)p->scale,
                       HISTOGRAM_SCHEMA_MIN, HISTOGRAM_SCHEMA_MAX + 31);
    if (p->flags & OTLP_NO_VALUE)
        h = (struct histogram){.sum = stale_nan()};
    else if (!read_exponential(in->scratch, p->positive, shift, &h.positive, err)
             || !read_exponential(in->scratch, p->negative, shift, &h.negative, err))
        return false;
    if (s->delta && !otlp_sum_histogram(in, p, &h, err))
        return false;
    buf_clear(&s->histogram);
    histogram_encode(&s->histogram, &h, p->t);
    return ingest_series_histogram(in, buf_str(&s->histogram), err);
}

static bool put_all(struct ingest *in, const struct otlp_point *p, struct str message, struct err *err)
{
    struct otlp_state *s = in->state;
    switch (s->kind) {
    case OTLP_GAUGE: case OTLP_SUM: return otlp_put_number(in, p, err);
    case OTLP_HISTOGRAM: return put_histogram(in, p, err);
    case OTLP_EXPONENTIAL: return put_exponential(in, p, err);
    case OTLP_SUMMARY:
        s->rest.quantiles = pb_cursor_of(message);
        return put_count_and_sum(in, p, err) && put_some_quantiles(in, p, err);
    }
    return true;
}

static void otlp_skip_point(struct ingest *in, const struct err *why)
{
    struct otlp_state *s = in->state;
    if (s->skipped.kind == ERR_NONE)
        err_set(&s->skipped, why->kind, "metric `%.*s`: %.400s", STR_ARG(str_first(s->name, 200)), why->text);
    s->n_skipped++;
    s->rest.left = false;
    ingest_skip(in, why);
}

bool otlp_point(struct ingest *in, struct str message, struct err *err)
{
    struct err why;
    struct otlp_state *s = in->state;
    struct otlp_point *p = &s->point;
    if (!read_point(in, message, err))
        return false;
    s->target_from = p->t < s->target_from ? p->t : s->target_from;
    s->target_to = p->t > s->target_to ? p->t : s->target_to;
    if (s->name.n == 0)
        err_set(&why, ERR_BAD_DATA, "a metric has no name");
    else if (!s->temporality)
        err_set(&why, ERR_BAD_DATA, "its temporality is not cumulative; see --enable-feature=otlp-deltatocumulative");
    else if (s->prometheus && !otlp_prometheus_labels(s->conf, &s->arena, &p->attributes, &why)) {}
    else if (begin_point(in, p, &why) && put_all(in, p, message, &why))
        return true;
    otlp_skip_point(in, &why);
    return true;
}

void otlp_point_more(struct ingest *in)
{
    struct err why;
    struct otlp_state *s = in->state;
    const struct otlp_point *p = &s->point;
    if (!begin_point(in, p, &why)
        || !(s->kind == OTLP_SUMMARY ? put_some_quantiles(in, p, &why)
                                     : put_some_buckets(in, p, (const double *)s->rest.values.p, &why)))
        otlp_skip_point(in, &why);
}
