// SPDX-License-Identifier: Apache-2.0
/* The whole scraper on one loop. */
#include "base/telemetry/stats.h"
#include "scraper/scraper.h"

#include "scraper_fixture.h"
#include "scraper/scraper_internal.h"
#include "tests/unit/files.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Lets real time pass until a line with this part was written. */
static void wait_for(struct scraper_fixture *f, const char *part)
{
    for (int i = 0; i < 5000 && recorder_containing(&f->sink, part) == 0; i++)
        loop_turn(f->loop, 1);
    if (recorder_containing(&f->sink, part) == 0)
        fail_msg("no `%s` in:\n%s", part, buf_z(&f->sink.lines));
}

/* On to the next scrape: the clock goes to the next place `offset` in the interval. */
static void next_scrape(struct scraper_fixture *f)
{
    recorder_forget(&f->sink);
    advance_clock(f, 10000);
    loop_turn(f->loop, 0);
    wait_for(f, "scrape_response_size_bytes");
}

/* The targets are scraped at full tens of seconds. */
#define JOB "job_name: j\nscrape_interval: 10s\nscrape_timeout: 5s\nscrape_offset: 0s\n"
#define STATIC "static_configs: [{targets: ['127.0.0.1:%'], labels: {instance: i}}]\n"

static struct target_status the_target(struct scraper_fixture *f, struct arena *a)
{
    struct scraper_targets t;
    must_read_targets(f->scraper, f->loop, a, &t);
    assert_int_equal(t.n_active, 1);
    return t.active[0];
}

static void a_scrape_from_timer_to_report(void **state UNUSED)
{
    struct scraper_fixture f;
    struct arena a = {0};
    fixture_open(&f);
    assert_false(scraper_ready(f.scraper));
    http_server_respond(&f.server, 200, "# HELP m Some \\\\ help.\n# TYPE m counter\nm 1\n");
    must_apply(&f, JOB STATIC "params: {a: [b]}\nbearer_token: secret\n");
    assert_true(scraper_ready(f.scraper));
    assert_int_equal(the_target(&f, &a).health, HEALTH_UNKNOWN);
    advance_clock(&f, 9999);
    turns(&f, 5);
    assert_int_equal(atomic_load(&f.server.requests), 0);
    advance_clock(&f, -9999);
    next_scrape(&f);
    assert_line(&f.sink, "m{instance=\"i\", job=\"j\"} 1 @1010000");
    assert_line(&f.sink, "up{instance=\"i\", job=\"j\"} 1 @1010000");
    assert_line(&f.sink, "scrape_samples_scraped{instance=\"i\", job=\"j\"} 1 @1010000");
    assert_line(&f.sink, "scrape_samples_post_metric_relabeling{instance=\"i\", job=\"j\"} 1 @1010000");
    assert_line(&f.sink, "scrape_series_added{instance=\"i\", job=\"j\"} 1 @1010000");
    assert_line(&f.sink, "scrape_timeout_seconds{instance=\"i\", job=\"j\"} 5 @1010000");
    assert_line(&f.sink, "scrape_response_size_bytes{instance=\"i\", job=\"j\"} 44 @1010000");
    assert_line(&f.sink, "# m counter Some \\ help.");
    assert_int_equal(f.sink.samples, 8);
    assert_true(http_server_last_contains(&f.server, "GET /metrics?a=b HTTP/1.1"));
    assert_true(http_server_last_contains(&f.server, "Authorization: Bearer secret"));
    assert_true(http_server_last_contains(&f.server, "Accept-Encoding: gzip"));
    assert_true(http_server_last_contains(&f.server, "X-Prometheus-Scrape-Timeout-Seconds: 5\r\n"));
    struct target_status t = the_target(&f, &a);
    assert_int_equal(t.health, HEALTH_UP);
    assert_int_equal(t.last_scrape, 1010000);
    assert_int_equal(t.scrapes, 1);
    assert_int_equal(t.last_samples, 1);
    struct metadata_seen seen = must_read_metadata(f.scraper, f.loop, STR("m"));
    assert_int_equal(seen.n, 1);
    assert_int_equal(seen.type, METRIC_COUNTER);
    assert_int_equal(must_read_metadata(f.scraper, f.loop, STR("n")).n, 0);
    next_scrape(&f);
    assert_int_equal(f.sink.metadata, 0); /* known */
    assert_line(&f.sink, "m{instance=\"i\", job=\"j\"} 1 @1020000");
    assert_int_equal(f.sink.samples, 8);
    arena_free(&a);
    fixture_close(&f);
}

static void a_failed_scrape_is_down_and_ends_the_series(void **state UNUSED)
{
    struct scraper_fixture f;
    struct arena a = {0};
    fixture_open(&f);
    http_server_respond(&f.server, 200, "m 1\n");
    must_apply(&f, JOB STATIC);
    next_scrape(&f);
    http_server_respond(&f.server, 404, "m 2\n");
    next_scrape(&f);
    assert_line(&f.sink, "m{instance=\"i\", job=\"j\"} stale @1020000");
    assert_line(&f.sink, "up{instance=\"i\", job=\"j\"} 0 @1020000");
    assert_int_equal(f.sink.samples, 8);
    assert_true(str_is(the_target(&f, &a).last_error, "server returned HTTP status 404 Not Found"));
    assert_int_equal(the_target(&f, &a).failures, 1);
    http_server_respond(&f.server, 200, "m 3\nn{ 3\n");
    next_scrape(&f);
    assert_line(&f.sink, "up{instance=\"i\", job=\"j\"} 0 @1030000");
    assert_int_equal(f.sink.samples, 7);
    assert_true(str_starts(the_target(&f, &a).last_error, STR("line 2")));
    http_server_respond(&f.server, 200, "m 4\n");
    next_scrape(&f);
    assert_line(&f.sink, "m{instance=\"i\", job=\"j\"} 4 @1040000");
    assert_line(&f.sink, "up{instance=\"i\", job=\"j\"} 1 @1040000");
    assert_int_equal(the_target(&f, &a).last_error.n, 0);
    arena_free(&a);
    fixture_close(&f);
}

static void a_silent_target_times_out(void **state UNUSED)
{
    struct scraper_fixture f;
    fixture_open(&f);
    must_apply(&f, "job_name: j\nscrape_interval: 10s\nscrape_timeout: 100ms\nscrape_offset: 0s\n" STATIC);
    http_server_be_silent(&f.server, true);
    advance_clock(&f, 10000);
    /* real time passes, too: the client has its own clock */
    for (int i = 0; i < 3000 && f.sink.samples == 0; i++, advance_clock(&f, 1))
        loop_turn(f.loop, 1);
    assert_int_equal(recorder_containing(&f.sink, "up{instance=\"i\", job=\"j\"} 0 @1010000"), 1);
    fixture_close(&f);
}

/* With one place for scrapes, the second waits for a hung one: its samples carry the time at which it was sent. */
static void a_scrape_that_waited_carries_its_true_time(void **state UNUSED)
{
    struct scraper_fixture f;
    fixture_open_with(&f, 1);
    http_server_respond(&f.server, 200, "m 1\n");
    http_server_be_silent(&f.server, true);
    must_apply(&f, "job_name: j\nscrape_interval: 10s\nscrape_timeout: 300ms\nscrape_offset: 0s\nstatic_configs:\n"
                   "- {targets: ['127.0.0.1:%'], labels: {instance: a}}\n"
                   "- {targets: ['127.0.0.1:%'], labels: {instance: b}}\n");
    advance_clock(&f, 10000);
    for (int i = 0; i < 200 && atomic_load(&f.server.requests) == 0; i++)
        loop_turn(f.loop, 1);
    http_server_be_silent(&f.server, false);
    advance_clock(&f, 3000);
    for (int i = 0; i < 3000 && recorder_containing(&f.sink, "m{") == 0; i++, advance_clock(&f, 1))
        loop_turn(f.loop, 1);
    turns(&f, 3);
    assert_int_equal(recorder_containing(&f.sink, " 0 @1010000"), 5); /* `up` and four more of the hung one */
    assert_int_equal(recorder_containing(&f.sink, "\"j\"} 1 @1010000"), 0);
    assert_int_equal(recorder_containing(&f.sink, "\"j\"} 1 @1013"), 5); /* m, `up` and three more */
    fixture_close(&f);
}

static void limits_of_a_page(void **state UNUSED)
{
    struct scraper_fixture f;
    struct arena a = {0};
    fixture_open(&f);
    http_server_respond(&f.server, 200, "a 1\nb 1\nb 1\n"); /* a duplicate is no sample */
    must_apply(&f, JOB STATIC "sample_limit: 2\n");
    next_scrape(&f);
    assert_int_equal(f.sink.samples, 9);
    http_server_respond(&f.server, 200, "a 1\nb 1\nc 1\n");
    next_scrape(&f);
    assert_line(&f.sink, "up{instance=\"i\", job=\"j\"} 0 @1020000");
    assert_line(&f.sink, "a{instance=\"i\", job=\"j\"} stale @1020000");
    assert_line(&f.sink, "scrape_samples_scraped{instance=\"i\", job=\"j\"} 3 @1020000");
    assert_true(str_starts(the_target(&f, &a).last_error, STR("sample limit exceeded")));
    must_apply(&f, JOB STATIC "body_size_limit: 10B\n");
    next_scrape(&f);
    assert_line(&f.sink, "up{instance=\"i\", job=\"j\"} 0 @1030000");
    assert_true(str_starts(the_target(&f, &a).last_error, STR("body size limit exceeded")));
    arena_free(&a);
    fixture_close(&f);
}

static void a_target_limit_fails_all(void **state UNUSED)
{
    struct scraper_fixture f;
    fixture_open(&f);
    must_apply(&f, JOB "target_limit: 1\nstatic_configs: [{targets: ['127.0.0.1:%', 'localhost:%']}]\n");
    next_scrape(&f);
    turns(&f, 5);
    assert_int_equal(atomic_load(&f.server.requests), 0);
    assert_int_equal(recorder_containing(&f.sink, "up{"), 2);
    must_apply(&f, JOB "target_limit: 2\nstatic_configs: [{targets: ['127.0.0.1:%', 'localhost:%', 'h:1']}]\n");
    next_scrape(&f);
    turns(&f, 5);
    struct arena a = {0};
    struct scraper_targets now;
    must_read_targets(f.scraper, f.loop, &a, &now);
    assert_int_equal(now.n_active, 3);
    for (size_t i = 0; i < now.n_active; i++)
        assert_true(str_is(now.active[i].last_error, "target_limit exceeded: the job has more than 2 targets"));
    arena_free(&a);
    fixture_close(&f);
}

static void a_reload_keeps_what_did_not_change(void **state UNUSED)
{
    struct scraper_fixture f;
    struct arena a = {0};
    fixture_open(&f);
    http_server_respond(&f.server, 200, "m 1\n");
    must_apply(&f, JOB STATIC);
    next_scrape(&f);
    advance_clock(&f, 9000);
    must_apply(&f, JOB "relabel_configs: []\n" STATIC);
    recorder_forget(&f.sink);
    advance_clock(&f, 1000);
    wait_for(&f, "up{instance=\"i\", job=\"j\"} 1 @1020000");
    assert_line(&f.sink, "scrape_series_added{instance=\"i\", job=\"j\"} 0 @1020000");
    assert_int_equal(the_target(&f, &a).scrapes, 2);
    /* other settings: the series go on */
    must_apply(&f, JOB STATIC "metric_relabel_configs: [{regex: nothing, action: labeldrop}]\nhonor_labels: true\n");
    next_scrape(&f);
    assert_line(&f.sink, "scrape_series_added{instance=\"i\", job=\"j\"} 0 @1030000");
    assert_int_equal(recorder_containing(&f.sink, "stale"), 0);
    turns(&f, 3);
    assert_int_equal(f.released, 2); /* nobody uses the first two any more */
    /* something wrong: everything stays */
    struct err err;
    assert_false(apply(&f, JOB STATIC "headers: [no colon]\n", &err));
    assert_non_null(strstr(err.text, "job \"j\""));
    next_scrape(&f);
    assert_line(&f.sink, "scrape_series_added{instance=\"i\", job=\"j\"} 0 @1040000");
    arena_free(&a);
    fixture_close(&f);
}

/* params, path and scheme are in the URL; the labels stay, and with them the series. */
static void a_changed_url_takes_over_the_series(void **state UNUSED)
{
    struct scraper_fixture f;
    fixture_open(&f);
    http_server_respond(&f.server, 200, "m 1\nn 1\n");
    must_apply(&f, JOB STATIC);
    next_scrape(&f);
    uint64_t source = f.sink.source;
    recorder_forget(&f.sink);
    advance_clock(&f, 500);
    must_apply(&f, JOB STATIC "params: {x: [y]}\n");
    assert_int_equal(f.sink.samples, 0); /* no markers */
    http_server_respond(&f.server, 200, "m 2\n");
    next_scrape(&f);
    assert_true(http_server_last_contains(&f.server, "/metrics?x=y"));
    assert_line(&f.sink, "n{instance=\"i\", job=\"j\"} stale @1020000"); /* not shown any more */
    assert_int_equal(recorder_containing(&f.sink, "stale"), 1);
    assert_line(&f.sink, "scrape_series_added{instance=\"i\", job=\"j\"} 0 @1020000");
    assert_int_equal(f.sink.source, source);
    /* a first scrape that fails ends the series; up goes on */
    must_apply(&f, JOB STATIC "metrics_path: /other\n");
    http_server_respond(&f.server, 500, "");
    next_scrape(&f);
    assert_line(&f.sink, "m{instance=\"i\", job=\"j\"} stale @1030000");
    assert_line(&f.sink, "up{instance=\"i\", job=\"j\"} 0 @1030000");
    assert_int_equal(recorder_containing(&f.sink, "stale"), 1);
    fixture_close(&f);
}

/* Two targets of the same labels become one: it takes over from one of them, the other ends. */
static void a_successor_takes_over_from_one(void **state UNUSED)
{
    struct scraper_fixture f;
    fixture_open(&f);
    http_server_respond(&f.server, 200, "m 1\n");
    must_apply(&f, JOB "static_configs: [{targets: ['127.0.0.1:%/a', '127.0.0.1:%/b'], labels: {instance: i}}]\n");
    next_scrape(&f);
    for (int i = 0; i < 5000 && recorder_containing(&f.sink, "scrape_response_size_bytes") < 2; i++)
        loop_turn(f.loop, 1);
    recorder_forget(&f.sink);
    must_apply(&f, JOB "static_configs: [{targets: ['127.0.0.1:%/c'], labels: {instance: i}}]\n");
    assert_int_equal(recorder_containing(&f.sink, "up{instance=\"i\", job=\"j\"} stale"), 1);
    next_scrape(&f);
    assert_int_equal(recorder_containing(&f.sink, "stale"), 0);
    fixture_close(&f);
}

static void a_clock_that_is_set_back_is_followed(void **state UNUSED)
{
    struct scraper_fixture f;
    fixture_open(&f);
    http_server_respond(&f.server, 200, "m 1\n");
    must_apply(&f, JOB STATIC);
    next_scrape(&f);
    assert_line(&f.sink, "up{instance=\"i\", job=\"j\"} 1 @1010000");
    f.wall_offset = -600000;
    next_scrape(&f);
    assert_line(&f.sink, "up{instance=\"i\", job=\"j\"} 1 @420000");
    next_scrape(&f);
    assert_line(&f.sink, "up{instance=\"i\", job=\"j\"} 1 @430000");
    fixture_close(&f);
}

static void a_removed_target_ends_with_markers(void **state UNUSED)
{
    struct scraper_fixture f;
    fixture_open(&f);
    http_server_respond(&f.server, 200, "m 1\nn 1\n");
    must_apply(&f, JOB STATIC);
    next_scrape(&f);
    recorder_forget(&f.sink);
    advance_clock(&f, 500);
    must_apply(&f, JOB);
    assert_line(&f.sink, "m{instance=\"i\", job=\"j\"} stale @1010500");
    assert_line(&f.sink, "up{instance=\"i\", job=\"j\"} stale @1010500");
    assert_int_equal(f.sink.samples, 9);
    struct arena a = {0};
    struct scraper_targets t;
    must_read_targets(f.scraper, f.loop, &a, &t);
    assert_int_equal(t.n_active, 0);
    assert_int_equal(t.n_pools, 1);
    arena_free(&a);
    fixture_close(&f);
}

static void dropped_targets_are_remembered(void **state UNUSED)
{
    struct scraper_fixture f;
    struct arena a = {0};
    struct scraper_targets t;
    fixture_open(&f);
    must_apply(&f, JOB "relabel_configs: [{source_labels: [__address__], regex: 'b.*', action: drop}]\n"
                       "static_configs: [{targets: [c, 'b:1', a, a, 'b:2']}]\n");
    must_read_targets(f.scraper, f.loop, &a, &t);
    assert_int_equal(t.n_active, 2);
    assert_true(str_is(t.active[0].url, "http://a/metrics"));
    assert_int_equal(t.n_dropped, 2);
    assert_true(str_is(labels_get(t.dropped[1].discovered, STR("__address__")), "b:2"));
    assert_int_equal(t.pools[0].dropped, 2);
    arena_free(&a);
    fixture_close(&f);
}

static size_t active_targets(struct scraper_fixture *f)
{
    struct arena a = {0};
    struct scraper_targets t;
    must_read_targets(f->scraper, f->loop, &a, &t);
    arena_free(&a);
    return t.n_active;
}

static void wait_for_targets(struct scraper_fixture *f, size_t n)
{
    for (int i = 0; i < 3000 && active_targets(f) != n; i++) {
        loop_turn(f->loop, 1);
        advance_clock(f, 1);
    }
    assert_int_equal(active_targets(f), n);
}

static void wait_for_failing_files(struct scraper_fixture *f, double n)
{
    double failing = -1;
    for (int i = 0; i < 3000 && failing != n; i++) {
        struct buf out = {0};
        loop_turn(f->loop, 1);
        advance_clock(f, 1);
        stats_render(&out, false);
        const char *at = strstr(buf_z(&out), "\nsluice_sd_failing_files{");
        failing = at ? strtod(strchr(at, ' '), NULL) : -1;
        buf_free(&out);
    }
    assert_true(failing == n);
}

static int n_read;
static void note_read(struct loop_task *task UNUSED) { n_read++; }

static void files_are_watched(void **state UNUSED)
{
    struct scraper_fixture f;
    char dir[] = "build/scraper-test-XXXXXX", one[100], two[100], yaml[300];
    assert_non_null(mkdtemp(dir));
    snprintf(one, sizeof one, "%s/one.json", dir);
    snprintf(two, sizeof two, "%s/two.yml", dir);
    snprintf(yaml, sizeof yaml, JOB "file_sd_configs: [{files: ['%s/*.json', '%s/two.yml']}]\n", dir, dir);
    replace_file(one, "[{\"targets\": [\"a:1\", \"a:2\"]}]");
    fixture_open(&f);
    must_apply(&f, yaml);
    wait_for_targets(&f, 2);
    assert_true(scraper_ready(f.scraper));
    replace_file(two, "- targets: [b:1]\n");
    wait_for_targets(&f, 3);
    replace_file(one, "[{\"targets\": [\"a:1\"");
    wait_for_failing_files(&f, 1);
    assert_int_equal(active_targets(&f), 3); /* a broken file keeps its targets */
    replace_file(one, "[{\"targets\": [\"a:1\"]}]");
    wait_for_targets(&f, 2);
    assert_int_equal(unlink(one), 0);
    wait_for_targets(&f, 1);
    assert_int_equal(unlink(two), 0);
    wait_for_targets(&f, 0);
    fixture_close(&f);
    assert_int_equal(rmdir(dir), 0);
}

/* The files of the previous pattern stay in force until those of the new one were read. */
static void a_new_pattern_takes_over(void **state UNUSED)
{
    struct scraper_fixture f;
    char dir[] = "build/scraper-test-XXXXXX", one[100], two[100], yaml[300];
    assert_non_null(mkdtemp(dir));
    snprintf(one, sizeof one, "%s/one.json", dir);
    snprintf(two, sizeof two, "%s/two.json", dir);
    replace_file(one, "[{\"targets\": [\"a:1\", \"a:2\"]}]");
    replace_file(two, "[{\"targets\": [\"a:1\"]}]");
    fixture_open(&f);
    snprintf(yaml, sizeof yaml, JOB "file_sd_configs: [{files: ['%s']}]\n", one);
    must_apply(&f, yaml);
    wait_for_targets(&f, 2);
    snprintf(yaml, sizeof yaml, JOB "file_sd_configs: [{files: ['%s']}]\n", two);
    struct loop_task read = {.run = note_read};
    n_read = 0;
    struct err err;
    assert_true(apply_without_turns(&f, yaml, &err));
    assert_int_equal(active_targets(&f), 2);
    scraper_await_files(f.scraper, &read);
    for (int i = 0; i < 3000 && n_read == 0; i++)
        loop_turn(f.loop, 1);
    assert_int_equal(n_read, 1);
    assert_int_equal(active_targets(&f), 1);
    fixture_close(&f);
    assert_int_equal(unlink(one) | unlink(two) | rmdir(dir), 0);
}

/* The files are read while the scraper stops. */
static void a_stopped_scraper_adds_no_targets(void **state UNUSED)
{
    struct scraper_fixture f;
    char file[] = "build/scraper-test-XXXXXX.json", yaml[200];
    int fd = mkstemps(file, 5);
    assert_true(fd >= 0 && close(fd) == 0);
    replace_file(file, "[{\"targets\": [\"a:1\"]}]");
    snprintf(yaml, sizeof yaml, JOB "file_sd_configs: [{files: ['%s']}]\n", file);
    fixture_open(&f);
    struct err err;
    assert_true(apply_without_turns(&f, yaml, &err));
    scraper_stop(f.scraper, stopped, &f);
    struct discovery *discovery = f.scraper->pools[0]->discovery;
    for (int i = 0; i < 3000 && !(f.stopped && discovery_was_read(discovery)); i++)
        loop_turn(f.loop, 1);
    struct sd_listing found = discovery_list(discovery);
    assert_true(f.stopped && discovery_was_read(discovery) && found.n == 1 && found.items[0].groups != NULL);
    sd_listing_free(&found);
    turns(&f, 3);
    assert_int_equal(f.scraper->lanes[0].n_targets, 0);
    fixture_close(&f);
    assert_int_equal(unlink(file), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_scrape_from_timer_to_report),
        cmocka_unit_test(a_failed_scrape_is_down_and_ends_the_series),
        cmocka_unit_test(a_silent_target_times_out),
        cmocka_unit_test(a_scrape_that_waited_carries_its_true_time),
        cmocka_unit_test(limits_of_a_page),
        cmocka_unit_test(a_target_limit_fails_all),
        cmocka_unit_test(a_reload_keeps_what_did_not_change),
        cmocka_unit_test(a_changed_url_takes_over_the_series),
        cmocka_unit_test(a_successor_takes_over_from_one),
        cmocka_unit_test(a_clock_that_is_set_back_is_followed),
        cmocka_unit_test(a_removed_target_ends_with_markers),
        cmocka_unit_test(dropped_targets_are_remembered),
        cmocka_unit_test(files_are_watched),
        cmocka_unit_test(a_new_pattern_takes_over),
        cmocka_unit_test(a_stopped_scraper_adds_no_targets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
