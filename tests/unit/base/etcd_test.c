// SPDX-License-Identifier: Apache-2.0
/* The client of etcd's JSON gateway and its copy of keys, against a server that responds as a script says. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/etcd/etcd_mirror.h"
#include "base/os/thread.h"
#include "base/text/base64.h"
#include "base/text/duration.h"
#include "tests/unit/http_server.h"

enum { PATIENCE_MS = 10000 };

/* What the server has for the next request of a path; the last one of a path stays. */
struct script { const char *path, *body; int status; };
struct etcd_fake {
    struct http_server server;
    struct mutex mutex;          /* of the rest */
    const struct script *lines; size_t n, at;
    struct buf seen;             /* path and body of each request, a line each */
    bool watch_ends;             /* the response to a watch ends */
};

static void fake_handle(void *arg, const struct server_request *q, struct server_response *r)
{
    struct etcd_fake *f = arg;
    r->status = 404;
    mutex_lock(&f->mutex);
    buf_printf(&f->seen, "%.*s %.*s\n", STR_ARG(q->path), STR_ARG(q->body));
    for (size_t i = f->at; i < f->n; i++) {
        if (!str_is(q->path, f->lines[i].path))
            continue;
        r->status = f->lines[i].status ? f->lines[i].status : 200;
        if (str_is(q->path, "/v3/watch") && !f->watch_ends) { /* a response without an end */
            r->raw = true;
            buf_printf(&r->body, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n%s\n", f->lines[i].body);
        } else {
            buf_add_z(&r->body, f->lines[i].body);
        }
        if (i == f->at && f->at + 1 < f->n)
            f->at++;
        break;
    }
    mutex_unlock(&f->mutex);
}

static void fake_start(struct etcd_fake *f, const struct script *lines, size_t n)
{
    *f = (struct etcd_fake){.lines = lines, .n = n};
    mutex_init(&f->mutex, RANK_LEAF);
    http_server_start(&f->server, fake_handle, f);
}

static void fake_stop(struct etcd_fake *f)
{
    http_server_stop(&f->server);
    buf_free(&f->seen);
    mutex_free(&f->mutex);
}

static bool fake_saw(struct etcd_fake *f, const char *text)
{
    mutex_lock(&f->mutex);
    bool found = str_find_str(buf_str(&f->seen), str_of(text)) < f->seen.n;
    mutex_unlock(&f->mutex);
    return found;
}

/* ---- requests ---- */

struct asked {
    struct etcd_request request;
    bool ended, ok;
    int code;
    struct err err;
    uint64_t revision;
};

static void asked_done(struct etcd_request *r, const struct etcd_response *response)
{
    struct asked *a = CONTAINER(r, struct asked, request);
    a->ended = true;
    a->ok = response->doc != NULL;
    a->code = response->code;
    a->err = response->err;
    a->revision = etcd_u64(json_value_get(response->doc, "header"), "revision");
}

static void ask(struct loop *loop, struct etcd *e, struct asked *a)
{
    int64_t end = clock_mono_ms() + PATIENCE_MS;
    *a = (struct asked){.request.done = asked_done};
    etcd_send(e, &a->request, "/v3/kv/range", STR("{}"));
    while (!a->ended && clock_mono_ms() < end)
        loop_turn(loop, 50);
    assert_true(a->ended);
}

static struct etcd *connect_to(struct loop *loop, const int *ports, size_t n, const char *user)
{
    char urls[2][64];
    const char *endpoints[2];
    for (size_t i = 0; i < n; i++) {
        snprintf(urls[i], sizeof urls[i], "http://127.0.0.1:%d/", ports[i]);
        endpoints[i] = urls[i];
    }
    return etcd_new(loop, &(struct etcd_conf){.endpoints = endpoints, .n_endpoints = n, .username = user,
                                              .password = user ? "secret" : NULL, .timeout_ms = 2000});
}

static void test_responses_and_errors(void **state UNUSED)
{
    static const struct { int status; const char *body, *text; int code; uint64_t revision; } cases[] = {
        {200, "{\"header\":{\"revision\":\"18446744073709551615\"}}", NULL, 0, UINT64_MAX},
        {200, "{}", NULL, 0, 0},
        {200, "{\"header\":{\"revision\":\"x\"}}", NULL, 0, 0},
        {400, "{\"error\":\"e\",\"message\":\"duplicate key\",\"code\":3}", "duplicate key", 3, 0},
        {404, "{\"error\":\"no lease\",\"code\":5}", "no lease", 5, 0},
        {500, "{\"code\":99}", "an error without a text", 0, 0},
        {200, "{\"header\":", "etcd http://127.0.0.1", 0, 0},
        {200, "no JSON", "etcd http://127.0.0.1", 0, 0},
        {404, "page not found", "HTTP 404", 0, 0},
        {200, "", "etcd http://127.0.0.1", 0, 0}};
    struct loop *loop = loop_new();
    for (size_t i = 0; i < LEN(cases); i++) {
        struct etcd_fake f;
        struct asked a;
        const struct script lines[] = {{"/v3/kv/range", cases[i].body, cases[i].status}};
        fake_start(&f, lines, 1);
        struct etcd *e = connect_to(loop, &f.server.port, 1, NULL);
        ask(loop, e, &a);
        assert_int_equal(a.ok, cases[i].text == NULL);
        assert_int_equal(a.code, cases[i].code);
        assert_true(a.revision == cases[i].revision);
        if (cases[i].text)
            assert_non_null(strstr(a.err.text, cases[i].text));
        etcd_free(e);
        fake_stop(&f);
    }
    loop_free(loop);
}

static void test_the_next_endpoint_is_asked(void **state UNUSED)
{
    static const struct script down[] = {{"/v3/kv/range", "no leader", 503}}, up[] = {{"/v3/kv/range", "{}", 200}};
    struct loop *loop = loop_new();
    struct etcd_fake a, b;
    struct asked asked;
    fake_start(&a, down, 1);
    fake_start(&b, up, 1);
    int ports[] = {a.server.port, b.server.port};
    struct etcd *e = connect_to(loop, ports, 2, NULL);
    for (int i = 0; i < 3; i++) {
        ask(loop, e, &asked);
        assert_true(asked.ok);
    }
    assert_int_equal(atomic_load(&a.server.requests), 1); /* and no more */
    http_server_stop(&b.server);
    ask(loop, e, &asked);
    assert_false(asked.ok);
    assert_non_null(strstr(asked.err.text, "503"));
    etcd_free(e);
    fake_stop(&a);
    buf_free(&b.seen);
    mutex_free(&b.mutex);
    loop_free(loop);
}

/* Requests in progress at the same time leave an endpoint that does not respond once, not once each. */
static void test_requests_leave_an_endpoint_together(void **state UNUSED)
{
    static const struct script down[] = {{"/v3/kv/range", "no leader", 503}}, up[] = {{"/v3/kv/range", "{}", 200}};
    struct loop *loop = loop_new();
    struct etcd_fake a, b;
    struct asked asked[2];
    fake_start(&a, down, 1);
    fake_start(&b, up, 1);
    int ports[] = {a.server.port, b.server.port};
    struct etcd *e = connect_to(loop, ports, 2, NULL);
    int64_t end = clock_mono_ms() + PATIENCE_MS;
    for (size_t i = 0; i < LEN(asked); i++) {
        asked[i] = (struct asked){.request.done = asked_done};
        etcd_send(e, &asked[i].request, "/v3/kv/range", STR("{}"));
    }
    while (!(asked[0].ended && asked[1].ended) && clock_mono_ms() < end)
        loop_turn(loop, 50);
    assert_true(asked[0].ok && asked[1].ok);
    assert_int_equal(etcd_endpoint(e), 1);
    etcd_free(e);
    fake_stop(&a);
    fake_stop(&b);
    loop_free(loop);
}

static void test_a_token_is_fetched_again_when_it_is_refused(void **state UNUSED)
{
    static const struct script lines[] = {
        {"/v3/auth/authenticate", "{\"token\":\"one\"}", 200},
        {"/v3/kv/range", "{\"error\":\"etcdserver: invalid auth token\",\"code\":16}", 401},
        {"/v3/auth/authenticate", "{\"token\":\"two\"}", 200},
        {"/v3/kv/range", "{}", 200}};
    struct loop *loop = loop_new();
    struct etcd_fake f;
    struct asked a;
    fake_start(&f, lines, LEN(lines));
    struct etcd *e = connect_to(loop, &f.server.port, 1, "root");
    ask(loop, e, &a);
    assert_true(a.ok);
    assert_string_equal(etcd_authorization(e), "Authorization: two");
    assert_int_equal(atomic_load(&f.server.requests), 4);
    etcd_free(e);
    fake_stop(&f);
    loop_free(loop);
}

static void test_prefixes_end_before_the_next_one(void **state UNUSED)
{
    static const struct { struct str prefix; const char *text; } cases[] = {
        {{"cfg/", 4}, "{\"key\":\"Y2ZnLw==\",\"range_end\":\"Y2ZnMA==\"}"},
        {{"a\xff\xff", 3}, "{\"key\":\"Yf//\",\"range_end\":\"Yg==\"}"},
        {{"\xff", 1}, "{\"key\":\"/w==\",\"range_end\":\"AA==\"}"},
        {{"", 0}, "{\"key\":\"AA==\",\"range_end\":\"AA==\"}"}};
    for (size_t i = 0; i < LEN(cases); i++) {
        struct buf out = {0};
        struct json_writer w = {.out = &out};
        json_begin_object(&w);
        etcd_put_prefix(&w, cases[i].prefix);
        json_end_object(&w);
        assert_string_equal(buf_z(&out), cases[i].text);
        buf_free(&out);
    }
}

/* ---- the copy ---- */

struct copy { struct etcd_mirror *mirror; unsigned puts, removals, settled; };
static void copy_put(void *arg, const struct etcd_key *k UNUSED) { ((struct copy *)arg)->puts++; }
static void copy_removed(void *arg, const struct etcd_key *k UNUSED) { ((struct copy *)arg)->removals++; }
static void copy_settled(void *arg) { ((struct copy *)arg)->settled++; }
static void copy_state(void *arg UNUSED) {}

static void copy_start(struct copy *c, struct etcd *e, enum etcd_wiped wiped, int64_t confirm_ms)
{
    *c = (struct copy){0};
    c->mirror = etcd_mirror_new(e, &(struct etcd_mirror_conf){
        .prefix = STR("p/"), .confirm_ms = confirm_ms, .wiped = wiped, .max_bytes = 40, .put = copy_put,
        .removed = copy_removed, .settled = copy_settled, .state = copy_state, .arg = c});
}

#define AWAIT(loop, condition)                                                                       \
    do {                                                                                             \
        for (int64_t end_ = clock_mono_ms() + PATIENCE_MS; !(condition) && clock_mono_ms() < end_;)   \
            loop_turn(loop, 20);                                                                     \
        assert_true(condition);                                                                      \
    } while (0)

/* "p/a" = "1", "p/b" = "2" */
#define KV(key, value, revision) "{\"key\":\"" key "\",\"value\":\"" value "\",\"mod_revision\":\"" revision "\",\"version\":\"1\"}"
#define P_A "cC9h"
#define P_B "cC9i"
#define HEADER(revision) "\"header\":{\"cluster_id\":\"7\",\"revision\":\"" revision "\"}"

static void test_a_list_in_pages_and_its_watch(void **state UNUSED)
{
    static const struct script lines[] = {
        {"/v3/kv/range", "{" HEADER("10") ",\"kvs\":[" KV(P_A, "MQ==", "3") "],\"more\":true,\"count\":\"2\"}", 200},
        {"/v3/kv/range", "{" HEADER("12") ",\"kvs\":[" KV(P_B, "Mg==", "4") "],\"count\":\"2\"}", 200},
        {"/v3/watch", "{\"result\":{" HEADER("12") ",\"created\":true}}\n"
                      "{\"result\":{" HEADER("13") ",\"events\":[{\"kv\":" KV(P_B, "Mw==", "13") "},"
                      "{\"type\":\"DELETE\",\"kv\":{\"key\":\"" P_A "\",\"mod_revision\":\"13\"}}]}}", 200}};
    struct loop *loop = loop_new();
    struct etcd_fake f;
    struct copy c;
    fake_start(&f, lines, LEN(lines));
    struct etcd *e = connect_to(loop, &f.server.port, 1, NULL);
    copy_start(&c, e, ETCD_WIPED_REMOVE, 60000);
    AWAIT(loop, c.removals == 1);
    assert_true(etcd_mirror_complete(c.mirror));
    assert_int_equal(etcd_mirror_count(c.mirror), 1);
    const struct etcd_key *b = etcd_mirror_get(c.mirror, STR("p/b"));
    assert_true(b && str_is(b->value, "3") && b->mod_revision == 13);
    assert_int_equal(etcd_mirror_revision(c.mirror), 13);
    assert_true(fake_saw(&f, "\"revision\":10")); /* the second page is of the same revision */
    assert_true(fake_saw(&f, "\"start_revision\":11"));
    etcd_mirror_free(c.mirror);
    etcd_free(e);
    fake_stop(&f);
    loop_free(loop);
}

/* A list that lacks a key removes it only if another one does, too; from a wiped etcd never if that is wanted. */
static void check_absent(enum etcd_wiped wiped, const char *second_list, bool removed)
{
    const struct script lines[] = {
        {"/v3/kv/range", "{" HEADER("10") ",\"kvs\":[" KV(P_A, "MQ==", "3") "," KV(P_B, "Mg==", "4") "]}", 200},
        {"/v3/watch", "{\"result\":{" HEADER("10") ",\"canceled\":true,\"compact_revision\":\"11\"}}", 200},
        {"/v3/kv/range", second_list, 200},
        {"/v3/watch", "{\"result\":{" HEADER("10") ",\"created\":true}}", 200},
        {"/v3/kv/range", second_list, 200}};
    struct loop *loop = loop_new();
    struct etcd_fake f;
    struct copy c;
    fake_start(&f, lines, LEN(lines));
    struct etcd *e = connect_to(loop, &f.server.port, 1, NULL);
    copy_start(&c, e, wiped, 300);
    AWAIT(loop, c.settled >= 2);
    assert_int_equal(c.removals, 0); /* not by one list */
    assert_int_equal(etcd_mirror_count(c.mirror), 2);
    unsigned before = c.settled;
    AWAIT(loop, c.settled > before);
    if (removed) {
        AWAIT(loop, c.removals == 1);
        assert_null(etcd_mirror_get(c.mirror, STR("p/b")));
    } else {
        assert_int_equal(etcd_mirror_count(c.mirror), 2);
    }
    etcd_mirror_free(c.mirror);
    etcd_free(e);
    fake_stop(&f);
    loop_free(loop);
}

static void test_keys_that_a_list_lacks(void **state UNUSED)
{
    check_absent(ETCD_WIPED_KEEP, "{" HEADER("20") ",\"kvs\":[" KV(P_A, "MQ==", "3") "]}", true);
    check_absent(ETCD_WIPED_KEEP, "{" HEADER("2") ",\"kvs\":[" KV(P_A, "MQ==", "3") "]}", false); /* an older state */
    check_absent(ETCD_WIPED_REMOVE, "{" HEADER("2") ",\"kvs\":[" KV(P_A, "MQ==", "3") "]}", true);
}

static void test_what_cannot_be_read_leaves_the_copy_as_it_is(void **state UNUSED)
{
    static const char *const bad[] = {
        "{" HEADER("20") ",\"kvs\":[{\"key\":\"%%%\"}]}", "{" HEADER("20") ",\"kvs\":[", "[]",
        "{" HEADER("20") ",\"kvs\":[" KV(P_A, "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkw", "9") "]}"};
    for (size_t i = 0; i < LEN(bad); i++) {
        const struct script lines[] = {
            {"/v3/kv/range", "{" HEADER("10") ",\"kvs\":[" KV(P_A, "MQ==", "3") "]}", 200},
            {"/v3/watch", "{\"result\":{" HEADER("10") ",\"canceled\":true,\"compact_revision\":\"11\"}}", 200},
            {"/v3/kv/range", bad[i], 200}};
        struct loop *loop = loop_new();
        struct etcd_fake f;
        struct copy c;
        fake_start(&f, lines, LEN(lines));
        struct etcd *e = connect_to(loop, &f.server.port, 1, NULL);
        copy_start(&c, e, ETCD_WIPED_REMOVE, 60000);
        AWAIT(loop, atomic_load(&f.server.requests) >= 4 && etcd_mirror_error(c.mirror));
        assert_int_equal(c.removals, 0);
        const struct etcd_key *a = etcd_mirror_get(c.mirror, STR("p/a"));
        assert_true(a && str_is(a->value, "1"));
        etcd_mirror_free(c.mirror);
        etcd_free(e);
        fake_stop(&f);
        loop_free(loop);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_responses_and_errors),
        cmocka_unit_test(test_the_next_endpoint_is_asked),
        cmocka_unit_test(test_requests_leave_an_endpoint_together),
        cmocka_unit_test(test_a_token_is_fetched_again_when_it_is_refused),
        cmocka_unit_test(test_prefixes_end_before_the_next_one),
        cmocka_unit_test(test_a_list_in_pages_and_its_watch),
        cmocka_unit_test(test_keys_that_a_list_lacks),
        cmocka_unit_test(test_what_cannot_be_read_leaves_the_copy_as_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
