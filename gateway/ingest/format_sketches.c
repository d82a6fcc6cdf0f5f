// SPDX-License-Identifier: Apache-2.0
/* Distributions as agents of Datadog send them (/api/beta/sketches, protobuf), with the series that VictoriaMetrics makes
 * of them: quantiles as of a summary, and NAME.sum, NAME.count, NAME.min, NAME.max.
 *
 *   SketchPayload { Sketch 1 }   Sketch { metric 1, host 2, tags 4, Dogsketch 7 }
 *   Dogsketch { ts 1, cnt 2, min 3, max 4, sum 6, k 7, n 8 }
 *
 * Bin k holds n values around gamma^(k - bias): bins are wider by gamma = 1 + 1/64 from one to the next, and `bias` makes 1
 * the bin of the smallest value, 1e-9. Bins of negative values have negative k; k of 15 bits at most is infinite.
 * Source: https://github.com/DataDog/opentelemetry-mapping-go/tree/main/pkg/quantile (the definition of bins and quantiles)
 */
#include "base/protobuf.h"
#include "base/text/utf8.h"
#include "base/varint.h"
#include "gateway/ingest/datadog.h"
#include "gateway/services/services.h"

#include <math.h>
#include <stdlib.h>

enum { SKETCH_INFINITE = (1 << 15) - 1, SKETCH_BINS_MAX = 1 << 16 /* there are as many keys */ };
static const double sketch_width = 1.0 / 64;

struct sketches_state {
    struct pb_cursor request, labels, points; /* as in format_datadog.c */
    struct str metric, host;
    struct str *tags; size_t n, cap;
    bool too_many;
    struct buf name;
};

static bool sketch_bad(struct err *err) { return err_set(err, ERR_BAD_DATA, "the body is no valid protobuf message"); }

struct dogsketch {
    int64_t t, count;
    double min, max, sum;
    int32_t *k; uint32_t *n; /* bins */
    size_t n_k, n_n, cap_k, cap_n;
};

/* ---- bins and quantiles ---- */

/* By repeated squaring, so that the last bits are vmagent's. */
static double sketch_power(double base, int n)
{
    double power = 1;
    for (unsigned i = (unsigned)abs(n); i > 0; i >>= 1, base *= base)
        power *= i & 1 ? base : 1;
    return n < 0 ? 1 / power : power;
}

static double sketch_value(int32_t k)
{
    double log_gamma = log1p(sketch_width);
    int bias = 1 - (int)floor(log(1e-9) / log_gamma);
    if (k == 0)
        return 0;
    if (k < 0)
        return k <= -SKETCH_INFINITE ? -INFINITY : -sketch_value(-k);
    return k >= SKETCH_INFINITE ? INFINITY : sketch_power(1 + sketch_width, k - bias);
}

static double sketch_quantile(const struct dogsketch *d, double q)
{
    double rank = nearbyint(q * (double)(d->count - 1)), below = 0;
    if (d->count == 0 || d->n_k != d->n_n)
        return 0;
    for (size_t i = 0; i < d->n_n; i++) {
        below += d->n[i];
        if (below <= rank)
            continue;
        double weight = (below - rank) / d->n[i], low = sketch_value(d->k[i]), high = low * (1 + sketch_width);
        return (i == 0 ? d->min : low) * weight + high * (1 - weight);
    }
    return d->max;
}

/* ---- reading ---- */

static bool sketch_bin(struct arena *a, struct dogsketch *d, bool key, uint64_t v, struct err *err)
{
    size_t *n = key ? &d->n_k : &d->n_n;
    if (*n == SKETCH_BINS_MAX)
        return err_set(err, ERR_BAD_DATA, "a sketch has more than %d bins", SKETCH_BINS_MAX);
    if (key) {
        if (*n == d->cap_k)
            arena_grow(a, &d->k, &d->cap_k, *n + 1, sizeof *d->k);
        d->k[(*n)++] = (int32_t)unzigzag((uint32_t)v);
    } else {
        if (*n == d->cap_n)
            arena_grow(a, &d->n, &d->cap_n, *n + 1, sizeof *d->n);
        d->n[(*n)++] = (uint32_t)v;
    }
    return true;
}

/* Repeated varints, packed or not. */
static bool sketch_bins(struct arena *a, const struct pb_field *f, struct dogsketch *d, struct err *err)
{
    struct pb_cursor c = pb_cursor_of(f->bytes);
    bool key = f->number == 7;
    uint64_t v;
    if (f->wire != 2)
        return sketch_bin(a, d, key, f->value, err);
    while (c.p < c.end) {
        if ((c.p = varint_get(c.p, c.end, &v)) == NULL)
            return sketch_bad(err);
        if (!sketch_bin(a, d, key, v, err))
            return false;
    }
    return true;
}

static bool dogsketch_read(struct ingest *in, struct str message, struct dogsketch *d, struct err *err)
{
    struct pb_cursor c = pb_cursor_of(message);
    struct pb_field f;
    *d = (struct dogsketch){0};
    while (pb_next(&c.p, c.end, &f))
        switch (f.number) {
        case 1: d->t = (int64_t)f.value; break;
        case 2: d->count = (int64_t)f.value; break;
        case 3: d->min = double_from_bits(f.value); break;
        case 4: d->max = double_from_bits(f.value); break;
        case 6: d->sum = double_from_bits(f.value); break;
        case 7: case 8:
            if (!sketch_bins(in->scratch, &f, d, err))
                return false;
            break;
        default: break;
        }
    if (d->t > INT64_MAX / 1000 || d->t < INT64_MIN / 1000)
        return err_set(err, ERR_BAD_DATA, "the time of a sketch is out of range");
    return c.p == c.end || sketch_bad(err);
}

/* Some fields of a Sketch. False: it is corrupted. */
static bool sketch_read_labels(struct sketches_state *s, struct err *err)
{
    struct pb_field f;
    for (unsigned i = 0; i < DATADOG_PART; i++) {
        if (!pb_next(&s->labels.p, s->labels.end, &f)) {
            bool ok = s->labels.p == s->labels.end;
            s->labels.p = NULL;
            return ok || sketch_bad(err);
        }
        if (f.number == 1)
            s->metric = f.bytes;
        else if (f.number == 2)
            s->host = f.bytes;
        else if (f.number == 4 && s->n == LABELS_MAX_COUNT)
            s->too_many = true;
        else if (f.number == 4) {
            if (s->n == s->cap)
                mem_grow(&s->tags, &s->cap, s->n + 1, sizeof *s->tags);
            s->tags[s->n++] = f.bytes;
        }
    }
    return true;
}

/* ---- series ---- */

static bool sketch_set_labels(struct ingest *in, struct str name, struct err *err)
{
    struct sketches_state *s = in->state;
    if (s->too_many)
        return err_set(err, ERR_BAD_DATA, "more than %d labels", LABELS_MAX_COUNT);
    ingest_series_begin(in);
    if (!ingest_label(in, STR(METRIC_NAME), name, err) || !datadog_label(in, STR("host"), s->host, err))
        return false;
    for (size_t i = 0; i < s->n; i++)
        if (!datadog_tag(in, s->tags[i], "host", err))
            return false;
    return true;
}

static bool sketch_put(struct ingest *in, const struct dogsketch *d, double v, struct err *err)
{
    return ingest_series_end(in, &(struct sample){.t = d->t * 1000, .v = isnan(v) ? normal_nan() : v}, 1, err);
}

static bool sketch_put_named(struct ingest *in, const struct dogsketch *d, struct str name, const char *suffix, double v,
                             struct err *err)
{
    struct sketches_state *s = in->state;
    buf_clear(&s->name);
    buf_add_str(&s->name, name);
    buf_add_z(&s->name, suffix);
    builder_set(in->labels, STR(METRIC_NAME), buf_str(&s->name));
    return sketch_put(in, d, v, err);
}

static bool sketch_put_all(struct ingest *in, const struct dogsketch *d, struct err *err)
{
    static const struct { const char *text; double q; } quantiles[] = {
        {"0.5", 0.5}, {"0.75", 0.75}, {"0.9", 0.9}, {"0.95", 0.95}, {"0.99", 0.99}};
    struct str name = datadog_name(in, ((struct sketches_state *)in->state)->metric);
    if (!sketch_set_labels(in, name, err))
        return false;
    struct str own = builder_get(in->labels, STR("quantile")); /* a tag's; it replaces the quantile */
    for (size_t i = 0; i < LEN(quantiles); i++) {
        if (own.n == 0)
            builder_set(in->labels, STR("quantile"), str_of(quantiles[i].text));
        if (!sketch_put(in, d, sketch_quantile(d, quantiles[i].q), err))
            return false;
    }
    builder_set(in->labels, STR("quantile"), own);
    return sketch_put_named(in, d, name, ".sum", d->sum, err) && sketch_put_named(in, d, name, ".count", (double)d->count, err)
           && sketch_put_named(in, d, name, ".min", d->min, err) && sketch_put_named(in, d, name, ".max", d->max, err);
}

/* ---- the document ---- */

static bool sketches_document(struct ingest *in, struct str body, struct err *err UNUSED)
{
    struct sketches_state *s = in->state;
    s->request = pb_cursor_of(body);
    s->labels.p = s->points.p = NULL;
    return true;
}

/* The next fields of the sketch, up to a Dogsketch. */
static bool sketch_read_points(struct ingest *in, struct err *err)
{
    struct sketches_state *s = in->state;
    struct pb_field f;
    struct dogsketch d;
    struct err why;
    for (unsigned i = 0; i < DATADOG_PART; i++) {
        if (!pb_next(&s->points.p, s->points.end, &f)) {
            s->points.p = NULL;
            return true;
        }
        if (f.number != 7)
            continue;
        if (!dogsketch_read(in, f.bytes, &d, err))
            return false;
        if (!sketch_put_all(in, &d, &why))
            ingest_skip(in, &why);
        return true;
    }
    return true;
}

static enum ingest_item sketches_next(struct ingest *in, struct err *err)
{
    struct sketches_state *s = in->state;
    struct arena_mark mark = arena_mark(in->scratch);
    struct pb_field f;
    if (s->labels.p == NULL && s->points.p == NULL) {
        if (!pb_next(&s->request.p, s->request.end, &f))
            return s->request.p == s->request.end ? INGEST_END : (sketch_bad(err), INGEST_INVALID_ITEM);
        if (f.number != 1 || f.wire != 2)
            return INGEST_ITEM;
        s->labels = s->points = pb_cursor_of(f.bytes);
        s->metric = s->host = STR_NONE;
        s->n = 0;
        s->too_many = false;
    }
    bool ok = s->labels.p ? sketch_read_labels(s, err) : sketch_read_points(in, err);
    arena_release(in->scratch, mark);
    return ok ? INGEST_ITEM : INGEST_INVALID_ITEM;
}

static bool sketches_begin(struct ingest *in, struct err *err UNUSED)
{
    in->state = mem_zalloc(sizeof(struct sketches_state));
    in->max_text = (size_t)in->services->flags.ingest.datadog_max_request;
    return true;
}

static void sketches_end(struct ingest *in)
{
    struct sketches_state *s = in->state;
    if (s == NULL)
        return;
    buf_free(&s->name);
    mem_free(s->tags);
    mem_free(s);
}

const struct ingest_format ingest_sketches = {
    .id = INGEST_DATADOG_SKETCHES, .all_or_nothing = true, .success = 202, .begin = sketches_begin,
    .document = sketches_document, .next = sketches_next, .end = sketches_end,
};
void api_datadog_sketches(struct http_request *r) { ingest_request(r, &ingest_sketches); }
