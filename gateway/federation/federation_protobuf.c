// SPDX-License-Identifier: Apache-2.0
/* Protobuf, delimited: MetricFamily { name = 1; type = 3; repeated Metric metric = 4 }, each after its length.
 *
 *   Metric      { repeated LabelPair label = 1; Untyped untyped = 5 { value = 1 }; timestamp_ms = 6; histogram = 7 }
 *   Histogram   { sum = 2; count_float = 4; schema = 5; zero_threshold = 6; zero_count_float = 8;
 *                 negative_span = 9; negative_count = 11; positive_span = 12; positive_count = 14 }
 *
 * The types are untyped, or histogram and gauge histogram, as in Prometheus. There is no form for custom buckets: such
 * histograms are skipped.
 */
#include "gateway/federation/federation.h"

#include "base/protobuf.h"
#include "base/varint.h"

enum { FAMILY_UNTYPED = 3, FAMILY_HISTOGRAM = 4, FAMILY_GAUGE_HISTOGRAM = 5 };

struct federation_buffers { struct buf family, metric, item, name; };

static int federation_family_type(const struct federated *s)
{
    if (s->h == NULL)
        return FAMILY_UNTYPED;
    return s->h->hint == RESET_GAUGE ? FAMILY_GAUGE_HISTOGRAM : FAMILY_HISTOGRAM;
}

static void federation_add_label(struct federation_buffers *b, struct str name, struct str value,
                                 enum federation_escaping escaping)
{
    buf_clear(&b->name);
    federation_escape(&b->name, name, escaping);
    buf_clear(&b->item);
    pb_add_bytes(&b->item, 1, buf_str(&b->name));
    pb_add_bytes(&b->item, 2, value);
    pb_add_bytes(&b->metric, 1, buf_str(&b->item));
}

static void federation_add_labels(struct federation_buffers *b, struct labels l, enum federation_escaping escaping)
{
    struct labels_iter it = labels_iter(l);
    struct label label;
    while (labels_next(&it, &label))
        if (!str_is(label.name, METRIC_NAME))
            federation_add_label(b, label.name, label.value, escaping);
    if (labels_get(l, STR("instance")).p == NULL)
        federation_add_label(b, STR("instance"), STR(""), escaping);
}

static void federation_add_buckets(struct federation_buffers *b, const struct buckets *side, unsigned span,
                                   unsigned count)
{
    for (uint32_t i = 0; i < side->n_spans; i++) {
        buf_clear(&b->name);
        pb_add_int(&b->name, 1, (int64_t)zigzag(side->spans[i].offset));
        pb_add_int(&b->name, 2, side->spans[i].length);
        pb_add_bytes(&b->item, span, buf_str(&b->name));
    }
    for (uint32_t i = 0; i < side->n_counts; i++)
        pb_add_double(&b->item, count, side->counts[i]);
}

static void federation_add_histogram(struct federation_buffers *b, const struct histogram *h)
{
    buf_clear(&b->item);
    pb_add_double(&b->item, 2, h->sum);
    pb_add_double(&b->item, 4, h->count);
    pb_add_int(&b->item, 5, (int64_t)zigzag(h->schema));
    pb_add_double(&b->item, 6, h->zero_threshold);
    pb_add_double(&b->item, 8, h->zero_count);
    federation_add_buckets(b, &h->negative, 9, 11);
    federation_add_buckets(b, &h->positive, 12, 14);
    pb_add_bytes(&b->metric, 7, buf_str(&b->item));
}

static void federation_add_metric(struct federation_buffers *b, const struct federated *s,
                                  enum federation_escaping escaping)
{
    buf_clear(&b->metric);
    federation_add_labels(b, s->labels, escaping);
    if (s->h == NULL) {
        buf_clear(&b->item);
        pb_add_double(&b->item, 1, s->v);
        pb_add_bytes(&b->metric, 5, buf_str(&b->item));
    }
    pb_add_int(&b->metric, 6, s->t);
    if (s->h)
        federation_add_histogram(b, s->h);
    pb_add_bytes(&b->family, 4, buf_str(&b->metric));
}

static void federation_family_begin(struct federation_buffers *b, const struct federated *s,
                                    enum federation_escaping escaping)
{
    buf_clear(&b->family);
    buf_clear(&b->name);
    federation_escape(&b->name, labels_name(s->labels), escaping);
    pb_add_bytes(&b->family, 1, buf_str(&b->name));
    pb_add_int(&b->family, 3, federation_family_type(s));
}

static void federation_family_end(struct federation_buffers *b, struct buf *out)
{
    pb_add_varint(out, b->family.n);
    buf_add_str(out, buf_str(&b->family));
}

static bool federation_families(struct federation_buffers *b, struct buf *out, const struct federated *items, size_t n,
                                enum federation_escaping escaping, struct query_work *work, struct err *err)
{
    const struct federated *last = NULL;
    for (const struct federated *s = items; s < items + n; s++) {
        struct str name = labels_name(s->labels);
        if (!query_charge(work, QUERY_CHARGE_WRITE, err))
            return false;
        if (name.n == 0 || (s->h && s->h->schema == HISTOGRAM_CUSTOM) || (last && labels_equal(s->labels, last->labels)))
            continue;
        bool same = last && str_eq(name, labels_name(last->labels)) &&
                    federation_family_type(last) == federation_family_type(s);
        if (last && !same)
            federation_family_end(b, out);
        if (!same)
            federation_family_begin(b, s, escaping);
        federation_add_metric(b, s, escaping);
        last = s;
    }
    if (last)
        federation_family_end(b, out);
    return true;
}

/* The family that is being written is limited as the response is. */
bool federation_write_protobuf(struct buf *out, const struct federated *items, size_t n,
                               enum federation_escaping escaping, struct query_work *work, struct err *err)
{
    struct federation_buffers b = {.family.max = out->max};
    bool ok = federation_families(&b, out, items, n, escaping, work, err);
    out->over = out->over || b.family.over;
    buf_free(&b.family);
    buf_free(&b.metric);
    buf_free(&b.item);
    buf_free(&b.name);
    return ok;
}
