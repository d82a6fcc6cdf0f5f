// SPDX-License-Identifier: Apache-2.0
#include "base/http/fetch.h"

#include "base/os/file_work.h"
#include "base/os/watched_file.h"
#include "base/telemetry/log.h"
#include "base/text/duration.h"
#include "tests/unit/http_server.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct http_server server;

static int start_server(void **state UNUSED)
{
    http_server_start(&server, NULL, NULL);
    return 0;
}

static int stop_server(void **state UNUSED)
{
    http_server_stop(&server);
    file_work_await_threads(1000);
    return 0;
}

static const char *url_of(const char *login, const char *path)
{
    static char url[200];
    snprintf(url, sizeof url, "http://%s127.0.0.1:%d%s", login, server.port, path);
    return url;
}

static void test_text(void **state UNUSED)
{
    struct buf out = {0};
    struct err err;
    http_server_respond(&server, 200, "global: {}\n");
    assert_true(fetch_text(url_of("me:word@", "/a?x=y"), 1000, FETCH_MS, &out, &err));
    assert_string_equal(buf_z(&out), "global: {}\n");
    assert_true(http_server_last_contains(&server, "GET /a?x=y HTTP/1.1"));
    assert_true(http_server_last_contains(&server, "Authorization: Basic bWU6d29yZA=="));
    buf_free(&out);
}

static void expect_error(const char *url, size_t max, int64_t ms, const char *text)
{
    struct buf out = {0};
    struct err err = {0};
    assert_false(fetch_text(url, max, ms, &out, &err));
    if (strstr(err.text, text) == NULL || strstr(err.text, "hunter2"))
        fail_msg("%s", err.text);
    buf_free(&out);
}

static void test_errors_name_the_url_without_secrets(void **state UNUSED)
{
    const char *url = url_of("me:hunter2@", "/a?token=hunter2");
    http_server_respond(&server, 404, "hunter2");
    expect_error(url, 1000, FETCH_MS, "/a?token=xxxxx: HTTP 404");
    http_server_respond(&server, 200, "a text that is too long");
    expect_error(url, 10, FETCH_MS, "/a?token=xxxxx: ");
    http_server_be_silent(&server, true);
    expect_error(url, 1000, 200, "/a?token=xxxxx: timed out after");
    http_server_be_silent(&server, false);
    expect_error("http://me:hunter2@127.0.0.1:1/a", 1000, FETCH_MS, "connection refused");
    expect_error("http://me:hunter2@[/", 1000, FETCH_MS, "invalid URL");
}

static bool has_text(struct watched_file *f, const char *text)
{
    struct file_text *t = watched_file_text(f, NULL);
    bool same = t && strcmp(t->text, text) == 0;
    file_text_unref(t);
    return same;
}

static void await_text(struct watched_file *f, const char *text)
{
    int64_t until = clock_mono_ms() + 20000;
    while (!has_text(f, text) && clock_mono_ms() < until)
        usleep(5000);
    assert_true(has_text(f, text));
}

static void test_watched_url(void **state UNUSED)
{
    http_server_respond(&server, 200, "first\n");
    struct watched_file *f = watched_file_new(url_of("", "/secret"), WATCHED_LINE);
    await_text(f, "first");
    http_server_respond(&server, 200, "second\n");
    await_text(f, "second");
    unsigned before = atomic_load(&server.requests);
    http_server_respond(&server, 503, "away");
    while (atomic_load(&server.requests) < before + 3)
        usleep(5000);
    assert_true(has_text(f, "second")); /* the last good one is kept */
    http_server_respond(&server, 200, "third");
    await_text(f, "third");
    watched_file_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_text, start_server, stop_server),
        cmocka_unit_test_setup_teardown(test_errors_name_the_url_without_secrets, start_server, stop_server),
        cmocka_unit_test_setup_teardown(test_watched_url, start_server, stop_server)};
    log_setup(LOG_ERROR, LOG_LOGFMT, 2);
    watched_file_register_stats();
    watched_file_set_period(20);
    fetch_watched_files();
    return cmocka_run_group_tests_name("fetch", tests, NULL, NULL);
}
