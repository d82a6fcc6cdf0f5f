// SPDX-License-Identifier: Apache-2.0
/* Requests that workers handle: classes, full queues, clients that leave. */
#include "http_fixture.h"

#include "base/telemetry/stats.h"
#include "base/text/duration.h"

#include <sys/resource.h>
#include <unistd.h>

/* A loop takes two descriptors. The test is the first that asks for a worker. */
static void test_no_worker_can_start(void **state UNUSED)
{
    struct rlimit before, none;
    int client = fixture_dial(), free_fd;
    struct fixture_reply r;
    usleep(50000); /* until it is accepted */
    free_fd = dup(client);
    close(free_fd);
    getrlimit(RLIMIT_NOFILE, &before);
    none = (struct rlimit){(rlim_t)free_fd + 1, before.rlim_max};
    setrlimit(RLIMIT_NOFILE, &none);
    fixture_send(client, "GET /p/worker HTTP/1.1\r\nHost: x\r\n\r\n");
    bool answered = fixture_receive(client, false, &r);
    setrlimit(RLIMIT_NOFILE, &before);
    assert_true(answered);
    assert_int_equal(r.status, 503);
    assert_true(str_is(fixture_header(&r, "Retry-After"), "1"));
    buf_free(&r.bytes);
    fixture_send(client, "GET /p/worker HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(fixture_receive(client, false, &r));
    assert_int_equal(r.status, 200);
    buf_free(&r.bytes);
    close(client);
}

static void test_client_leaves(void **state UNUSED)
{
    atomic_store(&http_fixture.canceled_seen, 0);
    int fd = fixture_dial();
    fixture_send(fd, "GET /p/hold HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(fixture_wait_for(&http_fixture.holding, 1));
    int64_t left = clock_mono_ms();
    close(fd);
    assert_true(fixture_wait_for(&http_fixture.canceled_seen, 1));
    assert_true(clock_mono_ms() - left < 2000);
    assert_true(fixture_wait_for(&http_fixture.holding, 0));
}

static bool line_is(const char *metric)
{
    struct buf out = {0};
    bool found = false;
    for (int i = 0; i < 2000 && !found; i++) {
        buf_clear(&out);
        stats_render(&out, false);
        found = str_find_str(buf_str(&out), str_of(metric)) < out.n;
        if (!found)
            usleep(5000);
    }
    buf_free(&out);
    return found;
}

/* Lets the requests that wait in a worker end, and receives their responses. */
static void finish_held(const int *fds, size_t n)
{
    atomic_store(&http_fixture.let_go, true);
    for (size_t i = 0; i < n; i++) {
        struct fixture_reply r;
        assert_true(fixture_receive(fds[i], false, &r));
        assert_true(str_is(r.body, "held"));
        buf_free(&r.bytes);
        close(fds[i]);
    }
    atomic_store(&http_fixture.let_go, false);
}

static void test_full_line(void **state UNUSED)
{
    int fds[FIXTURE_WORKERS + FIXTURE_WAITING];
    struct fixture_reply r;
    for (size_t i = 0; i < LEN(fds); i++) {
        fds[i] = fixture_dial();
        fixture_send(fds[i], "GET /p/hold HTTP/1.1\r\nHost: x\r\n\r\n");
        if (i < FIXTURE_WORKERS)
            assert_true(fixture_wait_for(&http_fixture.holding, (int)i + 1));
    }
    assert_true(line_is("sluice_query_waiting 2\n"));
    r = fixture_query("GET /p/worker HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(r.status, 503);
    assert_true(str_is(fixture_header(&r, "Retry-After"), "1"));
    buf_free(&r.bytes);
    finish_held(fds, LEN(fds));
}

static void test_reports_hold_no_lane(void **state UNUSED)
{
    int fds[2];
    struct fixture_reply r;
    for (size_t i = 0; i < LEN(fds); i++) {
        fds[i] = fixture_dial();
        fixture_send(fds[i], "GET /p/report HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    assert_true(fixture_wait_for(&http_fixture.holding, 1));
    for (int i = 0; i < 2 * FIXTURE_LANES; i++) {
        r = fixture_query("GET /p/worker HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_int_equal(r.status, 200);
        buf_free(&r.bytes);
    }
    assert_int_equal(atomic_load(&http_fixture.holding), 1);
    finish_held(fds, LEN(fds));
}

/* Queries that take all of their workers and their queue leave the other class alone. */
static void test_classes(void **state UNUSED)
{
    int fds[FIXTURE_WORKERS + FIXTURE_WAITING];
    for (size_t i = 0; i < LEN(fds); i++) {
        fds[i] = fixture_dial();
        fixture_send(fds[i], "GET /p/hold HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_true(fixture_wait_for(&http_fixture.holding, i < FIXTURE_WORKERS ? (int)i + 1 : FIXTURE_WORKERS));
    }
    fixture_expect("GET /p/admin HTTP/1.1\r\nHost: x\r\n\r\n", 200, "worker 1 ");
    atomic_store(&http_fixture.let_go, true);
    for (size_t i = 0; i < LEN(fds); i++) {
        struct fixture_reply r;
        assert_true(fixture_receive(fds[i], false, &r));
        assert_int_equal(r.status, 200);
        buf_free(&r.bytes);
        close(fds[i]);
    }
    atomic_store(&http_fixture.let_go, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_worker_can_start),
        cmocka_unit_test(test_client_leaves),
        cmocka_unit_test(test_full_line),
        cmocka_unit_test(test_reports_hold_no_lane),
        cmocka_unit_test(test_classes),
    };
    return cmocka_run_group_tests(tests, http_fixture_set_up, http_fixture_tear_down);
}
