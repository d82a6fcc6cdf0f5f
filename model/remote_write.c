// SPDX-License-Identifier: Apache-2.0
/* Encodes prometheus.WriteRequest. The size of a series is computed first, space is reserved once, and the series is
 * written front to back; label bytes are copied. Zero values are omitted, as in proto3. */
#include "model/remote_write.h"
#include "base/protobuf.h"
#include "base/varint.h"

enum { TAG_TIMESERIES = 0x0a, TAG_SAMPLE = 0x12, TAG_EXEMPLAR = 0x1a, TAG_HISTOGRAM = 0x22 };
enum { TAG_SAMPLE_VALUE = 0x09, TAG_SAMPLE_TIME = 0x10, TAG_SAMPLE_START = 0x18 };
enum { TAG_EXEMPLAR_VALUE = 0x11, TAG_EXEMPLAR_TIME = 0x18 };
enum { FIELD_METADATA = 3, FIELD_TYPE = 1, FIELD_FAMILY = 2, FIELD_HELP = 4, FIELD_UNIT = 5 };

static inline size_t sample_size(struct sample s)
{
    return (double_bits(s.v) ? 9 : 0) + (s.t ? 1 + varint_size((uint64_t)s.t) : 0);
}

static inline uint8_t *remote_write_put_sample(uint8_t *p, struct sample s)
{
    *p++ = TAG_SAMPLE;
    *p++ = (uint8_t)sample_size(s); /* at most 20 */
    if (double_bits(s.v)) {
        *p++ = TAG_SAMPLE_VALUE;
        memcpy(p, &s.v, 8);
        p += 8;
    }
    if (s.t) {
        *p++ = TAG_SAMPLE_TIME;
        p = varint_put(p, (uint64_t)s.t);
    }
    return p;
}

static size_t messages_size(const struct str *items, size_t n)
{
    size_t size = 0;
    for (size_t i = 0; i < n; i++)
        size += 1 + varint_size(items[i].n) + items[i].n;
    return size;
}

static uint8_t *put_messages(uint8_t *p, uint8_t tag, const struct str *items, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        *p++ = tag;
        p = varint_put(p, items[i].n);
        if (items[i].n > 0)
            memcpy(p, items[i].p, items[i].n);
        p += items[i].n;
    }
    return p;
}

/* Reserves space for a series of `size` bytes and writes its header; NULL when the buffer's limit would be exceeded. */
static inline uint8_t *begin_series(struct buf *out, struct labels labels, size_t size)
{
    if (!buf_reserve(out, 1 + varint_size(size) + size))
        return NULL;
    uint8_t *p = (uint8_t *)out->p + out->n;
    *p++ = TAG_TIMESERIES;
    p = varint_put(p, size);
    if (labels.n > 0)
        memcpy(p, labels.p, labels.n);
    return p + labels.n;
}

static inline size_t samples_size(const struct sample *samples, size_t n)
{
    size_t size = 2 * n;
    for (size_t i = 0; i < n; i++)
        size += sample_size(samples[i]);
    return size;
}

void rw_append_series(struct buf *out, struct labels labels, const struct sample *samples, size_t n)
{
    uint8_t *p = begin_series(out, labels, labels.n + samples_size(samples, n));
    if (p == NULL)
        return;
    for (size_t i = 0; i < n; i++)
        p = remote_write_put_sample(p, samples[i]);
    out->n = (size_t)(p - (uint8_t *)out->p);
}

static uint8_t *remote_write_put_started(uint8_t *p, struct sample s, int64_t start)
{
    uint8_t *size = p + 1;
    p = remote_write_put_sample(p, s);
    if (start != 0) {
        *size = (uint8_t)(*size + 1 + varint_size((uint64_t)start)); /* at most 31 */
        *p++ = TAG_SAMPLE_START;
        p = varint_put(p, (uint64_t)start);
    }
    return p;
}

static size_t starts_size(const struct rw_contents *c)
{
    size_t size = 0;
    for (size_t i = 0; c->starts && i < c->n_samples; i++)
        size += c->starts[i] ? 1 + varint_size((uint64_t)c->starts[i]) : 0;
    return size;
}

void rw_append_full(struct buf *out, struct labels labels, const struct rw_contents *c)
{
    size_t size = labels.n + samples_size(c->samples, c->n_samples) + starts_size(c)
                  + messages_size(c->hists, c->n_hists) + messages_size(c->exemplars, c->n_exemplars);
    uint8_t *p = begin_series(out, labels, size);
    if (p == NULL)
        return;
    for (size_t i = 0; i < c->n_samples; i++)
        p = remote_write_put_started(p, c->samples[i], c->starts ? c->starts[i] : 0);
    p = put_messages(p, TAG_EXEMPLAR, c->exemplars, c->n_exemplars);
    p = put_messages(p, TAG_HISTOGRAM, c->hists, c->n_hists);
    out->n = (size_t)(p - (uint8_t *)out->p);
}

static size_t text_size(struct str s) { return s.n ? 1 + varint_size(s.n) + s.n : 0; }

static void add_text(struct buf *out, unsigned field, struct str s)
{
    if (s.n > 0)
        pb_add_bytes(out, field, s);
}

void rw_append_exemplar(struct buf *out, struct labels labels, double value, int64_t t)
{
    uint8_t tail[1 + 8 + 1 + VARINT_MAX], *p = tail;
    *p++ = TAG_EXEMPLAR_VALUE;
    memcpy(p, &value, 8);
    p += 8;
    *p++ = TAG_EXEMPLAR_TIME;
    p = varint_put(p, (uint64_t)t);
    buf_add(out, labels.p, labels.n); /* in an Exemplar labels are the same field as in a TimeSeries */
    buf_add(out, tail, (size_t)(p - tail));
}

void rw_append_metadata(struct buf *out, const struct metadata *m)
{
    size_t size = (m->type ? 2 : 0) + text_size(m->family) + text_size(m->help) + text_size(m->unit);
    if (!buf_reserve(out, 1 + varint_size(size) + size))
        return;
    pb_add_varint(out, FIELD_METADATA << 3 | 2);
    pb_add_varint(out, size);
    if (m->type)
        pb_add_int(out, FIELD_TYPE, m->type);
    add_text(out, FIELD_FAMILY, m->family);
    add_text(out, FIELD_HELP, m->help);
    add_text(out, FIELD_UNIT, m->unit);
}

static const char *const type_names[] = {
    "unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset",
};

const char *metric_type_name(enum metric_type t) { return t < LEN(type_names) ? type_names[t] : type_names[0]; }

enum metric_type metric_type_parse(struct str s)
{
    for (size_t i = 0; i < LEN(type_names); i++)
        if (str_is(s, type_names[i]))
            return (enum metric_type)i;
    return METRIC_UNKNOWN;
}
