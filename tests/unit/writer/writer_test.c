/* The whole writer over real sockets and files: every sample once and each series in order, through outages, refusals, restarts
 * and reloads, with several lanes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/times.h"
#include "receiver.h"
#include "writer/writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { LANES = 3, SERIES = 200 };
static char dir[256];
static struct loop *main_loop, *loops[LANES];
static struct thread *threads[LANES];
static struct writer *writer;
static struct arena arena;

static int setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/sluice-writer-XXXXXX");
    arena_init(&arena, 0);
    return mkdtemp(dir) == NULL;
}

static int teardown(void **state)
{
    (void)state;
    char command[300];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    arena_free(&arena);
    return system(command);
}

static void run_lane(void *arg) { loop_run(arg); }

static void start(void)
{
    struct err err = {0};
    main_loop = loop_new();
    for (int i = 0; i < LANES; i++) {
        loops[i] = loop_new();
        threads[i] = thread_start("lane", run_lane, loops[i]);
    }
    struct writer_env env = {.main = main_loop, .lanes = loops, .n_lanes = LANES, .queue_dir = str_of(dir), .flush_interval = 50};
    writer = writer_new(&env, &err);
    assert_non_null(writer);
}

static bool stopped;
static void on_stopped(void *arg) { (void)arg; stopped = true; }

static void stop(int64_t grace)
{
    stopped = false;
    writer_stop(writer, grace, on_stopped, NULL);
    while (!stopped)
        loop_turn(main_loop, 100);
    for (int i = 0; i < LANES; i++) {
        loop_stop(loops[i]);
        thread_join(threads[i]);
        loop_free(loops[i]);
    }
    writer_free(writer);
    loop_free(main_loop);
}

static struct destination_conf destination(const struct receiver *r, const char *name, int64_t shards)
{
    struct conf_context c = {.arena = &arena, .file = "test"};
    struct destination_conf d = {0};
    struct err err = {0};
    struct buf text = {0};
    buf_printf(&text, "url: http://127.0.0.1:%d/api/v1/write\nname: %s\nqueue_config: {shards: %lld, max_backoff: 200ms}\n", r->port, name, (long long)shards);
    struct yaml *y = yaml_parse(&arena, arena_str(&arena, buf_str(&text)), "test", &err);
    buf_free(&text);
    if (y == NULL || !conf_load(&c, &remote_write_section, y, &d, &err))
        fail_msg("%s", err.text);
    return d;
}

static void apply_at_once(const struct destination_conf *d, size_t n)
{
    struct err err = {0};
    struct destination_conf *copy = arena_alloc(&arena, (n + 1) * sizeof *copy);
    memcpy(copy, d, n * sizeof *copy);
    if (!writer_apply(writer, &(struct writer_plan){.destinations = copy, .n = n}, NULL, NULL, &err))
        fail_msg("%s", err.text);
}

static void apply(const struct destination_conf *d, size_t n)
{
    apply_at_once(d, n);
    for (int i = 0; i < 20; i++)
        loop_turn(main_loop, 5);
}

/* Batches are made on the lanes themselves. */
struct batch { struct loop_task task; unsigned lane; int64_t t; uint64_t source; atomic_int *left; bool wait; };

static void batch_safe(void *arg, bool ok)
{
    assert_true(ok);
    atomic_fetch_sub((atomic_int *)arg, 1);
}

static void run_batch(struct loop_task *task)
{
    struct batch *b = CONTAINER(task, struct batch, task);
    struct sink *sink = writer_sink(writer, b->lane);
    struct arena scratch;
    arena_init(&scratch, 0);
    if (sink_begin(sink, &(struct sink_batch){.source = b->source, .bytes = SERIES * 60}) == SINK_OK) {
        for (unsigned i = 0; i < SERIES; i++) {
            struct label items[] = {{STR(METRIC_NAME), STR("m")}, {STR("i"), arena_printf(&scratch, "%u", i)}, {STR("lane"), arena_printf(&scratch, "%u", b->lane)}};
            struct sample s = {b->t, (double)i};
            struct series_in in = {.labels = labels_from(&scratch, items, 3), .samples = &s, .n_samples = 1};
            sink_series(sink, &in);
        }
        sink_commit(sink, b->wait ? batch_safe : NULL, b->left);
    }
    arena_free(&scratch);
    if (!b->wait)
        atomic_fetch_sub(b->left, 1);
    mem_free(b);
}

static atomic_int left;

static void post_batches(int64_t from, int64_t to, bool wait)
{
    for (int64_t t = from; t <= to; t++)
        for (unsigned lane = 0; lane < LANES; lane++) {
            struct batch *b = mem_zalloc(sizeof *b);
            *b = (struct batch){{.run = run_batch}, lane, t, lane == 0 ? 0 : 77 + lane, &left, wait};
            atomic_fetch_add(&left, 1);
            loop_post(loops[lane], &b->task);
        }
}

static void push(int64_t from, int64_t to, bool wait)
{
    post_batches(from, to, wait);
    for (int i = 0; i < 2000 && atomic_load(&left) > 0; i++)
        loop_turn(main_loop, 5);
    assert_int_equal(atomic_load(&left), 0);
}

static void await(struct receiver *r, size_t n)
{
    int64_t until = clock_mono_ms() + 20000;
    while (receiver_count(r) < n && clock_mono_ms() < until)
        loop_turn(main_loop, 10);
    loop_turn(main_loop, 50);
    assert_int_equal(receiver_count(r), n);
}

/* Every (series, t) of [from, to] once, each series ascending. */
static void check(struct receiver *r, int64_t from, int64_t to)
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
    assert_int_equal(series, SERIES * LANES);
    free(seen);
}

static size_t samples(int64_t n) { return (size_t)n * SERIES * LANES; }

static void two_destinations_get_everything_in_order(void **state)
{
    (void)state;
    struct receiver a, b;
    receiver_start(&a);
    receiver_start(&b);
    atomic_store(&b.no_zstd, true);
    start();
    struct destination_conf d[] = {destination(&a, "a", 8), destination(&b, "b", 8)};
    apply(d, 2);
    push(1, 50, false);
    push(51, 60, true);
    await(&a, samples(60));
    await(&b, samples(60));
    check(&a, 1, 60);
    check(&b, 1, 60);
    stop(1000);
    receiver_stop(&a);
    receiver_stop(&b);
}

static void an_outage_loses_nothing(void **state)
{
    (void)state;
    struct receiver a;
    receiver_start(&a);
    start();
    struct destination_conf d = destination(&a, "a", 4);
    d.max_memory_bytes = 1; /* most goes through the disk */
    apply(&d, 1);
    push(1, 10, false);
    await(&a, samples(10));
    atomic_store(&a.status, 503);
    for (int64_t t = 11; t <= 400; t += 10)
        push(t, t + 9, true);
    assert_int_equal(receiver_count(&a), samples(10));
    struct destination_status *status;
    size_t n;
    writer_status(writer, &arena, &status, &n);
    assert_true(n == 1 && status[0].oldest_ms > 0 && status[0].oldest_ms < 60000);
    atomic_store(&a.status, 204);
    await(&a, samples(400));
    check(&a, 1, 400);
    writer_status(writer, &arena, &status, &n);
    assert_int_equal(status[0].oldest_ms, 0);
    stop(1000);
    receiver_stop(&a);
}

static void a_restart_goes_on_where_it_was(void **state)
{
    (void)state;
    struct receiver a;
    receiver_start(&a);
    struct destination_conf d = destination(&a, "a", 4);
    start();
    apply(&d, 1);
    push(1, 20, false);
    await(&a, samples(20));
    atomic_store(&a.status, 500);
    push(21, 60, true);
    stop(50);
    atomic_store(&a.status, 204);
    d = destination(&a, "a", 7); /* with another number of shards: the old ones go first */
    start();
    apply(&d, 1);
    push(61, 80, true);
    await(&a, samples(80));
    check(&a, 1, 80);
    stop(1000);
    receiver_stop(&a);
}

/* What waits on disk from before goes first, and what comes meanwhile goes behind it. */
static void durability_memory_keeps_the_order(void **state)
{
    (void)state;
    struct receiver a;
    receiver_start(&a);
    atomic_store(&a.status, 503);
    struct destination_conf d = destination(&a, "a", 4);
    d.durability = DURABILITY_MEMORY;
    for (int64_t run = 0; run < 3; run++) {
        start();
        apply(&d, 1);
        push(run * 20 + 1, run * 20 + 20, true);
        stop(20);
    }
    atomic_store(&a.status, 204);
    start();
    apply(&d, 1);
    push(61, 80, true);
    await(&a, samples(80));
    check(&a, 1, 80);
    stop(1000);
    receiver_stop(&a);
}

static struct destination_status status_of_first(void)
{
    struct destination_status *status;
    size_t n;
    writer_status(writer, &arena, &status, &n);
    assert_true(n > 0);
    return status[0];
}

static void what_is_too_old_is_dropped_and_counted(void **state)
{
    (void)state;
    struct receiver a;
    receiver_start(&a);
    struct destination_conf d = destination(&a, "a", 4);
    d.queue.sample_age_limit = 60000;
    d.max_memory_bytes = 1;
    atomic_store(&a.status, 503);
    start();
    int64_t now = clock_wall_ms();
    apply(&d, 1);
    push(now - 59999, now - 59999, true); /* young enough to be tried */
    for (int64_t t = 1; t <= 300; t += 10)
        push(t, t + 9, true);
    push(now, now, true);
    atomic_store(&a.status, 204);
    for (int i = 0; i < 1000 && status_of_first().sent_samples + status_of_first().dropped_samples < samples(302); i++)
        loop_turn(main_loop, 10);
    assert_in_range(status_of_first().dropped_samples, samples(300), samples(301));
    assert_int_equal(status_of_first().sent_samples + status_of_first().dropped_samples, samples(302));
    stop(1000);
    receiver_stop(&a);
}

static size_t count_text(struct str text, const char *wanted)
{
    size_t n = 0;
    for (const char *p = text.p; (p = memmem(p, (size_t)(text.p + text.n - p), wanted, strlen(wanted))) != NULL; p++)
        n++;
    return n;
}

/* Metrics of two destinations must not become one when their order changes. */
static void labels_follow_the_order(void **state)
{
    (void)state;
    struct receiver a, b;
    receiver_start(&a);
    receiver_start(&b);
    start();
    struct destination_conf d[] = {destination(&b, "b", 2), destination(&a, "a", 2)};
    d[0].name = d[1].name = STR_NONE;
    apply(&d[1], 1);
    apply(d, 2);
    struct buf text = {0};
    stats_render(&text, false);
    assert_int_equal(count_text(buf_str(&text), "vmagent_remotewrite_queues{url=\"1:secret-url\"}"), 1);
    assert_int_equal(count_text(buf_str(&text), "vmagent_remotewrite_queues{url=\"2:secret-url\"}"), 1);
    buf_free(&text);
    stop(100);
    receiver_stop(&a);
    receiver_stop(&b);
}

static void apply_recent(const struct destination_conf *d)
{
    struct err err = {0};
    struct recent_conf *recent = arena_zalloc(&arena, sizeof *recent);
    struct destination_conf *copy = arena_alloc(&arena, sizeof *copy);
    *copy = *d;
    *recent = (struct recent_conf){.like = STR("a"), .budget = 64 << 20, .retention = 7200000};
    if (!writer_apply(writer, &(struct writer_plan){.destinations = copy, .n = 1, .recent = recent}, NULL, NULL, &err))
        fail_msg("%s", err.text);
    for (int i = 0; i < 20; i++)
        loop_turn(main_loop, 5);
}

/* How many series and samples the recent store answers for all times. */
static size_t recent_samples(size_t *series, int64_t *from)
{
    struct notes notes = {.arena = &arena};
    struct query_ctx q = {.arena = &arena, .notes = &notes};
    struct source *source = writer_recent(writer);
    struct matcher m;
    struct series_set set;
    struct err err = {0};
    size_t n = 0;
    assert_non_null(source);
    assert_true(matcher_init(&m, &arena, MATCH_EQ, STR(METRIC_NAME), STR("m"), &err));
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

static void what_waits_on_disk_can_be_asked_after_a_restart(void **state)
{
    (void)state;
    struct receiver a;
    receiver_start(&a);
    atomic_store(&a.status, 503);
    struct destination_conf d = destination(&a, "a", 8);
    int64_t now = clock_wall_ms(), from;
    size_t series;
    start();
    apply_recent(&d);
    push(now - 99, now, true);
    assert_int_equal(recent_samples(&series, &from), samples(100));
    stop(10);
    start();
    apply_recent(&d);
    assert_int_equal(recent_samples(&series, &from), samples(100));
    assert_int_equal(series, SERIES * LANES);
    assert_true(from <= now);
    atomic_store(&a.status, 204);
    await(&a, samples(100));
    check(&a, now - 99, now);
    stop(1000);
    receiver_stop(&a);
}

/* A reload leaves the recent store whole, unless the labels of what it keeps change. */
static void a_reload_keeps_what_is_recent(void **state)
{
    (void)state;
    struct receiver a;
    receiver_start(&a);
    struct destination_conf d = destination(&a, "a", 8);
    int64_t now = clock_wall_ms(), before, from;
    size_t series;
    start();
    apply_recent(&d);
    push(now, now, true);
    recent_samples(&series, &before);
    usleep(5000);
    d.remote_timeout = 1234;
    apply_recent(&d);
    assert_int_equal(recent_samples(&series, &from), samples(1));
    assert_int_equal(from, before);
    struct str key = STR("zone"), value = STR("z");
    d.extra_labels = (struct str_map){.keys = &key, .values = &value, .n = 1};
    apply_recent(&d);
    recent_samples(&series, &from);
    assert_true(from > before);
    stop(1000);
    receiver_stop(&a);
}

static void large_blocks_are_cut(void **state)
{
    (void)state;
    struct receiver a;
    receiver_start(&a);
    atomic_store(&a.too_large, 700);
    start();
    struct destination_conf d = destination(&a, "a", 2);
    apply(&d, 1);
    push(1, 20, true);
    await(&a, samples(20));
    check(&a, 1, 20);
    stop(1000);
    receiver_stop(&a);
}

static void a_reload_changes_destinations_in_place(void **state)
{
    (void)state;
    struct receiver a, b;
    receiver_start(&a);
    receiver_start(&b);
    start();
    struct destination_conf both[] = {destination(&a, "a", 4), destination(&b, "b", 4)};
    apply(both, 1);
    push(1, 10, false);
    apply(both, 2);
    push(11, 20, false);
    both[0] = destination(&a, "a", 3);
    apply(both, 2);
    push(21, 30, false);
    await(&b, samples(20));
    apply(both, 1); /* b goes */
    push(31, 40, true);
    await(&a, samples(40));
    check(&a, 1, 40);
    check(&b, 11, 30);
    stop(1000);
    receiver_stop(&a);
    receiver_stop(&b);
}

static size_t count_at(struct receiver *r, int64_t t)
{
    size_t n = 0;
    mutex_lock(&r->lock);
    for (size_t i = 0; i < r->n; i++)
        n += r->samples[i].sample.t == t;
    mutex_unlock(&r->lock);
    return n;
}

/* The lanes have not answered one plan when the next comes; b goes and comes back before, while and after its files are closed. */
static void reloads_follow_each_other(void **state)
{
    (void)state;
    struct receiver a, b;
    receiver_start(&a);
    receiver_start(&b);
    start();
    struct destination_conf both[] = {destination(&a, "a", 4), destination(&b, "b", 4)};
    apply(both, 2);
    for (int64_t t = 1; t <= 30; t++) {
        post_batches(t, t, false);
        both[0] = destination(&a, "a", 2 + t % 3);
        apply_at_once(both, 1);
        for (int64_t turns = t % 4; turns > 0; turns--)
            loop_turn(main_loop, 1);
        apply_at_once(both, 2);
    }
    for (int i = 0; i < 500; i++)
        loop_turn(main_loop, 1);
    push(31, 31, true);
    await(&a, samples(31));
    check(&a, 1, 31);
    for (int i = 0; i < 1000 && count_at(&b, 31) < samples(1); i++)
        loop_turn(main_loop, 10);
    assert_int_equal(count_at(&b, 31), samples(1));
    apply_at_once(both, 1);
    stop(1000); /* b is still leaving */
    receiver_stop(&a);
    receiver_stop(&b);
}

static void bad_blocks_are_dropped_and_counted(void **state)
{
    (void)state;
    struct receiver a;
    receiver_start(&a);
    start();
    struct destination_conf d = destination(&a, "a", 4);
    apply(&d, 1);
    atomic_store(&a.status, 400);
    push(1, 5, true);
    for (int i = 0; i < 100 && atomic_load(&a.requests) < 8; i++)
        loop_turn(main_loop, 10);
    struct destination_status *st;
    size_t n;
    for (int i = 0; i < 200; i++) {
        writer_status(writer, &arena, &st, &n);
        if (st[0].dropped_samples == samples(5))
            break;
        loop_turn(main_loop, 10);
    }
    assert_int_equal(st[0].dropped_samples, samples(5));
    assert_true(st[0].zstd); /* a bad block says nothing about zstd */
    atomic_store(&a.status, 204);
    push(6, 8, true);
    await(&a, samples(3));
    check(&a, 6, 8);
    stop(1000);
    receiver_stop(&a);
}

static void the_folder_has_one_owner(void **state)
{
    (void)state;
    struct receiver a;
    receiver_start(&a);
    start();
    struct destination_conf d = destination(&a, "a", 4);
    apply(&d, 1);
    struct err err = {0};
    struct writer_env env = {.main = main_loop, .lanes = loops, .n_lanes = LANES, .queue_dir = str_of(dir)};
    struct writer *other = writer_new(&env, &err);
    assert_false(writer_apply(other, &(struct writer_plan){.destinations = &d, .n = 1}, NULL, NULL, &err));
    assert_non_null(strstr(err.text, "in use by another process"));
    writer_free(other);
    struct destination_conf twins[] = {d, d};
    assert_false(writer_apply(writer, &(struct writer_plan){.destinations = twins, .n = 2}, NULL, NULL, &err));
    assert_non_null(strstr(err.text, "two destinations"));
    stop(1000);
    receiver_stop(&a);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(two_destinations_get_everything_in_order),
        TEST(an_outage_loses_nothing),
        TEST(a_restart_goes_on_where_it_was),
        TEST(durability_memory_keeps_the_order),
        TEST(what_is_too_old_is_dropped_and_counted),
        TEST(labels_follow_the_order),
        TEST(what_waits_on_disk_can_be_asked_after_a_restart),
        TEST(a_reload_keeps_what_is_recent),
        TEST(large_blocks_are_cut),
        TEST(a_reload_changes_destinations_in_place),
        TEST(reloads_follow_each_other),
        TEST(bad_blocks_are_dropped_and_counted),
        TEST(the_folder_has_one_owner)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
