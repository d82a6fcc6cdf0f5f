// SPDX-License-Identifier: Apache-2.0
#include "coverage_fixture.h"

#include "base/err.h"
#include "gateway/coverage/gaps.h"

#include <stdlib.h>

void world_begin(struct world *w, size_t n, bool trust)
{
    static struct str by[] = {{"job", 3}, {"instance", 8}};
    static const uint64_t keys[] = {1, 2, 3};
    memset(w, 0, sizeof *w);
    arena_init(&w->arena, 0);
    w->registry = coverage_registry_new();
    w->n = n;
    w->now = T0;
    struct coverage_conf conf = {.group = STR("g"), .replicas = keys, .n_replicas = n, .by = {by, 2},
                                 .trust_untargeted = trust};
    w->coverage = coverage_get(w->registry, &conf);
    for (size_t r = 0; r < n; r++)
        w->replicas[r].all = 100;
}

void world_end(struct world *w)
{
    coverage_put(w->registry, w->coverage);
    coverage_registry_free(w->registry);
    arena_free(&w->arena);
}

struct world_scraper *world_add(struct world *w, size_t r, const char *job, const char *instance, int64_t interval,
                                int64_t offset)
{
    struct world_scraper *s = &w->replicas[r].jobs[w->replicas[r].n++];
    *s = (struct world_scraper){.job = job, .instance = instance, .interval = interval, .offset = offset,
                                .from = T0 - 48 * (int64_t)HOUR, .to = INT64_MAX, .kept = 50, .fewer = 40};
    return s;
}

void world_begin_pair(struct world *w, bool trust)
{
    world_begin(w, 2, trust);
    world_add(w, 0, "node", "a:1", 15 * S, 0);
    world_add(w, 1, "node", "a:1", 15 * S, 7 * S);
}

void scraper_cut(struct world_scraper *s, int64_t from, int64_t to, int how)
{
    s->cuts[s->n_cuts++] = (struct scraper_cut){from, to, how};
}

void scraper_series(struct world *w, size_t r, const struct world_scraper *s, const struct coverage_work *work,
                    struct series *up, struct series *kept)
{
    size_t most = (size_t)((work->to - work->from) / s->interval) + 2, n = 0;
    struct sample *ups = ARENA_ARRAY(&w->arena, struct sample, most);
    struct sample *kepts = ARENA_ARRAY(&w->arena, struct sample, most);
    bool ends = false;
    int64_t first = (work->from - s->offset + s->interval - 1) / s->interval * s->interval + s->offset;
    for (int64_t t = first; t <= work->to && t <= w->now - w->replicas[r].lag && !ends; t += s->interval) {
        double v = 1, k = s->kept;
        ends = t >= s->to;
        bool missed = t < s->from || t < work->from;
        for (size_t i = 0; i < s->n_cuts; i++) {
            if (t < s->cuts[i].from || t >= s->cuts[i].to)
                continue;
            missed = missed || s->cuts[i].how == CUT_MISSED;
            v = s->cuts[i].how == CUT_DOWN ? 0 : v;
            k = s->cuts[i].how == CUT_DOWN ? 0 : s->cuts[i].how == CUT_FEWER ? s->fewer : k;
        }
        if (missed)
            continue;
        v = ends ? stale_nan() : v;
        k = ends ? stale_nan() : k;
        ups[n] = (struct sample){t, v};
        kepts[n++] = (struct sample){t, k};
    }
    struct label labels[4] = {{STR(METRIC_NAME), STR("up")}, {STR("instance"), str_of(s->instance)},
                              {STR("job"), str_of(s->job)}, {STR("more"), str_of(s->more ? s->more : "")}};
    size_t n_labels = s->more ? 4 : 3;
    *up = (struct series){.labels = labels_from(&w->arena, labels, n_labels), .samples = ups, .n_samples = (uint32_t)n};
    labels[0].value = STR("scrape_samples_post_metric_relabeling");
    *kept = (struct series){.labels = labels_from(&w->arena, labels, n_labels), .samples = kepts,
                            .n_samples = s->uncounted ? 0 : (uint32_t)n};
    w->samples += 2 * n;
}

static bool is_selected(const struct coverage_work *work, const char *instance)
{
    struct matcher m;
    struct err err;
    struct arena a;
    arena_init(&a, 0);
    assert_true(str_is(work->only_label, "instance"));
    assert_true(matcher_init(&m, &a, MATCH_RE, work->only_label, work->only, &err));
    bool yes = matcher_value(&m, str_of(instance));
    matchers_free(&m, 1);
    arena_free(&a);
    return yes;
}

/* What coverage_hours_expr gives for one scraper: three series. */
static size_t scraper_hours(struct world *w, size_t r, const struct world_scraper *s, const struct coverage_work *work,
                            struct series *out)
{
    static const char *const parts[] = {"up", "minimum", "maximum"};
    size_t hours = (size_t)((work->to - work->from) / HOUR), n = 0;
    struct sample *values[3];
    for (int part = 0; part < 3; part++)
        values[part] = ARENA_ARRAY(&w->arena, struct sample, hours);
    for (size_t h = 0; h < hours; h++) {
        struct series up, kept;
        int64_t from = work->from + (int64_t)h * HOUR;
        struct coverage_work hour = {.from = from + 1, .to = from + HOUR};
        uint64_t before = w->samples;
        scraper_series(w, r, s, &hour, &up, &kept);
        w->samples = before;
        if (up.n_samples == 0)
            continue;
        double sum = 0, least = INFINITY, most = -INFINITY;
        for (uint32_t i = 0; i < up.n_samples; i++) {
            sum += up.samples[i].v;
            least = kept.samples[i].v < least ? kept.samples[i].v : least;
            most = kept.samples[i].v > most ? kept.samples[i].v : most;
        }
        values[0][n] = (struct sample){hour.to, sum};
        values[1][n] = (struct sample){hour.to, least};
        values[2][n++] = (struct sample){hour.to, most};
    }
    for (int part = 0; part < 3; part++) {
        struct label labels[] = {{STR("__part__"), str_of(parts[part])}, {STR("instance"), str_of(s->instance)},
                                 {STR("job"), str_of(s->job)}};
        out[part] = (struct series){.labels = labels_from(&w->arena, labels, 3), .samples = values[part],
                                    .n_samples = (uint32_t)n};
    }
    return n ? 3 : 0;
}

/* What coverage_counts_expr gives for one scraper, whose target has ten series of m. */
static size_t scraper_counts(struct world *w, size_t r, const struct world_scraper *s, const struct coverage_work *work,
                             struct series *out)
{
    enum { EACH = 10 };
    struct series up, kept;
    struct coverage_work window = {.from = work->from + 1, .to = work->to};
    double samples = 0, scrapes = 0;
    scraper_series(w, r, s, &window, &up, &kept);
    for (uint32_t i = 0; i < up.n_samples; i++) {
        bool lost = s->lost_from <= up.samples[i].t && up.samples[i].t < s->lost_to;
        scrapes += up.samples[i].v;
        samples += lost ? 0 : EACH * up.samples[i].v;
    }
    const struct { const char *part; double v; } parts[] = {{"samples", samples}, {"series", EACH}, {"scrapes", scrapes}};
    for (size_t i = 0; i < LEN(parts); i++) {
        struct label labels[] = {{STR("__part__"), str_of(parts[i].part)}, {STR("instance"), str_of(s->instance)},
                                 {STR("job"), str_of(s->job)}};
        struct sample *value = ARENA_NEW(&w->arena, struct sample);
        *value = (struct sample){work->to, parts[i].v};
        out[i] = (struct series){.labels = labels_from(&w->arena, labels, LEN(labels)), .samples = value, .n_samples = 1};
    }
    return LEN(parts);
}

void world_read(struct world *w, const struct coverage_work *work)
{
    struct coverage_reading readings[REPLICAS] = {0};
    for (size_t r = 0; r < w->n; r++) {
        struct coverage_reading *reading = &readings[r];
        reading->state = w->replicas[r].state;
        reading->all = w->replicas[r].all;
        reading->alone = w->replicas[r].alone;
        reading->other = w->replicas[r].other;
        if (reading->state != COVERAGE_READ || work->kind == COVERAGE_NAME)
            continue;
        struct series *series = ARENA_ARRAY(&w->arena, struct series, 3 * w->replicas[r].n);
        for (size_t i = 0; i < w->replicas[r].n; i++) {
            if (work->kind == COVERAGE_HOURS) {
                reading->n += scraper_hours(w, r, &w->replicas[r].jobs[i], work, &series[reading->n]);
                continue;
            }
            if (work->kind == COVERAGE_COUNTS) {
                reading->n += scraper_counts(w, r, &w->replicas[r].jobs[i], work, &series[reading->n]);
                continue;
            }
            if (work->only.n > 0 && !is_selected(work, w->replicas[r].jobs[i].instance))
                continue;
            scraper_series(w, r, &w->replicas[r].jobs[i], work, &series[reading->n], &series[reading->n + 1]);
            reading->n += series[reading->n].n_samples ? 2 : 0;
        }
        reading->series = series;
        reading->bytes = reading->n * 100;
    }
    w->readings++;
    w->names_read += work->kind == COVERAGE_NAME;
    w->counts_read += work->kind == COVERAGE_COUNTS;
    w->now += w->reading_takes;
    unsigned fewer[REPLICAS] = {0};
    if (work->kind == COVERAGE_HOURS)
        coverage_take_hours(w->coverage, &w->arena, work, readings, w->now);
    else if (work->kind == COVERAGE_SAMPLES)
        coverage_take_samples(w->coverage, &w->arena, work, readings, w->now);
    else if (work->kind == COVERAGE_COUNTS)
        coverage_take_counts(w->coverage, &w->arena, work, readings, w->now, fewer);
    else
        coverage_take_name(w->coverage, work, readings, w->now);
}

void world_settle(struct world *w)
{
    struct coverage_work work;
    for (int i = 0; i < 2000; i++) {
        coverage_next(w->coverage, &w->arena, w->now, &work);
        if (work.kind == COVERAGE_REST)
            return;
        world_read(w, &work);
    }
    fail_msg("the reader finds no rest");
}

void world_run(struct world *w, int64_t ms)
{
    for (int64_t end = w->now + ms; w->now < end; w->now += S)
        world_settle(w);
}

static const char *world_spans(struct world *w, const struct coverage_span *spans, unsigned n, const char *unknown)
{
    struct buf out = {0};
    if (unknown)
        buf_printf(&out, "? %s", unknown);
    for (unsigned i = 0; i < n && !unknown; i++)
        buf_printf(&out, "%s%lld..%lld", i ? " " : "", (long long)(spans[i].from - T0) / S, (long long)(spans[i].to - T0) / S);
    const char *text = arena_z(&w->arena, buf_str(&out));
    buf_free(&out);
    return text;
}

const char *world_gaps_of(struct world *w, size_t r, const struct matcher *m, size_t n, int64_t from, int64_t to)
{
    struct coverage_query q = {.matchers = m, .n_matchers = n, .from = from, .to = to, .now = w->now};
    struct coverage_result result;
    coverage_ask(w->coverage, &w->arena, &q, &result);
    return world_spans(w, result.replicas[r].spans, result.replicas[r].n_spans, result.unknown);
}

const char *world_outdated(struct world *w, size_t r, int64_t from, int64_t to)
{
    struct coverage_query q = {.matchers = &world_metric, .n_matchers = 1, .from = from, .to = to, .now = w->now};
    struct coverage_result result;
    coverage_ask(w->coverage, &w->arena, &q, &result);
    return world_spans(w, result.replicas[r].outdated, result.replicas[r].n_outdated, result.unknown);
}

const char *world_lasting_gaps(struct world *w, size_t r, int64_t from, int64_t to)
{
    struct coverage_query q = {.matchers = &world_metric, .n_matchers = 1, .from = from, .to = to, .now = w->now};
    struct coverage_result result;
    coverage_ask(w->coverage, &w->arena, &q, &result);
    return world_spans(w, result.replicas[r].lasting, result.replicas[r].n_lasting, result.unknown);
}

const struct matcher world_metric = {.type = MATCH_EQ, .name = {"__name__", 8}, .value = {"m", 1}};

const char *world_gaps(struct world *w, size_t r, int64_t from, int64_t to)
{
    return world_gaps_of(w, r, &world_metric, 1, from, to);
}

void world_run_queried(struct world *w, int64_t ms)
{
    for (int64_t end = w->now + ms; w->now < end; world_run(w, S))
        world_gaps(w, 0, T0, w->now);
}

void world_ask(struct world *w, int64_t from)
{
    world_gaps(w, 0, from, w->now);
    world_settle(w);
    world_run(w, 10 * S);
}
