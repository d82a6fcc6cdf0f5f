// SPDX-License-Identifier: Apache-2.0
/* What the evaluator costs: 10,000 series with an hour of samples, an hour of steps. The samples are in memory, so
 * that only evaluation is measured. Prints CPU milliseconds a query and nanoseconds a sample read; then, for range
 * functions, how much more it costs when two replicas hold the series and one instance in ten has gaps in both. */
#include "base/text/duration.h"
#include "model/source.h"
#include "promql/promql.h"

#include <stdio.h>

enum { SERIES = 10000, INSTANCES = 1000, SAMPLES = 480, SCRAPE_MS = 15000, STEP_MS = 60000, ROUNDS = 3 };

enum { GAP = 20, FIRST_GAP = 260, SECOND_GAP = 380 }; /* scrapes */

struct store { struct source source; struct series *series, *gaps; bool with_gaps; };

static bool select_all(struct source *s, struct query_ctx *q, const struct select *sel, size_t n, struct series_set *out,
                       struct err *err)
{
    struct store *store = (struct store *)s;
    const struct series *series = store->with_gaps ? store->gaps : store->series;
    (void)err;
    for (size_t i = 0; i < n; i++) {
        out[i] = (struct series_set){.series = ARENA_ARRAY(q->arena, struct series, SERIES)};
        for (size_t k = 0; k < SERIES; k++)
            if (matchers_match(sel[i].matchers, sel[i].n_matchers, series[k].labels))
                out[i].series[out[i].n++] = series[k];
    }
    return true;
}

/* A replica that lacks the samples of a gap, with its spans as gateway/merge/complete.c finds them. */
static void replica_fill(struct arena *a, const struct series *s, int64_t shift, uint32_t gap, struct series_replica *r)
{
    struct sample *own = ARENA_ARRAY(a, struct sample, s->n_samples);
    struct series_span *spans = ARENA_ARRAY(a, struct series_span, 2);
    int64_t near = SCRAPE_MS + SCRAPE_MS / 10, last = s->samples[gap - 1].t + shift;
    int64_t next = s->samples[gap + GAP].t + shift;
    spans[0] = (struct series_span){-SERIES_FAR, -SERIES_FAR, last + near};
    spans[1] = (struct series_span){next - near, -SERIES_FAR, SERIES_FAR};
    *r = (struct series_replica){.samples = own, .spans = spans, .n_spans = 2};
    for (uint32_t k = 0; k < s->n_samples; k++)
        if (k < gap || k >= gap + GAP)
            own[r->n_samples++] = (struct sample){s->samples[k].t + shift, s->samples[k].v};
}

static void fill_gaps(struct store *store, struct arena *a)
{
    store->gaps = ARENA_ARRAY(a, struct series, SERIES);
    for (size_t i = 0; i < SERIES; i++) {
        struct series *s = &store->gaps[i];
        *s = store->series[i];
        if (i % INSTANCES % 10 > 0)
            continue;
        struct series_replica *replicas = ARENA_ARRAY(a, struct series_replica, 2);
        replica_fill(a, s, 0, FIRST_GAP, &replicas[0]);
        replica_fill(a, s, 7000, SECOND_GAP, &replicas[1]);
        s->replicas = replicas;
        s->n_replicas = 2;
    }
}

static void fill(struct store *store, struct arena *a)
{
    static const struct source_ops ops = {.select = select_all};
    store->source.ops = &ops;
    store->series = ARENA_ARRAY(a, struct series, SERIES);
    for (size_t i = 0; i < SERIES; i++) {
        struct sample *samples = ARENA_ARRAY(a, struct sample, SAMPLES);
        for (size_t k = 0; k < SAMPLES; k++)
            samples[k] = (struct sample){(int64_t)k * SCRAPE_MS + (int64_t)(i % 15) * 1000, (double)(k * (i % 97 + 1))};
        struct label labels[] = {
            {STR(METRIC_NAME), STR("requests_total")},
            {STR("instance"), arena_printf(a, "host-%zu:9100", i % INSTANCES)},
            {STR("job"), arena_printf(a, "job-%zu", i % 10)},
            {STR("path"), arena_printf(a, "/api/v1/%zu", i / INSTANCES)},
        };
        store->series[i] = (struct series){.labels = labels_from(a, labels, LEN(labels)), .samples = samples,
                                           .n_samples = SAMPLES};
    }
}

static bool run(struct store *store, const char *text, struct promql_result *out, double *ms)
{
    struct arena arena;
    struct err err = {0};
    struct promql_syntax syntax = {0};
    struct promql_params p = {.start = 3600 * 1000, .end = 7200 * 1000, .step = STEP_MS, .range = true,
                              .max_samples = 1u << 30};
    arena_init(&arena, 0);
    struct notes notes = {.arena = &arena};
    struct query_ctx q = {.arena = &arena, .notes = &notes};
    struct expr *e = promql_parse(&arena, str_of(text), &syntax, &err);
    int64_t start = clock_cpu_ns();
    bool ok = e && promql_eval(e, str_of(text), &p, &store->source, &q, out, &err);
    *ms = (double)(clock_cpu_ns() - start) / 1e6;
    if (!ok)
        fprintf(stderr, "%s: %s\n", text, err.text);
    if (e)
        promql_free(e);
    arena_free(&arena);
    return ok;
}

static double run_best(struct store *store, const char *query, struct promql_result *out)
{
    double best = 1e9, ms;
    for (int r = 0; r < ROUNDS && run(store, query, out, &ms); r++)
        best = ms < best ? ms : best;
    return best;
}

static void measure_gaps(struct store *store)
{
    static const char *const queries[] = {"rate(requests_total[5m])", "sum by (job) (rate(requests_total[5m]))",
                                          "max_over_time(requests_total[10m])", "increase(requests_total[1h])",
                                          "quantile_over_time(0.9, requests_total[10m])"};
    printf("\none instance in ten with gaps in both replicas\n%10s %10s  query\n", "CPU ms", "complete");
    for (size_t i = 0; i < LEN(queries); i++) {
        struct promql_result out = {0};
        store->with_gaps = false;
        double complete = run_best(store, queries[i], &out);
        store->with_gaps = true;
        printf("%10.1f %10.1f  %s\n", run_best(store, queries[i], &out), complete, queries[i]);
    }
}

int main(void)
{
    static const char *const queries[] = {
        "requests_total", "sum by (job) (requests_total)", "rate(requests_total[5m])", "sum by (job) (rate(requests_total[5m]))",
        "max_over_time(requests_total[10m])", "quantile_over_time(0.9, requests_total[10m])", "topk(10, requests_total)",
        "quantile by (job) (0.9, requests_total)", "requests_total / on(instance, path) requests_total",
        "requests_total * on(job) group_left sum by (job) (requests_total)", "requests_total > 1000", "requests_total and on(job) requests_total",
        "sum(rate(requests_total[5m] @ end()))", "max_over_time(sum by (job) (rate(requests_total[5m]))[30m:1m])", "count_values(\"v\", requests_total % 10)",
        "label_replace(requests_total, \"host\", \"$1\", \"instance\", \"(.*):.*\")", "avg without (path) (requests_total)"};
    struct arena arena;
    struct store store = {0};
    arena_init(&arena, 0);
    fill(&store, &arena);
    fill_gaps(&store, &arena);
    printf("%d series, %d samples each, 61 steps\n%10s %10s  query\n", SERIES, SAMPLES, "CPU ms", "ns/sample");
    for (size_t i = 0; i < LEN(queries); i++) {
        struct promql_result out = {0};
        double best = run_best(&store, queries[i], &out);
        printf("%10.1f %10.1f  %s\n", best, best * 1e6 / (double)(out.stats.samples ? out.stats.samples : 1), queries[i]);
    }
    measure_gaps(&store);
    arena_free(&arena);
    return 0;
}
