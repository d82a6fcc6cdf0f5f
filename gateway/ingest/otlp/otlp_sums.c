// SPDX-License-Identifier: Apache-2.0
/* Points of delta temporality as cumulative ones (otlp_delta.h). A series is known by its kind and labels, whatever their
 * order; histograms with other bounds begin anew, exponential ones of other scales or zero thresholds are reconciled. */
#include "base/hash.h"
#include "gateway/ingest/otlp/otlp.h"
#include "gateway/services/services.h"
#include "model/histogram/histogram_math.h"

static uint64_t delta_series_id(const struct ingest *in)
{
    uint64_t labels = 0;
    for (size_t i = 0; i < in->labels->n; i++) {
        const struct label_slot *slot = &in->labels->slots[i];
        const uint64_t pair[] = {hash_keyed(slot->label.name.p, slot->label.name.n),
                                 hash_keyed(slot->label.value.p, slot->label.value.n)};
        if (!slot->deleted)
            labels += hash_keyed(pair, sizeof pair);
    }
    const uint64_t parts[] = {in->same, (uint64_t)((struct otlp_state *)in->state)->kind, labels};
    return hash_keyed(parts, sizeof parts);
}

static bool delta_no_memory(struct err *err)
{
    return err_set(err, ERR_LIMIT, "the sums of other series of delta temporality use all of %d bytes", OTLP_DELTA_MEMORY);
}

/* False with an error, or without one if the point is to be left as it is. */
static bool delta_begin(struct ingest *in, const struct otlp_point *p, enum otlp_delta *what, struct otlp_delta_series **series,
                        bool *left, struct err *err)
{
    *left = in->phase == INGEST_CHECK || (p->flags & OTLP_NO_VALUE);
    if (*left)
        return false;
    *what = otlp_delta_open(in->services->otlp_deltas, delta_series_id(in), p->start, p->t, series);
    if (*what == OTLP_DELTA_LATE)
        return err_set(err, ERR_BAD_DATA, "a data point of delta temporality is older than the last one of its series");
    return *what != OTLP_DELTA_FULL || delta_no_memory(err);
}

bool otlp_sum_values(struct ingest *in, const struct otlp_point *p, uint64_t shape, double *values, size_t n, struct err *err)
{
    struct otlp_delta_series *s;
    enum otlp_delta what;
    bool left;
    if (!delta_begin(in, p, &what, &s, &left, err))
        return left;
    double *sums = (double *)(void *)s->sum.p;
    bool same = what != OTLP_DELTA_NEW && s->shape == shape && s->sum.n == n * sizeof *values;
    for (size_t i = 0; same && i < n; i++)
        values[i] = what == OTLP_DELTA_AGAIN ? sums[i] : sums[i] + values[i];
    return otlp_delta_store(in->services->otlp_deltas, s, shape, str_n(values, n * sizeof *values)) || delta_no_memory(err);
}

bool otlp_sum_histogram(struct ingest *in, const struct otlp_point *p, struct histogram *h, struct err *err)
{
    struct otlp_delta_series *s;
    struct histogram before;
    enum otlp_delta what;
    unsigned flags = 0;
    int64_t t;
    bool left;
    if (!delta_begin(in, p, &what, &s, &left, err))
        return left;
    if (what != OTLP_DELTA_NEW && histogram_decode(in->scratch, (const uint8_t *)s->sum.p, s->sum.n, &t, &before, err)) {
        struct histogram *sum = what == OTLP_DELTA_AGAIN ? &before : histogram_add(in->scratch, &before, h, &flags);
        *h = sum ? *sum : *h;
    }
    struct buf encoded = {0};
    histogram_encode(&encoded, h, p->t);
    bool ok = otlp_delta_store(in->services->otlp_deltas, s, 0, buf_str(&encoded));
    buf_free(&encoded);
    return ok || delta_no_memory(err);
}
