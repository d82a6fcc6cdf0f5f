// SPDX-License-Identifier: Apache-2.0
/* The sources of a job over a change of its configuration: until when those that it had before remain in force. */
#include "model/discovery/discovery.h"

#include "base/text/duration.h"
#include "tests/unit/http_server.h"
#include "tests/unit/log_capture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

enum { DISCOVERY_SOON_MS = 5000, DISCOVERY_INTERVAL_MS = 100 };

struct fetched {
    struct loop *loop;
    struct http_server server;
    struct sd_manager *manager;
    struct discovery *discovery;
    unsigned all;                /* changes of anything */
    atomic_bool fails;           /* /bad does; other paths have one target */
};

static void respond_to_path(void *arg, const struct server_request *request, struct server_response *response)
{
    struct fetched *f = arg;
    snprintf(response->headers, sizeof response->headers, "Content-Type: application/json\r\n");
    response->status = atomic_load(&f->fails) && str_starts(request->path, STR("/bad")) ? 500 : 200;
    buf_printf(&response->body, "[{\"targets\": [\"%.*s:1\"]}]", STR_ARG(str_skip(request->path, 1)));
}

static void skip_target(void *arg UNUSED, const struct sd_found *found UNUSED) {}

static void take_fetched(void *arg)
{
    struct fetched *f = arg;
    enum sd_change change;
    if (!discovery_take_news(f->discovery, &change))
        return;
    f->all += change == SD_ALL;
    if (change == SD_PARTS)
        discovery_visit_changed(f->discovery, skip_target, NULL);
    if (change == SD_ALL)
        discovery_visit(f->discovery, skip_target, NULL);
}

static void fetched_open(struct fetched *f)
{
    *f = (struct fetched){.loop = loop_new()};
    atomic_store(&f->fails, true);
    http_server_start(&f->server, respond_to_path, f);
    f->manager = sd_manager_new(&(struct sd_manager_env){.main = f->loop, .news = take_fetched, .arg = f});
    f->discovery = discovery_new(f->manager, (struct sd_owner){"job", STR("j")});
    log_capture_start();
}

static void fetched_close(struct fetched *f)
{
    discovery_free(f->discovery);
    sd_manager_free(f->manager);
    http_server_stop(&f->server);
    log_capture_stop();
    loop_free(f->loop);
}

/* paths: separated by spaces. interval: another one makes all sources new. */
static void fetched_set(struct fetched *f, const char *paths, int64_t interval)
{
    struct http_sd urls[4] = {0};
    struct str rest = str_of(paths), path;
    char texts[4][100];
    size_t n = 0;
    for (; str_cut(&rest, ' ', &path); n++) {
        snprintf(texts[n], sizeof texts[n], "http://127.0.0.1:%d/%.*s", f->server.port, STR_ARG(path));
        urls[n] = (struct http_sd){.url = str_of(texts[n]), .server.refresh_interval = interval};
    }
    struct sd_conf conf = {.http_sd_configs = {urls, n}};
    discovery_set(f->discovery, &conf);
    sd_manager_start(f->manager);
}

static void name_target(void *arg, const struct sd_found *found)
{
    for (size_t i = 0; found->groups && i < found->groups->n; i++)
        buf_printf(arg, "%.*s ", STR_ARG(str_first(found->groups->items[i].targets.items[0],
                                                   found->groups->items[i].targets.items[0].n - 2)));
}

static bool fetched_is(struct fetched *f, const char *expected)
{
    struct buf names = {0};
    struct sd_listing l = discovery_list(f->discovery);
    for (size_t i = 0; i < l.n; i++)
        name_target(&names, &l.items[i]);
    bool same = str_is(buf_str(&names), expected);
    sd_listing_free(&l);
    buf_free(&names);
    return same;
}

static void wait_for_fetched(struct fetched *f, const char *expected)
{
    for (int64_t began = clock_mono_ms(); clock_mono_ms() - began < DISCOVERY_SOON_MS && !fetched_is(f, expected);)
        loop_turn(f->loop, 5);
    assert_true(fetched_is(f, expected));
}

/* Until this many more requests have been answered. */
static void pass_requests(struct fetched *f, unsigned n)
{
    unsigned until = atomic_load(&f->server.requests) + n;
    while (atomic_load(&f->server.requests) < until)
        loop_turn(f->loop, 5);
}

static void a_part_that_always_fails_keeps_old_targets_for_a_minute(void **state UNUSED)
{
    struct fetched f;
    fetched_open(&f);
    fetched_set(&f, "a b", DISCOVERY_INTERVAL_MS);
    wait_for_fetched(&f, "a b ");
    fetched_set(&f, "c bad", DISCOVERY_INTERVAL_MS);
    wait_for_fetched(&f, "c a b ");
    pass_requests(&f, 6);
    assert_true(fetched_is(&f, "c a b "));
    clock_advance(61000);
    wait_for_fetched(&f, "c ");
    atomic_store(&f.fails, false);
    wait_for_fetched(&f, "c bad ");
    fetched_close(&f);
}

static void a_list_that_fails_with_other_settings_keeps_its_targets(void **state UNUSED)
{
    struct fetched f;
    fetched_open(&f);
    atomic_store(&f.fails, false);
    fetched_set(&f, "a bad", DISCOVERY_INTERVAL_MS);
    wait_for_fetched(&f, "a bad ");
    atomic_store(&f.fails, true);
    fetched_set(&f, "a bad", DISCOVERY_INTERVAL_MS + 1);
    wait_for_fetched(&f, "a a bad ");
    clock_advance(61000);
    wait_for_fetched(&f, "a bad "); /* the old one, which nothing has replaced */
    clock_advance(61000);
    pass_requests(&f, 6);
    assert_true(fetched_is(&f, "a bad "));
    atomic_store(&f.fails, false);
    unsigned before = f.all;
    while (f.all == before)
        loop_turn(f.loop, 5);
    assert_true(fetched_is(&f, "a bad "));
    fetched_close(&f);
}

static void nothing_new_at_all_keeps_everything(void **state UNUSED)
{
    struct fetched f;
    fetched_open(&f);
    fetched_set(&f, "a b", DISCOVERY_INTERVAL_MS);
    wait_for_fetched(&f, "a b ");
    fetched_set(&f, "bad", DISCOVERY_INTERVAL_MS);
    pass_requests(&f, 3);
    clock_advance(200000);
    pass_requests(&f, 6);
    assert_true(fetched_is(&f, "a b "));
    atomic_store(&f.fails, false);
    wait_for_fetched(&f, "bad ");
    fetched_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_part_that_always_fails_keeps_old_targets_for_a_minute),
        cmocka_unit_test(a_list_that_fails_with_other_settings_keeps_its_targets),
        cmocka_unit_test(nothing_new_at_all_keeps_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
