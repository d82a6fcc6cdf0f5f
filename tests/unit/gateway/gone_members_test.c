// SPDX-License-Identifier: Apache-2.0
/* What is found out about a member that is gone, at a server that is both etcd and that member. */
#include "gateway/cluster/gone_members.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/text/base64.h"
#include "base/text/duration.h"
#include "gateway/cluster/sent_times.h"
#include "tests/unit/http_server.h"

enum { KEEP_MS = 60000, PATIENCE_MS = 20000 };

struct gone_world {
    struct http_server server;
    struct loop *loop;
    struct etcd *etcd;
    struct client_profile *profile;
    struct gone_members *gone;
    char address[64];
    atomic_uint reads, removals; /* requests to etcd */
    unsigned failing;            /* the first reads */
    int64_t written, said;       /* said 0: nothing */
    atomic_bool scrapes;         /* it says that it goes on */
    atomic_uint asked;
};

static void gone_handle(void *arg, const struct server_request *q, struct server_response *r)
{
    struct gone_world *w = arg;
    struct buf record = {0}, text = {0};
    if (str_is(q->path, "/v3/kv/txn")) {
        atomic_fetch_add(&w->removals, 1);
        buf_add_z(&r->body, "{\"succeeded\":true}");
    } else if (str_is(q->path, "/v3/kv/range")) {
        r->status = atomic_fetch_add(&w->reads, 1) < w->failing ? 500 : 200;
        sent_record_write(STR("p1"), w->written, &record);
        base64_add(&text, buf_str(&record));
        buf_printf(&r->body, "{\"kvs\":[{\"value\":\"%s\"}]}", buf_z(&text));
    } else if (w->said > 0) {
        atomic_fetch_add(&w->asked, 1);
        buf_printf(&r->body, "{\"data\":{\"process\":\"p1\",\"role\":\"%s\",\"sentUntilMs\":%lld}}",
                   atomic_load(&w->scrapes) ? "active" : "fenced", (long long)w->said);
    } else {
        r->status = 404;
    }
    buf_free(&record);
    buf_free(&text);
}

static void gone_ignore_settled(void *arg UNUSED) {}

static void gone_world_open(struct gone_world *w, int64_t keep_ms)
{
    struct err err;
    http_server_start(&w->server, gone_handle, w);
    snprintf(w->address, sizeof w->address, "http://127.0.0.1:%d", w->server.port);
    const char *endpoint = w->address;
    w->loop = loop_new();
    w->etcd = etcd_new(w->loop, &(struct etcd_conf){.endpoints = &endpoint, .n_endpoints = 1});
    w->profile = client_profile_new(&(struct client_profile_conf){0}, &err);
    w->gone = gone_new(&(struct gone_members_conf){
        .etcd = w->etcd, .profile = w->profile, .members = STR("/m/"), .sent = STR("/s/"), .keep_ms = keep_ms,
        .settled = gone_ignore_settled});
}

static void gone_world_close(struct gone_world *w)
{
    gone_free(w->gone);
    etcd_free(w->etcd);
    client_profile_unref(w->profile);
    loop_free(w->loop);
    http_server_stop(&w->server);
}

static struct cluster_member gone_member(struct gone_world *w, const char *id)
{
    return (struct cluster_member){.id = str_of(id), .address = str_of(w->address), .weight = 1, .from = 1};
}

static void gone_world_add_later(struct gone_world *w, const char *id, int64_t wait_ms)
{
    struct cluster_member m = gone_member(w, id);
    gone_add(w->gone, &m, STR("p1"), wait_ms);
}
static void gone_world_add(struct gone_world *w, const char *id) { gone_world_add_later(w, id, 0); }

static bool gone_never_back(void *arg UNUSED, const struct cluster_member *m UNUSED, struct str boot UNUSED) { return false; }

/* The only one, once its time is found. */
static struct cluster_member gone_found(struct gone_world *w)
{
    struct cluster_member m = {0};
    for (int64_t end = clock_mono_ms() + PATIENCE_MS; gone_pending(w->gone) && clock_mono_ms() < end;)
        loop_turn(w->loop, 50);
    assert_int_equal(gone_list(w->gone, gone_never_back, NULL, &m, 1), 1);
    return m;
}

static void test_errors_of_etcd_are_retried(void **state UNUSED)
{
    struct gone_world w = {.failing = 2, .written = clock_wall_ms() - 5000};
    gone_world_open(&w, KEEP_MS);
    gone_world_add(&w, "a");
    struct cluster_member m = gone_found(&w);
    assert_int_equal(atomic_load(&w.reads), 3);
    assert_int_equal(m.until, w.written);
    assert_int_equal(m.place_until, w.written + KEEP_MS);
    gone_world_close(&w);
}

static void test_times_in_the_future_count_as_now(void **state UNUSED)
{
    struct gone_world w = {.written = clock_wall_ms() + 1000000, .said = clock_wall_ms() + 2000000};
    gone_world_open(&w, KEEP_MS);
    gone_world_add(&w, "a");
    struct cluster_member m = gone_found(&w);
    assert_true(m.until <= clock_wall_ms());
    assert_true(m.place_until <= clock_wall_ms() + KEEP_MS);
    gone_world_close(&w);
}

/* Its lease ended, but it was not suspended or cut off: it is not replaced while it scrapes. */
static void test_a_member_that_goes_on_is_waited_for(void **state UNUSED)
{
    struct gone_world w = {.written = 1000, .said = 2000, .scrapes = true};
    gone_world_open(&w, KEEP_MS);
    gone_world_add(&w, "a");
    for (int64_t end = clock_mono_ms() + PATIENCE_MS; atomic_load(&w.asked) < 3 && clock_mono_ms() < end;)
        loop_turn(w.loop, 50);
    assert_true(gone_pending(w.gone));
    atomic_store(&w.scrapes, false);
    gone_found(&w);
    gone_world_close(&w);
}

/* After an outage of etcd: members that register again within some seconds are not even asked. */
static void test_members_that_return_are_not_asked(void **state UNUSED)
{
    struct gone_world w = {.written = 1000, .said = 2000};
    struct cluster_member a, rejoined;
    gone_world_open(&w, KEEP_MS);
    a = rejoined = gone_member(&w, "a");
    rejoined.from = 5000; /* it had stopped meanwhile */
    gone_world_add_later(&w, "a", 60000);
    assert_true(gone_pending(w.gone));
    gone_returned(w.gone, &a, STR("p2"));
    gone_returned(w.gone, &rejoined, STR("p1"));
    assert_true(gone_pending(w.gone));
    gone_returned(w.gone, &a, STR("p1"));
    assert_false(gone_pending(w.gone));
    assert_int_equal(gone_list(w.gone, gone_never_back, NULL, &a, 1), 0);
    assert_int_equal(atomic_load(&w.reads) + atomic_load(&w.asked), 0);
    gone_world_close(&w);
}

static void test_the_keys_of_all_are_removed(void **state UNUSED)
{
    static const char *const ids[] = {"a", "b", "c"};
    struct gone_world w = {.written = 1};
    struct cluster_member m;
    gone_world_open(&w, 1);
    for (size_t i = 0; i < LEN(ids); i++)
        gone_world_add(&w, ids[i]);
    gone_found(&w);
    for (int64_t end = clock_mono_ms() + PATIENCE_MS; atomic_load(&w.removals) < LEN(ids) && clock_mono_ms() < end;) {
        gone_tick(w.gone, true);
        loop_turn(w.loop, 20);
    }
    assert_int_equal(atomic_load(&w.removals), LEN(ids));
    assert_int_equal(gone_list(w.gone, gone_never_back, NULL, &m, 1), 0);
    gone_world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_errors_of_etcd_are_retried),
                                       cmocka_unit_test(test_times_in_the_future_count_as_now),
                                       cmocka_unit_test(test_a_member_that_goes_on_is_waited_for),
                                       cmocka_unit_test(test_members_that_return_are_not_asked),
                                       cmocka_unit_test(test_the_keys_of_all_are_removed)};
    return cmocka_run_group_tests_name("gone_members", tests, NULL, NULL);
}
