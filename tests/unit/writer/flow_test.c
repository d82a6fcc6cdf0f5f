// SPDX-License-Identifier: Apache-2.0
/* Series through the stages of a writer with several lanes: a stage that absorbs samples, sends what it counted to the lane
 * that owns the group, and emits the sums later. However often the configuration is loaded again, every sample is in
 * exactly one sum. The program's own table of stages (writer/stages.c) is replaced by the functions here. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/text/duration.h"
#include "writer/stages.h"
#include "writer_fixture.h"

enum { GROUPS = 10, TICK_MS = 20 };
static atomic_bool in_global, in_stream; /* where the stage is */
static atomic_ullong configuration;      /* its identity */
static atomic_uint stages_alive, adopted;

/* ---- the stage --------------------------------------------------------------------------------------------------- */

struct sum_lane { struct stage_lane lane; double sums[GROUPS]; int64_t times[GROUPS]; unsigned absorbed, committed; };

static enum stage_result sum_apply(struct stage_lane *lane, struct pipeline_series *s)
{
    struct sum_lane *l = (struct sum_lane *)lane;
    if (!str_is(labels_name(s->in.labels), "m"))
        return STAGE_PASSED;
    struct str i = labels_get(s->in.labels, STR("i"));
    uint8_t group = (uint8_t)(i.p[i.n - 1] - '0');
    l->absorbed++;
    stage_send(lane, group % lane->n_lanes, str_n(&group, 1));
    return STAGE_ABSORBED;
}

static void sum_commit(struct stage_lane *lane)
{
    struct sum_lane *l = (struct sum_lane *)lane;
    l->committed += l->absorbed;
    l->absorbed = 0;
}

static void sum_abort(struct stage_lane *lane) { ((struct sum_lane *)lane)->absorbed = 0; }

static void sum_receive(struct stage_lane *lane, struct str bytes)
{
    struct sum_lane *l = (struct sum_lane *)lane;
    for (size_t i = 0; i < bytes.n; i++) {
        assert_int_equal((uint8_t)bytes.p[i] % lane->n_lanes, lane->lane);
        l->sums[(uint8_t)bytes.p[i]]++;
    }
    stage_wake(lane, loop_now(lane->loop) + TICK_MS);
}

static bool sum_emit(struct sum_lane *l, unsigned most)
{
    struct arena a;
    arena_init(&a, 0);
    unsigned n = 0;
    for (unsigned g = 0; g < GROUPS && n < most; g++) {
        if (l->sums[g] == 0)
            continue;
        struct label items[] = {{STR(METRIC_NAME), STR("sum")}, {STR("group"), arena_printf(&a, "%u", g)}};
        struct sample sample = {++l->times[g], l->sums[g]};
        stage_emit(&l->lane, &(struct series_in){.labels = labels_from(&a, items, 2), .samples = &sample, .n_samples = 1});
        l->sums[g] = 0;
        n++;
    }
    arena_free(&a);
    return n == most;
}

static bool sum_tick(struct stage_lane *lane, int64_t now)
{
    assert_true(now >= loop_now(lane->loop) - 1000);
    return sum_emit((struct sum_lane *)lane, 2);
}
static bool sum_end(struct stage_lane *lane, bool stopping UNUSED) { return sum_emit((struct sum_lane *)lane, 2); }
static void sum_lane_init(struct stage_lane *lane UNUSED) {}
static void sum_lane_adopt(struct stage_lane *lane, struct stage_lane *old)
{
    struct sum_lane *l = (struct sum_lane *)lane, *from = (struct sum_lane *)old;
    memcpy(l->sums, from->sums, sizeof l->sums);
    memcpy(l->times, from->times, sizeof l->times);
    atomic_fetch_add(&adopted, 1);
}
static void sum_free(struct stage *s)
{
    atomic_fetch_sub(&stages_alive, 1);
    mem_free(s);
}

static const struct stage_ops sum_ops = {
    .lane_size = sizeof(struct sum_lane), .free = sum_free, .lane_init = sum_lane_init, .lane_adopt = sum_lane_adopt,
    .apply = sum_apply, .commit = sum_commit, .abort = sum_abort, .receive = sum_receive, .tick = sum_tick, .end = sum_end};

static void add_sum(struct chain *c)
{
    struct stage *s = mem_zalloc(sizeof *s);
    *s = (struct stage){&sum_ops, STAGE_RELABEL, stage_identity(STAGE_RELABEL, atomic_load(&configuration))};
    atomic_fetch_add(&stages_alive, 1);
    chain_add(c, s);
}

void stages_global(struct chain *c, const struct writer_plan *plan UNUSED, const struct chain *before UNUSED)
{
    if (atomic_load(&in_global))
        add_sum(c);
}

void stages_of_destination(struct chain *c, const struct writer_plan *plan UNUSED, size_t i UNUSED,
                           struct str_map external UNUSED, const struct chain *before UNUSED)
{
    if (atomic_load(&in_stream))
        add_sum(c);
}

void stages_of_all(struct chain *c UNUSED, struct str_map external UNUSED) {}

/* ---- tests ------------------------------------------------------------------------------------------------------- */

static void place(bool global, bool stream)
{
    atomic_store(&in_global, global);
    atomic_store(&in_stream, stream);
}

static double sum_of(struct receiver *r)
{
    double sum = 0;
    mutex_lock(&r->lock);
    for (size_t i = 0; i < r->n; i++)
        sum += r->samples[i].sample.v;
    mutex_unlock(&r->lock);
    return sum;
}

static void await_sum(struct receiver *r, size_t samples)
{
    int64_t until = clock_mono_ms() + 20000;
    while (sum_of(r) < (double)samples && clock_mono_ms() < until)
        loop_turn(fixture.main, 10);
    loop_turn(fixture.main, 50);
    assert_int_equal(sum_of(r), samples);
}

/* While batches arrive, destination b is added and removed again and again. */
static void reload_under_load(void)
{
    const struct destination_conf both[] = {fixture_destination(&fixture.a, "a", 4), fixture_destination(&fixture.b, "b", 4)};
    unsigned before = atomic_load(&adopted);
    fixture_start_with(both, 1);
    for (int round = 0; round < 10; round++) {
        fixture_post(1 + 10 * round, 10 + 10 * round, true);
        fixture_apply(both, round % 2 ? 1 : 2);
    }
    fixture_push(101, 110, true);
    await_sum(&fixture.a, fixture_samples(110));
    assert_true(atomic_load(&adopted) >= before + 10 * FIXTURE_LANES);
    fixture_stop(1000);
    assert_int_equal(sum_of(&fixture.a), fixture_samples(110));
    assert_int_equal(atomic_load(&stages_alive), 0);
}

static void global_state_survives_reloads(void **state UNUSED)
{
    place(true, false);
    reload_under_load();
}

static void state_of_streams_survives_reloads(void **state UNUSED)
{
    place(false, true);
    reload_under_load();
}

/* A stage whose configuration changes ends: it emits what it has. So does every stage when the program stops. */
static void ends_emit_the_rest(void **state UNUSED)
{
    place(true, false);
    const struct destination_conf d = fixture_destination(&fixture.a, "a", 4);
    fixture_start_with(&d, 1);
    fixture_push(1, 3, true);
    atomic_fetch_add(&configuration, 1);
    fixture_apply(&d, 1);
    await_sum(&fixture.a, fixture_samples(3));
    fixture_push(4, 5, true);
    fixture_stop(5000);
    assert_int_equal(sum_of(&fixture.a), fixture_samples(5));
}

static atomic_int aborts_left;
static void run_aborted(struct loop_task *task UNUSED)
{
    struct sink *sink = writer_sink(fixture.writer, 0);
    struct arena a;
    arena_init(&a, 0);
    struct label items[] = {{STR(METRIC_NAME), STR("m")}, {STR("i"), STR("7")}};
    struct sample sample = {1, 1};
    assert_int_equal(sink_begin(sink, &(struct sink_batch){.bytes = 60}), SINK_OK);
    sink_series(sink, &(struct series_in){.labels = labels_from(&a, items, 2), .samples = &sample, .n_samples = 1});
    sink_abort(sink);
    arena_free(&a);
    atomic_fetch_sub(&aborts_left, 1);
}
static bool aborted(void) { return atomic_load(&aborts_left) == 0; }

static void aborted_batches_leave_nothing(void **state UNUSED)
{
    static struct loop_task task = {.run = run_aborted};
    place(true, false);
    const struct destination_conf d = fixture_destination(&fixture.a, "a", 4);
    fixture_start_with(&d, 1);
    atomic_store(&aborts_left, 1);
    loop_post(fixture.lanes[0], &task);
    fixture_wait_until(aborted);
    fixture_push(1, 2, true);
    await_sum(&fixture.a, fixture_samples(2));
    fixture_stop(1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {FIXTURE_TEST(global_state_survives_reloads),
                                       FIXTURE_TEST(state_of_streams_survives_reloads), FIXTURE_TEST(ends_emit_the_rest),
                                       FIXTURE_TEST(aborted_batches_leave_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
