// SPDX-License-Identifier: Apache-2.0
/* Exemplars and native histograms of protobuf exposition become messages of remote write:
 *
 *   Exemplar  { repeated LabelPair label = 1; value = 2; Timestamp timestamp = 3 { seconds = 1; nanos = 2 }; }
 *   Histogram { sample_count = 1; sample_sum = 2; repeated Bucket bucket = 3; sample_count_float = 4; schema = 5;
 *               zero_threshold = 6; zero_count = 7; zero_count_float = 8; negative_span = 9; negative_delta = 10;
 *               negative_count = 11; positive_span = 12; positive_delta = 13; positive_count = 14;
 *               repeated Exemplar exemplars = 16; }
 *
 * Remote write's prometheus.Histogram has the same fields with other numbers, so most are copied.
 */
#include "base/hash.h"
#include "base/text/utf8.h"
#include "model/exposition/exposition_proto_internal.h"
#include "model/histogram/histogram_math.h"
#include "model/remote_write.h"

/* Numbers in io.prometheus.client.Histogram, and in prometheus.Histogram. */
enum {
    COUNT_INT = 1, SAMPLE_SUM, COUNT_FLOAT = 4, SCHEMA, ZERO_THRESHOLD, ZERO_INT, ZERO_FLOAT, NEGATIVE_SPAN,
    POSITIVE_SPAN = 12, POSITIVE_COUNT = 14
};
enum { REMOTE_COUNT_INT = 1, REMOTE_COUNT_FLOAT, REMOTE_ZERO_INT = 6, REMOTE_ZERO_FLOAT, REMOTE_HINT = 14, REMOTE_TIME };
static const unsigned char remote_field[POSITIVE_COUNT + 1] = {
    [SAMPLE_SUM] = 3, [SCHEMA] = 4, [ZERO_THRESHOLD] = 5, [NEGATIVE_SPAN] = 8, [NEGATIVE_SPAN + 1] = 9,
    [NEGATIVE_SPAN + 2] = 10, [POSITIVE_SPAN] = 11, [POSITIVE_SPAN + 1] = 12, [POSITIVE_COUNT] = 13};

/* ---- exemplars ---- */

struct proto_exemplar { double value; int64_t t; bool has_t; };

int64_t proto_timestamp(struct str message)
{
    const uint8_t *at = proto_begin(message);
    struct pb_field f;
    uint64_t ms = 0; /* wraps around, as Go does */
    while (pb_next(&at, proto_end(message), &f))
        if (f.wire == 0 && f.number <= 2)
            ms += f.number == 1 ? f.value * 1000 : (uint64_t)((int64_t)f.value / 1000000);
    return (int64_t)ms;
}

static bool add_exemplar_label(struct labels_builder *b, struct str pair)
{
    const uint8_t *at = proto_begin(pair);
    struct pb_field f;
    struct str name = STR_NONE, value = STR_NONE;
    while (pb_next(&at, proto_end(pair), &f))
        if (f.wire == 2 && f.number <= 2)
            *(f.number == 1 ? &name : &value) = f.bytes;
    if (!label_name_valid(name) || !utf8_valid(value) || b->n == LABELS_MAX_COUNT)
        return false;
    builder_add(b, name, value);
    return true;
}

/* False: it is not valid, and is left out as by the text formats. */
static bool proto_read_exemplar(struct proto_page *p, struct str message, struct proto_exemplar *out)
{
    const uint8_t *at = proto_begin(message);
    struct pb_field f;
    struct str name;
    *out = (struct proto_exemplar){0};
    arena_reset(&p->copy.scratch);
    builder_start(&p->copy.builder, (struct labels){0});
    while (pb_next(&at, proto_end(message), &f)) {
        if (f.number == 1 && f.wire == 2 && !add_exemplar_label(&p->copy.builder, f.bytes))
            return false;
        if (f.number == 2)
            out->value = proto_double(&f);
        if (f.number == 3 && f.wire == 2) {
            out->has_t = true;
            out->t = proto_timestamp(f.bytes);
        }
    }
    return at == proto_end(message) && !builder_duplicate(&p->copy.builder, &name);
}

static bool append_exemplar(struct proto_page *p, uint32_t at, const struct proto_exemplar *x, struct str message)
{
    struct labels labels = builder_labels(&p->copy.builder, &p->copy.scratch);
    return page_copy_exemplar(&p->copy, at, labels, x->value, x->has_t ? x->t : p->_options.t,
                              hash_keyed(message.p, message.n));
}

bool proto_add_exemplar(struct proto_page *p, uint32_t at, struct str exemplar)
{
    struct proto_exemplar x;
    return !proto_read_exemplar(p, exemplar, &x) || append_exemplar(p, at, &x, exemplar);
}

static bool add_timed_exemplar(struct proto_page *p, uint32_t at, struct str exemplar)
{
    struct proto_exemplar x;
    return !proto_read_exemplar(p, exemplar, &x) || !x.has_t || append_exemplar(p, at, &x, exemplar);
}

static struct str exemplar_of_bucket(struct str bucket)
{
    const uint8_t *at = proto_begin(bucket);
    struct pb_field f;
    while (pb_next(&at, proto_end(bucket), &f))
        if (f.number == BUCKET_EXEMPLAR && f.wire == 2)
            return f.bytes;
    return STR_NONE;
}

bool proto_add_histogram_exemplars(struct proto_page *p, uint32_t place, struct str histogram)
{
    const uint8_t *at = proto_begin(histogram), *end = proto_end(histogram);
    struct pb_field f;
    size_t first = p->copy.n_extras;
    bool own = false;
    while (pb_next(&at, end, &f)) {
        if (f.number != HISTOGRAM_EXEMPLARS || f.wire != 2)
            continue;
        own = true;
        if (!add_timed_exemplar(p, place, f.bytes))
            return false;
    }
    for (at = proto_begin(histogram); !own && pb_next(&at, end, &f); ) {
        struct str exemplar = f.number == HISTOGRAM_BUCKET && f.wire == 2 ? exemplar_of_bucket(f.bytes) : STR_NONE;
        if (exemplar.p && !add_timed_exemplar(p, place, exemplar))
            return false;
    }
    page_copy_sort_exemplars(&p->copy, first);
    return true;
}

/* ---- native histograms ---- */

struct proto_counts { uint64_t count, zero; double count_float, zero_float, zero_threshold; bool spans; };
static struct proto_counts read_counts(struct str histogram)
{
    const uint8_t *at = proto_begin(histogram);
    struct pb_field f;
    struct proto_counts c = {0};
    while (pb_next(&at, proto_end(histogram), &f)) {
        switch (f.number) {
        case COUNT_INT: c.count = f.value; break;
        case COUNT_FLOAT: c.count_float = proto_double(&f); break;
        case ZERO_INT: c.zero = f.value; break;
        case ZERO_FLOAT: c.zero_float = proto_double(&f); break;
        case ZERO_THRESHOLD: c.zero_threshold = proto_double(&f); break;
        case NEGATIVE_SPAN: case POSITIVE_SPAN: c.spans = true; break;
        default: break;
        }
    }
    return c;
}

bool proto_is_native(struct str histogram)
{
    struct proto_counts c = read_counts(histogram);
    return c.spans || c.zero_threshold > 0 || c.zero > 0;
}

static void copy_field(struct buf *out, unsigned field, const struct pb_field *f)
{
    if (f->wire == 2)
        pb_add_bytes(out, field, f->bytes);
    else if (f->wire == 1)
        pb_add_double(out, field, double_from_bits(f->value));
    else if (f->wire == 0)
        pb_add_int(out, field, (int64_t)f->value);
}

/* A resolution that is allowed. False: there are too many buckets in the lowest one. */
static bool limit_resolution(struct proto_page *p, struct histogram *h, bool *changed)
{
    uint32_t limit = p->_options.bucket_limit;
    int schema = h->schema > p->_options.max_schema ? p->_options.max_schema : h->schema;
    for (;; schema--) {
        if (schema < h->schema) {
            *h = *histogram_reduce(&p->copy.scratch, h, schema);
            *changed = true;
        }
        if (limit == 0 || h->positive.n_counts + h->negative.n_counts <= limit)
            return true;
        if (h->schema <= HISTOGRAM_SCHEMA_MIN)
            return false;
    }
}

static bool side_is_whole(const struct buckets *b)
{
    for (uint32_t i = 0; i < b->n_counts; i++)
        if (!(b->counts[i] < 0x1p53))
            return false;
    return true;
}

/* Counts are exact, so that the integer form can be written. */
static bool counts_are_exact(const struct histogram *h)
{
    return h->count < 0x1p53 && h->zero_count < 0x1p53 && side_is_whole(&h->positive) && side_is_whole(&h->negative);
}

/* Checks the last message, and writes it again if it has to become smaller. */
static bool check_histogram(struct proto_page *p, size_t message, bool is_float)
{
    struct buf *out = &p->copy.messages;
    struct histogram h;
    struct err err;
    int64_t t;
    bool changed = false;
    arena_reset(&p->copy.scratch);
    if (!histogram_decode_strict(&p->copy.scratch, (const uint8_t *)out->p + message, out->n - message, &t, &h, &err))
        return proto_refuse(p, ERR_BAD_DATA, err.text);
    if (!limit_resolution(p, &h, &changed))
        return proto_refuse(p, ERR_LIMIT, PROTO_OVER_BUCKETS);
    if (!changed)
        return true;
    out->n = message;
    if (is_float || !counts_are_exact(&h))
        histogram_encode(out, &h, t);
    else
        histogram_encode_int(out, &h, t);
    return true;
}

bool proto_add_histogram(struct proto_page *p, uint32_t place, struct str histogram, int64_t t)
{
    struct proto_counts c = read_counts(histogram);
    bool is_float = c.count_float > 0 || c.zero_float > 0;
    struct buf *out = &p->copy.messages;
    struct page_extra extra = {.at = place, .message = (uint32_t)out->n, .kind = PAGE_HISTOGRAM};
    const uint8_t *at = proto_begin(histogram);
    struct pb_field f;
    if (is_float) {
        pb_add_double(out, REMOTE_COUNT_FLOAT, c.count_float);
        pb_add_double(out, REMOTE_ZERO_FLOAT, c.zero_float);
    } else {
        pb_add_int(out, REMOTE_COUNT_INT, (int64_t)c.count);
        pb_add_int(out, REMOTE_ZERO_INT, (int64_t)c.zero);
    }
    while (pb_next(&at, proto_end(histogram), &f)) {
        if (f.number == SAMPLE_SUM && f.wire == 1 && isnan(double_from_bits(f.value)))
            f.value = double_bits(normal_nan()); /* a target writes no stale markers */
        if (f.number < LEN(remote_field) && remote_field[f.number])
            copy_field(out, remote_field[f.number], &f);
    }
    if (p->_family.type == PROTO_GAUGE_HISTOGRAM)
        pb_add_int(out, REMOTE_HINT, RESET_GAUGE);
    pb_add_int(out, REMOTE_TIME, t);
    if (!out->over && !check_histogram(p, extra.message, is_float))
        return false;
    return page_copy_extra(&p->copy, extra);
}
