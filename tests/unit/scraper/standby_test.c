// SPDX-License-Identifier: Apache-2.0
/* Scrapes that are kept for another member of the cluster, and sent when it is gone. */
#include "scraper/scraper.h"
#include "scraper/standby.h"

#include "base/hash.h"
#include "scraper_fixture.h"

enum { T0 = 1000000, INTERVAL = 10000, KEEP_MS = 25000 };

static void standby_apply(struct scraper_fixture *f, uint64_t keep_bytes)
{
    struct err err;
    struct buf text = {0};
    struct config *c = mem_zalloc(sizeof *c);
    c->fixture = f;
    buf_printf(&text, "job_name: j\nscrape_interval: 10s\nscrape_timeout: 5s\nscrape_offset: 0s\n"
               "static_configs: [{targets: ['127.0.0.1:%d'], labels: {instance: i}}]\n", f->server.port);
    struct scrape_job *job = ARENA_NEW(&c->arena, struct scrape_job);
    must_load_job(&c->arena, buf_z(&text), job);
    job->cluster = (struct scrape_cluster){.by_view = true, .replicas = 2, .hands_over = true, .standby = true, .keep_ms = KEEP_MS,
                                           .keep_bytes = keep_bytes};
    buf_free(&text);
    assert_true(scraper_apply(f->scraper, job, 1, &prometheus_globals, release, c, &err));
    f->applied++;
    turns(f, 3);
}

static const char *const member_names[] = {"a", "b"};
static size_t second; /* the one that is the target's second owner: this process */

/* `until`: of the other one. */
static void set_members(struct scraper_fixture *f, int64_t until, bool gone)
{
    struct cluster_member members[2];
    for (size_t i = 0; i < 2; i++)
        members[i] = (struct cluster_member){.id = str_of(member_names[i]), .weight = 1,
                                             .until = i == second ? INT64_MAX : until,
                                             .gone = gone && i != second};
    struct cluster_view *v = cluster_view_new(members, 2, str_of(member_names[second]), 1);
    scraper_set_view(f->scraper, v);
    cluster_view_unref(v);
    turns(f, 3);
}

static bool target_is_standby(struct scraper_fixture *f)
{
    struct scraper_targets t;
    struct arena a = {0};
    must_read_targets(f->scraper, f->loop, &a, &t);
    assert_int_equal(t.n_active, 1);
    bool standby = t.active[0].standby;
    arena_free(&a);
    return standby;
}

static size_t requests_of(struct scraper_fixture *f) { return atomic_load(&f->server.requests); }

/* The next scrape, which writes nothing. */
static void keep_scrape(struct scraper_fixture *f, const char *page)
{
    size_t before = requests_of(f);
    int64_t scraped = 0;
    struct arena a = {0};
    http_server_respond(&f->server, page ? 200 : 500, page ? page : "");
    advance_clock(f, INTERVAL);
    for (int i = 0; i < 5000 && scraped < f->ms; i++) {
        struct scraper_targets t;
        loop_turn(f->loop, 1);
        arena_release(&a, (struct arena_mark){0});
        must_read_targets(f->scraper, f->loop, &a, &t);
        scraped = t.active[0].last_scrape;
    }
    arena_free(&a);
    assert_int_equal(requests_of(f), before + 1);
    assert_int_equal(f->sink.samples, 0);
}

static void standby_wait_for(struct scraper_fixture *f, const char *part)
{
    for (int i = 0; i < 5000 && recorder_containing(&f->sink, part) == 0; i++)
        loop_turn(f->loop, 1);
    if (recorder_containing(&f->sink, part) == 0)
        fail_msg("no `%s` in:\n%s", part, buf_z(&f->sink.lines));
}

static void fixture_with_standby(struct scraper_fixture *f, uint64_t keep_bytes)
{
    fixture_open(f);
    standby_apply(f, keep_bytes);
    second = 0;
    set_members(f, INT64_MAX, false);
    second = target_is_standby(f) ? 0 : 1;
    set_members(f, INT64_MAX, false);
    assert_true(target_is_standby(f));
}

/* The first owner has sent its scrapes before `until`: later ones are written, with their times; what vanished ends. */
static void kept_scrapes_are_sent_when_the_first_owner_is_gone(void **state UNUSED)
{
    struct scraper_fixture f;
    fixture_with_standby(&f, 1 << 20);
    keep_scrape(&f, "m 1\nold 1\n");
    keep_scrape(&f, "m 2\n");
    keep_scrape(&f, "m 3\n");
    set_members(&f, T0 + 2 * INTERVAL, true);
    standby_wait_for(&f, "scrape_response_size_bytes{instance=\"i\", job=\"j\"} 4 @1030000");
    assert_int_equal(recorder_containing(&f.sink, "@1010000"), 0);
    assert_line(&f.sink, "m{instance=\"i\", job=\"j\"} 2 @1020000");
    assert_line(&f.sink, "old{instance=\"i\", job=\"j\"} stale @1020000");
    assert_line(&f.sink, "up{instance=\"i\", job=\"j\"} 1 @1020000");
    assert_line(&f.sink, "m{instance=\"i\", job=\"j\"} 3 @1030000");
    recorder_forget(&f.sink);
    advance_clock(&f, INTERVAL); /* and goes on */
    loop_turn(f.loop, 0);
    standby_wait_for(&f, "up{instance=\"i\", job=\"j\"} 1 @1040000");
    fixture_close(&f);
}

static void failed_scrapes_are_kept_too(void **state UNUSED)
{
    struct scraper_fixture f;
    fixture_with_standby(&f, 1 << 20);
    keep_scrape(&f, "m 1\n");
    keep_scrape(&f, NULL);
    set_members(&f, T0 + INTERVAL + 1, true);
    standby_wait_for(&f, "scrape_response_size_bytes");
    assert_line(&f.sink, "up{instance=\"i\", job=\"j\"} 0 @1020000");
    assert_line(&f.sink, "m{instance=\"i\", job=\"j\"} stale @1020000");
    fixture_close(&f);
}

/* A planned change: the scrape that is due later is sent, once the former owner's samples are known to be; what was kept
 * only tells what has ended. */
static void a_planned_change_repeats_nothing(void **state UNUSED)
{
    struct scraper_fixture f;
    fixture_with_standby(&f, 1 << 20);
    keep_scrape(&f, "m 1\nold 1\n");
    keep_scrape(&f, "m 2\nold 2\n");
    set_members(&f, T0 + 2 * INTERVAL + 5000, false);
    keep_scrape(&f, "m 3\n");
    const char *other = member_names[1 - second];
    scraper_release(f.scraper, &(struct scraper_hold){T0 + 2 * INTERVAL + 5000, hash_bytes(other, strlen(other))});
    standby_wait_for(&f, "up{instance=\"i\", job=\"j\"} 1 @1030000");
    assert_line(&f.sink, "old{instance=\"i\", job=\"j\"} stale @1030000");
    assert_int_equal(recorder_containing(&f.sink, "@1020000"), 0);
    fixture_close(&f);
}

/* This member is the first owner until the other one joins, while a scrape is in progress. */
static void a_scrape_that_has_begun_before_a_planned_change_is_sent(void **state UNUSED)
{
    struct scraper_fixture f;
    struct cluster_member members[2];
    fixture_with_standby(&f, 1 << 20);
    for (size_t i = 0; i < 2; i++)
        members[i] = (struct cluster_member){.id = str_of(member_names[i]), .weight = 1, .until = INT64_MAX,
                                             .from = i == second ? 0 : T0 + INTERVAL + 50};
    struct cluster_view *v = cluster_view_new(members, 2, str_of(member_names[second]), 1);
    scraper_set_view(f.scraper, v);
    cluster_view_unref(v);
    turns(&f, 3);
    http_server_respond(&f.server, 200, "m 1\n");
    advance_clock(&f, INTERVAL);
    loop_turn(f.loop, 0);
    advance_clock(&f, 100);
    standby_wait_for(&f, "up{instance=\"i\", job=\"j\"} 1 @1010000");
    assert_true(target_is_standby(&f));
    fixture_close(&f);
}

static void old_scrapes_and_too_many_are_dropped(void **state UNUSED)
{
    struct scraper_fixture f;
    fixture_with_standby(&f, 1 << 20);
    for (int i = 0; i < 5; i++)
        keep_scrape(&f, "m 1\n");
    set_members(&f, T0, true);
    standby_wait_for(&f, "m{instance=\"i\", job=\"j\"} 1 @1050000");
    assert_int_equal(recorder_containing(&f.sink, "m{instance"), 3); /* 1030000, 1040000, 1050000: within KEEP_MS */
    fixture_close(&f);

    fixture_with_standby(&f, 1); /* not even one */
    keep_scrape(&f, "m 1\n");
    set_members(&f, T0, true);
    turns(&f, 5);
    assert_int_equal(f.sink.samples, 0);
    fixture_close(&f);
}

/* A response of several frames, and no marker when the standby loses the target. */
static void large_responses_are_kept(void **state UNUSED)
{
    enum { SERIES = 20000 };
    struct scraper_fixture f;
    struct buf page = {0};
    for (int i = 0; i < SERIES; i++)
        buf_printf(&page, "metric_with_a_long_name{number=\"%d\"} %d\n", i, i);
    fixture_with_standby(&f, 64 << 20);
    keep_scrape(&f, buf_z(&page));
    set_members(&f, T0, true);
    standby_wait_for(&f, "scrape_response_size_bytes");
    assert_int_equal(recorder_containing(&f.sink, "metric_with_a_long_name"), SERIES);
    assert_line(&f.sink, "metric_with_a_long_name{instance=\"i\", job=\"j\", number=\"19999\"} 19999 @1010000");
    fixture_close(&f);
    buf_free(&page);
}

static void a_standby_ends_no_series(void **state UNUSED)
{
    struct scraper_fixture f;
    struct err err;
    fixture_with_standby(&f, 1 << 20);
    keep_scrape(&f, "m 1\n");
    assert_true(scraper_apply(f.scraper, NULL, 0, &prometheus_globals, NULL, NULL, &err));
    turns(&f, 10);
    assert_int_equal(f.sink.samples, 0);
    fixture_close(&f);
}

/* Lets the lane publish up to which time its scrapes are complete. */
static int64_t complete_later(struct scraper_fixture *f)
{
    for (int i = 0; i < 4; i++) {
        advance_clock(f, STANDBY_TIMER_MS);
        turns(f, 3);
    }
    return scraper_complete(f->scraper);
}

/* Its owner may have been replaced: the response is sent only when it is known that it was not, and others must not take
 * it for sent until then. */
static void a_response_after_the_fence_is_not_complete(void **state UNUSED)
{
    struct scraper_fixture f;
    fixture_with_standby(&f, 1 << 20);
    second = 1 - second; /* this process is the first owner now */
    set_members(&f, INT64_MAX, false);
    http_server_respond(&f.server, 200, "m 1\n");
    advance_clock(&f, INTERVAL);
    loop_turn(f.loop, 0);
    scraper_set_fence(f.scraper, 0); /* while the request is in progress */
    for (int i = 0; i < 5000 && requests_of(&f) == 0; i++)
        loop_turn(f.loop, 1);
    turns(&f, 20);
    assert_int_equal(requests_of(&f), 1);
    assert_in_range(complete_later(&f), T0 - INTERVAL, T0 + INTERVAL);
    assert_int_equal(f.sink.samples, 0);
    scraper_set_fence(f.scraper, INT64_MAX);
    advance_clock(&f, INTERVAL);
    loop_turn(f.loop, 0);
    standby_wait_for(&f, "up{instance=\"i\", job=\"j\"} 1 @1020000");
    assert_line(&f.sink, "m{instance=\"i\", job=\"j\"} 1 @1010000");
    assert_in_range(complete_later(&f), T0 + 2 * INTERVAL, T0 + 3 * INTERVAL);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kept_scrapes_are_sent_when_the_first_owner_is_gone),
        cmocka_unit_test(failed_scrapes_are_kept_too),
        cmocka_unit_test(a_planned_change_repeats_nothing), cmocka_unit_test(old_scrapes_and_too_many_are_dropped),
        cmocka_unit_test(large_responses_are_kept), cmocka_unit_test(a_standby_ends_no_series),
        cmocka_unit_test(a_response_after_the_fence_is_not_complete),
        cmocka_unit_test(a_scrape_that_has_begun_before_a_planned_change_is_sent)};
    return cmocka_run_group_tests_name("standby", tests, NULL, NULL);
}
