// SPDX-License-Identifier: Apache-2.0
#include "base/telemetry/stats.h"

#include "base/os/process.h"
#include "base/os/thread.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <time.h>

#define TEST_STATS(X)                                                          \
    X(ROWS, "t_rows_total", STATS_COUNTER, "Rows \\ lines\nread")              \
    X(GET, "t_requests_total{method=\"GET\"}", STATS_COUNTER, "Requests")      \
    X(POST, "t_requests_total{method=\"POST\"}", STATS_COUNTER, "Requests")
enum test_stat { TEST_STATS(STATS_ID) };
static struct stats_group test_stats = STATS_GROUP(TEST_STATS);

#define MORE_STATS(X)                                                          \
    X(PUT, "t_requests_total{method=\"PUT\"}", STATS_COUNTER, "Not this")       \
    X(LAST, "t_last_total", STATS_COUNTER, "Of its own")
enum more_stat { MORE_STATS(STATS_ID) };
static struct stats_group more_stats = STATS_GROUP(MORE_STATS);

static const double bounds[] = {0.1, 1, 10};
static struct stats_histogram waits = {.name = "t_wait_seconds", .help = "Waits", .bounds = bounds,
                                       .n_bounds = LEN(bounds)};

static struct buf out;

static const char *rendered(bool metadata)
{
    buf_clear(&out);
    stats_render(&out, metadata);
    return buf_z(&out);
}

static void has(const char *text, const char *line)
{
    if (strstr(text, line) == NULL)
        fail_msg("no \"%s\" in:\n%s", line, text);
}

static void add_many(void *arg)
{
    const double *wait = arg;
    for (int i = 0; i < 1000; i++) {
        stats_add(&test_stats, ROWS, 2);
        stats_observe(&waits, *wait);
    }
}

static void what_is_not_registered_counts_nothing(void **state UNUSED)
{
    stats_add(&test_stats, ROWS, 1);
    stats_observe(&waits, 1);
    assert_true(stats_sum(&test_stats, ROWS) == 0);
}

static void counters_of_threads_are_summed_also_of_ended_ones(void **state UNUSED)
{
    static const double wait[] = {0.1, 0.5, 10, 11};
    struct thread *threads[LEN(wait)];
    stats_register(&test_stats);
    stats_register(&test_stats);
    stats_register_histogram(&waits);
    for (unsigned i = 0; i < LEN(wait); i++)
        threads[i] = thread_start("adder", add_many, (void *)&wait[i]);
    while (stats_sum(&test_stats, ROWS) < 100) {} /* reads while they write */
    for (unsigned i = 0; i < LEN(wait); i++)
        thread_join(threads[i]);
    assert_true(stats_sum(&test_stats, ROWS) == 8000);
    thread_join(thread_start("adder", add_many, (void *)&wait[0]));
    assert_true(stats_sum(&test_stats, ROWS) == 10000);
}

static void groups_and_histograms_are_rendered(void **state UNUSED)
{
    stats_add(&test_stats, POST, 0.5);
    stats_observe(&waits, NAN);
    const char *s = rendered(true);
    has(s, "# HELP t_rows_total Rows \\\\ lines\\nread\n# TYPE t_rows_total counter\nt_rows_total 10000\n");
    has(s, "# HELP t_requests_total Requests\n# TYPE t_requests_total counter\n"
           "t_requests_total{method=\"GET\"} 0\nt_requests_total{method=\"POST\"} 0.5\n");
    has(s, "# TYPE t_wait_seconds histogram\nt_wait_seconds_bucket{le=\"0.1\"} "
           "2000\nt_wait_seconds_bucket{le=\"1\"} 3000\n"
           "t_wait_seconds_bucket{le=\"10\"} 4000\nt_wait_seconds_bucket{le=\"+Inf\"} 5000\n");
    has(s, "t_wait_seconds_count 5000\n");
    assert_null(strstr(rendered(false), "#"));
}

static void a_family_of_two_groups_stands_once(void **state UNUSED)
{
    stats_register(&more_stats);
    stats_add(&more_stats, PUT, 3);
    const char *s = rendered(true);
    has(s, "# HELP t_requests_total Requests\n# TYPE t_requests_total counter\n"
           "t_requests_total{method=\"GET\"} 0\nt_requests_total{method=\"POST\"} "
           "0.5\nt_requests_total{method=\"PUT\"} 3\n");
    has(s, "# TYPE t_last_total counter\nt_last_total 0\n");
    assert_null(strstr(s, "Not this"));
    assert_null(strstr(strstr(s, "PUT") + 1, "PUT"));
}

static void collect_queue(struct stats_out *o, void *arg)
{
    const struct stats_label labels[] = {{"dir", STR("a\"b\\c\nd")}, {"shard", STR("0")}};
    stats_family(o, "t_queue_bytes", STATS_GAUGE, "Bytes waiting");
    stats_value(o, "t_queue_bytes", labels, LEN(labels), *(double *)arg);
}

static void collectors_come_and_go(void **state UNUSED)
{
    double bytes = INFINITY, other = 3;
    stats_collector(collect_queue, &bytes);
    stats_collector(collect_queue, &other);
    has(rendered(true), "# TYPE t_queue_bytes gauge\nt_queue_bytes{dir=\"a\\\"b\\\\c\\nd\",shard=\"0\"} +Inf\n");
    stats_collector_remove(collect_queue, &bytes);
    stats_collector_remove(collect_queue, &bytes);
    assert_null(strstr(rendered(true), "+Inf\n"));
    has(rendered(true), "shard=\"0\"} 3\n");
    stats_collector_remove(collect_queue, &other);
}

static double value_of(const char *name)
{
    struct str rest = str_of(rendered(false)), line;
    while (str_cut(&rest, '\n', &line))
        if (str_starts(line, str_of(name)) && line.p[strlen(name)] == ' ')
            return strtod(line.p + strlen(name), NULL);
    fail_msg("no %s", name);
    return 0;
}

static void the_process_describes_itself(void **state UNUSED)
{
    stats_collector(process_collect, NULL);
    double now = (double)time(NULL);
    assert_true(value_of("process_resident_memory_bytes") > 100000);
    assert_true(value_of("process_resident_memory_anon_bytes") > 10000);
    assert_true(value_of("process_open_fds") >= 3 && value_of("process_open_fds") <= value_of("process_max_fds"));
    assert_true(value_of("process_num_threads") >= 1);
    assert_true(value_of("process_start_time_seconds") > now - 600 && value_of("process_start_time_seconds") < now + 2);
    assert_true(value_of("vm_app_start_timestamp") == floor(process_start_seconds()));
    assert_true(value_of("vm_available_cpu_cores") >= 1);
    assert_true(value_of("vm_available_memory_bytes") > 1 << 24);
    has(rendered(false), "vm_app_version{version=\"vmagent-sluice-" VERSION "\",short_version=\"" VERSION "\"} 1\n");
    has(rendered(false), "vm_log_messages_total{app_version=\"vmagent-sluice-" VERSION "\",level=\"error\"} 0\n");
    double before = value_of("process_cpu_seconds_total");
    while (value_of("process_cpu_seconds_total") - before < 0.02) {}
}

static int tear_down(void **state UNUSED)
{
    buf_free(&out);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_registered_counts_nothing),
        cmocka_unit_test(counters_of_threads_are_summed_also_of_ended_ones),
        cmocka_unit_test(groups_and_histograms_are_rendered),
        cmocka_unit_test(a_family_of_two_groups_stands_once),
        cmocka_unit_test(collectors_come_and_go),
        cmocka_unit_test(the_process_describes_itself),
    };
    return cmocka_run_group_tests(tests, NULL, tear_down);
}
