// SPDX-License-Identifier: Apache-2.0
/* Responses as servers send them, valid and not: each is read whole, and split at every byte. */
#include "base/http/response_reader.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

/* What reading a response gave, as one line of text: "200 a=b c=d | body | end", with "left N" for bytes after it. */
static void read_pieces(struct str all, size_t first, struct buf *out)
{
    struct response_reader r = {0};
    struct response_part part;
    struct err err = {0};
    struct buf body = {0}, fields = {0};
    struct str in = str_first(all, first);
    const char *end = NULL;
    while (end == NULL)
        switch (response_next(&r, &in, &part, &err)) {
        case RESPONSE_MORE:
            assert_int_equal(in.n, 0);
            in = str_skip(all, first);
            if (first == all.n)
                end = response_ends_here(&r) ? "ends here" : "more";
            first = all.n;
            break;
        case RESPONSE_HEADER: buf_printf(&fields, " %.*s=%.*s", STR_ARG(part.name), STR_ARG(part.value)); break;
        case RESPONSE_HEAD: buf_printf(&fields, "%s", r.keeps_open ? " keep" : ""); break;
        case RESPONSE_BODY: buf_add_str(&body, part.value); break;
        case RESPONSE_END: end = "end"; break;
        case RESPONSE_BAD: end = err.text; break;
        }
    buf_printf(out, "%d%.*s | %.*s | %s", r.status, STR_ARG(buf_str(&fields)), STR_ARG(buf_str(&body)), end);
    size_t left = in.n + all.n - first;
    if (left > 0)
        buf_printf(out, " left %zu", left);
    response_free(&r);
    buf_free(&body);
    buf_free(&fields);
}

static void expect_read(const char *text, const char *expected)
{
    for (size_t first = 0; first <= strlen(text); first++) {
        struct buf out = {0};
        read_pieces(str_of(text), first, &out);
        if (strcmp(buf_z(&out), expected) != 0)
            fail_msg("%s\nsplit after %zu:\n  %s\ninstead of\n  %s", text, first, buf_z(&out), expected);
        buf_free(&out);
    }
}

#define BAD " | the response is not valid HTTP: "

static void bodies_have_a_length(void **state UNUSED)
{
    expect_read("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nA: b\r\n\r\nhello",
                "200 Content-Length=5 A=b keep | hello | end");
    expect_read("HTTP/1.1 200 OK\r\ncontent-length:0\r\n\r\nHTTP", "200 content-length=0 keep |  | end left 4");
    expect_read("HTTP/1.1 200\r\nContent-Length: 3, 3\r\n\r\nabc", "200 Content-Length=3, 3 keep | abc | end");
    expect_read("HTTP/1.1 204 No\r\n\r\n", "204 keep |  | end");
    expect_read("HTTP/1.1 304 No\r\nContent-Length: 9\r\n\r\n", "304 Content-Length=9 keep |  | end");
    expect_read("HTTP/1.1 200 OK\nContent-Length: 2\n\nab", "200 Content-Length=2 keep | ab | end");
    expect_read("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", "200 Content-Length=5 keep | hel | more");
}

static void bodies_end_with_the_connection(void **state UNUSED)
{
    expect_read("HTTP/1.1 200 OK\r\n\r\nabc", "200 | abc | ends here");
    expect_read("HTTP/1.0 200 OK\r\n\r\n", "200 |  | ends here");
    expect_read("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\na",
                "200 Connection=close Content-Length=1 | a | end");
    expect_read("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\na",
                "200 Connection=Keep-Alive Content-Length=1 keep | a | end");
    expect_read("HTTP/1.1 200 OK\r\nConnection: foo, Close\r\nContent-Length: 1\r\n\r\na",
                "200 Connection=foo, Close Content-Length=1 | a | end");
}

static void bodies_come_in_chunks(void **state UNUSED)
{
    expect_read("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n",
                "200 Transfer-Encoding=chunked keep | abc0123456789 | end");
    expect_read("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nContent-Length: 2\r\n\r\n1\na\n00\nT: v\n\nx",
                "200 Transfer-Encoding=Chunked Content-Length=2 keep | a | end left 1");
    expect_read("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
                "200 Transfer-Encoding=chunked keep | ab | more");
    expect_read("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
                "200 Transfer-Encoding=chunked keep |  | more");
    struct buf out = {0};
    read_pieces(STR("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n"), 10, &out);
    assert_string_equal(buf_z(&out), "200 Transfer-Encoding=chunked keep | a" BAD "a chunk is longer than its size");
    buf_free(&out);
}

static void doubtful_lengths_are_refused(void **state UNUSED)
{
    static const struct { const char *fields, *why; } cases[] = {
        {"Content-Length: 1\r\nContent-Length: 2\r\n", "it has two different lengths"},
        {"Content-Length: 1, 2\r\n", "it has two different lengths"},
        {"Content-Length: -1\r\n", "its Content-Length is not a number"},
        {"Content-Length: +1\r\n", "its Content-Length is not a number"},
        {"Content-Length: 1x\r\n", "its Content-Length is not a number"},
        {"Content-Length:\r\n", "its Content-Length is not a number"},
        {"Content-Length: 99999999999999999999\r\n", "its Content-Length is not a number"},
        {"Transfer-Encoding: gzip, chunked\r\n", "its Transfer-Encoding is not supported"},
        {"Transfer-Encoding: chunked, chunked\r\n", "its Transfer-Encoding is not supported"},
        {"Transfer-Encoding: br\r\n", "its Transfer-Encoding is not supported"}};
    for (size_t i = 0; i < LEN(cases); i++) {
        char text[200];
        struct buf out = {0};
        snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\n%s\r\n", cases[i].fields);
        read_pieces(str_of(text), strlen(text), &out);
        if (strstr(buf_z(&out), cases[i].why) == NULL)
            fail_msg("%s: %s instead of %s", cases[i].fields, buf_z(&out), cases[i].why);
        buf_free(&out);
    }
    static const char *const sizes[] = {"", "g", "-1", "0x1", "1 2", "11111111111111111", " 1"};
    for (size_t i = 0; i < LEN(sizes); i++) {
        char text[200];
        struct buf out = {0};
        snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%s\r\na", sizes[i]);
        read_pieces(str_of(text), strlen(text), &out);
        if (strstr(buf_z(&out), "the size of a chunk is invalid") == NULL)
            fail_msg("%s: %s", sizes[i], buf_z(&out));
        buf_free(&out);
    }
}

static void other_protocols_are_refused(void **state UNUSED)
{
    static const struct { const char *line, *why; } cases[] = {
        {"HTTP/2 200\r\n", "it has another version than 1.0 and 1.1"},
        {"HTTP/1.2 200 OK\r\n", "its status line is invalid"},
        {"HTTP/1.1 20 OK\r\n", "its status line is invalid"},
        {"HTTP/1.1 2000 OK\r\n", "its status line is invalid"},
        {"HTTP/1.1 099 OK\r\n", "its status line is invalid"},
        {"HTTP/1.1  200 OK\r\n", "its status line is invalid"},
        {"HTTP/1.1\r\n", "its status line is invalid"},
        {"SSH-2.0-OpenSSH\r\n", "it does not begin with HTTP/"},
        {"\r\n", "it does not begin with HTTP/"},
        {"HTTP/1.1 101 Go\r\n\r\n", "it switches to another protocol"},
        {"HTTP/1.1 200 OK\r\nnonsense\r\n", "a header has no colon"}};
    for (size_t i = 0; i < LEN(cases); i++) {
        struct buf out = {0};
        read_pieces(str_of(cases[i].line), 3, &out);
        if (strstr(buf_z(&out), cases[i].why) == NULL)
            fail_msg("%s: %s instead of %s", cases[i].line, buf_z(&out), cases[i].why);
        buf_free(&out);
    }
}

static void lines_without_meaning_are_skipped(void **state UNUSED)
{
    expect_read("HTTP/1.1 200 OK\r\nX: a\r\n  Content-Length: 3\r\n: empty\r\nContent-Length: 1\r\n\r\na",
                "200 X=a Content-Length=1 keep | a | end");
    expect_read("HTTP/1.1 100 Continue\r\nContent-Length: 7\r\nConnection: close\r\n\r\nHTTP/1.1 200 OK\r\n"
                "Content-Length: 1\r\n\r\na", "200 Content-Length=7 Connection=close Content-Length=1 keep | a | end");
    expect_read("HTTP/1.1 200 OK\r\nContent-Length : 9\r\n\r\na", "200 Content-Length =9 | a | ends here");
}

static void heads_are_limited(void **state UNUSED)
{
    static const char *const repeated[] = {"A: b\r\n", "x", "HTTP/1.1 100 C\r\n\r\n"};
    for (size_t i = 0; i < LEN(repeated); i++) {
        struct response_reader r = {0};
        struct response_part part;
        struct err err = {0};
        enum response_event event = RESPONSE_MORE;
        struct str in = str_of(i == 2 ? "" : "HTTP/1.1 200 OK\r\n");
        size_t fed = 0;
        for (; event != RESPONSE_BAD && fed < 2 * RESPONSE_HEAD_MAX; fed += in.n) {
            while ((event = response_next(&r, &in, &part, &err)) == RESPONSE_HEADER)
                ;
            in = str_of(repeated[i]);
        }
        assert_int_equal(event, RESPONSE_BAD);
        assert_non_null(strstr(err.text, "too long"));
        assert_true(r.line.cap <= 2 * RESPONSE_HEAD_MAX);
        response_free(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_have_a_length),
        cmocka_unit_test(bodies_end_with_the_connection),
        cmocka_unit_test(bodies_come_in_chunks),
        cmocka_unit_test(doubtful_lengths_are_refused),
        cmocka_unit_test(other_protocols_are_refused),
        cmocka_unit_test(lines_without_meaning_are_skipped),
        cmocka_unit_test(heads_are_limited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
