// SPDX-License-Identifier: Apache-2.0
/* The wire format of native histograms: the message prometheus.Histogram, without generated code.
 *
 *   1 count (integer)  or  2 count (double)     which of the two is set determines the type of all counts
 *   3 sum   4 schema (zigzag)   5 zero threshold
 *   6 zero count (integer)  or  7 zero count (double)
 *   8 negative spans    9 negative deltas (zigzag, each to the bucket before)   10 negative counts (double)
 * 11 positive spans 12 positive deltas 13 positive counts 14 reset hint 15 time in ms 16 custom bounds (double) span:
 * 1 offset (zigzag) 2 length
 *
 * Repeated numbers may be packed or not. Lengths are checked before memory is allocated, and a histogram has at most
 * HISTOGRAM_MAX_BUCKETS buckets per side.
 */
#include "model/histogram/histogram.h"

#include "base/protobuf.h"
#include "base/varint.h"
#include "model/series.h"

enum {
    COUNT_INT = 1, COUNT_FLOAT, SUM, SCHEMA, ZERO_THRESHOLD, ZERO_INT, ZERO_FLOAT,
    NEGATIVE_SPANS, NEGATIVE_DELTAS, NEGATIVE_COUNTS, POSITIVE_SPANS, POSITIVE_DELTAS, POSITIVE_COUNTS,
    RESET_HINT, TIME, CUSTOM, FIELDS
};
enum { SPAN_OFFSET = 1, SPAN_LENGTH = 2 };
enum { VARINT = 1 << 0, FIXED64 = 1 << 1, BYTES = 1 << 2 }; /* bit set of wire types: 1 << wire type */
static const unsigned char wires[FIELDS] = {
    [COUNT_INT] = VARINT, [COUNT_FLOAT] = FIXED64, [SUM] = FIXED64, [SCHEMA] = VARINT, [ZERO_THRESHOLD] = FIXED64,
    [ZERO_INT] = VARINT, [ZERO_FLOAT] = FIXED64,
    [NEGATIVE_SPANS] = BYTES, [NEGATIVE_DELTAS] = BYTES | VARINT, [NEGATIVE_COUNTS] = BYTES | FIXED64,
    [POSITIVE_SPANS] = BYTES, [POSITIVE_DELTAS] = BYTES | VARINT, [POSITIVE_COUNTS] = BYTES | FIXED64,
    [RESET_HINT] = VARINT, [TIME] = VARINT, [CUSTOM] = BYTES | FIXED64,
};

struct numbers { double *items; size_t n, cap; };
struct histogram_side {
    struct span *spans;
    size_t n_spans, cap_spans;
    struct numbers counts, from_deltas;
    int64_t last; /* the sum of the deltas so far */
};
struct histogram_reader {
    struct arena *arena;
    struct err *err;
    struct histogram_side negative, positive;
    struct numbers custom;
    struct histogram h;
    bool is_float;
    int64_t t;
};

static bool histogram_decode_fail(const struct histogram_reader *r, const char *what)
{
    return err_set(r->err, ERR_BAD_DATA, "native histogram: %s", what);
}

static bool histogram_reserve(struct histogram_reader *r, void *items, size_t *cap, size_t n, size_t more, size_t size)
{
    if (more > HISTOGRAM_MAX_BUCKETS || n + more > HISTOGRAM_MAX_BUCKETS)
        return histogram_decode_fail(r, "too many buckets");
    arena_grow(r->arena, items, cap, n + more, size);
    return n + more <= *cap || err_set(r->err, ERR_LIMIT, "native histogram: memory budget exceeded");
}

static bool add_doubles(struct histogram_reader *r, struct numbers *to, const struct pb_field *f)
{
    bool packed = 1 << f->wire == BYTES;
    size_t n = packed ? f->bytes.n / 8 : 1;
    if (packed && f->bytes.n % 8 != 0)
        return histogram_decode_fail(r, "truncated list of numbers");
    if (!histogram_reserve(r, &to->items, &to->cap, to->n, n, sizeof *to->items))
        return false;
    if (n > 0)
        memcpy(to->items + to->n, packed ? (const void *)f->bytes.p : &f->value, n * 8);
    to->n += n;
    return true;
}

static bool add_delta(struct histogram_reader *r, struct histogram_side *s, uint64_t v)
{
    if (__builtin_add_overflow(s->last, unzigzag(v), &s->last))
        return histogram_decode_fail(r, "bucket count overflow");
    s->from_deltas.items[s->from_deltas.n++] = (double)s->last;
    return true;
}

static bool add_packed_deltas(struct histogram_reader *r, struct histogram_side *s, struct str bytes)
{
    const uint8_t *p = (const uint8_t *)bytes.p, *end = p + bytes.n;
    struct numbers *to = &s->from_deltas;
    size_t n = 0;
    for (const uint8_t *at = p; at < end; at++)
        n += *at < 0x80; /* each number has exactly one such byte, its last */
    if (!histogram_reserve(r, &to->items, &to->cap, to->n, n, sizeof *to->items))
        return false;
    while (p < end) {
        uint64_t v = 0;
        p = varint_get(p, end, &v);
        if (p == NULL)
            return histogram_decode_fail(r, "truncated list of numbers");
        if (!add_delta(r, s, v))
            return false;
    }
    return true;
}

static bool add_deltas(struct histogram_reader *r, struct histogram_side *s, const struct pb_field *f)
{
    struct numbers *to = &s->from_deltas;
    if (1 << f->wire == BYTES)
        return add_packed_deltas(r, s, f->bytes);
    return histogram_reserve(r, &to->items, &to->cap, to->n, 1, sizeof *to->items) && add_delta(r, s, f->value);
}

static bool add_span(struct histogram_reader *r, struct histogram_side *s, struct str bytes)
{
    const uint8_t *p = (const uint8_t *)bytes.p, *end = p + bytes.n;
    struct span span = {0};
    struct pb_field f;
    while (pb_next(&p, end, &f)) {
        if (f.number <= SPAN_LENGTH && f.wire != 0)
            return histogram_decode_fail(r, "span field of the wrong type");
        if (f.number == SPAN_OFFSET)
            span.offset = (int32_t)unzigzag((uint32_t)f.value);
        else if (f.number == SPAN_LENGTH)
            span.length = (uint32_t)f.value;
    }
    if (p != end)
        return histogram_decode_fail(r, "truncated span");
    if (!histogram_reserve(r, &s->spans, &s->cap_spans, s->n_spans, 1, sizeof *s->spans))
        return false;
    s->spans[s->n_spans++] = span;
    return true;
}

static bool read_field(struct histogram_reader *r, const struct pb_field *f)
{
    struct histogram *h = &r->h;
    double number = double_from_bits(f->value);
    switch (f->number) {
    case COUNT_INT: h->count = (double)f->value; r->is_float = false; return true;
    case COUNT_FLOAT: h->count = number; r->is_float = true; return true;
    case SUM: h->sum = number; return true;
    case SCHEMA: h->schema = (int32_t)unzigzag((uint32_t)f->value); return true;
    case ZERO_THRESHOLD: h->zero_threshold = number; return true;
    case ZERO_INT: h->zero_count = (double)f->value; return true;
    case ZERO_FLOAT: h->zero_count = number; return true;
    case NEGATIVE_SPANS: return add_span(r, &r->negative, f->bytes);
    case NEGATIVE_DELTAS: return add_deltas(r, &r->negative, f);
    case NEGATIVE_COUNTS: return add_doubles(r, &r->negative.counts, f);
    case POSITIVE_SPANS: return add_span(r, &r->positive, f->bytes);
    case POSITIVE_DELTAS: return add_deltas(r, &r->positive, f);
    case POSITIVE_COUNTS: return add_doubles(r, &r->positive.counts, f);
    case RESET_HINT: h->hint = f->value <= RESET_GAUGE ? (enum reset_hint)f->value : RESET_UNKNOWN; return true;
    case TIME: r->t = (int64_t)f->value; return true;
    case CUSTOM: return add_doubles(r, &r->custom, f);
    default: return true;
    }
}

static bool read_fields(struct histogram_reader *r, const uint8_t *p, const uint8_t *end)
{
    struct pb_field f;
    while (pb_next(&p, end, &f)) {
        if (f.number < FIELDS && !(wires[f.number] & 1u << f.wire))
            return histogram_decode_fail(r, "field of the wrong type");
        if (!read_field(r, &f))
            return false;
    }
    return p == end || histogram_decode_fail(r, "truncated or malformed field");
}

/* Spans and counts must agree, and every bucket must have bounds: its index is between `least` and `most`. */
static bool histogram_decode_side(struct histogram_reader *r, const struct histogram_side *s, int64_t least,
                                  int64_t most, struct buckets *out)
{
    const struct numbers *counts = r->is_float ? &s->counts : &s->from_deltas;
    int64_t index = 0;
    uint64_t total = 0;
    for (size_t i = 0; i < s->n_spans; i++) {
        if (i > 0 && s->spans[i].offset < 0)
            return histogram_decode_fail(r, "negative offset in a span after the first");
        index += s->spans[i].offset;
        if (index < least || index + s->spans[i].length > most + 1)
            return histogram_decode_fail(r, "span outside the schema's buckets");
        index += s->spans[i].length;
        total += s->spans[i].length;
    }
    if (total != counts->n)
        return histogram_decode_fail(r, "spans do not match the number of bucket counts");
    *out = (struct buckets){s->spans, (uint32_t)s->n_spans, counts->items, (uint32_t)counts->n};
    return true;
}

static bool histogram_decode_custom(struct histogram_reader *r)
{
    struct histogram *h = &r->h;
    for (size_t i = 0; i < r->custom.n; i++)
        if (!isfinite(r->custom.items[i]) || (i > 0 && r->custom.items[i] <= r->custom.items[i - 1]))
            return histogram_decode_fail(r, "custom bounds are not finite and ascending");
    if (r->negative.n_spans > 0 || r->negative.counts.n > 0 || r->negative.from_deltas.n > 0)
        return histogram_decode_fail(r, "negative buckets with custom bounds");
    if (h->zero_count != 0 || h->zero_threshold != 0)
        return histogram_decode_fail(r, "zero bucket with custom bounds");
    h->custom = r->custom.items;
    h->n_custom = (uint32_t)r->custom.n;
    return histogram_decode_side(r, &r->positive, 0, h->n_custom, &h->positive); /* the last bucket ends at +Inf */
}

static bool histogram_decode_field(struct histogram_reader *r)
{
    struct histogram *h = &r->h;
    if (h->schema == HISTOGRAM_CUSTOM)
        return histogram_decode_custom(r);
    if (h->schema < HISTOGRAM_SCHEMA_MIN || h->schema > HISTOGRAM_SCHEMA_MAX)
        return histogram_decode_fail(r, "unknown schema");
    if (r->custom.n > 0)
        return histogram_decode_fail(r, "custom bounds without the custom schema");
    return histogram_decode_side(r, &r->negative, INT32_MIN, INT32_MAX, &h->negative) &&
           histogram_decode_side(r, &r->positive, INT32_MIN, INT32_MAX, &h->positive);
}

/* ---- counts ---- */

static bool sum_buckets(const struct histogram_reader *r, const struct buckets *b, double *total)
{
    for (uint32_t i = 0; i < b->n_counts; i++) {
        if (b->counts[i] < 0)
            return histogram_decode_fail(r, "negative count in a bucket");
        *total += b->counts[i];
    }
    return true;
}

/* Only integer counts are exact and can be compared; beyond 2^53 these are rounded too. */
static bool check_counts(const struct histogram_reader *r)
{
    const struct histogram *h = &r->h;
    double total = h->zero_count;
    if (h->count < 0 || h->zero_count < 0)
        return histogram_decode_fail(r, "negative count");
    if (!sum_buckets(r, &h->negative, &total) || !sum_buckets(r, &h->positive, &total))
        return false;
    if (r->is_float || total >= 0x1p53 || h->count >= 0x1p53)
        return true;
    if (isnan(h->sum) ? total <= h->count : total == h->count)
        return true;
    return err_set(r->err, ERR_BAD_DATA, "native histogram: count is %.0f but its buckets contain %.0f observations",
                   h->count, total);
}

static bool decode_fields(struct histogram_reader *r, const uint8_t *p, size_t n, int64_t *t, struct histogram *out)
{
    if (!read_fields(r, p, p + n) || !histogram_decode_field(r))
        return false;
    *t = r->t;
    *out = r->h;
    return true;
}

bool histogram_decode(struct arena *a, const uint8_t *p, size_t n, int64_t *t, struct histogram *out, struct err *err)
{
    return decode_fields(&(struct histogram_reader){.arena = a, .err = err}, p, n, t, out);
}

bool histogram_decode_strict(struct arena *a, const uint8_t *p, size_t n, int64_t *t, struct histogram *out,
                             struct err *err)
{
    struct histogram_reader r = {.arena = a, .err = err};
    return decode_fields(&r, p, n, t, out) && check_counts(&r);
}

bool histogram_lacks_bounds(const uint8_t *p, size_t n)
{
    const uint8_t *end = p + n;
    struct pb_field f;
    bool custom = false, bounds = false, stale = false;
    while (pb_next(&p, end, &f)) {
        custom = custom || (f.number == SCHEMA && (int32_t)unzigzag((uint32_t)f.value) == HISTOGRAM_CUSTOM);
        stale = stale || (f.number == SUM && is_stale(double_from_bits(f.value)));
        bounds = bounds || f.number == CUSTOM;
    }
    return custom && !bounds && !stale;
}

static void add_double(struct buf *out, unsigned field, double v)
{
    if (double_bits(v))
        pb_add_double(out, field, v);
}

static void add_spans(struct buf *out, unsigned field, const struct buckets *b)
{
    for (uint32_t i = 0; i < b->n_spans; i++) {
        uint64_t offset = zigzag(b->spans[i].offset), length = b->spans[i].length;
        pb_add_varint(out, field << 3 | 2);
        pb_add_varint(out, (offset ? 1 + varint_size(offset) : 0) + (length ? 1 + varint_size(length) : 0));
        if (offset)
            pb_add_int(out, SPAN_OFFSET, (int64_t)offset);
        if (length)
            pb_add_int(out, SPAN_LENGTH, (int64_t)length);
    }
}

static void histogram_add_packed(struct buf *out, unsigned field, const double *items, size_t n)
{
    if (n > 0)
        pb_add_bytes(out, field, str_n(items, n * sizeof *items));
}

void histogram_encode(struct buf *out, const struct histogram *h, int64_t t)
{
    pb_add_double(out, COUNT_FLOAT, h->count); /* even if zero: it determines the type of the counts */
    add_double(out, SUM, h->sum);
    if (h->schema)
        pb_add_int(out, SCHEMA, (int64_t)zigzag(h->schema));
    add_double(out, ZERO_THRESHOLD, h->zero_threshold);
    pb_add_double(out, ZERO_FLOAT, h->zero_count);
    add_spans(out, NEGATIVE_SPANS, &h->negative);
    histogram_add_packed(out, NEGATIVE_COUNTS, h->negative.counts, h->negative.n_counts);
    add_spans(out, POSITIVE_SPANS, &h->positive);
    histogram_add_packed(out, POSITIVE_COUNTS, h->positive.counts, h->positive.n_counts);
    if (h->hint)
        pb_add_int(out, RESET_HINT, h->hint);
    if (t)
        pb_add_int(out, TIME, t);
    histogram_add_packed(out, CUSTOM, h->custom, h->n_custom);
}

/* Differences between neighbouring buckets. */
static void histogram_add_deltas(struct buf *out, unsigned field, const struct buckets *b)
{
    struct buf packed = {0};
    int64_t before = 0;
    for (uint32_t i = 0; i < b->n_counts; i++) {
        int64_t count = (int64_t)b->counts[i];
        pb_add_varint(&packed, zigzag(count - before));
        before = count;
    }
    if (packed.n > 0)
        pb_add_bytes(out, field, buf_str(&packed));
    buf_free(&packed);
}

void histogram_encode_int(struct buf *out, const struct histogram *h, int64_t t)
{
    pb_add_int(out, COUNT_INT, (int64_t)h->count);
    add_double(out, SUM, h->sum);
    if (h->schema)
        pb_add_int(out, SCHEMA, (int64_t)zigzag(h->schema));
    add_double(out, ZERO_THRESHOLD, h->zero_threshold);
    pb_add_int(out, ZERO_INT, (int64_t)h->zero_count);
    add_spans(out, NEGATIVE_SPANS, &h->negative);
    histogram_add_deltas(out, NEGATIVE_DELTAS, &h->negative);
    add_spans(out, POSITIVE_SPANS, &h->positive);
    histogram_add_deltas(out, POSITIVE_DELTAS, &h->positive);
    if (h->hint)
        pb_add_int(out, RESET_HINT, h->hint);
    if (t)
        pb_add_int(out, TIME, t);
    histogram_add_packed(out, CUSTOM, h->custom, h->n_custom);
}

bool histogram_is_stale(const struct histogram *h) { return is_stale(h->sum); }
