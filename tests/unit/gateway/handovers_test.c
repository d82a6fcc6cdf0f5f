// SPDX-License-Identifier: Apache-2.0
/* Targets that another member, the server, hands over to this one. */
#include "gateway/cluster/handovers.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/hash.h"
#include "base/os/thread.h"
#include "base/text/duration.h"
#include "base/text/num.h"
#include "tests/unit/http_server.h"

enum { PATIENCE_MS = 20000, IDS = HANDOVER_IDS + 500 };

struct handover_world {
    struct http_server server;
    struct loop *loop;
    struct client_profile *profile;
    struct handovers *handovers;
    char address[64];
    int64_t from;
    _Atomic int64_t complete, sent;      /* what the other member says */
    atomic_uint asked, requests;         /* for itself, for pages */
    atomic_bool fails;                   /* requests for pages */
    unsigned taken, released;            /* targets, calls */
};

static void other_member_handle(void *arg, const struct server_request *q, struct server_response *r)
{
    struct handover_world *w = arg;
    struct str rest = q->body, line;
    if (str_is(q->path, "/api/v1/cluster/member")) {
        atomic_fetch_add(&w->asked, 1);
        buf_printf(&r->body, "{\"data\":{\"process\":\"p1\",\"role\":\"active\",\"completeMs\":%lld,\"sentUntilMs\":%lld}}",
                   (long long)atomic_load(&w->complete), (long long)atomic_load(&w->sent));
        return;
    }
    atomic_fetch_add(&w->requests, 1);
    if (atomic_load(&w->fails) || !str_is(q->path, "/api/v1/cluster/handover")) {
        r->status = 500;
        return;
    }
    while (str_cut(&rest, '\n', &line))
        if (line.n > 0)
            buf_printf(&r->body, "%.*s 1 0\n", STR_ARG(line));
}

static bool world_take(void *arg, const struct handover_source *of, struct buf *body,
                       void (*answered)(void *answered_arg, uint64_t id), void *answered_arg, struct err *err UNUSED)
{
    struct handover_world *w = arg;
    struct str rest = buf_str(body), line, id;
    uint64_t number;
    assert_int_equal(of->from, w->from);
    assert_int_equal(w->released, 0);
    while (rest.n > 0 && str_cut(&rest, '\n', &line)) {
        assert_true(str_cut(&line, ' ', &id) && num_parse_u64(id, &number));
        answered(answered_arg, number);
        w->taken++;
    }
    return true;
}

static void world_release(void *arg, const struct handover_source *of)
{
    struct handover_world *w = arg;
    assert_true(of->from == w->from && of->by == hash_bytes("b", 1));
    w->released++;
}

static void handover_world_open(struct handover_world *w, int64_t from, size_t targets)
{
    struct err err;
    http_server_start(&w->server, other_member_handle, w);
    snprintf(w->address, sizeof w->address, "http://127.0.0.1:%d", w->server.port);
    w->from = from;
    w->loop = loop_new();
    w->profile = client_profile_new(&(struct client_profile_conf){0}, &err);
    w->handovers = handovers_new(&(struct handovers_conf){
        .loop = w->loop, .profile = w->profile, .take = world_take, .release = world_release, .arg = w});
    for (size_t i = targets; i > 0; i--)
        handovers_expect(w->handovers, &(struct cluster_member){.id = STR("b"), .address = str_of(w->address)}, from, i);
}

static void handover_world_close(struct handover_world *w)
{
    handovers_free(w->handovers);
    client_profile_unref(w->profile);
    loop_free(w->loop);
    http_server_stop(&w->server);
}

static void turn_until(struct handover_world *w, const atomic_uint *counter, unsigned n)
{
    for (int64_t end = clock_mono_ms() + PATIENCE_MS; clock_mono_ms() < end && atomic_load(counter) < n;)
        loop_turn(w->loop, 20);
    assert_true(atomic_load(counter) >= n);
}

static void turn_until_released(struct handover_world *w)
{
    for (int64_t end = clock_mono_ms() + PATIENCE_MS; clock_mono_ms() < end && w->released == 0;)
        loop_turn(w->loop, 20);
    assert_int_equal(w->released, 1);
}

static void test_pages_first_then_the_release(void **state UNUSED)
{
    struct handover_world w = {.complete = 1, .sent = 1};
    handover_world_open(&w, clock_wall_ms(), IDS);
    turn_until(&w, &w.asked, 2);
    assert_int_equal(atomic_load(&w.requests), 0); /* its last scrapes are in progress */
    atomic_store(&w.complete, w.from);
    turn_until(&w, &w.requests, 2);
    unsigned asked = atomic_load(&w.asked);
    turn_until(&w, &w.asked, asked + 2);
    assert_int_equal(w.taken, IDS);
    assert_int_equal(w.released, 0); /* its samples are on their way */
    atomic_store(&w.sent, w.from);
    turn_until_released(&w);
    assert_int_equal(atomic_load(&w.requests), 2);
    handover_world_close(&w);
}

static void test_requests_that_fail_are_repeated_but_not_for_ever(void **state UNUSED)
{
    struct handover_world w = {.fails = true};
    handover_world_open(&w, clock_wall_ms(), 10);
    atomic_store(&w.complete, w.from);
    atomic_store(&w.sent, w.from);
    turn_until_released(&w);
    assert_int_equal(atomic_load(&w.requests), 3);
    assert_int_equal(w.taken, 0);
    handover_world_close(&w);
}

static void test_a_member_that_has_left_has_sent_what_it_could(void **state UNUSED)
{
    struct handover_world w = {0};
    handover_world_open(&w, clock_wall_ms(), 10);
    turn_until(&w, &w.asked, 1);
    handovers_member_left(w.handovers, STR("a"));
    assert_int_equal(w.released, 0);
    handovers_member_left(w.handovers, STR("b"));
    assert_int_equal(w.released, 1);
    handover_world_close(&w);
}

static void test_a_lagging_destination_delays_it_for_some_time(void **state UNUSED)
{
    struct handover_world w = {0};
    handover_world_open(&w, clock_wall_ms() - HANDOVER_LIMIT_MS + 1000, 10);
    atomic_store(&w.complete, w.from);
    atomic_store(&w.sent, w.from - 1);
    turn_until(&w, &w.requests, 1);
    assert_int_equal(w.released, 0);
    turn_until_released(&w);
    assert_int_equal(w.taken, 10);
    handover_world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_pages_first_then_the_release),
                                       cmocka_unit_test(test_requests_that_fail_are_repeated_but_not_for_ever),
                                       cmocka_unit_test(test_a_member_that_has_left_has_sent_what_it_could),
                                       cmocka_unit_test(test_a_lagging_destination_delays_it_for_some_time)};
    return cmocka_run_group_tests_name("handovers", tests, NULL, NULL);
}
