// SPDX-License-Identifier: Apache-2.0
/* Snapshots of the targets' state: deadline, cancellation, memory, and readers beside lanes that work. A sanitizer's
 * build finds what is left behind. */
#include "scraper_fixture.h"

#include <string.h>

#define JOB "job_name: j\nscrape_interval: 10s\nscrape_timeout: 5s\nscrape_offset: 0s\n" \
            "static_configs: [{targets: ['127.0.0.1:%', '127.0.0.1:1']}]\n"

static bool never(void *arg UNUSED, const struct target_metadata *m UNUSED, struct err *err UNUSED) { return false; }
static const struct metadata_visit no_metadata = {.visit = never};

/* One target is up and has metadata, the other is down. */
static void open_scraped(struct scraper_fixture *f)
{
    struct arena a = {0};
    struct scraper_targets t;
    fixture_open(f);
    http_server_respond(&f->server, 200, "# TYPE m counter\nm 1\n");
    must_apply(f, JOB);
    advance_clock(f, 10000);
    for (int i = 0; i < 5000 && recorder_containing(&f->sink, "up{") < 2; i++)
        loop_turn(f->loop, 1);
    must_read_targets(f->scraper, f->loop, &a, &t);
    assert_int_equal(t.n_active, 2);
    assert_int_equal(t.active[0].health, HEALTH_DOWN);
    assert_true(t.active[0].last_error.n > 0);
    assert_int_equal(t.active[1].health, HEALTH_UP);
    assert_int_equal(t.active[1].last_samples, 1);
    arena_free(&a);
}

/* The lane's thread is this one, which runs no turn while it waits. */
static void a_lane_that_does_not_respond_costs_the_request(void **state UNUSED)
{
    struct scraper_fixture f;
    struct arena a = {0};
    struct scraper_targets t;
    struct budget memory = {0};
    atomic_bool left = true;
    open_scraped(&f);
    for (int i = 0; i < 2; i++) {
        struct scraper_read read = {.memory = &memory, .deadline_mono = i ? clock_mono_ms() + 60 : 0,
                                    .canceled = i ? NULL : &left};
        struct err err = {0};
        assert_false(scraper_targets(f.scraper, &read, &a, &t, &err));
        assert_int_equal(err.kind, i ? ERR_UNAVAILABLE : ERR_CANCELED);
        assert_int_equal(err.retry_after > 0, i);
        assert_false(scraper_metadata(f.scraper, &read, &no_metadata, &err));
        assert_int_equal(err.kind, i ? ERR_UNAVAILABLE : ERR_CANCELED);
        assert_true(atomic_load(&memory.used) > 0); /* until the lane has read the request */
        turns(&f, 3);
        assert_int_equal(atomic_load(&memory.used), 0);
    }
    must_read_targets(f.scraper, f.loop, &a, &t);
    assert_int_equal(t.n_active, 2);
    assert_int_equal(must_read_metadata(f.scraper, f.loop, STR("m")).n, 1);
    arena_free(&a);
    fixture_close(&f);
}

static void memory_is_limited(void **state UNUSED)
{
    struct scraper_fixture f;
    struct arena a = {0};
    struct scraper_targets t;
    struct err err = {0};
    open_scraped(&f);
    struct budget memory = {.max = 100};
    struct scraper_read read = {.memory = &memory, .loop = f.loop};
    assert_false(scraper_targets(f.scraper, &read, &a, &t, &err));
    assert_int_equal(err.kind, ERR_UNAVAILABLE);
    assert_true(err.retry_after > 0);
    assert_false(scraper_metadata(f.scraper, &read, &no_metadata, &err));
    assert_int_equal(atomic_load(&memory.used), 0);
    arena_init(&a, 1); /* the copies have no room */
    assert_false(scraper_targets(f.scraper, &(struct scraper_read){.loop = f.loop}, &a, &t, &err));
    assert_int_equal(err.kind, ERR_LIMIT);
    arena_free(&a);
    fixture_close(&f);
}

static void references_outlive_targets(void **state UNUSED)
{
    struct scraper_fixture f;
    struct arena a = {0};
    struct scraper_targets t;
    struct err err;
    open_scraped(&f);
    struct scraper_read gone = {.deadline_mono = 1}; /* the requests wait on the lane */
    assert_false(scraper_targets(f.scraper, &gone, &a, &t, &err));
    assert_false(scraper_metadata(f.scraper, &gone, &no_metadata, &err));
    must_apply(&f, "job_name: j\nstatic_configs: []\n");
    must_read_targets(f.scraper, f.loop, &a, &t);
    assert_int_equal(t.n_active, 0);
    arena_free(&a);
    fixture_close(&f);
}

static void equal_targets_are_visited_once_if_asked(void **state UNUSED)
{
    struct scraper_fixture f;
    struct err err;
    fixture_open(&f);
    http_server_respond(&f.server, 200, "# TYPE m counter\n# TYPE n gauge\nm 1\n");
    must_apply(&f, "job_name: j\nscrape_interval: 10s\nscrape_timeout: 5s\nscrape_offset: 0s\n"
                   "static_configs: [{targets: ['127.0.0.1:%'], labels: {instance: a}},"
                   " {targets: ['127.0.0.1:%'], labels: {instance: b}}]\n");
    advance_clock(&f, 10000);
    for (int i = 0; i < 5000 && recorder_containing(&f.sink, "up{") < 2; i++)
        loop_turn(f.loop, 1);
    for (int distinct = 0; distinct < 2; distinct++) {
        struct metadata_seen seen = {0};
        struct metadata_visit visit = {.distinct = distinct, .visit = note_metadata, .arg = &seen};
        assert_true(scraper_metadata(f.scraper, &(struct scraper_read){.loop = f.loop}, &visit, &err));
        assert_int_equal(seen.n, distinct ? 2 : 4);
    }
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lane_that_does_not_respond_costs_the_request),
        cmocka_unit_test(memory_is_limited),
        cmocka_unit_test(references_outlive_targets),
        cmocka_unit_test(equal_targets_are_visited_once_if_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
