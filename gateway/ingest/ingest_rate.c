// SPDX-License-Identifier: Apache-2.0
#include "gateway/ingest/ingest_rate.h"

#include "base/mem.h"
#include "base/text/duration.h"

#include <stdatomic.h>

#define INGEST_RATE_STATS(X) \
    X(INGEST_RATE_REACHED, "vmagent_max_ingestion_rate_limit_reached_total", STATS_COUNTER, \
      "How often pushes had to wait because of -maxIngestionRate")
enum ingest_rate_stat { INGEST_RATE_STATS(STATS_ID) };
struct stats_group ingest_rate_stats = STATS_GROUP(INGEST_RATE_STATS);

#define SECOND_NS 1000000000LL
#define DEBT_NS (60 * SECOND_NS) /* at most, unless one batch alone is more */
enum { MS_NS = 1000000, WAIT_MS = 1000 };

struct rate_sink {
    struct sink sink; /* must be first */
    struct sink *to;
    struct ingest_rate *rate;
    size_t samples;   /* of the batch */
};
struct ingest_rate {
    double ns_per_sample;
    atomic_llong paid; /* monotonic ns: until then the samples accepted so far are due */
    struct rate_sink lanes[];
};

static struct rate_sink *rate_sink_of(struct sink *s) { return CONTAINER(s, struct rate_sink, sink); }

/* A full bucket: `paid` is a second ago. Scrapes that exceed the rate for long leave a debt that is soon paid. */
static void ingest_rate_take(struct ingest_rate *r, size_t n)
{
    long long now = clock_mono_ns(), full = now - SECOND_NS, cost = (long long)((double)n * r->ns_per_sample);
    long long most = now + (cost > DEBT_NS ? cost : DEBT_NS), to;
    long long before = atomic_load_explicit(&r->paid, memory_order_relaxed);
    do {
        to = (before > full ? before : full) + cost;
        to = to < most ? to : most;
    } while (!atomic_compare_exchange_weak_explicit(&r->paid, &before, to, memory_order_relaxed, memory_order_relaxed));
}

int64_t ingest_rate_wait(struct ingest_rate *r)
{
    if (r == NULL)
        return 0;
    long long left = atomic_load_explicit(&r->paid, memory_order_relaxed) - clock_mono_ns();
    if (left < 0)
        return 0;
    stats_add(&ingest_rate_stats, INGEST_RATE_REACHED, 1);
    return left / MS_NS < WAIT_MS ? left / MS_NS + 1 : WAIT_MS;
}

static enum sink_status rate_begin(struct sink *s, const struct sink_batch *b)
{
    struct rate_sink *l = rate_sink_of(s);
    l->samples = 0;
    return sink_begin(l->to, b);
}

static void rate_series(struct sink *s, const struct series_in *in)
{
    struct rate_sink *l = rate_sink_of(s);
    l->samples += in->n_samples + in->n_hists;
    sink_series(l->to, in);
}

static void rate_metadata(struct sink *s, const struct metadata *m) { sink_metadata(rate_sink_of(s)->to, m); }

static void rate_commit(struct sink *s, void (*done)(void *arg, bool ok), void *arg)
{
    struct rate_sink *l = rate_sink_of(s);
    ingest_rate_take(l->rate, l->samples);
    sink_commit(l->to, done, arg);
    s->deduplicated = l->to->deduplicated;
}

static void rate_abort(struct sink *s) { sink_abort(rate_sink_of(s)->to); }

static const struct sink_ops rate_ops = {rate_begin, rate_series, rate_metadata, rate_commit, rate_abort};

struct ingest_rate *ingest_rate_new(int64_t per_second, unsigned n_lanes)
{
    struct ingest_rate *r = mem_zalloc(sizeof *r + n_lanes * sizeof r->lanes[0]);
    r->ns_per_sample = (double)SECOND_NS / (double)per_second;
    return r;
}

void ingest_rate_free(struct ingest_rate *r) { mem_free(r); }

struct sink *ingest_rate_sink(struct ingest_rate *r, unsigned lane, struct sink *to)
{
    if (r == NULL)
        return to;
    r->lanes[lane] = (struct rate_sink){.sink = {.ops = &rate_ops}, .to = to, .rate = r};
    return &r->lanes[lane].sink;
}
