// SPDX-License-Identifier: Apache-2.0
/* The scraper on several lanes, each a thread, in real time. */
#include "scraper_fixture.h"
#include "tests/unit/log_capture.h"

enum { LANES = 3, MANY = 24, SOON_MS = 60000 };
struct lane_thread { struct loop *loop; struct recorder sink; struct thread *thread; };

static void run_lane(void *arg) { loop_run(((struct lane_thread *)arg)->loop); }
static void set_flag(void *arg) { *(bool *)arg = true; }

static void run_for(struct loop *l, int64_t ms)
{
    for (int64_t end = clock_mono_ms() + ms; clock_mono_ms() < end; )
        loop_turn(l, 5);
}

static const char *interval = "50ms"; /* of the jobs that are applied */

static void apply_many(struct scraper *s, struct scraper_fixture *f, const struct scrape_globals *g, int from, int to)
{
    struct config *c = mem_zalloc(sizeof *c);
    struct buf text = {0};
    struct err err;
    c->fixture = f;
    buf_printf(&text, "job_name: j\nscrape_interval: %s\nscrape_timeout: %s\nstatic_configs:\n", interval, interval);
    for (int i = from; i < to; i++)
        buf_printf(&text, "- {targets: ['127.0.0.1:%d'], labels: {instance: i%d}}\n", f->server.port, i);
    struct scrape_job *job = ARENA_NEW(&c->arena, struct scrape_job);
    must_load_job(&c->arena, buf_z(&text), job);
    assert_true(scraper_apply(s, job, 1, g, release, c, &err));
    buf_free(&text);
}

struct team { struct scraper_fixture f; struct lane_thread lanes[LANES]; struct loop *main; struct scraper *scraper; };

static int64_t stop_ms; /* of the next team */

static void team_open(struct team *t)
{
    struct loop *loops[LANES];
    struct sink *sinks[LANES];
    *t = (struct team){.main = loop_new()};
    http_server_start(&t->f.server, NULL, NULL);
    for (int i = 0; i < LANES; i++) {
        loops[i] = t->lanes[i].loop = loop_new();
        recorder_init(&t->lanes[i].sink);
        sinks[i] = &t->lanes[i].sink.sink;
        t->lanes[i].thread = thread_start("lane", run_lane, &t->lanes[i]);
    }
    t->scraper = scraper_new(&(struct scraper_env){.main = t->main, .lanes = loops, .n_lanes = LANES, .sinks = sinks,
                                                   .stop_ms = stop_ms});
}

static size_t team_free(struct team *t, const char *part)
{
    size_t lines = 0;
    scraper_free(t->scraper);
    for (int i = 0; i < LANES; i++) {
        loop_stop(t->lanes[i].loop);
        thread_join(t->lanes[i].thread);
        lines += recorder_containing(&t->lanes[i].sink, part);
        recorder_free(&t->lanes[i].sink);
        loop_free(t->lanes[i].loop);
    }
    loop_turn(t->main, 0);
    loop_free(t->main);
    http_server_stop(&t->f.server);
    return lines;
}

/* How many lines have the part? */
static size_t team_close(struct team *t, const char *part)
{
    bool done = false;
    scraper_stop(t->scraper, set_flag, &done);
    while (!done)
        loop_turn(t->main, 5);
    return team_free(t, part);
}

/* Reads all state over and over, and leaves some requests early. */
struct reader { struct scraper *scraper; atomic_bool ended; struct thread *thread; atomic_size_t reads; };

static void read_state(void *arg)
{
    struct reader *r = arg;
    while (!atomic_load(&r->ended)) {
        struct arena a = {0};
        struct scraper_targets t;
        struct metadata_seen seen = {0};
        struct metadata_visit visit = {.visit = note_metadata, .arg = &seen};
        struct err err;
        struct scraper_read read = {.deadline_mono = r->reads++ % 3 ? 0 : 1};
        bool ok = scraper_targets(r->scraper, &read, &a, &t, &err);
        ok = scraper_metadata(r->scraper, &read, &visit, &err) && ok;
        assert_true(ok || read.deadline_mono > 0);
        arena_free(&a);
        usleep(2000);
    }
}

static size_t count_up(const struct scraper_targets *t)
{
    size_t up = 0;
    for (size_t i = 0; i < t->n_active; i++)
        up += t->active[i].health == HEALTH_UP;
    return up;
}

/* On a busy machine many scrapes are too late. */
static void lanes_work_beside_each_other(void **state UNUSED)
{
    struct team team;
    struct reader readers[2];
    struct arena a = {0};
    struct scraper_targets t;
    size_t n = 0;
    int64_t end = clock_mono_ms() + SOON_MS;
    bool enough = false;
    team_open(&team);
    http_server_respond(&team.f.server, 200, "# TYPE m gauge\nm{a=\"b\"} 1\nn 2\n");
    for (int i = 0; i < 2; i++) {
        readers[i] = (struct reader){.scraper = team.scraper};
        readers[i].thread = thread_start("reader", read_state, &readers[i]);
    }
    for (int round = 0; round < 4 || (!enough && clock_mono_ms() < end); round++) {
        apply_many(team.scraper, &team.f, &prometheus_globals, round * 4, MANY + round * 4);
        run_for(team.main, 250);
        must_read_targets(team.scraper, NULL, &a, &t);
        n = must_read_metadata(team.scraper, NULL, STR_NONE).n;
        assert_int_equal(t.n_active, MANY);
        enough = readers[0].reads > 10 && readers[1].reads > 10 && n > 0 && count_up(&t) >= MANY / 2;
    }
    assert_true(enough);
    for (int i = 0; i < 2; i++) {
        atomic_store(&readers[i].ended, true);
        thread_join(readers[i].thread);
    }
    size_t up = count_up(&t);
    arena_free(&a);
    assert_true(team_close(&team, "m{a=\"b\", instance=\"i") >= up);
}

static struct team spread; /* where its sinks are says which lane they are of */
static unsigned spread_shards;
static atomic_uint spread_batches;

static enum sink_status begin_where_it_leaves(struct sink *s, const struct sink_batch *b)
{
    assert_ptr_equal(s, &spread.lanes[b->source % spread_shards % LANES].sink.sink);
    atomic_fetch_add(&spread_batches, 1);
    return recorder_begin(s, b);
}

static void a_target_is_scraped_where_its_shard_is(void **state UNUSED)
{
    static struct sink_ops ops;
    ops = recorder_ops;
    ops.begin = begin_where_it_leaves;
    for (spread_shards = LANES; spread_shards < 12; spread_shards += 2) {
        struct scrape_globals g = prometheus_globals;
        g.shards = spread_shards;
        atomic_store(&spread_batches, 0);
        team_open(&spread);
        http_server_respond(&spread.f.server, 200, "m 1\n");
        for (int i = 0; i < LANES; i++)
            spread.lanes[i].sink.sink.ops = &ops;
        apply_many(spread.scraper, &spread.f, &g, 0, MANY);
        for (int64_t end = clock_mono_ms() + SOON_MS; atomic_load(&spread_batches) < MANY && clock_mono_ms() < end; )
            loop_turn(spread.main, 5);
        assert_true(team_close(&spread, "up{") >= MANY / 2);
    }
}

/* The time of a stop is up before the markers of a large target are written: no more are written. */
static void a_stop_waits_for_few_markers(void **state UNUSED)
{
    enum { SERIES = 100000 };
    struct team team;
    struct arena a = {0};
    struct scraper_targets t = {0};
    struct buf page = {0};
    for (int i = 0; i < SERIES; i++)
        buf_printf(&page, "m{i=\"%d\"} 1\n", i);
    stop_ms = 1;
    interval = "2s";
    log_capture_start();
    team_open(&team);
    http_server_respond(&team.f.server, 200, buf_z(&page));
    apply_many(team.scraper, &team.f, &prometheus_globals, 0, 1);
    for (int64_t end = clock_mono_ms() + SOON_MS; clock_mono_ms() < end && (t.n_active == 0 || t.active[0].health != HEALTH_UP);) {
        run_for(team.main, 20);
        must_read_targets(team.scraper, NULL, &a, &t);
    }
    assert_int_equal(t.active[0].health, HEALTH_UP);
    apply_many(team.scraper, &team.f, &prometheus_globals, 0, 0);
    bool done = false;
    scraper_stop(team.scraper, set_flag, &done);
    while (!done)
        loop_turn(team.main, 5);
    assert_true(scraper_abandoned(team.scraper));
    assert_int_equal(text_count(log_capture_text(), "stopping before all stale markers"), 1);
    team_free(&team, "");
    log_capture_stop();
    stop_ms = 0;
    interval = "50ms";
    buf_free(&page);
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lanes_work_beside_each_other),
        cmocka_unit_test(a_target_is_scraped_where_its_shard_is),
        cmocka_unit_test(a_stop_waits_for_few_markers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
