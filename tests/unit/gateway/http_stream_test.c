// SPDX-License-Identifier: Apache-2.0
/* Responses that a worker sends in parts, over real sockets. */
#include "http_fixture.h"

#include "base/compress.h"
#include "base/text/duration.h"
#include "base/text/num.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* Receives a response with chunked coding into `body`: false, if it ends before its last chunk. */
static bool receive_chunks(int fd, struct buf *body)
{
    struct buf raw = {0};
    size_t at = 0, end;
    char piece[65536];
    buf_clear(body);
    for (bool head = true;;) {
        struct str rest = str_skip(buf_str(&raw), at);
        struct str mark = head ? STR("\r\n\r\n") : STR("\r\n");
        end = str_find_str(rest, mark);
        size_t size = head || end == rest.n ? 0 : strtoul(rest.p, NULL, 16);
        if (end < rest.n && head) {
            assert_true(str_find_str(str_first(rest, end), STR("Transfer-Encoding: chunked")) < end);
            assert_true(str_find_str(str_first(rest, end), STR("application/x-parts")) < end);
            assert_true(str_find_str(str_first(rest, end), STR("X-Early: yes")) < end);
            assert_int_equal(str_find_str(str_first(rest, end), STR("X-Late")), end);
            at += end + mark.n;
            head = false;
            continue;
        }
        if (end < rest.n && rest.n >= end + 2 + size + 2) {
            buf_add_str(body, str_n(rest.p + end + 2, size));
            at += end + 2 + size + 2;
            if (size > 0)
                continue;
            buf_free(&raw);
            return true;
        }
        ssize_t got = recv(fd, piece, sizeof piece, 0);
        if (got <= 0) {
            buf_free(&raw);
            return false;
        }
        buf_drop_front(&raw, at);
        at = 0;
        buf_add(&raw, piece, (size_t)got);
    }
}

static void ask_compressed(int fd, unsigned parts, unsigned bytes)
{
    char text[256];
    snprintf(text, sizeof text, "GET /p/stream?parts=%u&bytes=%u&gzip=1 HTTP/1.1\r\nHost: x\r\n"
             "Accept-Encoding: gzip\r\n\r\n", parts, bytes);
    fixture_send(fd, text);
}

static void ask(int fd, unsigned parts, unsigned bytes, const char *more)
{
    char text[256];
    snprintf(text, sizeof text, "GET /p/stream?parts=%u&bytes=%u%s HTTP/1.1\r\nHost: x\r\n\r\n", parts, bytes, more);
    fixture_send(fd, text);
}

static void check_body(const struct buf *body, unsigned parts, unsigned bytes)
{
    assert_int_equal(body->n, (size_t)parts * bytes + 3);
    for (size_t i = 0, n = 0; i < parts; i++)
        for (size_t k = 0; k < bytes; k++, n++)
            if (body->p[n] != (char)('a' + (i + k) % 26))
                fail_msg("byte %zu of part %zu is wrong", k, i);
    assert_memory_equal(body->p + body->n - 3, "end", 3);
}

static void parts_arrive_in_order(void **state UNUSED)
{
    static const unsigned shapes[][2] = {{1, 1}, {1, 0}, {7, 100}, {300, 1000}, {40, 200000}, {3, 3000000}};
    struct buf body = {0};
    int fd = fixture_dial();
    for (size_t i = 0; i < LEN(shapes); i++) { /* on one connection, which stays open */
        ask(fd, shapes[i][0], shapes[i][1], "");
        assert_true(receive_chunks(fd, &body));
        check_body(&body, shapes[i][0], shapes[i][1]);
    }
    close(fd);
    buf_free(&body);
}

/* All parts are one gzip file of one member, which some clients require. */
static void parts_are_compressed(void **state UNUSED)
{
    static const unsigned shapes[][2] = {{1, 0}, {7, 100}, {40, 200000}};
    struct inflater *inflater = inflater_new();
    struct buf body = {0}, plain = {0};
    int fd = fixture_dial();
    for (size_t i = 0; i < LEN(shapes); i++) {
        ask_compressed(fd, shapes[i][0], shapes[i][1]);
        assert_true(receive_chunks(fd, &body));
        buf_clear(&plain);
        assert_true(inflater_gunzip(inflater, buf_str(&body), 64 << 20, &plain));
        check_body(&plain, shapes[i][0], shapes[i][1]);
        assert_true(plain.n < 1000 || body.n < plain.n / 10);
    }
    close(fd);
    inflater_free(inflater);
    buf_free(&body);
    buf_free(&plain);
}

static void a_client_that_is_faster_waits(void **state UNUSED)
{
    struct buf body = {0};
    int fd = fixture_dial();
    ask(fd, 20, 1000, "&ms=10");
    assert_true(receive_chunks(fd, &body));
    check_body(&body, 20, 1000);
    close(fd);
    buf_free(&body);
}

static void a_client_that_is_slower_holds_the_worker(void **state UNUSED)
{
    enum { PARTS = 600, BYTES = 100000, MOST = 20 << 20 /* with what the kernel buffers */ };
    struct buf body = {0};
    int fd = fixture_dial(), small = 1 << 16;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    atomic_store(&http_fixture.streamed, 0);
    ask(fd, PARTS, BYTES, "");
    for (int before = -1; atomic_load(&http_fixture.streamed) != before; usleep(300000))
        before = atomic_load(&http_fixture.streamed);
    assert_in_range(atomic_load(&http_fixture.streamed), 1 << 20, MOST);
    assert_true(receive_chunks(fd, &body));
    check_body(&body, PARTS, BYTES);
    close(fd);
    buf_free(&body);
}

static bool counted_within(size_t least, size_t most)
{
    for (int i = 0; i < 1000; i++, usleep(10000)) {
        size_t used = atomic_load(&http_fixture.limits.responses.used);
        if (used >= least && used <= most)
            return true;
    }
    return false;
}

/* All that is kept for a client is counted, also a first part that is large. */
static void a_large_part_is_counted(void **state UNUSED)
{
    struct buf body = {0};
    int fd = fixture_dial(), small = 1 << 16;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    assert_true(counted_within(0, 1 << 20));
    ask(fd, 2, 12000000, "");
    assert_true(counted_within(12000000, 20000000));
    assert_true(receive_chunks(fd, &body));
    check_body(&body, 2, 12000000);
    assert_true(counted_within(0, 1 << 20));
    close(fd);
    buf_free(&body);
}

/* While the worker waits for the client, and while the connection waits for the worker. */
static void a_client_leaves(void **state UNUSED)
{
    static const char *const more[] = {"", "&ms=50"};
    for (size_t i = 0; i < LEN(more); i++) {
        char some[1000];
        int fd = fixture_dial();
        assert_true(fixture_wait_for(&http_fixture.holding, 0));
        atomic_store(&http_fixture.canceled_seen, 0);
        ask(fd, 100000, i == 0 ? 100000 : 10, more[i]);
        assert_true(recv(fd, some, sizeof some, 0) > 0);
        close(fd);
        assert_true(fixture_wait_for(&http_fixture.canceled_seen, 1));
        assert_true(fixture_wait_for(&http_fixture.holding, 0));
    }
    fixture_expect("GET /p/worker HTTP/1.1\r\nHost: x\r\n\r\n", 200, "worker 1 ");
}

static void each_response_is_sent_once(void **state UNUSED)
{
    static const char *const more[] = {"&ms=200", "&ms=0"}; /* the client leaves before the first part, or after the last */
    struct buf body = {0};
    for (size_t i = 0; i < LEN(more); i++) {
        assert_true(fixture_wait_for(&http_fixture.holding, 0));
        usleep(100000); /* earlier tests */
        int fd = fixture_dial(), before = atomic_load(&http_fixture.n_sent);
        ask(fd, 1, 70000, more[i]);
        if (i == 0)
            assert_true(fixture_wait_for(&http_fixture.holding, 1));
        else
            assert_true(receive_chunks(fd, &body));
        close(fd);
        assert_true(fixture_wait_for(&http_fixture.n_sent, before + 1));
        usleep(100000);
        assert_int_equal(atomic_load(&http_fixture.n_sent), before + 1);
        assert_int_equal(atomic_load(&http_fixture.sent_bytes), i == 0 ? 0 : 70003);
    }
    buf_free(&body);
}

static void a_handler_fails(void **state UNUSED)
{
    struct buf body = {0};
    for (unsigned parts = 1; parts < 40; parts += 13) {
        char more[32];
        int fd = fixture_dial();
        snprintf(more, sizeof more, "&fail=%u", parts);
        ask(fd, 100, 50000, more);
        assert_false(receive_chunks(fd, &body)); /* there is no last chunk: the client knows */
        close(fd);
    }
    buf_free(&body);
}

static void a_client_of_http_1_0_reads_to_the_end(void **state UNUSED)
{
    struct buf body = {0};
    char piece[65536];
    int fd = fixture_dial();
    fixture_send(fd, "GET /p/stream?parts=30&bytes=50000 HTTP/1.0\r\nHost: x\r\n\r\n");
    for (ssize_t got; (got = recv(fd, piece, sizeof piece, 0)) > 0;)
        buf_add(&body, piece, (size_t)got);
    size_t head = str_find_str(buf_str(&body), STR("\r\n\r\n")) + 4;
    assert_true(head < body.n);
    buf_drop_front(&body, head);
    check_body(&body, 30, 50000);
    close(fd);
    buf_free(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_arrive_in_order),
        cmocka_unit_test(parts_are_compressed),
        cmocka_unit_test(a_client_that_is_faster_waits),
        cmocka_unit_test(a_client_that_is_slower_holds_the_worker),
        cmocka_unit_test(a_large_part_is_counted),
        cmocka_unit_test(a_client_leaves),
        cmocka_unit_test(each_response_is_sent_once),
        cmocka_unit_test(a_handler_fails),
        cmocka_unit_test(a_client_of_http_1_0_reads_to_the_end),
    };
    return cmocka_run_group_tests(tests, http_fixture_set_up, http_fixture_tear_down);
}
