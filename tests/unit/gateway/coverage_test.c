// SPDX-License-Identifier: Apache-2.0
/* Which replica is complete: a world of scrapers and targets with a clock that the tests set, read as the reader reads
 * servers.
 */
#include "base/err.h"
#include "gateway/coverage/coverage_intake.h"
#include "gateway/coverage/gaps.h"
#include "gateway/coverage/spans.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

enum { S = 1000, MIN = 60 * S, HOUR = 60 * MIN, MOST_JOBS = 16, MOST_CUTS = 16, REPLICAS = 3 };
static const int64_t T0 = 1699999200000; /* a full hour */

struct cut { int64_t from, to; enum { CUT_MISSED, CUT_DOWN, CUT_FEWER } how; }; /* of a scraper's scrapes */
struct scraper { /* of one target on one replica */
    const char *job, *instance, *more;
    int64_t interval, offset, from, to;
    double kept, fewer;
    bool uncounted;
    struct cut cuts[MOST_CUTS]; size_t n_cuts;
};
struct world {
    struct arena arena;
    struct coverage_registry *registry;
    struct coverage *coverage;
    int64_t now;
    struct {
        struct scraper jobs[MOST_JOBS]; size_t n;
        enum coverage_reading_state state;
        int64_t lag;
        double all, alone, other;
    } replicas[REPLICAS];
    size_t n;
    unsigned readings;
    uint64_t samples;
    int64_t reading_takes; /* ms */
};

static void world_begin(struct world *w, size_t n, bool trust)
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

static void world_end(struct world *w)
{
    coverage_put(w->registry, w->coverage);
    coverage_registry_free(w->registry);
    arena_free(&w->arena);
}

/* Scraped by replica r since T0 - 2 d, `offset` after multiples of the interval. */
static struct scraper *scraped(struct world *w, size_t r, const char *job, const char *instance, int64_t interval,
                               int64_t offset)
{
    struct scraper *s = &w->replicas[r].jobs[w->replicas[r].n++];
    *s = (struct scraper){.job = job, .instance = instance, .interval = interval, .offset = offset,
                          .from = T0 - 48 * (int64_t)HOUR, .to = INT64_MAX, .kept = 50, .fewer = 40};
    return s;
}

static void cut(struct scraper *s, int64_t from, int64_t to, int how)
{
    s->cuts[s->n_cuts++] = (struct cut){from, to, how};
}

static void scraper_series(struct world *w, size_t r, const struct scraper *s, const struct coverage_work *work,
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
static size_t scraper_hours(struct world *w, size_t r, const struct scraper *s, const struct coverage_work *work,
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

static void world_read(struct world *w, const struct coverage_work *work)
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
            if (work->only.n > 0 && !is_selected(work, w->replicas[r].jobs[i].instance))
                continue;
            scraper_series(w, r, &w->replicas[r].jobs[i], work, &series[reading->n], &series[reading->n + 1]);
            reading->n += series[reading->n].n_samples ? 2 : 0;
        }
        reading->series = series;
        reading->bytes = reading->n * 100;
    }
    w->readings++;
    w->now += w->reading_takes;
    if (work->kind == COVERAGE_HOURS)
        coverage_take_hours(w->coverage, &w->arena, work, readings, w->now);
    else if (work->kind == COVERAGE_SAMPLES)
        coverage_take_samples(w->coverage, &w->arena, work, readings, w->now);
    else
        coverage_take_name(w->coverage, work, readings, w->now);
}

/* Everything that is due now. */
static void world_settle(struct world *w)
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

/* The reader looks every second. */
static void world_run(struct world *w, int64_t ms)
{
    for (int64_t end = w->now + ms; w->now < end; w->now += S)
        world_settle(w);
}

static const char *verdict(struct world *w, size_t r, const struct matcher *m, size_t n, int64_t from, int64_t to)
{
    struct coverage_query q = {.matchers = m, .n_matchers = n, .from = from, .to = to, .now = w->now};
    struct coverage_result result;
    struct buf out = {0};
    coverage_ask(w->coverage, &w->arena, &q, &result);
    const struct coverage_replica *replica = &result.replicas[r];
    for (unsigned i = 0; i < replica->n_spans; i++)
        buf_printf(&out, "%s%lld..%lld", i ? " " : "", (long long)(replica->spans[i].from - T0) / S,
                   (long long)(replica->spans[i].to - T0) / S);
    if (result.unknown) {
        buf_clear(&out);
        buf_printf(&out, "? %s", result.unknown);
    }
    const char *text = arena_z(&w->arena, buf_str(&out));
    buf_free(&out);
    return text;
}

static const struct matcher metric[] = {{.type = MATCH_EQ, .name = {"__name__", 8}, .value = {"m", 1}}};

/* Seconds after T0 in which a replica is not complete for the metric m. */
static const char *holes(struct world *w, size_t r, int64_t from, int64_t to)
{
    return verdict(w, r, metric, 1, from, to);
}

/* Queried once, so that the reader begins; everything known since `from`. */
static void world_ask(struct world *w, int64_t from)
{
    holes(w, 0, from, w->now);
    world_settle(w);
    world_run(w, 10 * S);
}

/* ---- one target's scrapes ---- */

static void healthy_pair(void **state UNUSED)
{
    struct world w;
    world_begin(&w, 2, false);
    scraped(&w, 0, "node", "a:1", 15 * S, 0);
    scraped(&w, 1, "node", "a:1", 15 * S, 7 * S);
    assert_string_equal(holes(&w, 0, T0 - HOUR, T0), "? the servers' `up` series have not been read yet");
    world_settle(&w);
    world_run(&w, 120 * S);
    for (int i = 0; i < 60; i++) { /* at any moment between two readings */
        assert_string_equal(holes(&w, 0, T0 - HOUR, w.now), "");
        assert_string_equal(holes(&w, 1, T0 - HOUR, w.now), "");
        world_run(&w, S);
    }
    world_end(&w);
}

/* What comes while a reading is under way waits for the next one, so that metrics and the past have their turns. */
static void readings_take_time(void **state UNUSED)
{
    struct world w;
    world_begin(&w, 2, false);
    scraped(&w, 0, "node", "a:1", 15 * S, 0);
    scraped(&w, 1, "node", "a:1", 15 * S, 7 * S);
    w.reading_takes = 20;
    holes(&w, 0, T0 - HOUR, T0);
    world_settle(&w);
    holes(&w, 0, T0 - HOUR, T0);
    world_settle(&w);
    assert_string_equal(holes(&w, 0, T0 - HOUR, w.now), "");
    assert_true(w.readings < 10);
    world_end(&w);
}

static void one_server_is_complete(void **state UNUSED)
{
    struct world w;
    world_begin(&w, 1, false);
    assert_string_equal(holes(&w, 0, T0 - HOUR, T0), "");
    world_settle(&w);
    assert_int_equal(w.readings, 0);
    world_end(&w);
}

static void missed_scrapes(void **state UNUSED)
{
    struct world w;
    world_begin(&w, 2, false);
    cut(scraped(&w, 0, "node", "a:1", 15 * S, 0), T0 - 600 * S, T0 - 590 * S, CUT_MISSED);   /* one */
    cut(scraped(&w, 1, "node", "a:1", 15 * S, 7 * S), T0 - 1200 * S, T0 - 900 * S, CUT_MISSED);
    world_ask(&w, T0 - HOUR);
    assert_string_equal(holes(&w, 0, T0 - HOUR, w.now), "-614..-585");
    assert_string_equal(holes(&w, 1, T0 - HOUR, w.now), "-1207..-893");
    assert_string_equal(holes(&w, 0, T0 - HOUR, T0 - 700 * S), "");
    assert_string_equal(holes(&w, 0, T0 - 500 * S, T0), "");
    world_end(&w);
}

static void down_on_one_side(void **state UNUSED)
{
    struct world w;
    world_begin(&w, 2, false);
    struct scraper *a = scraped(&w, 0, "node", "a:1", 15 * S, 0), *b = scraped(&w, 1, "node", "a:1", 15 * S, 7 * S);
    cut(a, T0 - 600 * S, T0 - 540 * S, CUT_DOWN);
    cut(a, T0 - 300 * S, T0 - 240 * S, CUT_DOWN); /* the target itself, which a sees first */
    cut(b, T0 - 300 * S, T0 - 240 * S, CUT_DOWN);
    world_ask(&w, T0 - HOUR);
    assert_string_equal(holes(&w, 0, T0 - HOUR, w.now), "-614..-540 -314..-300");
    assert_string_equal(holes(&w, 1, T0 - HOUR, w.now), "");
    world_end(&w);
}

static void fewer_series_on_one_side(void **state UNUSED)
{
    struct world w;
    world_begin(&w, 2, false);
    struct scraper *a = scraped(&w, 0, "node", "a:1", 15 * S, 0), *b = scraped(&w, 1, "node", "a:1", 15 * S, 7 * S);
    cut(a, T0 - 600 * S, T0 - 300 * S, CUT_FEWER);
    cut(a, T0 - 200 * S, T0 + HOUR, CUT_FEWER);    /* the target exposes fewer, */
    cut(b, T0 - 210 * S, T0 + HOUR, CUT_FEWER);    /* which b sees first */
    world_ask(&w, T0 - HOUR);
    assert_string_equal(holes(&w, 0, T0 - HOUR, w.now), "-614..-300");
    assert_string_equal(holes(&w, 1, T0 - HOUR, w.now), "");
    world_end(&w);
}

/* Nothing tells how many series were kept: no evidence. And a replica that drops series shows all the same that the
 * target lives, while the other one misses it. */
static void without_kept_counts(void **state UNUSED)
{
    struct world w;
    world_begin(&w, 2, false);
    scraped(&w, 0, "node", "a:1", 15 * S, 0)->uncounted = true;
    scraped(&w, 1, "node", "a:1", 15 * S, 7 * S)->uncounted = true;
    world_ask(&w, T0 - HOUR);
    assert_string_not_equal(holes(&w, 0, T0 - HOUR, T0), "");
    assert_string_not_equal(holes(&w, 1, T0 - HOUR, T0), "");
    assert_string_not_equal(holes(&w, 1, w.now - 10 * S, w.now), "");
    world_end(&w);
    world_begin(&w, 2, false);
    cut(scraped(&w, 0, "node", "a:1", 15 * S, 0), T0 - 600 * S, T0 - 300 * S, CUT_FEWER);
    cut(scraped(&w, 1, "node", "a:1", 15 * S, 7 * S), T0 - 500 * S, T0 - 400 * S, CUT_MISSED);
    world_ask(&w, T0 - HOUR);
    assert_string_equal(holes(&w, 1, T0 - HOUR, T0), "-502..-398");
    world_end(&w);
}

static void other_intervals(void **state UNUSED)
{
    struct world w;
    world_begin(&w, 2, false);
    scraped(&w, 0, "node", "a:1", 60 * S, 0);
    scraped(&w, 1, "node", "a:1", 15 * S, 7 * S);
    cut(scraped(&w, 0, "slow", "a:2", 300 * S, 0), T0 - 3000 * S, T0 - 2900 * S, CUT_MISSED);
    scraped(&w, 1, "slow", "a:2", 300 * S, 100 * S);
    world_ask(&w, T0 - 2 * HOUR);
    world_run(&w, 10 * MIN);
    assert_string_equal(holes(&w, 0, T0 - 2 * HOUR, w.now), "-3299..-2700");
    assert_string_equal(holes(&w, 1, T0 - 2 * HOUR, w.now), "");
    world_end(&w);
}

/* The same two scrapers from some moment on with another interval. */
static void interval_changes(void **state UNUSED)
{
    struct world w;
    world_begin(&w, 2, false);
    for (size_t r = 0; r < 2; r++) {
        scraped(&w, r, "node", "a:1", 15 * S, (int64_t)r * 7 * S)->to = T0 + 100 * S;
        scraped(&w, r, "node", "a:1", 60 * S, (int64_t)r * 7 * S)->from = T0 + 150 * S;
    }
    world_ask(&w, T0 - HOUR);
    for (int i = 0; i < 20 * 60; i++, world_run(&w, S))
        holes(&w, 0, T0, w.now);
    assert_string_equal(holes(&w, 0, T0 + 600 * S, w.now), "");
    assert_string_equal(holes(&w, 1, T0 + 600 * S, w.now), "");
    world_end(&w);
}

/* ---- targets that come and go ---- */

static void beginnings_and_ends(void **state UNUSED)
{
    struct world w;
    world_begin(&w, 2, false);
    for (size_t r = 0; r < 2; r++) {
        scraped(&w, r, "node", "a:1", 15 * S, (int64_t)r * 7 * S);
        struct scraper *s = scraped(&w, r, "node", "b:1", 15 * S, (int64_t)r * 7 * S);
        s->from = T0 - 1000 * S + (int64_t)r * 5 * S; /* discovered one after the other */
        s->to = T0 - 500 * S + (int64_t)r * 5 * S;
        scraped(&w, r, "node", "c:1", 15 * S, (int64_t)r * 7 * S)->from = T0 + 30 * S + (int64_t)r * 5 * S;
        scraped(&w, r, "node", "d:1", 15 * S, (int64_t)r * 7 * S)->to = T0 + 60 * S + (int64_t)r * 5 * S;
    }
    world_ask(&w, T0 - HOUR);
    for (int i = 0; i < 200; i++) {
        bool begins = w.now > T0 + 50 * S && w.now < T0 + 65 * S; /* c, which r 1 sees later */
        bool ends = w.now > T0 + 60 * S && w.now < T0 + 120 * S;  /* d, which r 0 sees first */
        if (!ends)
            assert_string_equal(holes(&w, 0, T0 - HOUR, w.now), "");
        if (!begins)
            assert_string_equal(holes(&w, 1, T0 - HOUR, w.now), "");
        world_run(&w, S);
    }
    world_end(&w);
}

/* One side sees it a scrape earlier, or longer: those the other one lacks. */
static void late_discovery(void **state UNUSED)
{
    struct world w;
    world_begin(&w, 2, false);
    scraped(&w, 0, "node", "a:1", 15 * S, 0)->from = T0 - 1000 * S;
    scraped(&w, 1, "node", "a:1", 15 * S, 7 * S)->from = T0 - 960 * S;
    world_ask(&w, T0 - HOUR);
    assert_string_equal(holes(&w, 0, T0 - HOUR, w.now), "");
    assert_string_equal(holes(&w, 1, T0 - HOUR, w.now), "-990..-953");
    world_end(&w);
}

/* Scrapes fail on one side while the other one's next to them succeed, or nothing is scraped by one side while the
 * other sees the target down. */
static void failures_beside(void **state UNUSED)
{
    struct world w;
    world_begin(&w, 2, false);
    struct scraper *a = scraped(&w, 0, "node", "a:1", 15 * S, 0), *b = scraped(&w, 1, "node", "a:1", 15 * S, 0);
    cut(a, T0 - 600 * S, T0 - 590 * S, CUT_DOWN);
    cut(b, T0 - 585 * S, T0 - 580 * S, CUT_DOWN);  /* as a is up again */
    cut(a, T0 - 300 * S, T0 - 200 * S, CUT_DOWN);
    cut(b, T0 - 300 * S, T0 - 200 * S, CUT_MISSED);
    world_ask(&w, T0 - HOUR);
    assert_string_equal(holes(&w, 0, T0 - HOUR, w.now), "-614..-585 -314..-300");
    assert_string_equal(holes(&w, 1, T0 - HOUR, w.now), "-599..-570 -314..-195");
    world_end(&w);
}

static void partial_replica(void **state UNUSED)
{
    struct world w;
    struct matcher of_b[] = {metric[0], {.type = MATCH_EQ, .name = STR("instance"), .value = STR("b:1")}};
    world_begin(&w, 2, false);
    scraped(&w, 0, "node", "a:1", 15 * S, 0);
    scraped(&w, 1, "node", "a:1", 15 * S, 7 * S);
    scraped(&w, 1, "node", "b:1", 15 * S, 8 * S);
    world_ask(&w, T0 - HOUR);
    assert_string_equal(holes(&w, 0, T0 - HOUR, T0), "-3592..0");
    assert_string_equal(holes(&w, 1, T0 - HOUR, T0), "");
    assert_string_not_equal(verdict(&w, 0, of_b, 2, T0 - HOUR, T0), "");
    of_b[1].value = STR("a:1");
    assert_string_equal(verdict(&w, 0, of_b, 2, T0 - HOUR, T0), "");
    world_end(&w);
}

/* Scraped once or twice, and only by one side. */
static void short_lived_target(void **state UNUSED)
{
    struct world w;
    world_begin(&w, 2, false);
    scraped(&w, 0, "node", "a:1", 15 * S, 0);
    scraped(&w, 1, "node", "a:1", 15 * S, 7 * S);
    struct scraper *s = scraped(&w, 1, "pod", "p:1", 15 * S, 7 * S);
    s->from = T0 - 600 * S;
    s->to = T0 - 570 * S;
    world_ask(&w, T0 - HOUR);
    assert_string_not_equal(holes(&w, 0, T0 - HOUR, w.now), "");
    assert_string_equal(holes(&w, 0, T0 - 500 * S, w.now), "");
    assert_string_equal(holes(&w, 1, T0 - HOUR, w.now), "");
    world_end(&w);
}

/* ---- the newest samples ---- */

static void a_replica_stops_scraping(void **state UNUSED)
{
    struct world w;
    world_begin(&w, 2, false);
    scraped(&w, 0, "node", "a:1", 15 * S, 0)->to = T0 + 60 * S;
    scraped(&w, 1, "node", "a:1", 15 * S, 7 * S);
    world_ask(&w, T0 - HOUR);
    int64_t noticed = 0;
    for (; w.now < T0 + 200 * S; ) {
        world_run(&w, S);
        if (noticed == 0 && *holes(&w, 0, T0 - HOUR, w.now))
            noticed = w.now;
        assert_string_equal(holes(&w, 1, T0 - HOUR, w.now), "");
    }
    /* the last scrape is at 45 or 50 s */
    assert_true(noticed > T0 + 60 * S && noticed <= T0 + 85 * S);
    world_end(&w);
}

/* Gaps that are found while they happen, one after the other. */
static void newest_gaps(void **state UNUSED)
{
    struct world w;
    world_begin(&w, 2, false);
    struct scraper *a = scraped(&w, 0, "node", "a:1", S, 0);
    scraped(&w, 1, "node", "a:1", S, 400);
    world_ask(&w, T0 - HOUR);
    cut(a, T0 + 20 * S, T0 + 25 * S, CUT_MISSED);
    cut(a, T0 + 30 * S, T0 + 35 * S, CUT_DOWN);
    cut(a, T0 + 40 * S, T0 + 45 * S, CUT_FEWER);
    world_run(&w, 80 * S);
    assert_string_equal(holes(&w, 0, T0 - HOUR, w.now), "19..24 29..34 39..44");
    assert_string_equal(holes(&w, 1, T0 - HOUR, w.now), "");
    world_end(&w);
}

/* A lagging replica misses what it has not got yet, and only that. */
static void a_replica_lags(void **state UNUSED)
{
    struct world w;
    world_begin(&w, 2, false);
    scraped(&w, 0, "node", "a:1", 15 * S, 0);
    scraped(&w, 1, "node", "a:1", 15 * S, 7 * S);
    w.replicas[1].lag = 300 * S;
    world_ask(&w, T0 - HOUR);
    world_run(&w, 60 * S);
    assert_string_equal(holes(&w, 0, T0 - HOUR, w.now), "");
    assert_string_equal(holes(&w, 1, T0 - HOUR, T0 - 350 * S), "");
    assert_string_not_equal(holes(&w, 1, T0 - HOUR, w.now), "");
    world_end(&w);
}

/* The reader has stopped. */
static void nothing_is_known_of_what_was_not_read(void **state UNUSED)
{
    struct world w;
    world_begin(&w, 2, false);
    scraped(&w, 0, "node", "a:1", 15 * S, 0);
    scraped(&w, 1, "node", "a:1", 15 * S, 7 * S);
    world_ask(&w, T0 - HOUR);
    w.now += 60 * S;
    assert_string_not_equal(holes(&w, 0, T0 - HOUR, w.now), "");
    assert_string_not_equal(holes(&w, 1, T0 - HOUR, w.now), "");
    assert_string_equal(holes(&w, 1, T0 - HOUR, w.now - 70 * S), "");
    assert_string_not_equal(holes(&w, 0, w.now + HOUR, w.now + 2 * HOUR), "");
    world_end(&w);
}

/* ---- servers ---- */

/* A server is stopped for ten minutes and has no samples of them. */
static void a_server_is_stopped(void **state UNUSED)
{
    struct world w;
    world_begin(&w, 2, false);
    struct scraper *a = scraped(&w, 0, "node", "a:1", 15 * S, 0);
    scraped(&w, 1, "node", "a:1", 15 * S, 7 * S);
    world_ask(&w, T0 - HOUR);
    cut(a, w.now, w.now + 600 * S, CUT_MISSED);
    w.replicas[0].state = COVERAGE_UNREACHED;
    int64_t stopped = w.now;
    world_run(&w, 600 * S);
    assert_string_equal(holes(&w, 1, T0 - HOUR, w.now), "");
    assert_string_equal(holes(&w, 0, T0 - HOUR, stopped - 20 * S), "");
    assert_string_not_equal(holes(&w, 0, stopped - 20 * S, w.now), "");
    w.replicas[0].state = COVERAGE_READ;
    world_run(&w, 60 * S);
    assert_string_equal(holes(&w, 1, T0 - HOUR, w.now), "");
    assert_string_not_equal(holes(&w, 0, T0 - HOUR, w.now), "");
    assert_string_equal(holes(&w, 0, stopped + 640 * S, w.now), "");
    assert_string_equal(holes(&w, 0, T0 - HOUR, stopped - 20 * S), "");
    world_end(&w);
}

/* What only the server that could not be reached has counts again when it is back. */
static void a_server_returns_with_more(void **state UNUSED)
{
    struct world w;
    world_begin(&w, 2, false);
    scraped(&w, 0, "node", "a:1", 15 * S, 0);
    scraped(&w, 1, "node", "a:1", 15 * S, 7 * S);
    scraped(&w, 1, "node", "b:1", 15 * S, 7 * S);
    w.replicas[1].state = COVERAGE_UNREACHED;
    world_ask(&w, T0 - HOUR);
    assert_string_equal(holes(&w, 0, T0 - HOUR, w.now), ""); /* a merge would have no more either */
    assert_string_not_equal(holes(&w, 1, T0 - HOUR, w.now), "");
    w.replicas[1].state = COVERAGE_READ;
    world_run(&w, 60 * S);
    assert_string_not_equal(holes(&w, 0, T0 - 1800 * S, T0 - 900 * S), "");
    assert_string_equal(holes(&w, 1, T0 - HOUR, w.now), "");
    world_end(&w);
}

/* It could not be reached for one reading: what came after the last reading with it is not known before the next. */
static void a_server_is_back_at_once(void **state UNUSED)
{
    struct world w;
    struct coverage_work work;
    world_begin(&w, 2, true);
    scraped(&w, 0, "node", "a:1", 15 * S, 0);
    scraped(&w, 1, "node", "a:1", 15 * S, 7 * S);
    world_ask(&w, T0 - HOUR);
    w.replicas[0].state = COVERAGE_UNREACHED;
    holes(&w, 0, T0 - 2 * HOUR, w.now);
    world_settle(&w); /* reads the past */
    w.replicas[0].state = COVERAGE_READ;
    do {
        w.now += S;
        coverage_next(w.coverage, &w.arena, w.now, &work);
    } while (work.kind != COVERAGE_SAMPLES);
    world_read(&w, &work);
    assert_string_not_equal(holes(&w, 1, w.now - 100 * S, w.now), "");
    world_settle(&w);
    assert_string_equal(holes(&w, 1, w.now - 100 * S, w.now), "");
    assert_string_not_equal(holes(&w, 1, INT64_MIN, INT64_MAX), ""); /* no overflow */
    world_end(&w);
}

static void a_server_refuses(void **state UNUSED)
{
    struct world w;
    world_begin(&w, 2, false);
    scraped(&w, 0, "node", "a:1", 15 * S, 0);
    scraped(&w, 1, "node", "a:1", 15 * S, 7 * S);
    w.replicas[1].state = COVERAGE_FAILED;
    world_ask(&w, T0 - HOUR);
    assert_string_equal(holes(&w, 0, T0 - HOUR, w.now), "? the servers' `up` series could not be read");
    unsigned readings = w.readings;
    world_run(&w, 60 * S);
    assert_in_range(w.readings - readings, 1, 5); /* it is not pressed */
    w.replicas[1].state = COVERAGE_READ;
    world_run(&w, 90 * S);
    assert_string_equal(holes(&w, 0, T0 - HOUR, w.now), "");
    world_end(&w);
}

/* ---- which series ---- */

static void where_series_come_from(void **state UNUSED)
{
    struct world w;
    struct matcher any[] = {{.type = MATCH_EQ, .name = STR("job"), .value = STR("node")}};
    world_begin(&w, 2, false);
    scraped(&w, 0, "node", "a:1", 15 * S, 0);
    scraped(&w, 1, "node", "a:1", 15 * S, 7 * S);
    world_ask(&w, T0 - 10 * MIN);
    assert_string_equal(verdict(&w, 0, any, 1, T0 - MIN, T0), "? the selector names no metric");
    assert_string_equal(holes(&w, 0, T0 - MIN, T0), "");
    w.replicas[1].alone = 1; /* somebody begins to push */
    for (int i = 0; i < 11 * 60; i++, world_run(&w, S))
        holes(&w, 0, T0, w.now);
    assert_string_equal(holes(&w, 0, T0 - MIN, T0), "? the metric has series that are not scraped from a target");
    w.replicas[1].alone = 0;
    w.replicas[0].other = 1; /* a recording rule */
    for (int i = 0; i < 11 * 60; i++, world_run(&w, S))
        holes(&w, 0, T0, w.now);
    assert_string_equal(holes(&w, 0, T0 - MIN, T0), "? the metric has series that are not scraped from a target");
    w.replicas[0].other = 0;
    w.replicas[0].all = 98; /* of 100 */
    for (int i = 0; i < 11 * 60; i++, world_run(&w, S))
        holes(&w, 0, T0, w.now);
    assert_string_equal(holes(&w, 0, T0 - MIN, T0), "-60..0");
    assert_string_equal(holes(&w, 1, T0 - MIN, T0), "");
    world_end(&w);
}

static void trusted_without_target(void **state UNUSED)
{
    struct world w;
    struct matcher none[] = {{.type = MATCH_EQ, .name = STR("job"), .value = STR("other")}};
    world_begin(&w, 2, true);
    struct scraper *a = scraped(&w, 0, "node", "a:1", 15 * S, 0);
    scraped(&w, 1, "node", "a:1", 15 * S, 7 * S);
    cut(a, T0 - 120 * S, T0 - 60 * S, CUT_MISSED);
    w.replicas[1].alone = 1;
    world_ask(&w, T0 - HOUR);
    assert_string_equal(holes(&w, 1, T0 - HOUR, T0), "");
    assert_string_equal(holes(&w, 0, T0 - HOUR, T0), "-134..-60");
    assert_string_equal(verdict(&w, 0, none, 1, T0 - HOUR, T0), "-134..-60"); /* no job is set apart */
    world_end(&w);
}

static void without_up_nothing_is_complete(void **state UNUSED)
{
    struct world w;
    world_begin(&w, 2, true);
    world_ask(&w, T0 - HOUR);
    assert_string_equal(holes(&w, 0, T0 - HOUR, T0), "? the servers have no `up` series");
    world_end(&w);
}

/* All servers were down for a day; and before their first samples. */
static void time_without_evidence(void **state UNUSED)
{
    struct world w;
    world_begin(&w, 2, true);
    for (size_t r = 0; r < 2; r++)
        cut(scraped(&w, r, "node", "a:1", 15 * S, (int64_t)r * 7 * S), T0 - 30 * HOUR, T0 - 6 * HOUR, CUT_MISSED);
    world_ask(&w, T0 - 60 * (int64_t)HOUR);
    assert_string_equal(holes(&w, 0, T0 - 5 * HOUR, w.now), "");
    assert_string_equal(holes(&w, 1, T0 - 40 * HOUR, T0 - 31 * HOUR), "");
    assert_string_not_equal(holes(&w, 1, T0 - 20 * HOUR, T0 - 19 * HOUR), "");
    assert_string_not_equal(holes(&w, 1, T0 - 58 * HOUR, T0 - 57 * HOUR), "");
    world_end(&w);
}

/* Two jobs with the same instance, and two `up` series of one key. */
static void targets_of_one_key(void **state UNUSED)
{
    struct world w;
    struct matcher of[] = {metric[0], {.type = MATCH_EQ, .name = STR("job"), .value = STR("x")}};
    world_begin(&w, 2, false);
    for (size_t r = 0; r < 2; r++) {
        scraped(&w, r, "x", "a:1", 15 * S, (int64_t)r);
        struct scraper *y = scraped(&w, r, "y", "a:1", 15 * S, (int64_t)r + S);
        scraped(&w, r, "z", "a:1", 15 * S, (int64_t)r + 2 * S);
        struct scraper *second = scraped(&w, r, "z", "a:1", 15 * S, (int64_t)r + 3 * S);
        second->more = "2";
        if (r == 0) {
            cut(y, T0 - 600 * S, T0 - 500 * S, CUT_MISSED);
            cut(second, T0 - 300 * S, T0 - 200 * S, CUT_MISSED);
        }
    }
    world_ask(&w, T0 - HOUR);
    assert_string_equal(verdict(&w, 0, of, 2, T0 - HOUR, T0), "");
    of[1].value = STR("y");
    assert_string_equal(verdict(&w, 0, of, 2, T0 - HOUR, T0), "-613..-494");
    of[1].value = STR("z");
    assert_string_equal(verdict(&w, 0, of, 2, T0 - HOUR, T0), "-311..-192");
    world_end(&w);
}

static void the_expression(void **state UNUSED)
{
    struct world w;
    struct buf out = {0};
    world_begin(&w, 2, false);
    coverage_name_expr(w.coverage, STR("m"), &out);
    assert_true(str_find_str(buf_str(&out), STR("timestamp(m) unless on(job,instance) timestamp(up)")) < out.n);
    buf_clear(&out);
    coverage_name_expr(w.coverage, STR("a.b"), &out);
    assert_true(str_find_str(buf_str(&out), STR("timestamp({\"a.b\"})")) < out.n);
    buf_free(&out);
    world_end(&w);
}

/* ---- memory and work ---- */

static void rests_when_nobody_queries(void **state UNUSED)
{
    struct world w;
    world_begin(&w, 2, false);
    scraped(&w, 0, "node", "a:1", 15 * S, 0);
    scraped(&w, 1, "node", "a:1", 15 * S, 7 * S);
    world_settle(&w);
    assert_int_equal(w.readings, 0);
    world_ask(&w, T0 - HOUR);
    world_run(&w, 11 * MIN);
    unsigned readings = w.readings;
    world_run(&w, 10 * MIN);
    assert_int_equal(w.readings, readings);
    holes(&w, 0, T0 - HOUR, w.now);
    world_settle(&w);
    world_run(&w, 5 * S);
    assert_string_equal(holes(&w, 0, T0 - HOUR, w.now), ""); /* what was not read meanwhile, too */
    world_end(&w);
}

/* The past is not read twice. */
static void reads_incrementally(void **state UNUSED)
{
    struct world w;
    world_begin(&w, 2, false);
    scraped(&w, 0, "node", "a:1", 15 * S, 0);
    scraped(&w, 1, "node", "a:1", 15 * S, 7 * S);
    world_ask(&w, T0 - 24 * HOUR);
    assert_string_equal(holes(&w, 1, T0 - 24 * HOUR, w.now), "");
    assert_in_range(w.samples, 4 * 24 * 240, 4 * 24 * 300);
    w.samples = 0;
    w.readings = 0;
    holes(&w, 1, T0 - 24 * HOUR, w.now);
    world_run(&w, 10 * MIN);
    assert_in_range(w.readings, 60, 100);
    assert_true(w.samples < (uint64_t)w.readings * 4 * 6);
    world_end(&w);
}

/* Two days of scrapes by the second are decided by counts per hour, and by the samples of those hours and targets that
 * are not as expected. */
static void long_past_by_hours(void **state UNUSED)
{
    static const char *const instances[] = {"a-1.x:1", "b:1", "c:1", "d:1", "e:1"};
    struct matcher of[] = {metric[0], {.type = MATCH_EQ, .name = STR("instance"), .value = STR("")}};
    struct world w;
    world_begin(&w, 2, false);
    for (size_t r = 0; r < 2; r++)
        for (size_t i = 0; i < LEN(instances); i++) {
            struct scraper *s = scraped(&w, r, "node", instances[i], S, (int64_t)r * 300 + 100 * (int64_t)i);
            if (r == 0 && i == 0)
                cut(s, T0 - 10 * HOUR - 600 * S, T0 - 10 * HOUR - 599 * S, CUT_MISSED);      /* one scrape */
            if (r == 1)
                cut(s, T0 - 30 * HOUR - 1800 * S, T0 - 20 * HOUR, CUT_MISSED);               /* the server */
            if (r == 0 && i == 1)
                cut(s, T0 - 5 * HOUR - 60 * S, T0 - 5 * HOUR - 30 * S, CUT_FEWER);
            if (i == 2)
                s->from = T0 - 15 * HOUR - 1234 * S;                                         /* a beginning */
        }
    world_ask(&w, T0 - 40 * (int64_t)HOUR);
    assert_string_equal(holes(&w, 0, T0 - 40 * (int64_t)HOUR, w.now), "-36600..-36599 -18060..-18029");
    assert_string_equal(holes(&w, 1, T0 - 40 * (int64_t)HOUR, w.now), "-109800..-71999");
    of[1].value = STR("a-1.x:1");
    assert_string_equal(verdict(&w, 0, of, 2, T0 - 40 * (int64_t)HOUR, w.now), "-36600..-36599");
    of[1].value = STR("c:1");
    assert_string_equal(verdict(&w, 1, of, 2, T0 - 40 * (int64_t)HOUR, w.now), "");
    assert_true(w.samples < 5 * 4 * 3600 * 20); /* of 40 hours */
    world_end(&w);
}

static void too_many_targets(void **state UNUSED)
{
    enum { MANY = 100000 };
    struct world w;
    struct coverage_work work;
    world_begin(&w, 2, false);
    holes(&w, 0, T0 - HOUR, T0);
    coverage_next(w.coverage, &w.arena, w.now, &work);
    struct series *series = ARENA_ARRAY(&w.arena, struct series, 2 * MANY);
    for (size_t i = 0; i < MANY; i++) {
        struct scraper s = {.job = "node", .instance = arena_printf(&w.arena, "host-%zu.example:9100", i).p,
                            .interval = 60 * S, .to = INT64_MAX};
        scraper_series(&w, 0, &s, &work, &series[2 * i], &series[2 * i + 1]);
    }
    struct coverage_reading readings[2] = {{.series = series, .n = 2 * MANY}, {.series = series, .n = 2 * MANY}};
    coverage_take_samples(w.coverage, &w.arena, &work, readings, w.now);
    assert_string_equal(holes(&w, 0, T0 - HOUR, T0), "? the group has too many targets");
    struct coverage_status status;
    coverage_show(w.coverage, &w.arena, 0, &status);
    assert_true(status.bytes < COVERAGE_BYTES);
    world_end(&w);
}

static void a_reload_keeps_what_is_known(void **state UNUSED)
{
    static struct str by[] = {{"job", 3}, {"instance", 8}};
    struct world w;
    world_begin(&w, 2, false);
    struct coverage_conf conf = {.group = STR("g"), .replicas = (const uint64_t[]){1, 2}, .n_replicas = 2,
                                 .by = {by, 2}};
    struct coverage *same = coverage_get(w.registry, &conf), *other;
    assert_ptr_equal(same, w.coverage);
    conf.replicas = (const uint64_t[]){1, 3};
    other = coverage_get(w.registry, &conf);
    assert_ptr_not_equal(other, w.coverage);
    coverage_put(w.registry, other);
    coverage_put(w.registry, same);
    world_end(&w);
}

/* ---- spans ---- */

static void span_lists(void **state UNUSED)
{
    struct span_list l = {0};
    struct coverage_span many[40];
    spans_add(&l, (struct coverage_span){10, 20});
    spans_add(&l, (struct coverage_span){40, 50});
    spans_add(&l, (struct coverage_span){21, 25});
    assert_int_equal(l.n, 2);
    assert_int_equal(l.items[0].to, 25);
    spans_add(&l, (struct coverage_span){0, 5});
    spans_add(&l, (struct coverage_span){24, 41});
    assert_int_equal(l.n, 2);
    assert_int_equal(l.items[1].to, 50);
    assert_int_equal(spans_find(&l, 6), 1);
    spans_cut_before(&l, 12);
    assert_int_equal(l.items[0].from, 12);
    spans_cut_after(&l, 30);
    assert_int_equal(l.n, 1);
    assert_int_equal(l.items[0].to, 30);
    spans_free(&l);
    for (int i = 0; i < 40; i++)
        many[39 - i] = (struct coverage_span){i * 100 + (i / 10) * 1000, i * 100 + (i / 10) * 1000 + 5};
    assert_int_equal(spans_join(many, 40), 40);
    assert_int_equal(spans_limit(many, 40, 4), 4);
    assert_int_equal(many[1].from, 2000);
    assert_int_equal(many[1].to, 2905);
    assert_int_equal(spans_limit(many, 4, 16), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readings_take_time),
        cmocka_unit_test(healthy_pair), cmocka_unit_test(one_server_is_complete), cmocka_unit_test(missed_scrapes),
        cmocka_unit_test(down_on_one_side), cmocka_unit_test(fewer_series_on_one_side),
        cmocka_unit_test(without_kept_counts), cmocka_unit_test(other_intervals), cmocka_unit_test(interval_changes),
        cmocka_unit_test(beginnings_and_ends), cmocka_unit_test(partial_replica),
        cmocka_unit_test(late_discovery), cmocka_unit_test(failures_beside),
        cmocka_unit_test(short_lived_target), cmocka_unit_test(a_replica_stops_scraping),
        cmocka_unit_test(newest_gaps), cmocka_unit_test(a_replica_lags), cmocka_unit_test(nothing_is_known_of_what_was_not_read),
        cmocka_unit_test(a_server_is_stopped), cmocka_unit_test(a_server_returns_with_more),
        cmocka_unit_test(a_server_is_back_at_once), cmocka_unit_test(a_server_refuses),
        cmocka_unit_test(where_series_come_from),
        cmocka_unit_test(trusted_without_target), cmocka_unit_test(without_up_nothing_is_complete),
        cmocka_unit_test(time_without_evidence), cmocka_unit_test(targets_of_one_key), cmocka_unit_test(the_expression),
        cmocka_unit_test(rests_when_nobody_queries), cmocka_unit_test(reads_incrementally),
        cmocka_unit_test(long_past_by_hours), cmocka_unit_test(too_many_targets),
        cmocka_unit_test(a_reload_keeps_what_is_known),
        cmocka_unit_test(span_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
