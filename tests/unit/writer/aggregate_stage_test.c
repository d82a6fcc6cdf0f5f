// SPDX-License-Identifier: Apache-2.0
/* Stream aggregation within a writer with several lanes: every sample is in exactly one result, whatever a reload does
 * to the rules, and deduplication loses none. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/conf/yaml.h"
#include "base/text/duration.h"
#include "writer_fixture.h"

#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

static struct aggregate_conf *section(const char *text)
{
    struct conf_context c = {.arena = &fixture.arena, .file = "test"};
    struct aggregate_conf *conf = ARENA_NEW(&fixture.arena, struct aggregate_conf);
    struct err err = {0};
    struct yaml *y = yaml_parse(&fixture.arena, arena_str(&fixture.arena, str_of(text)), "test", &err);
    if (y == NULL || !conf_load(&c, &aggregate_section, y, conf, &err))
        fail_msg("%s", err.text);
    return conf;
}

static struct destination_conf destination;
static struct pipeline_conf pipeline;

/* The section is that of the destination, or of all series. */
static void apply(bool global, const char *text)
{
    struct aggregate_conf *conf = text ? section(text) : NULL;
    destination.aggregate = global ? NULL : conf;
    pipeline = (struct pipeline_conf){.aggregate = global ? conf : NULL};
    fixture_apply_plan(&(struct writer_plan){.destinations = &destination, .n = 1, .pipeline = &pipeline});
}

static void start(bool global, const char *text)
{
    destination = fixture_destination(&fixture.a, "a", 4);
    fixture_start();
    apply(global, text);
}

/* Lanes that write without a pause, so that bytes for others are under way whenever a lane switches to a
 * configuration. */
struct pusher { struct loop_task task; unsigned lane; int64_t t; atomic_bool ended; };
static struct pusher pushers[FIXTURE_LANES];
static atomic_bool pushers_stop;

static void run_pusher(struct loop_task *task)
{
    struct pusher *p = CONTAINER(task, struct pusher, task);
    struct sink *sink = writer_sink(fixture.writer, p->lane);
    struct arena a;
    if (atomic_load(&pushers_stop)) {
        atomic_store(&p->ended, true);
        return;
    }
    arena_init(&a, 0);
    if (sink_begin(sink, &(struct sink_batch){.bytes = 1000}) == SINK_OK) {
        p->t++;
        for (unsigned i = 0; i < 10; i++) {
            struct label items[] = {{STR(METRIC_NAME), STR("m")}, {STR("i"), arena_printf(&a, "%u-%u", p->lane, i)}};
            struct sample sample = {p->t, 1};
            struct labels labels = labels_from(&a, items, 2);
            sink_series(sink, &(struct series_in){.labels = labels, .samples = &sample, .n_samples = 1});
        }
        sink_commit(sink, NULL, NULL);
    }
    arena_free(&a);
    loop_post(fixture.lanes[p->lane], task);
}

static void pushers_start(void)
{
    atomic_store(&pushers_stop, false);
    for (unsigned i = 0; i < FIXTURE_LANES; i++) {
        pushers[i] = (struct pusher){.task.run = run_pusher, .lane = i};
        loop_post(fixture.lanes[i], &pushers[i].task);
    }
}

/* The number of samples that they have written. */
static size_t pushers_end(void)
{
    size_t n = 0;
    atomic_store(&pushers_stop, true);
    for (unsigned i = 0; i < FIXTURE_LANES; i++) {
        while (!atomic_load(&pushers[i].ended))
            loop_turn(fixture.main, 1);
        n += 10 * (size_t)pushers[i].t;
    }
    return n;
}

static double sum_of_results(void)
{
    double sum = 0;
    mutex_lock(&fixture.a.lock);
    for (size_t i = 0; i < fixture.a.n; i++)
        sum += fixture.a.samples[i].sample.v;
    mutex_unlock(&fixture.a.lock);
    return sum;
}

#define COUNT "{rules: [{interval: %s, by: [x], outputs: [count_samples], flush_on_shutdown: true, name: n%d}]%s}"
static const char *count_rule(const char *interval, int name, const char *more)
{
    return arena_printf(&fixture.arena, COUNT, interval, name, more).p;
}

/* While samples arrive, the configuration is loaded again: with the same rule, with others, with none. */
static void reload_under_load(bool global)
{
    start(global, count_rule("1s", 0, ""));
    pushers_start();
    for (int round = 0; round < 16; round++)
        apply(global, round % 2 ? count_rule("1s", round / 4, "")
                                : count_rule("1h", round, ", ignore_old_samples: false"));
    size_t n = pushers_end();
    fixture_stop(5000);
    assert_int_equal(sum_of_results(), n);
}

static void results_of_all_series_are_exact(void **state UNUSED) { reload_under_load(true); }
static void results_of_a_destination_are_exact(void **state UNUSED) { reload_under_load(false); }

static int received_order(const void *a, const void *b)
{
    const struct received *x = a, *y = b;
    return x->series != y->series ? (x->series > y->series) - (x->series < y->series)
                                  : (x->sample.t > y->sample.t) - (x->sample.t < y->sample.t);
}

/* Every sample has arrived once, in whatever order: what a reload emits overtakes nothing, and is not overtaken, within
 * a shard only. */
static void check_each_once(size_t n)
{
    assert_int_equal(fixture.a.n, n);
    qsort(fixture.a.samples, n, sizeof *fixture.a.samples, received_order);
    for (size_t i = 1; i < n; i++)
        assert_int_not_equal(received_order(&fixture.a.samples[i - 1], &fixture.a.samples[i]), 0);
}

/* Two rules, of which the second only changes: samples of the first are counted once, whichever lane has which. */
static void shared_rules_are_exact(void **state UNUSED)
{
    static const char *const others[] = {"{interval: 1h, by: [x], outputs: [max]}",
                                         "{interval: 2h, by: [x], outputs: [max]}"};
    const char *count = "{match: m, interval: 1h, outputs: [count_samples], flush_on_shutdown: true}";
    start(true, arena_printf(&fixture.arena, "{rules: [%s, %s]}", others[1], count).p);
    pushers_start();
    for (int round = 0; round < 16; round++)
        apply(true, round % 3 ? arena_printf(&fixture.arena, "{rules: [%s, %s]}", count, others[round % 2]).p
                              : arena_printf(&fixture.arena, "{rules: [%s, %s]}", others[round % 2], count).p);
    size_t n = pushers_end();
    fixture_stop(5000);
    assert_int_equal(sum_of_results(), n);
}

/* An interval that never ends: what a reload or stop does not emit is missing. The newest sample of each series must
 * arrive after each reload, so each series has one sample for each. */
static void toggle_deduplication(bool global)
{
    enum { ROUNDS = 12 };
    start(global, "{dedup_interval: 1h}");
    for (int round = 1; round <= ROUNDS; round++) {
        fixture_post(round, round, true);
        apply(global, round % 2 ? NULL : "{dedup_interval: 1h}");
    }
    fixture_push(ROUNDS + 1, ROUNDS + 1, true);
    fixture_stop(5000);
    check_each_once(fixture_samples(ROUNDS + 1));
}

static void no_sample_of_a_deduplication_that_ends_is_lost(void **state UNUSED)
{
    toggle_deduplication(true);
}
static void nor_of_that_of_a_destination(void **state UNUSED) { toggle_deduplication(false); }

/* Of a step of the fixture, whose values are 0, 1, ... */
static const double step = FIXTURE_LANES * FIXTURE_SERIES * (FIXTURE_SERIES - 1) / 2;
static const char total_rule[] = "{interval: 1s, by: [x], outputs: [sum_samples_total], staleness_interval: 1h}";

/* Until the newest result has this value. */
static void await_total(double total)
{
    double newest = 0;
    for (int64_t until = clock_mono_ms() + 20000; newest < total && clock_mono_ms() < until;) {
        loop_turn(fixture.main, 10);
        mutex_lock(&fixture.a.lock);
        newest = fixture.a.n > 0 ? fixture.a.samples[fixture.a.n - 1].sample.v : 0;
        mutex_unlock(&fixture.a.lock);
    }
    assert_int_equal(newest, total);
}

/* A counter of results continues over a reload of something else, and over a change of another rule. */
static void totals_continue(void **state UNUSED)
{
    start(true, arena_printf(&fixture.arena, "{rules: [%s]}", total_rule).p);
    for (int round = 1; round <= 4; round++) {
        fixture_push(round, round, true);
        apply(true, arena_printf(&fixture.arena, "{rules: [{interval: 1s, by: [y], outputs: [count_samples], "
                                 "name: n%d, match: none}, %s]}", round / 2, total_rule).p);
        await_total(step * round);
    }
    fixture_stop(5000);
}

/* It gets the blocks of its primary, which are dropped when that one has delivered them, and makes no results
 * itself. */
static void a_backup_of_a_backup_sends_no_results(void **state UNUSED)
{
    static const char *const primaries[] = {NULL, "a", "b"};
    struct destination_conf d[] = {fixture_destination(&fixture.a, "a", 4), fixture_destination(&fixture.b, "b", 4),
                                   fixture_destination(&fixture.b, "c", 4)};
    fixture_start();
    for (size_t i = 0; i < LEN(d); i++) {
        d[i].aggregate = section(count_rule("1s", 0, ""));
        d[i].backup_of = primaries[i] ? str_of(primaries[i]) : STR_NONE;
        d[i].failover_after = 60000;
    }
    fixture_apply(d, LEN(d));
    fixture_push(1, 3, true);
    fixture_stop(5000);
    assert_int_equal(sum_of_results(), fixture_samples(3));
    assert_int_equal(receiver_count(&fixture.b), 0);
}

static unsigned checkpoint_files(void)
{
    struct buf path = {0};
    unsigned n = 0;
    buf_printf(&path, "%s/aggregation", fixture.dir);
    DIR *d = opendir(buf_z(&path));
    for (struct dirent *e; d && (e = readdir(d)) != NULL;)
        n += e->d_name[0] != '.';
    if (d)
        closedir(d);
    buf_free(&path);
    return n;
}

static bool no_checkpoints(void) { return checkpoint_files() == 0; }

/* Over restarts with fewer and more lanes; files of lanes that do not exist any more are deleted, and so are all when
 * the section is removed. */
static void totals_continue_after_a_restart(void **state UNUSED)
{
    static const unsigned lanes[] = {3, 2, 4, 1};
    const char *rules = arena_printf(&fixture.arena, "{rules: [%s]}", total_rule).p;
    for (unsigned i = 0; i < 4; i++) {
        fixture.n_lanes = lanes[i];
        start(false, rules);
        fixture_push(1 + i, 1 + i, true);
        await_total(step * (i + 1));
        fixture_stop(5000);
        assert_int_equal(checkpoint_files(), lanes[i]);
    }
    start(false, rules);
    apply(false, NULL);
    fixture_wait_until(no_checkpoints);
    fixture_stop(5000);
    fixture.n_lanes = 0;
}

static bool some_checkpoint(void) { return checkpoint_files() > 0; }

/* Not only at the end of an interval. */
static void samples_are_saved_when_they_arrive(void **state UNUSED)
{
    start(false, count_rule("1h", 0, ""));
    usleep(50000); /* the lanes sleep until the end of the interval */
    fixture_push(1, 1, true);
    fixture_wait_until(some_checkpoint);
    fixture_stop(5000);
}

static bool two_checkpoints(void) { return checkpoint_files() == 2; }

/* What a lane has taken from the files of others is in its own file at once, although no sample arrives and no interval
 * ends: those files are replaced by states that do not have it. */
static void restored_state_is_saved_at_once(void **state UNUSED)
{
    const char *rules = count_rule("1h", 0, "");
    fixture.n_lanes = 3;
    start(false, rules);
    fixture_push(1, 1, true);
    fixture_stop(5000);
    assert_int_equal(checkpoint_files(), 3);
    fixture.n_lanes = 2;
    start(false, rules);
    fixture_wait_until(two_checkpoints);
    fixture_stop(5000);
    fixture.n_lanes = 0;
}

static atomic_int aborted;
static void run_aborted(struct loop_task *task UNUSED)
{
    struct sink *sink = writer_sink(fixture.writer, 0);
    struct arena a;
    arena_init(&a, 0);
    for (int i = 0; i < 50; i++) {
        struct label items[] = {{STR(METRIC_NAME), STR("m")}, {STR("x"), arena_printf(&a, "%d", i)}};
        struct sample sample = {1, 1};
        assert_int_equal(sink_begin(sink, &(struct sink_batch){.bytes = 60}), SINK_OK);
        sink_series(sink, &(struct series_in){.labels = labels_from(&a, items, 2), .samples = &sample, .n_samples = 1});
        sink_abort(sink);
    }
    arena_free(&a);
    atomic_store(&aborted, 1);
}

/* Neither on this lane nor on those that own the groups. */
static void aborted_batches_are_not_counted(void **state UNUSED)
{
    struct loop_task task = {.run = run_aborted};
    start(true, count_rule("1h", 0, ""));
    fixture_push(1, 3, true);
    loop_post(fixture.lanes[0], &task);
    while (!atomic_load(&aborted))
        loop_turn(fixture.main, 10);
    fixture_stop(5000);
    assert_int_equal(sum_of_results(), fixture_samples(3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(results_of_all_series_are_exact), FIXTURE_TEST(results_of_a_destination_are_exact),
        FIXTURE_TEST(no_sample_of_a_deduplication_that_ends_is_lost), FIXTURE_TEST(nor_of_that_of_a_destination),
        FIXTURE_TEST(shared_rules_are_exact), FIXTURE_TEST(totals_continue),
        FIXTURE_TEST(a_backup_of_a_backup_sends_no_results),
        FIXTURE_TEST(totals_continue_after_a_restart), FIXTURE_TEST(restored_state_is_saved_at_once),
        FIXTURE_TEST(samples_are_saved_when_they_arrive),
        FIXTURE_TEST(aborted_batches_are_not_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
