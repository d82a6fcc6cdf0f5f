// SPDX-License-Identifier: Apache-2.0
/* A target moves from one scraper to another, as planned: the new one sends its scrapes when it is told to, and ends what
 * the former one had scraped last. */
#include "scraper/handover.h"

#include "base/hash.h"
#include "scraper/scraper_internal.h"
#include "scraper_fixture.h"

enum { T0 = 1000000, INTERVAL = 10000, MOVES_AT = T0 + INTERVAL + 5000, PAGES = 1 << 20 };

static bool stream_parse; /* of the job */

/* Both scrape the server of the first. */
static void handover_apply(struct scraper_fixture *f, int port)
{
    struct err err;
    struct buf text = {0};
    struct config *c = mem_zalloc(sizeof *c);
    c->fixture = f;
    buf_printf(&text, "job_name: j\nscrape_interval: 10s\nscrape_timeout: 5s\nscrape_offset: 0s\n"
               "static_configs: [{targets: ['127.0.0.1:%d'], labels: {instance: i}}]\n"
               "metric_relabel_configs: [{source_labels: [__name__], regex: dropped, action: drop}]\nstream_parse: %s\n",
               port, stream_parse ? "true" : "false");
    struct scrape_job *job = ARENA_NEW(&c->arena, struct scrape_job);
    must_load_job(&c->arena, buf_z(&text), job);
    job->page.spells_bounds = true;
    job->cluster = (struct scrape_cluster){.by_view = true, .replicas = 1, .hands_over = true, .keep_ms = 25000,
                                           .keep_bytes = 1 << 20};
    buf_free(&text);
    assert_true(scraper_apply(f->scraper, job, 1, &prometheus_globals, release, c, &err));
    f->applied++;
    turns(f, 3);
}

/* "old" leaves at MOVES_AT. */
static void handover_set_view(struct scraper_fixture *f, const char *self)
{
    const struct cluster_member members[] = {{.id = STR("new"), .weight = 1, .from = MOVES_AT, .until = INT64_MAX},
                                             {.id = STR("old"), .weight = 1, .until = MOVES_AT}};
    struct cluster_view *v = cluster_view_new(members, 2, str_of(self), 1);
    scraper_set_view(f->scraper, v);
    cluster_view_unref(v);
    turns(f, 3);
}

static void handover_wait_for(struct scraper_fixture *f, const char *part)
{
    for (int i = 0; i < 5000 && recorder_containing(&f->sink, part) == 0; i++)
        loop_turn(f->loop, 1);
    if (recorder_containing(&f->sink, part) == 0)
        fail_msg("no `%s` in:\n%s", part, buf_z(&f->sink.lines));
}

static uint64_t arrived; /* the target */
static void note_arrival(void *arg UNUSED, const struct cluster_view *v, size_t from, int64_t time, uint64_t id)
{
    assert_true(str_is(v->members[from].id, "old"));
    assert_int_equal(time, MOVES_AT);
    arrived = id;
}

static struct scraper_hold from_old(void) { return (struct scraper_hold){MOVES_AT, hash_bytes("old", 3)}; }

static unsigned answers;
static void count_answer(void *arg UNUSED, uint64_t id)
{
    answers += id == arrived;
}

struct two_members { struct scraper_fixture old, new; };

/* The former owner has scraped `page` before the change; both are after it. */
static void two_members_open(struct two_members *m, const char *page)
{
    arrived = 0;
    answers = 0;
    fixture_open(&m->old);
    fixture_open(&m->new);
    m->new.scraper->env.moves = note_arrival;
    handover_apply(&m->old, m->old.server.port);
    handover_apply(&m->new, m->old.server.port);
    handover_set_view(&m->old, "old");
    handover_set_view(&m->new, "new");
    http_server_respond(&m->old.server, 200, page);
    advance_clock(&m->old, INTERVAL);
    loop_turn(m->old.loop, 0);
    handover_wait_for(&m->old, "up{instance=\"i\", job=\"j\"} 1 @1010000");
    recorder_forget(&m->old.sink);
    advance_clock(&m->old, INTERVAL);
    turns(&m->old, 5);
    assert_true(arrived != 0);
}

static void two_members_close(struct two_members *m)
{
    fixture_close(&m->old);
    fixture_close(&m->new);
}

static struct buf pages_of(struct scraper_fixture *f, uint64_t id, size_t max)
{
    struct buf out = {0};
    struct err err;
    struct scraper_read read = {.loop = f->loop};
    assert_true(scraper_handed_pages(f->scraper, &read, &(struct scraper_wishes){.ids = &id, .n = 1}, max, &out, &err));
    return out;
}

/* The new owner scrapes `page` at the first slot after the change. */
static void scrape_after_the_change(struct two_members *m, const char *page)
{
    http_server_respond(&m->old.server, 200, page);
    size_t before = atomic_load(&m->old.server.requests);
    advance_clock(&m->new, INTERVAL);
    turns(&m->new, 3);
    advance_clock(&m->new, INTERVAL);
    for (int i = 0; i < 5000 && atomic_load(&m->old.server.requests) == before; i++)
        loop_turn(m->new.loop, 1);
    for (int i = 0; i < 200; i++)
        loop_turn(m->new.loop, 1);
    assert_int_equal(m->new.sink.samples, 0); /* it is held */
}

/* early: the page comes before the new owner has scraped. */
static void end_series_at_the_new_owner(bool early)
{
    struct two_members m;
    struct err err;
    struct scraper_hold hold = from_old();
    two_members_open(&m, "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nm{a=\"1\"} 1\nm{a=\"2\"} 1\ndropped 1\ntimed 1 5\n");
    assert_int_equal(scraper_not_handed(m.old.scraper), 1);
    assert_int_equal(m.old.sink.samples, 0); /* the former owner ends nothing */
    struct buf pages = pages_of(&m.old, arrived, PAGES);
    assert_int_equal(scraper_not_handed(m.old.scraper), 0);
    assert_null(strstr(buf_z(&pages), "dropped"));
    if (!early)
        scrape_after_the_change(&m, "m{a=\"1\"} 2\n");
    assert_true(scraper_take_pages(m.new.scraper, &hold, &pages, count_answer, NULL, &err));
    assert_int_equal(answers, 1);
    if (early)
        scrape_after_the_change(&m, "m{a=\"1\"} 2\n");
    turns(&m.new, 20);
    assert_int_equal(m.new.sink.samples, 0);
    scraper_release(m.new.scraper, &hold);
    handover_wait_for(&m.new, "up{instance=\"i\", job=\"j\"} 1 @1020000");
    assert_line(&m.new.sink, "m{a=\"1\", instance=\"i\", job=\"j\"} 2 @1020000");
    assert_line(&m.new.sink, "m{a=\"2\", instance=\"i\", job=\"j\"} stale @1020000");
    assert_line(&m.new.sink, "h_bucket{instance=\"i\", job=\"j\", le=\"1.0\"} stale @1020000");
    assert_int_equal(recorder_containing(&m.new.sink, "stale"), 2); /* none for series with timestamps of their own */
    assert_int_equal(recorder_containing(&m.new.sink, "@1010000"), 0);
    two_members_close(&m);
}

static void series_end_at_the_new_owner(void **state UNUSED)
{
    end_series_at_the_new_owner(false);
    end_series_at_the_new_owner(true);
}

/* They are held, too. */
static void streams_are_handed_over(void **state UNUSED)
{
    stream_parse = true;
    end_series_at_the_new_owner(false);
    end_series_at_the_new_owner(true);
    stream_parse = false;
}

/* Nothing is heard of the former owner. */
static void scrapes_are_released_in_the_end(void **state UNUSED)
{
    struct two_members m;
    two_members_open(&m, "m 1\n");
    scrape_after_the_change(&m, "m 2\n");
    advance_clock(&m.new, HOLD_MS);
    for (int i = 0; i < 3; i++) {
        advance_clock(&m.new, STANDBY_TIMER_MS);
        turns(&m.new, 3);
    }
    handover_wait_for(&m.new, "up{instance=\"i\", job=\"j\"} 1 @1020000");
    two_members_close(&m);
}

static void pages_that_are_unknown_or_invalid(void **state UNUSED)
{
    static const char *const invalid[] = {"1", "1 2\n", "x 2 0\n", "1 -2 0\n", "1 2 5\nabcd", "1 2 -1\n", "\n",
                                          "1 9223372036854775807 0\n"};
    struct two_members m;
    struct err err;
    struct scraper_hold hold = from_old();
    two_members_open(&m, "m 1\n");
    struct buf pages = pages_of(&m.old, 12345, PAGES);
    assert_string_equal(buf_z(&pages), "12345 0 0\n");
    assert_true(scraper_take_pages(m.new.scraper, &hold, &pages, count_answer, NULL, &err));
    pages = pages_of(&m.old, arrived, 0); /* no room: for the next request */
    assert_int_equal(pages.n, 0);
    assert_int_equal(scraper_not_handed(m.old.scraper), 1);
    for (size_t i = 0; i < LEN(invalid); i++) {
        buf_add_z(&pages, invalid[i]);
        assert_false(scraper_take_pages(m.new.scraper, &hold, &pages, count_answer, NULL, &err));
    }
    for (int i = 0; i <= HANDED_PAGES_MAX; i++)
        buf_printf(&pages, "%d 0 0\n", i);
    assert_false(scraper_take_pages(m.new.scraper, &hold, &pages, count_answer, NULL, &err));
    assert_int_equal(answers, 0);
    advance_clock(&m.old, HANDED_MS); /* and then they are forgotten */
    turns(&m.old, 5);
    assert_int_equal(scraper_not_handed(m.old.scraper), 0);
    two_members_close(&m);
}

/* The former owner scraped once more after the change: its page fills the cache all the same. */
static void a_page_of_a_later_scrape_delays_nothing(void **state UNUSED)
{
    struct two_members m;
    struct err err;
    struct scraper_hold hold = from_old();
    struct buf pages = {0};
    two_members_open(&m, "m 1\n");
    scrape_after_the_change(&m, "m 2\n");
    buf_printf(&pages, "%llu %d 6\nold 1\n", (unsigned long long)arrived, MOVES_AT + 1000);
    assert_true(scraper_take_pages(m.new.scraper, &hold, &pages, count_answer, NULL, &err));
    scraper_release(m.new.scraper, &hold);
    handover_wait_for(&m.new, "up{instance=\"i\", job=\"j\"} 1 @1020000");
    assert_line(&m.new.sink, "old{instance=\"i\", job=\"j\"} stale @1020000");
    two_members_close(&m);
}

/* The new owner's scrapes are still held when the target moves on: it sends them, and hands over the last one. */
static void a_held_target_that_moves_again_loses_nothing(void **state UNUSED)
{
    enum { MOVES_ON_AT = MOVES_AT + INTERVAL };
    struct two_members m;
    struct scraper_hold hold = from_old();
    const struct cluster_member members[] = {
        {.id = STR("new"), .weight = 1, .from = MOVES_AT, .until = MOVES_ON_AT},
        {.id = STR("old"), .weight = 1, .until = MOVES_AT},
        {.id = STR("third"), .weight = 1, .from = MOVES_ON_AT, .until = INT64_MAX}};
    struct cluster_view *v = cluster_view_new(members, LEN(members), STR("new"), 2);
    two_members_open(&m, "m 1\n");
    scraper_set_view(m.new.scraper, v);
    cluster_view_unref(v);
    scrape_after_the_change(&m, "m 2\n");
    advance_clock(&m.new, INTERVAL);
    turns(&m.new, 20);
    assert_int_equal(m.new.sink.samples, 0);
    for (int i = 0; i < 4; i++) {
        advance_clock(&m.new, STANDBY_TIMER_MS);
        turns(&m.new, 3);
    }
    assert_int_equal(scraper_complete(m.new.scraper), MOVES_AT); /* the third member waits */
    scraper_release(m.new.scraper, &hold);
    handover_wait_for(&m.new, "up{instance=\"i\", job=\"j\"} 1 @1020000");
    assert_line(&m.new.sink, "m{instance=\"i\", job=\"j\"} 2 @1020000");
    struct buf pages = pages_of(&m.new, arrived, PAGES);
    assert_non_null(strstr(buf_z(&pages), " 1020000 "));
    assert_non_null(strstr(buf_z(&pages), "m 1\n"));
    buf_free(&pages);
    two_members_close(&m);
}

/* Several steps and slices. */
static void large_pages_are_handed_over(void **state UNUSED)
{
    enum { SERIES = 20000 };
    struct two_members m;
    struct err err;
    struct scraper_hold hold = from_old();
    struct buf page = {0};
    for (int i = 0; i < SERIES; i++)
        buf_printf(&page, "metric_with_a_long_name_so_that_the_texts_exceed_the_budget_of_private_ones_number{a_label_"
                   "with_a_long_name=\"%d\",another_one=\"with a value that is long enough for our purpose %d\"} 1\n", i, i);
    two_members_open(&m, buf_z(&page));
    struct buf pages = pages_of(&m.old, arrived, PAGES);
    scrape_after_the_change(&m, "m 2\n");
    assert_true(scraper_take_pages(m.new.scraper, &hold, &pages, count_answer, NULL, &err));
    scraper_release(m.new.scraper, &hold);
    handover_wait_for(&m.new, "scrape_response_size_bytes{instance=\"i\", job=\"j\"} 4 @1020000");
    assert_int_equal(recorder_containing(&m.new.sink, "stale @1020000"), SERIES);
    two_members_close(&m);
    buf_free(&page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(series_end_at_the_new_owner), cmocka_unit_test(streams_are_handed_over),
        cmocka_unit_test(scrapes_are_released_in_the_end),
        cmocka_unit_test(pages_that_are_unknown_or_invalid), cmocka_unit_test(large_pages_are_handed_over),
        cmocka_unit_test(a_page_of_a_later_scrape_delays_nothing),
        cmocka_unit_test(a_held_target_that_moves_again_loses_nothing)};
    return cmocka_run_group_tests_name("handover", tests, NULL, NULL);
}
