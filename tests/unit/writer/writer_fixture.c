// SPDX-License-Identifier: Apache-2.0
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "writer_fixture.h"

#include "base/text/duration.h"
#include "model/source.h"
#include "writer/queue/queue_state.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

struct writer_fixture fixture;

/* --- life --------------------------------------------------------------------------------------------------------- */

int fixture_setup(void **state UNUSED)
{
    fixture.show_urls = false;
    fixture.n_lanes = 0;
    fixture.flush_interval = 0;
    snprintf(fixture.dir, sizeof fixture.dir, "/tmp/sluice-writer-XXXXXX");
    arena_init(&fixture.arena, 0);
    receiver_start(&fixture.a);
    receiver_start(&fixture.b);
    return mkdtemp(fixture.dir) == NULL;
}

int fixture_teardown(void **state UNUSED)
{
    char command[300];
    snprintf(command, sizeof command, "rm -rf %s", fixture.dir);
    receiver_stop(&fixture.a);
    receiver_stop(&fixture.b);
    arena_free(&fixture.arena);
    return system(command);
}

static unsigned fixture_lanes(void) { return fixture.n_lanes > 0 ? fixture.n_lanes : FIXTURE_LANES; }
static void run_lane(void *arg) { loop_run(arg); }

void fixture_start(void)
{
    fixture.main = loop_new();
    for (unsigned i = 0; i < fixture_lanes(); i++) {
        fixture.lanes[i] = loop_new();
        fixture.threads[i] = thread_start("lane", run_lane, fixture.lanes[i]);
    }
    struct writer_env env = {.main = fixture.main, .lanes = fixture.lanes, .n_lanes = fixture_lanes(),
                             .queue_dir = str_of(fixture.dir),
                             .flush_interval = fixture.flush_interval > 0 ? fixture.flush_interval : 50,
                             .show_urls = fixture.show_urls};
    fixture.writer = writer_new(&env);
}

static bool stopped;
static void on_stopped(void *arg UNUSED) { stopped = true; }

void fixture_stop(int64_t grace)
{
    stopped = false;
    writer_stop(fixture.writer, grace, on_stopped, NULL);
    while (!stopped)
        loop_turn(fixture.main, 100);
    for (unsigned i = 0; i < fixture_lanes(); i++) {
        loop_stop(fixture.lanes[i]);
        thread_join(fixture.threads[i]);
        loop_free(fixture.lanes[i]);
    }
    writer_free(fixture.writer);
    loop_free(fixture.main);
    receiver_settle(&fixture.a);
    receiver_settle(&fixture.b);
}

void fixture_wait_until(bool (*reached)(void))
{
    int64_t until = clock_mono_ms() + 20000;
    while (!reached() && clock_mono_ms() < until)
        loop_turn(fixture.main, 10);
    assert_true(reached());
}

/* --- plans -------------------------------------------------------------------------------------------------------- */

struct destination_conf fixture_destination(const struct receiver *r, const char *name, int64_t shards)
{
    struct conf_context c = {.arena = &fixture.arena, .file = "test"};
    struct destination_conf d = {0};
    struct err err = {0};
    struct str text = arena_printf(&fixture.arena, "url: http://127.0.0.1:%d/api/v1/write\nname: %s\n"
                                   "queue_config: {shards: %lld, max_backoff: 200ms}\n",
                                   r->server.port, name, (long long)shards);
    struct yaml *y = yaml_parse(&fixture.arena, text, "test", &err);
    if (y == NULL || !conf_load(&c, &remote_write_section, y, &d, &err))
        fail_msg("%s", err.text);
    return d;
}

bool fixture_try(const struct writer_plan *topology, struct err *err)
{
    struct writer_change *c = writer_prepare(fixture.writer, topology, err);
    if (c)
        writer_commit(c, NULL, NULL);
    return c != NULL;
}

void fixture_apply_at_once(const struct destination_conf *d, size_t n)
{
    struct err err = {0};
    struct destination_conf *copy = arena_alloc(&fixture.arena, (n + 1) * sizeof *copy);
    memcpy(copy, d, n * sizeof *copy);
    if (!fixture_try(&(struct writer_plan){.destinations = copy, .n = n}, &err))
        fail_msg("%s", err.text);
}

static bool in_force;
static void run_in_force(struct loop_task *task UNUSED) { in_force = true; }
static bool is_in_force(void) { return in_force; }

static void wait_until_in_force(void)
{
    static struct loop_task task = {.run = run_in_force};
    in_force = false;
    writer_await(fixture.writer, &task);
    fixture_wait_until(is_in_force);
}

void fixture_apply(const struct destination_conf *d, size_t n)
{
    fixture_apply_at_once(d, n);
    wait_until_in_force();
}

void fixture_start_with(const struct destination_conf *d, size_t n)
{
    fixture_start();
    fixture_apply(d, n);
}

void fixture_apply_plan(const struct writer_plan *topology)
{
    struct err err = {0};
    if (!fixture_try(topology, &err))
        fail_msg("%s", err.text);
    wait_until_in_force();
}

/* --- samples ------------------------------------------------------------------------------------------------------ */

struct batch { struct loop_task task; unsigned lane; int64_t t; uint64_t source; bool ack; uint64_t route; };
static atomic_int left;

static void batch_safe(void *arg UNUSED, bool ok)
{
    assert_true(ok);
    atomic_fetch_sub(&left, 1);
}

static void write_series(struct sink *sink, const struct batch *b, struct arena *scratch, unsigned i)
{
    struct label items[] = {{STR(METRIC_NAME), STR("m")}, {STR("i"), arena_printf(scratch, "%u", i)},
                            {STR("lane"), arena_printf(scratch, "%u", b->lane)}};
    struct sample s = {b->t, (double)i};
    sink_series(sink, &(struct series_in){.labels = labels_from(scratch, items, 3), .samples = &s, .n_samples = 1});
}

static void run_batch(struct loop_task *task)
{
    struct batch *b = CONTAINER(task, struct batch, task);
    struct sink *sink = writer_sink(fixture.writer, b->lane % fixture_lanes());
    struct arena scratch;
    arena_init(&scratch, 0);
    const struct sink_batch batch = {.source = b->source, .route = b->route, .bytes = FIXTURE_SERIES * 60};
    if (sink_begin(sink, &batch) == SINK_OK) {
        for (unsigned i = 0; i < FIXTURE_SERIES; i++)
            write_series(sink, b, &scratch, i);
        sink_commit(sink, b->ack ? batch_safe : NULL, NULL);
    }
    arena_free(&scratch);
    if (!b->ack)
        atomic_fetch_sub(&left, 1);
    mem_free(b);
}

void fixture_post(int64_t from, int64_t to, bool acks)
{
    for (int64_t t = from; t <= to; t++)
        for (unsigned lane = 0; lane < FIXTURE_LANES; lane++) {
            struct batch *b = mem_zalloc(sizeof *b);
            *b = (struct batch){{.run = run_batch}, lane, t, lane == 0 ? 0 : 77 + lane, acks, fixture.route};
            atomic_fetch_add(&left, 1);
            loop_post(fixture.lanes[lane % fixture_lanes()], &b->task);
        }
}

void fixture_push(int64_t from, int64_t to, bool acks)
{
    fixture_post(from, to, acks);
    for (int i = 0; i < 2000 && atomic_load(&left) > 0; i++)
        loop_turn(fixture.main, 5);
    assert_int_equal(atomic_load(&left), 0);
}

size_t fixture_samples(int64_t steps) { return (size_t)steps * FIXTURE_SERIES * FIXTURE_LANES; }

void fixture_await(struct receiver *r, size_t n)
{
    int64_t until = clock_mono_ms() + 20000;
    while (receiver_count(r) < n && clock_mono_ms() < until)
        loop_turn(fixture.main, 10);
    loop_turn(fixture.main, 50);
    assert_int_equal(receiver_count(r), n);
}

void fixture_check(struct receiver *r, int64_t from, int64_t to)
{
    struct map { uint64_t series; int64_t last; } *seen = calloc(4096, sizeof *seen);
    mutex_lock(&r->lock);
    for (size_t i = 0; i < r->n; i++) {
        struct received *x = &r->samples[i];
        size_t at = x->series & 4095;
        while (seen[at].series && seen[at].series != x->series)
            at = (at + 1) & 4095;
        if (seen[at].series == 0)
            seen[at].last = from - 1;
        seen[at].series = x->series;
        assert_int_equal(x->sample.t, seen[at].last + 1);
        seen[at].last = x->sample.t;
    }
    mutex_unlock(&r->lock);
    unsigned series = 0;
    for (size_t i = 0; i < 4096; i++)
        if (seen[i].series) {
            series++;
            assert_int_equal(seen[i].last, to);
        }
    assert_int_equal(series, FIXTURE_SERIES * FIXTURE_LANES);
    free(seen);
}

struct destination_status fixture_status(void)
{
    struct destination_status *status;
    size_t n;
    writer_status(fixture.writer, &fixture.arena, &status, &n);
    assert_true(n > 0);
    return status[0];
}

/* --- the recent store --------------------------------------------------------------------------------------------- */

size_t fixture_recent(size_t *series, int64_t *from)
{
    struct notes notes = {.arena = &fixture.arena};
    struct query_ctx q = {.arena = &fixture.arena, .notes = &notes};
    struct source *source = writer_recent(fixture.writer);
    struct matcher m;
    struct series_set set;
    struct err err = {0};
    size_t n = 0;
    assert_non_null(source);
    assert_true(matcher_init(&m, &fixture.arena, MATCH_EQ, STR(METRIC_NAME), STR("m"), &err));
    struct select sel = {.matchers = &m, .n_matchers = 1, .t_min = INT64_MIN, .t_max = INT64_MAX};
    assert_true(source->ops->select(source, &q, &sel, 1, &set, &err));
    for (size_t i = 0; i < set.n; i++) {
        struct series s = {0};
        assert_true(series_set_get(&set, i, &s, &err));
        n += s.n_samples;
    }
    *series = set.n;
    *from = writer_recent_from(source);
    series_set_release(&set);
    matchers_free(&m, 1);
    writer_recent_unref(source);
    return n;
}

/* --- a full disk -------------------------------------------------------------------------------------------------- */

void fixture_limit_files(uint64_t bytes)
{
    struct rlimit limit;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

void fixture_unlimit_files(void) { fixture_limit_files(RLIM_INFINITY); }

struct io_turn { struct loop_task task; atomic_bool done; };
static void note_io_turn(struct loop_task *task) { atomic_store(&CONTAINER(task, struct io_turn, task)->done, true); }

/* A turn runs due timers before tasks. The first task may run in a turn that began before the clock advanced. */
void fixture_pass_second(struct queue *q)
{
    clock_advance(QUEUE_RETRY_MS);
    for (int i = 0; i < 2; i++) {
        struct io_turn turn = {.task.run = note_io_turn};
        loop_post(q->loop, &turn.task);
        while (!atomic_load(&turn.done))
            usleep(500);
    }
}
