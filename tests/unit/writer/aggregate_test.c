// SPDX-License-Identifier: Apache-2.0
/* Stream aggregation: results, their names and times, computed by hand; deduplication, windows, staleness, several lanes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/conf/yaml.h"
#include "base/hash.h"
#include "writer/aggregate/aggregate.h"
#include "writer/aggregate/aggregate_table.h"
#include "writer/aggregate/value_set.h"

#include <stdio.h>
#include <stdlib.h>

enum { MOST_LANES = 4, MOST_RULES = 4, MOST_LINES = 400 };
static const int64_t t0 = INT64_C(1700000040) * 1000; /* a multiple of a minute */

static struct arena arena;
static struct aggregate_rule *rules;
static const struct aggregate_rule *pointers[MOST_RULES];
static struct aggregate *lanes[MOST_LANES];
static unsigned n_lanes;
static int64_t now;
static char *lines[MOST_LINES];
static size_t n_lines;
static struct buf all_lines;

/* name{a="b",...} */
static struct labels parse_series(const char *text)
{
    struct label items[16];
    size_t n = 0;
    struct str s = str_of(text), name;
    str_cut(&s, '{', &name);
    if (name.n > 0)
        items[n++] = (struct label){STR(METRIC_NAME), name};
    if (s.p == NULL)
        return labels_from(&arena, items, n);
    s.n--;
    for (struct str pair, key; str_cut(&s, ',', &pair);) {
        str_cut(&pair, '=', &key);
        items[n++] = (struct label){key, str_n(pair.p + 1, pair.n - 2)};
    }
    return labels_from(&arena, items, n);
}

static bool load(const char *config, const struct aggregate_conf *defaults, struct err *err)
{
    struct conf_context c = {.arena = &arena, .file = "aggr.yml", .vmagent_relabeling = true};
    struct yaml *y = yaml_parse(&arena, str_of(config), "aggr.yml", err);
    struct aggregate_conf conf = {0};
    if (defaults)
        conf = *defaults;
    if (y == NULL || !aggregate_load_file(&c, y, &conf, err))
        return false;
    struct conf_items items = conf.rules;
    rules = items.items;
    assert_true(items.n <= MOST_RULES);
    for (size_t i = 0; i < items.n; i++)
        pointers[i] = &rules[i];
    for (unsigned i = 0; i < n_lanes; i++)
        lanes[i] = aggregate_new(pointers, NULL, items.n, i, n_lanes, now);
    return true;
}

static void start_lanes(unsigned n, const char *config, const struct aggregate_conf *defaults)
{
    struct err err;
    n_lanes = n;
    if (!load(config, defaults, &err))
        fail_msg("%s", err.text);
}
static void start(const char *config) { start_lanes(1, config, NULL); }

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, 0);
    now = t0;
    return 0;
}

static void clear_lines(void)
{
    while (n_lines > 0)
        free(lines[--n_lines]);
}

static int tear_down(void **state)
{
    (void)state;
    while (n_lanes > 0)
        aggregate_free(lanes[--n_lanes]);
    clear_lines();
    buf_free(&all_lines);
    arena_free(&arena);
    return 0;
}

static void push_at(unsigned lane, const char *series, double v, int64_t t)
{
    struct sample s = {t, v};
    struct labels l = parse_series(series);
    uint64_t hash = hash_keyed(l.p, l.n);
    struct aggregate_match m = aggregate_find(lanes[lane], l, hash);
    assert_int_not_equal(m.route, AGGREGATE_NO_ROUTE);
    aggregate_add_samples(lanes[lane], m.route, &s, 1, now);
    for (unsigned i = 0; i < n_lanes; i++)
        if (m.others >> i & 1)
            aggregate_push_sent(lanes[i], l, hash, &s, 1, now, false);
}
static void push(const char *series, double v) { push_at(0, series, v, now); }

static void keep_line(void *arg, struct labels labels, const struct sample *s)
{
    (void)arg;
    struct buf line = {0};
    struct labels checked;
    assert_true(labels_check(labels.p, labels.n, &checked));
    labels_print(&line, labels);
    buf_printf(&line, " %.10g %lld", s->v, (long long)(s->t - t0));
    assert_true(n_lines < MOST_LINES);
    lines[n_lines++] = strdup(buf_z(&line));
    buf_free(&line);
}

static int order(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* All results since the last call, sorted, with times after t0. */
static const char *results(void)
{
    qsort(lines, n_lines, sizeof *lines, order);
    buf_clear(&all_lines);
    for (size_t i = 0; i < n_lines; i++)
        buf_printf(&all_lines, "%s\n", lines[i]);
    clear_lines();
    return buf_z(&all_lines);
}

/* Moves the time on, second by second. */
static void pass(int64_t ms)
{
    const struct aggregate_results to = {keep_line, NULL};
    for (int64_t until = now + ms; now < until;) {
        now += until - now < 1000 ? until - now : 1000;
        for (unsigned i = 0; i < n_lanes; i++)
            while (aggregate_due(lanes[i]) <= now && aggregate_flush(lanes[i], now, INT64_MAX, &to))
                ;
    }
}

static void finish(void)
{
    const struct aggregate_results to = {keep_line, NULL};
    for (unsigned i = 0; i < n_lanes; i++)
        while (aggregate_finish(lanes[i], now, 0, &to)) /* 64 records a call */
            ;
}

/* --- outputs ------------------------------------------------------------------------------------------------------ */

static void gauges(void **state)
{
    (void)state;
    start("- interval: 1m\n  by: [job]\n  outputs: [avg, count_samples, count_series, last, max, min, stddev, stdvar, sum_samples, "
          "unique_samples, 'quantiles(0, 0.5, 0.9, 1)']\n");
    push("m{job=\"a\",i=\"1\"}", 2);
    push("m{job=\"a\",i=\"1\"}", 4);
    push("m{job=\"a\",i=\"2\"}", 4);
    push("m{job=\"a\",i=\"3\"}", 10);
    push_at(0, "m{job=\"a\",i=\"3\"}", 5, now - 1); /* older: not the last */
    push("m{job=\"b\",i=\"1\"}", -3);
    pass(60000);
    assert_string_equal(results(), "m:1m_by_job_avg{job=\"a\"} 5 60000\n"
                                   "m:1m_by_job_avg{job=\"b\"} -3 60000\n"
                                   "m:1m_by_job_count_samples{job=\"a\"} 5 60000\n"
                                   "m:1m_by_job_count_samples{job=\"b\"} 1 60000\n"
                                   "m:1m_by_job_count_series{job=\"a\"} 3 60000\n"
                                   "m:1m_by_job_count_series{job=\"b\"} 1 60000\n"
                                   "m:1m_by_job_last{job=\"a\"} 10 60000\n"
                                   "m:1m_by_job_last{job=\"b\"} -3 60000\n"
                                   "m:1m_by_job_max{job=\"a\"} 10 60000\n"
                                   "m:1m_by_job_max{job=\"b\"} -3 60000\n"
                                   "m:1m_by_job_min{job=\"a\"} 2 60000\n"
                                   "m:1m_by_job_min{job=\"b\"} -3 60000\n"
                                   "m:1m_by_job_quantiles{job=\"a\", quantile=\"0\"} 2 60000\n"
                                   "m:1m_by_job_quantiles{job=\"a\", quantile=\"0.5\"} 4 60000\n"
                                   "m:1m_by_job_quantiles{job=\"a\", quantile=\"0.9\"} 10 60000\n"
                                   "m:1m_by_job_quantiles{job=\"a\", quantile=\"1\"} 10 60000\n"
                                   "m:1m_by_job_quantiles{job=\"b\", quantile=\"0\"} -3 60000\n"
                                   "m:1m_by_job_quantiles{job=\"b\", quantile=\"0.5\"} -3 60000\n"
                                   "m:1m_by_job_quantiles{job=\"b\", quantile=\"0.9\"} -3 60000\n"
                                   "m:1m_by_job_quantiles{job=\"b\", quantile=\"1\"} -3 60000\n"
                                   "m:1m_by_job_stddev{job=\"a\"} 2.683281573 60000\n"
                                   "m:1m_by_job_stddev{job=\"b\"} 0 60000\n"
                                   "m:1m_by_job_stdvar{job=\"a\"} 7.2 60000\n"
                                   "m:1m_by_job_stdvar{job=\"b\"} 0 60000\n"
                                   "m:1m_by_job_sum_samples{job=\"a\"} 25 60000\n"
                                   "m:1m_by_job_sum_samples{job=\"b\"} -3 60000\n"
                                   "m:1m_by_job_unique_samples{job=\"a\"} 4 60000\n"
                                   "m:1m_by_job_unique_samples{job=\"b\"} 1 60000\n");
}

/* Two series: one rises by 5 and is reset to 2; the other appears later with 100. */
static void counters(void **state)
{
    (void)state;
    start("- interval: 10s\n  without: [i]\n  ignore_first_sample_interval: 5s\n  staleness_interval: 30s\n"
          "  outputs: [increase, increase_prometheus, total, total_prometheus, rate_sum, rate_avg]\n");
    push("c{i=\"1\"}", 10); /* within the first 5 s: a base only */
    pass(6000);
    push("c{i=\"1\"}", 15);
    pass(4000);
    assert_string_equal(results(), "c:10s_without_i_increase 5 10000\nc:10s_without_i_increase_prometheus 5 10000\n"
                                   "c:10s_without_i_rate_avg 0.8333333333 10000\nc:10s_without_i_rate_sum 0.8333333333 10000\n"
                                   "c:10s_without_i_total 5 10000\nc:10s_without_i_total_prometheus 5 10000\n");
    push("c{i=\"2\"}", 100); /* new: counts as a whole, except for the _prometheus forms */
    push("c{i=\"1\"}", 2);   /* reset, 4 s after the last sample */
    push_at(0, "c{i=\"1\"}", 1, now - 1000); /* out of order: ignored */
    pass(5000);
    push("c{i=\"2\"}", 110);
    pass(5000);
    assert_string_equal(results(), "c:10s_without_i_increase 112 20000\nc:10s_without_i_increase_prometheus 12 20000\n"
                                   "c:10s_without_i_rate_avg 1.25 20000\nc:10s_without_i_rate_sum 2.5 20000\n"
                                   "c:10s_without_i_total 117 20000\nc:10s_without_i_total_prometheus 17 20000\n");
    assert_int_equal(aggregate_counts(lanes[0], 0)->counter_resets, 1);
    pass(10000); /* no samples: the totals go on */
    assert_string_equal(results(), "c:10s_without_i_total 117 30000\nc:10s_without_i_total_prometheus 17 30000\n");
    pass(30000); /* forgotten after 30 s */
    results();
    pass(10000);
    assert_string_equal(results(), "");
    push("c{i=\"1\"}", 7);
    pass(10000);
    assert_string_equal(results(), "c:10s_without_i_increase 7 80000\nc:10s_without_i_increase_prometheus 0 80000\n"
                                   "c:10s_without_i_total 7 80000\nc:10s_without_i_total_prometheus 0 80000\n");
}

static void sums_go_on(void **state)
{
    (void)state;
    start("- interval: 10s\n  staleness_interval: 20s\n  outputs: [sum_samples, sum_samples_total, histogram_bucket]\n");
    push("s", 3);
    push("s", 0);
    push("s", -1); /* not in the histogram */
    push("s", 1000);
    push("s", 1e-10);
    push("s", 2e18);
    push("s", -2e18); /* a double near 2e18 is a multiple of 256: 1002 became 1024 */
    pass(10000);
    assert_string_equal(results(), "s:10s_histogram_bucket{vmrange=\"0...1.000e-09\"} 2 10000\n"
                                   "s:10s_histogram_bucket{vmrange=\"1.000e+18...+Inf\"} 1 10000\n"
                                   "s:10s_histogram_bucket{vmrange=\"2.783e+00...3.162e+00\"} 1 10000\n"
                                   "s:10s_histogram_bucket{vmrange=\"8.799e+02...1.000e+03\"} 1 10000\n"
                                   "s:10s_sum_samples 1024 10000\n"
                                   "s:10s_sum_samples_total 1024 10000\n");
    push("s", 3);
    pass(10000);
    assert_string_equal(results(), "s:10s_histogram_bucket{vmrange=\"0...1.000e-09\"} 2 20000\n"
                                   "s:10s_histogram_bucket{vmrange=\"1.000e+18...+Inf\"} 1 20000\n"
                                   "s:10s_histogram_bucket{vmrange=\"2.783e+00...3.162e+00\"} 2 20000\n"
                                   "s:10s_histogram_bucket{vmrange=\"8.799e+02...1.000e+03\"} 1 20000\n"
                                   "s:10s_sum_samples 3 20000\n"
                                   "s:10s_sum_samples_total 1027 20000\n");
}

static void names_and_labels(void **state)
{
    (void)state;
    start("- match: ['{__name__=~\"a.*\"}', 'b{x=\"1\"}']\n  interval: 1m\n  by: [z, Z]\n  drop_input_labels: [z]\n  outputs: [max]\n"
          "- match: keep\n  interval: 60s\n  keep_metric_names: true\n  outputs: [last]\n"
          "- match: relabeled\n  interval: 1m\n  outputs: [last]\n"
          "  input_relabel_configs: [{source_labels: [x], target_label: y}, {regex: x, action: labeldrop}]\n"
          "  output_relabel_configs: [{source_labels: [__name__], regex: '(.+):1m_last', target_label: __name__}]\n");
    push("a1{z=\"1\",Z=\"u\"}", 1);
    push("{Z=\"u\",x=\"1\"}", 2); /* matches nothing: no name */
    push("b{x=\"1\"}", 3);
    push("b{x=\"2\"}", 4);
    push("keep{x=\"1\"}", 5);
    push("relabeled{x=\"1\"}", 6);
    pass(60000);
    assert_string_equal(results(), "a1:1m_by_Z_z_max{Z=\"u\"} 1 60000\nb:1m_by_Z_z_max 3 60000\nkeep{x=\"1\"} 5 60000\n"
                                   "relabeled{y=\"1\"} 6 60000\n");
}

static void no_name(void **state)
{
    (void)state;
    start("- interval: 1m\n  outputs: [max]\n");
    push("{Z=\"u\",x=\"1\"}", 2);
    pass(60000);
    assert_string_equal(results(), ":1m_max{Z=\"u\", x=\"1\"} 2 60000\n");
}

/* --- time --------------------------------------------------------------------------------------------------------- */

static void intervals(void **state)
{
    (void)state;
    now = t0 + 20000; /* between two multiples: the first interval ends at the second multiple to come */
    start("- match: a\n  interval: 1m\n  outputs: [count_samples]\n"
          "- match: b\n  interval: 1m\n  no_align_flush_to_interval: true\n  outputs: [count_samples]\n"
          "- match: c\n  interval: 1m\n  ignore_old_samples: true\n  outputs: [count_samples]\n"
          "- match: d\n  interval: 1m\n  ignore_first_intervals: 1\n  outputs: [count_samples]\n");
    push("a", 1);
    push("b", 1);
    push("c", 1); /* older than the first multiple */
    push("d", 1);
    pass(60000);
    assert_string_equal(results(), "b:1m_count_samples 1 80000\n");
    push("a", 1);
    push("c", 1);
    push("d", 1);
    push_at(0, "a", NAN, now);
    pass(40000);
    assert_string_equal(results(), "a:1m_count_samples 2 120000\nc:1m_count_samples 1 120000\n");
    push("d", 1);
    pass(60000);
    assert_string_equal(results(), "d:1m_count_samples 1 180000\n");
    assert_int_equal(aggregate_counts(lanes[0], 0)->ignored_nan, 1);
    assert_int_equal(aggregate_counts(lanes[0], 2)->ignored_old, 1);
    assert_int_equal(aggregate_counts(lanes[0], 0)->matched, 2);
}

static void seven_seconds(void **state)
{
    (void)state;
    start("- interval: 7s\n  outputs: [count_samples]\n");
    pass(6500);
    push("a", 1);
    pass(20000);
    /* multiples since the year 1: (1700000040 + 62135596800) mod 7 = 1 */
    assert_string_equal(results(), "a:7s_count_samples 1 13000\n");
}

static void windows(void **state)
{
    (void)state;
    start("- interval: 10s\n  enable_windows: true\n  outputs: [sum_samples, count_series]\n");
    push_at(0, "a", 1, now + 1000);
    now += 9000;
    push_at(0, "a", 2, t0 + 11000);  /* of the next window */
    push_at(0, "a", 4, t0 + 6000);   /* 3 s late */
    push_at(0, "a", 8, t0 - 1);      /* of an interval that is over */
    pass(1000);
    assert_string_equal(results(), ""); /* waits for those that are as late */
    push_at(0, "a", 16, t0 + 9000);
    pass(3000);
    assert_string_equal(results(), "a:10s_count_series 1 10000\na:10s_sum_samples 21 10000\n");
    push_at(0, "a", 32, t0 + 9999); /* too late */
    pass(10000);
    assert_string_equal(results(), "a:10s_count_series 1 20000\na:10s_sum_samples 2 20000\n");
    assert_int_equal(aggregate_counts(lanes[0], 0)->ignored_old, 2);
}

static void windows_of_counters(void **state)
{
    (void)state;
    start("- interval: 10s\n  enable_windows: true\n  ignore_first_sample_interval: 0s\n  outputs: [total, rate_sum]\n");
    push_at(0, "a", 10, t0 + 1000);
    push_at(0, "a", 30, t0 + 9000);
    push_at(0, "a", 34, t0 + 11000);
    pass(10000);
    assert_string_equal(results(), "a:10s_rate_sum 2.5 10000\na:10s_total 30 10000\n");
    push_at(0, "a", 40, t0 + 19000);
    pass(10000);
    assert_string_equal(results(), "a:10s_rate_sum 1 20000\na:10s_total 40 20000\n");
}

static void flush_at_shutdown(void **state)
{
    (void)state;
    start("- match: a\n  interval: 1m\n  flush_on_shutdown: true\n  outputs: [count_samples]\n"
          "- match: b\n  interval: 1m\n  flush_on_shutdown: true\n  no_align_flush_to_interval: true\n  dedup_interval: 10s\n"
          "  outputs: [count_samples]\n"
          "- match: c\n  interval: 1m\n  outputs: [count_samples]\n");
    push("a", 1);
    push("b", 1);
    push("c", 1);
    pass(5000);
    finish();
    assert_string_equal(results(), "a:1m_count_samples 1 60000\nb:1m_count_samples 1 5000\n");
}

/* --- deduplication ------------------------------------------------------------------------------------------------ */

static void deduplication(void **state)
{
    (void)state;
    start("- interval: 20s\n  dedup_interval: 10s\n  drop_input_labels: [replica]\n  ignore_first_sample_interval: 0s\n"
          "  outputs: [count_samples, sum_samples, total]\n");
    push("a{replica=\"1\"}", 5);
    push_at(0, "a{replica=\"2\"}", 6, now + 1); /* newer */
    push_at(0, "a{replica=\"2\"}", 4, now + 1); /* equal time: the greater one */
    pass(10000);
    push("a{replica=\"1\"}", 8);
    pass(10000);
    assert_string_equal(results(), "a:20s_count_samples 2 20000\na:20s_sum_samples 14 20000\na:20s_total 8 20000\n");
    assert_int_equal(aggregate_counts(lanes[0], 0)->dedup_dropped, 2);
    assert_int_equal(aggregate_counts(lanes[0], 0)->matched, 4);
    pass(10000);
    push("a{replica=\"2\"}", 10);
    pass(10000);
    assert_string_equal(results(), "a:20s_count_samples 1 40000\na:20s_sum_samples 10 40000\na:20s_total 10 40000\n");
}

static void deduplication_alone(void **state)
{
    (void)state;
    struct str replica = STR("replica");
    struct aggregate_conf d = {.dedup_interval = 10000, .drop_input_labels = {&replica, 1}};
    now += 3000; /* from the start, not aligned */
    struct aggregate_rule rule = aggregate_dedup_rule(&d);
    pointers[0] = &rule;
    n_lanes = 1;
    lanes[0] = aggregate_new(pointers, NULL, 1, 0, 1, now);
    push_at(0, "a{replica=\"1\"}", 1, t0 + 3000);
    push_at(0, "a{replica=\"2\"}", 2, t0 + 3500);
    push_at(0, "b{replica=\"2\"}", 9, t0 + 3500);
    push_at(0, "b{replica=\"1\"}", stale_nan(), t0 + 3500); /* a number is preferred */
    push_at(0, "e", stale_nan(), t0 + 3500);
    pass(9000);
    assert_string_equal(results(), "");
    pass(1000);
    assert_string_equal(results(), "a 2 3500\nb 9 3500\ne nan 3500\n");
    push_at(0, "a{replica=\"1\"}", 3, t0 + 14000);
    pass(10000);
    assert_string_equal(results(), "a 3 14000\n");
    push_at(0, "a{replica=\"1\"}", 4, t0 + 24000);
    finish();
    assert_string_equal(results(), "a 4 24000\n");
}

/* --- lanes, memory ------------------------------------------------------------------------------------------------ */

static void lanes_agree(void **state)
{
    (void)state;
    start_lanes(3, "- interval: 10s\n  by: [g]\n  ignore_first_sample_interval: 0s\n  outputs: [count_series, total]\n"
                   "- interval: 10s\n  by: [i]\n  outputs: [count_samples]\n", NULL);
    char name[64];
    for (int round = 1; round <= 2; round++) /* each sample arrives on another lane */
        for (int i = 0; i < 40; i++) {
            snprintf(name, sizeof name, "c{g=\"%d\",i=\"%d\"}", i % 4, i % 10);
            push_at((unsigned)(i + round) % 3, name, round * 10, now);
        }
    pass(10000);
    char *expected = NULL;
    size_t size;
    FILE *f = open_memstream(&expected, &size);
    for (int g = 0; g < 4; g++)
        fprintf(f, "c:10s_by_g_count_series{g=\"%d\"} 5 10000\n", g);
    for (int g = 0; g < 4; g++)
        fprintf(f, "c:10s_by_g_total{g=\"%d\"} 100 10000\n", g);
    for (int i = 0; i < 10; i++)
        fprintf(f, "c:10s_by_i_count_samples{i=\"%d\"} 8 10000\n", i);
    fclose(f);
    assert_string_equal(results(), expected);
    free(expected);
}

static unsigned long long live(unsigned rule) { return aggregate_counts(lanes[0], rule)->series; }

static void memory_is_reused(void **state)
{
    (void)state;
    start("- interval: 1s\n  by: [g]\n  outputs: [total, unique_samples]\n");
    char name[64];
    size_t most = 0;
    for (int round = 0; round < 100; round++) { /* new series and groups each second */
        for (int i = 0; i < 100; i++) {
            snprintf(name, sizeof name, "c{g=\"%d\",i=\"%d\"}", round, i);
            push(name, i);
        }
        pass(1000);
        clear_lines();
        if (live(0) > most)
            most = live(0);
    }
    assert_in_range(most, 100, 2500); /* 10 s are between two sweeps */
    pass(700000);
    assert_int_equal(live(0), 0);
    assert_int_equal(aggregate_counts(lanes[0], 0)->groups, 0);
}

static void tables(void **state)
{
    (void)state;
    enum { N = 5000 };
    struct aggregate_table t;
    struct record { uint64_t id; uint32_t value; };
    table_init(&t, sizeof(struct record));
    for (uint64_t i = 1; i <= N; i++)
        ((struct record *)table_at(&t, table_add(&t, i * i)))->value = (uint32_t)i;
    for (uint64_t i = 1; i <= N; i += 2) {
        uint32_t at = table_find(&t, i * i);
        table_forget(&t, at);
        table_release(&t, at);
    }
    assert_int_equal(t.n, N / 2);
    for (uint64_t i = 1; i <= N; i++) {
        uint32_t at = table_find(&t, i * i);
        assert_int_equal(at == TABLE_NONE, i % 2 == 1);
        if (at != TABLE_NONE)
            assert_int_equal(((struct record *)table_at(&t, at))->value, i);
    }
    for (uint64_t i = 1; i <= N; i += 2)
        assert_true(table_add(&t, i * i + 1000000000) < N); /* numbers are used again */
    table_free(&t);
}

static void quantiles_of_many(void **state)
{
    (void)state;
    struct value_sample *s = NULL;
    for (int i = 0; i < 20000; i++)
        value_sample_add(&s, i % 10000);
    value_sample_sort(s);
    assert_true(value_sample_quantile(s, 0) == 0);
    assert_true(value_sample_quantile(s, 1) == 9999);
    assert_in_range((uint64_t)value_sample_quantile(s, 0.5), 4200, 5800); /* 5 standard deviations */
    mem_free(s);
    struct value_set *set = NULL;
    for (int i = 0; i < 20000; i++)
        value_set_add(&set, i % 777);
    value_set_add(&set, -0.0);
    assert_int_equal(value_set_count(set), 777);
    value_set_free(set);
}

/* --- a restart ----------------------------------------------------------------------------------------------------- */

static const char *const everything =
    "- match: other\n  interval: 10s\n  outputs: [max, unique_samples]\n"
    "- interval: 10s\n  by: [g]\n  staleness_interval: 30s\n  ignore_first_sample_interval: 0s\n  outputs: [avg, count_samples, count_series, "
    "histogram_bucket, increase, last, max, min, 'quantiles(0.5)', rate_sum, stddev, sum_samples_total, total, unique_samples]\n"
    "- interval: 10s\n  dedup_interval: 5s\n  outputs: [sum_samples]\n  name: dedup\n";

/* Gives the bytes at `at`, which is in a frame, a right checksum, after cutting the frame there. */
static void aggregate_frame_again(struct buf *b, size_t at)
{
    enum { HEAD = 16 };
    for (size_t begin = 0; begin + HEAD <= b->n;) {
        uint32_t size;
        memcpy(&size, b->p + begin + 8, sizeof size);
        if (at < begin + HEAD + size || size > b->n) {
            size = at > begin + HEAD ? (uint32_t)(at - begin - HEAD) : 0;
            b->n = begin + HEAD + size < b->n ? begin + HEAD + size : b->n;
            size = (uint32_t)(b->n - begin - HEAD);
            memcpy(b->p + begin + 8, &size, sizeof size);
            uint64_t hash = hash_bytes(b->p + begin + 8, 8 + size);
            memcpy(b->p + begin, &hash, sizeof hash);
            return;
        }
        begin += HEAD + size;
    }
}

static void push_some(int round)
{
    char name[64];
    for (int i = 0; i < 30; i++) {
        snprintf(name, sizeof name, "c{g=\"%d\",i=\"%d\"}", i % 3, i);
        push(name, round * 10 + i % 7);
    }
    push("other", round);
}

static void save_all(struct buf *out)
{
    for (unsigned i = 0; i < n_lanes; i++) {
        enum aggregate_saving s;
        assert_true(aggregate_save_begin(lanes[i]));
        while ((s = aggregate_save_some(lanes[i], now, 0, out)) == AGGREGATE_SAVE_MORE) /* 32 records a frame */
            ;
        assert_int_equal(s, AGGREGATE_SAVE_DONE);
    }
}

static void restart(unsigned n, const char *config, int64_t away, const struct buf *saved, size_t *restored)
{
    while (n_lanes > 0)
        aggregate_free(lanes[--n_lanes]);
    now += away;
    start_lanes(n, config, NULL);
    *restored = 0;
    for (unsigned i = 0; i < n; i++)
        *restored += aggregate_restore(lanes[i], buf_str(saved), now);
}

/* The results of a run that is interrupted are those of one that is not. */
static void restored_state_goes_on(void **state)
{
    (void)state;
    char *expected[2];
    struct buf saved = {0};
    size_t restored;
    for (int interrupted = 0; interrupted < 2; interrupted++) {
        now = t0;
        start_lanes(2, everything, NULL);
        push_some(1);
        pass(12000);
        push_some(2);
        if (interrupted) {
            results();
            save_all(&saved);
            assert_true(aggregate_saved_completely(buf_str(&saved)));
            assert_false(aggregate_saved_completely(str_n(saved.p, saved.n - 1)));
            restart(3, everything, 2000, &saved, &restored);
            assert_int_equal(restored, 1 + 31 + 4 + 31 + 31); /* series and groups */
        } else {
            pass(2000);
            results();
        }
        pass(3000);
        push_some(3);
        pass(20000);
        expected[interrupted] = strdup(results());
        while (n_lanes > 0)
            aggregate_free(lanes[--n_lanes]);
    }
    assert_true(strlen(expected[0]) > 2000);
    assert_string_equal(expected[1], expected[0]);
    free(expected[0]);
    free(expected[1]);
    buf_free(&saved);
}

/* The interval ended while the program was away: its results are written at the start, and counters go on as if there had
 * been no gap, although the silence was longer than the staleness interval. */
static void results_of_the_time_away(void **state)
{
    (void)state;
    struct buf saved = {0};
    size_t restored;
    const char *config = "- interval: 10s\n  outputs: [total, sum_samples]\n";
    start(config);
    push("c", 100);
    pass(5000);
    push("c", 130);
    save_all(&saved);
    restart(1, config, 300000, &saved, &restored);
    assert_int_equal(restored, 2);
    pass(1000);
    assert_string_equal(results(), "c:10s_sum_samples 230 10000\nc:10s_total 30 10000\n");
    push("c", 150);
    pass(10000);
    assert_string_equal(results(), "c:10s_sum_samples 150 310000\nc:10s_total 50 310000\n");
    restart(1, config, 2 * 3600000, &saved, &restored); /* too old */
    assert_int_equal(restored, 0);
    restart(1, "- interval: 20s\n  outputs: [total, sum_samples]\n", 0, &saved, &restored); /* another rule */
    assert_int_equal(restored, 0);
    buf_free(&saved);
}

static void saving_is_broken_by_a_flush(void **state)
{
    (void)state;
    struct buf saved = {0};
    start(everything);
    push_some(1);
    assert_true(aggregate_save_begin(lanes[0]));
    assert_int_equal(aggregate_save_some(lanes[0], now, 0, &saved), AGGREGATE_SAVE_MORE);
    pass(10000);
    assert_int_equal(aggregate_save_some(lanes[0], now, 0, &saved), AGGREGATE_SAVE_BROKEN);
    buf_free(&saved);
}

/* Frames with valid checksums and any contents: nothing is trusted. */
static void damaged_state_is_ignored(void **state)
{
    (void)state;
    struct buf saved = {0};
    size_t restored;
    start(everything);
    push_some(1);
    save_all(&saved);
    srand(1);
    for (int i = 0; i < 3000; i++) {
        struct buf copy = {0};
        buf_add_str(&copy, buf_str(&saved));
        copy.p[(size_t)rand() % copy.n] ^= (char)(1 << rand() % 8);
        if (i % 2 == 0) /* a frame of its own with a right checksum, cut anywhere */
            aggregate_frame_again(&copy, (size_t)rand() % copy.n);
        restart(1, everything, 1000, &copy, &restored);
        push_some(2);
        pass(10000);
        clear_lines();
        buf_free(&copy);
    }
    buf_free(&saved);
}

/* --- configuration ------------------------------------------------------------------------------------------------ */

static void refused(const char *config, const char *why)
{
    struct err err = {0};
    n_lanes = 0;
    assert_false(load(config, NULL, &err));
    if (strstr(err.text, why) == NULL)
        fail_msg("%s: %s", config, err.text);
}

static void errors(void **state)
{
    (void)state;
    refused("a: b", "expected a list of stream aggregation rules");
    refused("- outputs: [total]\n", "interval");
    refused("- interval: 1m\n", "outputs");
    refused("- interval: 500ms\n  outputs: [total]\n", "cannot be smaller than 1s");
    refused("- interval: 1x\n  outputs: [total]\n", "cannot parse `interval: \"1x\"`");
    refused("- interval: 1m\n  outputs: [totals]\n", "unsupported output=\"totals\"; supported values: avg, count_samples,");
    refused("- interval: 1m\n  outputs: [total, total]\n", "duplicate aggregation function: total");
    refused("- interval: 1m\n  outputs: ['quantiles()']\n", "at least one phi");
    refused("- interval: 1m\n  outputs: ['quantiles(0.5']\n", "missing closing brace");
    refused("- interval: 1m\n  outputs: ['quantiles(1.5)']\n", "must be in the range [0..1]");
    refused("- interval: 1m\n  outputs: ['quantiles(a)']\n", "cannot parse phi");
    refused("- interval: 1m\n  outputs: [quantiles]\n", "unsupported output");
    refused("- interval: 1m\n  outputs: ['quantiles(0.5)', 'quantiles(0.9)']\n", "duplicated `quantiles()`");
    refused("- interval: 1m\n  dedup_interval: 2m\n  outputs: [total]\n", "cannot exceed interval");
    refused("- interval: 1m\n  dedup_interval: 7s\n  outputs: [total]\n", "must be a multiple of dedup_interval");
    refused("- interval: 1m\n  staleness_interval: 7s\n  outputs: [total]\n", "cannot be smaller than interval");
    refused("- interval: 1m\n  by: [a]\n  without: [b]\n  outputs: [total]\n", "cannot be set simultaneously");
    refused("- interval: 1m\n  keep_metric_names: true\n  outputs: [total, max]\n", "only a single entry");
    refused("- interval: 1m\n  keep_metric_names: true\n  outputs: [histogram_bucket]\n", "multiple time series");
    refused("- interval: 1m\n  match: '{a='\n  outputs: [total]\n", "match");
    refused("- interval: 1m\n  typo: 1\n  outputs: [total]\n", "typo");
}

static void defaults(void **state)
{
    (void)state;
    struct str drop = STR("replica");
    struct aggregate_conf d = {.dedup_interval = 5000, .ignore_first_intervals = 2, .drop_input_labels = {&drop, 1},
                                   .ignore_old_samples = true, .enable_windows = true};
    start_lanes(1, "- interval: 10s\n  outputs: [total]\n"
                   "- interval: 10s\n  dedup_interval: 0s\n  ignore_first_intervals: 0\n  drop_input_labels: []\n"
                   "  ignore_old_samples: false\n  enable_windows: false\n  outputs: [total]\n", &d);
    assert_int_equal(rules[0].dedup_interval, 5000);
    assert_int_equal(rules[0].ignore_first_intervals, 2);
    assert_int_equal(rules[0].drop_input_labels.n, 1);
    assert_true(rules[0].ignore_old_samples && rules[0].enable_windows);
    assert_int_equal(rules[1].dedup_interval, 0);
    assert_int_equal(rules[1].ignore_first_intervals, 0);
    assert_int_equal(rules[1].drop_input_labels.n, 0);
    assert_false(rules[1].ignore_old_samples || rules[1].enable_windows);
    assert_true(rules[0].identity != rules[1].identity);
    assert_int_equal(rules[0].staleness, 10000);
    d.keep_input = true;
    struct err err;
    assert_false(load("- interval: 10s\n  keep_metric_names: true\n  outputs: [total]\n", &d, &err));
    assert_non_null(strstr(err.text, "keeping the input"));
}

int main(void)
{
#define AGGREGATE_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        AGGREGATE_TEST(gauges), AGGREGATE_TEST(counters), AGGREGATE_TEST(sums_go_on), AGGREGATE_TEST(names_and_labels),
        AGGREGATE_TEST(no_name), AGGREGATE_TEST(intervals), AGGREGATE_TEST(seven_seconds), AGGREGATE_TEST(windows),
        AGGREGATE_TEST(windows_of_counters), AGGREGATE_TEST(flush_at_shutdown), AGGREGATE_TEST(deduplication),
        AGGREGATE_TEST(deduplication_alone), AGGREGATE_TEST(lanes_agree), AGGREGATE_TEST(memory_is_reused),
        AGGREGATE_TEST(tables), AGGREGATE_TEST(quantiles_of_many), AGGREGATE_TEST(errors), AGGREGATE_TEST(restored_state_goes_on),
        AGGREGATE_TEST(results_of_the_time_away), AGGREGATE_TEST(saving_is_broken_by_a_flush),
        AGGREGATE_TEST(damaged_state_is_ignored), AGGREGATE_TEST(defaults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
