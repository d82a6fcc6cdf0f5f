// SPDX-License-Identifier: Apache-2.0
/* Lanes that are turned by hand, so that one of them has a new plan while another has not.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/text/duration.h"
#include "writer_fixture.h"
#include "writer/writer_internal.h"

enum { LANES = 2 };

static void turn(void)
{
    loop_turn(fixture.main, 0);
    for (int i = 0; i < LANES; i++)
        loop_turn(fixture.lanes[i], 1);
}

static void start(void)
{
    fixture.main = loop_new();
    for (int i = 0; i < LANES; i++)
        fixture.lanes[i] = loop_new();
    struct writer_env env = {.main = fixture.main, .lanes = fixture.lanes, .n_lanes = LANES,
                             .queue_dir = str_of(fixture.dir),
                             .flush_interval = 600000};
    fixture.writer = writer_new(&env);
}

static void on_stopped(void *arg) { *(bool *)arg = true; }

static void stop(void)
{
    bool stopped = false;
    writer_stop(fixture.writer, 1000, on_stopped, &stopped);
    while (!stopped)
        turn();
    writer_free(fixture.writer);
    for (int i = 0; i < LANES; i++)
        loop_free(fixture.lanes[i]);
    loop_free(fixture.main);
}

/* One sample of a series of the first lane whose shard is the second lane's. */
static void write_away(int64_t t)
{
    struct sink *sink = writer_sink(fixture.writer, 0);
    struct label items[] = {{STR(METRIC_NAME), STR("m")}};
    struct sample s = {t, 1};
    assert_int_equal(sink_begin(sink, &(struct sink_batch){.source = 1, .bytes = 100}), SINK_OK);
    sink_series(sink, &(struct series_in){.labels = labels_from(&fixture.arena, items, 1), .samples = &s,
                                          .n_samples = 1});
    sink_commit(sink, NULL, NULL);
}

/* What it took with the old plan lies in an open pile still when samples of the new one come. */
static void a_lane_that_switches_late_keeps_the_order(void **state UNUSED)
{
    struct destination_conf d = fixture_destination(&fixture.a, "a", 2);
    start();
    fixture_apply_at_once(&d, 1);
    while (!writer_ready(fixture.writer))
        turn();
    write_away(1);
    fixture_apply_at_once(&d, 1);
    turn(); /* all have adopted the plan; main has not told them to switch */
    writer_lane_switch(&fixture.writer->lanes[0], topology_ref(fixture.writer->topology));
    write_away(2);
    loop_turn(fixture.lanes[1], 0);
    int64_t until = clock_mono_ms() + 20000;
    while (receiver_count(&fixture.a) < 2 && clock_mono_ms() < until)
        turn();
    assert_int_equal(receiver_count(&fixture.a), 2);
    assert_int_equal(fixture.a.samples[0].sample.t, 1);
    assert_int_equal(fixture.a.samples[1].sample.t, 2);
    stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {FIXTURE_TEST(a_lane_that_switches_late_keeps_the_order)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
