// SPDX-License-Identifier: Apache-2.0
/* Connections of the client: how many, to whom, when they fail and when they are closed. */
#include "client_fixture.h"

#include "base/os/thread.h"
#include "base/telemetry/stats.h"
#include "base/text/duration.h"

#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void no_more_than_max_inflight_run(void **state UNUSED)
{
    enum { N = 20 };
    struct client_result res[N] = {{.done = 0}};
    int all = 0;
    for (int i = 0; i < N; i++) {
        struct client_request req = client_get("/once", &res[i]);
        req.slot = (uint32_t)i;
        client_start(&req, &res[i]);
    }
    assert_int_equal(client_inflight(client_tested), 2);
    assert_int_equal(client_waiting(client_tested), N - 2);
    for (int64_t end = clock_mono_ms() + 10000; all < N && clock_mono_ms() < end; loop_turn(client_loop, 100)) {
        assert_true(client_inflight(client_tested) <= 2);
        all = 0;
        for (int i = 0; i < N; i++)
            all += res[i].done;
    }
    assert_int_equal(client_inflight(client_tested), 0);
    for (int i = 0; i < N; i++)
        buf_free(&res[i].body);
}

/* Requests to peers that did not respond last time leave half of the places to the others. */
static void doubtful_requests_hold_up_each_other_only(void **state UNUSED)
{
    enum { N = 2 };
    struct client_result hung[N] = {{.done = 0}}, res = {.done = 0};
    for (int i = 0; i < N; i++) {
        struct client_request req = client_get("/silent", &hung[i]);
        req.doubtful = true;
        req.timeout_ms = 700;
        client_start(&req, &hung[i]);
    }
    assert_int_equal(client_inflight(client_tested), 1);
    assert_int_equal(client_waiting(client_tested), N - 1);
    struct client_request req = client_get("/x", &res);
    req.url = client_url(&client_other, "/x");
    client_perform(&req, &res);
    assert_int_equal(res.reply.status, 200);
    assert_int_equal(hung[0].done, 0); /* before its timeout */
    while (!hung[N - 1].done)
        loop_turn(client_loop, 100);
    for (int i = 0; i < N; i++)
        assert_int_equal(hung[i].reply.err.kind, ERR_GATEWAY_TIME);
    assert_int_equal(client_inflight(client_tested), 0);
    buf_free(&res.body);
}

static void canceled_calls_say_nothing(void **state UNUSED)
{
    struct client_result res[3] = {{.done = 0}};
    struct client_call *calls[3];
    for (int i = 0; i < 3; i++) {
        struct client_request req = client_get("/silent", &res[i]);
        calls[i] = client_start(&req, &res[i]);
    }
    loop_turn(client_loop, 10);
    client_cancel(calls[2]); /* waiting */
    client_cancel(calls[0]); /* running */
    assert_int_equal(client_inflight(client_tested) + client_waiting(client_tested), 1);
    loop_turn(client_loop, 10);
    assert_int_equal(res[0].done + res[1].done + res[2].done, 0);
    /* the third is canceled by client_free */
}

static atomic_bool opening;

static void open_and_close(void *arg UNUSED)
{
    while (opening)
        close(eventfd(0, EFD_CLOEXEC));
}

/* The number of a socket that was never connected is free for another thread before the client hears of its end. */
static void a_connection_that_is_never_made(void **state UNUSED)
{
    struct full_server full;
    struct client_result res = {.done = 0};
    open_full_server(&full);
    opening = true;
    struct thread *other = thread_start("opens", open_and_close, NULL);
    for (int i = 0; i < 100; i++) {
        struct client_request req = client_get("/", &res);
        req.url = full.url;
        req.connect_timeout_ms = 2;
        client_perform(&req, &res);
        assert_int_equal(res.reply.err.kind, ERR_GATEWAY_TIME);
        assert_non_null(strstr(res.reply.err.text, "timed out connecting"));
    }
    opening = false;
    thread_join(other);
    close_full_server(&full);
    buf_free(&res.body);
}

/* No descriptor is left for the socket, or, by libcurl, for what watches it: that call fails, the client lives. */
static void a_connection_without_a_descriptor(void **state UNUSED)
{
    const char *why = client_by_libcurl ? "cannot watch a connection: Too many open files"
                                        : "cannot connect: Too many open files";
    struct client_result res = {.done = 0};
    struct rlimit before, few;
    client_free(client_tested); /* curl holds some descriptors from the start */
    client_tested = client_new(client_loop, &(struct client_settings){.max_inflight = 2,
                                                                      .by_libcurl = client_by_libcurl});
    struct client_request req = client_get("/x", &res);
    client_perform(&(struct client_request){.method = "GET", .url = "http://127.0.0.1:1/", .done = client_done,
                                            .arg = &res}, &res);
    int next = dup(2);
    close(next);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = (struct rlimit){(rlim_t)(next + client_by_libcurl), before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    req.timeout_ms = 200;
    client_perform(&req, &res);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(res.reply.status, 0);
    if (strstr(res.reply.err.text, why) == NULL)
        fail_msg("%s", res.reply.err.text);
    req.timeout_ms = CLIENT_SOON_MS;
    client_perform(&req, &res);
    assert_int_equal(res.reply.status, 200);
    buf_free(&res.body);
}

#define TEST_STATS(X) X(OPEN_CONNECTIONS, "open_connections", STATS_GAUGE, "Open connections")
enum test_stat { TEST_STATS(STATS_ID) };
static struct stats_group test_stats = STATS_GROUP(TEST_STATS);

static void replace_client_with(struct client_settings conf)
{
    client_free(client_tested);
    stats_register(&test_stats);
    conf.stats = &test_stats;
    conf.connections_row = OPEN_CONNECTIONS;
    conf.by_libcurl = client_by_libcurl;
    client_tested = client_new(client_loop, &conf);
}

static void replace_client(unsigned idle_seconds)
{
    replace_client_with((struct client_settings){.idle_seconds = idle_seconds});
}

static void turn_until_closed(struct http_server *s, unsigned closed, struct client_request *also)
{
    struct client_result *res = also ? also->arg : NULL;
    for (int i = 0; i < 400 && s->closed < closed; i++) {
        if (also)
            client_perform(also, res);
        loop_turn(client_loop, 10);
    }
    assert_int_equal(s->closed, closed);
}

static void connections_of_an_idle_client_are_closed(void **state UNUSED)
{
    struct client_result res = {.done = 0};
    replace_client(1);
    struct client_request req = client_get("/x", &res);
    client_perform(&req, &res);
    assert_int_equal(stats_sum(&test_stats, OPEN_CONNECTIONS), 1);
    turn_until_closed(&client_server, 1, NULL);
    assert_int_equal(stats_sum(&test_stats, OPEN_CONNECTIONS), 0);
    client_perform(&req, &res);
    assert_int_equal(res.reply.status, 200);
    assert_int_equal(client_server.accepted, 2);
    buf_free(&res.body);
}

static void connections_to_one_peer_are_closed_while_others_are_busy(void **state UNUSED)
{
    struct client_result res = {.done = 0};
    replace_client(1);
    struct client_request gone = client_get("/x", &res);
    gone.url = client_url(&client_other, "/x");
    client_perform(&gone, &res);
    struct client_request stays = client_get("/x", &res);
    turn_until_closed(&client_other, 1, &stays);
    assert_int_equal(client_server.closed, 0);
    assert_int_equal(stats_sum(&test_stats, OPEN_CONNECTIONS), 1);
    buf_free(&res.body);
}

static void perform_at(const struct http_server *s, struct client_result *res)
{
    struct client_request req = client_get("/x", res);
    req.url = client_url(s, "/x");
    client_perform(&req, res);
    assert_int_equal(res->reply.status, 200);
    for (int64_t start = clock_mono_ms(); clock_mono_ms() < start + 2; ) /* curl tells ages by the millisecond */
        loop_turn(client_loop, 2);
}

static void leave_server(const struct http_server *s) { client_leave_server(client_tested, client_url(s, "/x"), 0); }

/* Only the connection to the server that is left, and at once: nothing else is sent. */
static void a_server_that_is_left(void **state UNUSED)
{
    struct client_result res = {.done = 0};
    replace_client(0);
    perform_at(&client_server, &res);
    perform_at(&client_other, &res);
    leave_server(&client_other);
    turn_until_closed(&client_other, 1, NULL);
    perform_at(&client_server, &res);
    assert_int_equal(client_server.accepted, 1);
    assert_int_equal(client_server.closed, 0);
    assert_int_equal(stats_sum(&test_stats, OPEN_CONNECTIONS), 1 + client_by_libcurl); /* curl notices it later */
    leave_server(&client_server);
    turn_until_closed(&client_server, 1, NULL);
    assert_int_equal(stats_sum(&test_stats, OPEN_CONNECTIONS), 0);
    leave_server(&client_server);
    perform_at(&client_server, &res);
    assert_int_equal(client_server.accepted, 2);
    buf_free(&res.body);
}

/* The server, which keeps connections open, learns it too. */
static void a_connection_for_one_request(void **state UNUSED)
{
    struct client_result res = {.done = 0};
    replace_client(0);
    for (unsigned i = 1; i <= 2; i++) {
        struct client_request req = client_get("/x", &res);
        req.close = true;
        client_perform(&req, &res);
        assert_int_equal(res.reply.status, 200);
        assert_false(res.reply.reused);
        turn_until_closed(&client_server, i, NULL);
        assert_true(http_server_last_contains(&client_server, "\r\nConnection: close\r\n"));
    }
    assert_int_equal(client_server.accepted, 2);
    assert_int_equal(stats_sum(&test_stats, OPEN_CONNECTIONS), 0);
    buf_free(&res.body);
}

/* Another one may still send requests to it. */
static void a_server_that_is_left_while_a_request_is_in_flight(void **state UNUSED)
{
    struct client_result res = {.done = 0};
    replace_client(0);
    perform_at(&client_server, &res);
    struct client_request req = client_get("/x", &res);
    client_start(&req, &res);
    loop_turn(client_loop, 0);
    leave_server(&client_server);
    while (!res.done)
        loop_turn(client_loop, -1);
    assert_int_equal(res.reply.status, 200);
    assert_int_equal(client_server.accepted, 1);
    buf_free(&res.body);
}

static void the_longest_idle_connection_is_closed_beyond_the_limit(void **state UNUSED)
{
    struct client_result res = {.done = 0};
    replace_client_with((struct client_settings){.max_idle = 1});
    perform_at(&client_server, &res);
    perform_at(&client_other, &res);
    turn_until_closed(&client_server, 1, NULL);
    perform_at(&client_other, &res);
    assert_int_equal(client_other.accepted, 1);
    assert_int_equal(stats_sum(&test_stats, OPEN_CONNECTIONS), 1);
    perform_at(&client_server, &res);
    turn_until_closed(&client_other, 1, NULL);
    assert_int_equal(client_server.accepted, 2);
    buf_free(&res.body);
}

static void limit_descriptors(rlim_t n, struct rlimit *before)
{
    assert_int_equal(getrlimit(RLIMIT_NOFILE, before), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &(struct rlimit){n, before->rlim_max}), 0);
}

/* No descriptor is left but those of idle connections: the longest idle one makes place. libcurl closes none for it. */
static void an_idle_connection_gives_its_descriptor_to_another(void **state UNUSED)
{
    struct client_result res = {.done = 0};
    struct http_server third;
    struct rlimit before;
    if (client_by_libcurl)
        return;
    http_server_start(&third, NULL, NULL);
    perform_at(&client_other, &res);
    perform_at(&client_server, &res);
    int next = dup(2);
    close(next);
    limit_descriptors((rlim_t)next, &before); /* the servers' ends are of this process, too: each closes one and opens one */
    perform_at(&third, &res);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    turn_until_closed(&client_other, 1, NULL);
    perform_at(&client_server, &res);
    assert_int_equal(client_server.accepted, 1);
    http_server_stop(&third);
    buf_free(&res.body);
}

/* Two responses over one connection of a Unix socket. */
static void respond_twice(void *listening)
{
    char request[4096];
    int fd = accept(*(int *)listening, NULL, NULL);
    for (int i = 0; i < 2; i++) {
        static const char response[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nlocal";
        size_t n = 0;
        ssize_t got;
        while ((n < 4 || memcmp(request + n - 4, "\r\n\r\n", 4) != 0) && n < sizeof request
               && (got = recv(fd, request + n, sizeof request - n, 0)) > 0)
            n += (size_t)got;
        (void)!send(fd, response, sizeof response - 1, MSG_NOSIGNAL);
    }
    close(fd);
}

static void a_server_behind_a_unix_socket(void **state UNUSED)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    struct client_result res = {.done = 0};
    struct client_request req = client_get("/once", &res);
    snprintf(at.sun_path, sizeof at.sun_path, "/tmp/sluice_test.%d.sock", (int)getpid());
    req.socket = at.sun_path;
    unlink(at.sun_path);
    client_perform(&req, &res);
    assert_int_equal(res.reply.status, 0);
    assert_true(client_by_libcurl || strstr(res.reply.err.text, at.sun_path));
    int listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listening, (const struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(listening, 4), 0);
    struct thread *server = thread_start("server", respond_twice, &listening);
    for (int i = 0; i < 2; i++) {
        res.done = 0;
        buf_clear(&res.body);
        client_perform(&req, &res);
        assert_int_equal(res.reply.status, 200);
        assert_true(str_is(buf_str(&res.body), "local"));
        assert_int_equal(res.reply.reused, i);
    }
    assert_int_equal(client_server.accepted, 0);
    thread_join(server);
    close(listening);
    unlink(at.sun_path);
    buf_free(&res.body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLIENT_TEST(no_more_than_max_inflight_run),
        CLIENT_TEST(doubtful_requests_hold_up_each_other_only),
        CLIENT_TEST(canceled_calls_say_nothing),
        CLIENT_TEST(a_connection_that_is_never_made),
        CLIENT_TEST(a_connection_without_a_descriptor),
        CLIENT_TEST(connections_of_an_idle_client_are_closed),
        CLIENT_TEST(connections_to_one_peer_are_closed_while_others_are_busy),
        CLIENT_TEST(a_server_that_is_left),
        CLIENT_TEST(a_connection_for_one_request),
        CLIENT_TEST(a_server_that_is_left_while_a_request_is_in_flight),
        CLIENT_TEST(the_longest_idle_connection_is_closed_beyond_the_limit),
        CLIENT_TEST(an_idle_connection_gives_its_descriptor_to_another),
        CLIENT_TEST(a_server_behind_a_unix_socket),
    };
    return RUN_BOTH_WAYS(client_by_libcurl, tests);
}
