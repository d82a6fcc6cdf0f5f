// SPDX-License-Identifier: Apache-2.0
#include "base/http/resolver.h"

#include "base/text/duration.h"
#include "tests/unit/base/name_server.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { SOON_MS = 30000, TRIES = 3 /* of a lookup */ };

static struct loop *loop;
static int n_done;

static void on_done(struct resolver_request *r UNUSED) { n_done++; }

static int set_up(void **state UNUSED)
{
    name_server_start();
    loop = loop_new();
    resolver_retain();
    return 0;
}

static int tear_down(void **state UNUSED)
{
    resolver_release();
    loop_free(loop);
    name_server_stop();
    return 0;
}

static bool ask(struct resolver_request *r, const char *name)
{
    *r = (struct resolver_request){.loop = loop, .done = on_done};
    n_done = 0;
    return resolver_ask(r, name);
}

static void wait_for(int n)
{
    int64_t until = clock_mono_ms() + SOON_MS;
    while (n_done < n && clock_mono_ms() < until)
        loop_turn(loop, 100);
    assert_int_equal(n_done, n);
}

/* Asks and waits; the addresses ("" and why when there are none) until the next call. */
static const char *resolve(const char *name, const char **why)
{
    static char text[DNS_TEXT];
    struct resolver_request r;
    if (!ask(&r, name))
        wait_for(1);
    snprintf(text, sizeof text, "%s", r.addresses ? r.addresses : "");
    mem_free(r.addresses);
    if (why)
        *why = r.why;
    return text;
}

static void addresses_are_cached(void **state UNUSED)
{
    struct resolver_request r;
    assert_string_equal(resolve("one.test", NULL), "127.0.0.1");
    assert_true(ask(&r, "ONE.test"));
    assert_string_equal(r.addresses, "127.0.0.1");
    mem_free(r.addresses);
    assert_int_equal(name_server_asked("one.test"), 1);
    const char *many = resolve("many.test", NULL);
    assert_true(strstr(many, "127.0.0.1") && strstr(many, "127.0.0.2") && strstr(many, "[::1]"));
    clock_advance(NAME_SERVER_TTL_MS + 100);
    assert_string_equal(resolve("one.test", NULL), "127.0.0.1");
    assert_int_equal(name_server_asked("one.test"), 2);
}

static void names_without_address_say_why(void **state UNUSED)
{
    const char *why;
    unsigned asked;
    assert_string_equal(resolve("absent.test", &why), "");
    assert_string_equal(why, "no such host");
    asked = name_server_asked("absent.test");
    assert_string_equal(resolve("absent.test", &why), "");
    assert_int_equal(name_server_asked("absent.test"), asked);
    assert_string_equal(resolve("empty.test", &why), "");
    assert_string_equal(why, "the name has no address");
    assert_string_equal(resolve("broken.test", &why), "");
    assert_string_equal(why, "the name server cannot be reached or reports a failure (SERVFAIL, REFUSED)");
    char longest[300];
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    assert_string_equal(resolve(longest, &why), "");
    assert_string_equal(why, "not a valid host name");
}

static void literals_need_no_lookup(void **state UNUSED)
{
    struct resolver_request r;
    static const struct { const char *host, *address; } known[] = {
        {"192.0.2.7", "192.0.2.7"}, {"2001:db8::1", "[2001:db8::1]"}, {"[::1]", "[::1]"},
        {"localhost", "127.0.0.1,[::1]"}, {"a.LOCALHOST", "127.0.0.1,[::1]"}};
    for (size_t i = 0; i < LEN(known); i++) {
        assert_true(resolver_is_literal(known[i].host));
        assert_true(ask(&r, known[i].host));
        assert_string_equal(r.addresses, known[i].address);
        mem_free(r.addresses);
    }
    assert_false(resolver_is_literal("localhost.test"));
    assert_false(resolver_is_literal("192.0.2.7.test"));
    assert_false(resolver_is_literal(""));
}

static void equal_names_share_a_lookup(void **state UNUSED)
{
    struct resolver_request r[20];
    for (size_t i = 0; i < LEN(r); i++)
        assert_false(ask(&r[i], "late.test"));
    wait_for(LEN(r));
    for (size_t i = 0; i < LEN(r); i++) {
        assert_string_equal(r[i].addresses, "127.0.0.1");
        mem_free(r[i].addresses);
    }
    assert_int_equal(name_server_asked("late.test"), 1);
}

/* A thousand names without a response: another one is answered before they fail, and canceled requests are not. */
static void silence_costs_only_itself(void **state UNUSED)
{
    static struct resolver_request r[1000];
    char name[32];
    for (size_t i = 0; i < LEN(r); i++) {
        snprintf(name, sizeof name, "silent%zu.test", i);
        assert_false(ask(&r[i], name));
    }
    assert_string_equal(resolve("one.test", NULL), "127.0.0.1");
    assert_int_equal(n_done, 1);
    for (size_t i = 0; i < LEN(r); i++)
        resolver_cancel(&r[i]);
    assert_int_equal(n_done, 1);
}

static void a_canceled_request_is_not_answered(void **state UNUSED)
{
    struct resolver_request r, cached;
    assert_false(ask(&r, "one.test"));
    for (; !ask(&cached, "one.test"); usleep(1000)) /* cached: the answer to r is posted */
        resolver_cancel(&cached);
    mem_free(cached.addresses);
    resolver_cancel(&r);
    loop_turn(loop, 0);
    assert_int_equal(n_done, 0);
    resolver_cancel(&r);
}

static void old_addresses_serve_while_nobody_responds(void **state UNUSED)
{
    struct resolver_request r;
    name_server_move(5);
    assert_string_equal(resolve("moving.test", NULL), "127.0.0.5");
    name_server_hush(true);
    name_server_move(6);
    clock_advance(NAME_SERVER_TTL_MS + 100);
    int64_t before = clock_mono_ms();
    unsigned asked = name_server_asked("moving.test");
    assert_false(ask(&r, "moving.test"));
    wait_for(1);
    assert_string_equal(r.addresses, "127.0.0.5");
    assert_true(clock_mono_ms() - before >= 450);
    assert_in_range(name_server_asked("moving.test") - asked, 0, TRIES - 1); /* the lookup goes on */
    mem_free(r.addresses);
    assert_true(ask(&r, "moving.test")); /* the next does not wait */
    assert_string_equal(r.addresses, "127.0.0.5");
    mem_free(r.addresses);
    name_server_hush(false);
    for (int64_t until = clock_mono_ms() + SOON_MS; clock_mono_ms() < until; usleep(50000))
        if (strcmp(resolve("moving.test", NULL), "127.0.0.6") == 0) /* the lookup under way is tried again within 2 s */
            break;
    assert_string_equal(resolve("moving.test", NULL), "127.0.0.6");
}

static void a_new_address_wins_over_an_old_one(void **state UNUSED)
{
    name_server_move(5);
    assert_string_equal(resolve("moving.test", NULL), "127.0.0.5");
    name_server_move(6);
    clock_advance(NAME_SERVER_TTL_MS + 100);
    assert_string_equal(resolve("moving.test", NULL), "127.0.0.6");
}

static int n_records_done;
static void on_records(struct records_request *r UNUSED) { n_records_done++; }

static void ask_for_records(struct records_request *r, const char *name, enum dns_type type)
{
    *r = (struct records_request){.loop = loop, .done = on_records};
    n_records_done = 0;
    assert_false(resolver_ask_records(r, name, type));
}

static void await_records(void)
{
    for (int64_t began = clock_mono_ms(); n_records_done == 0 && clock_mono_ms() - began < SOON_MS;)
        loop_turn(loop, 10);
    assert_int_equal(n_records_done, 1);
}

static void records_are_sorted(void **state UNUSED)
{
    struct records_request r;
    ask_for_records(&r, "many.test", DNS_A);
    await_records();
    assert_null(r.records.why);
    assert_int_equal(r.records.n, 2);
    assert_string_equal(r.records.items[0].target, "127.0.0.1");
    assert_string_equal(r.records.items[1].target, "127.0.0.2");
    dns_records_free(&r.records);
    ask_for_records(&r, "many.test", DNS_AAAA);
    await_records();
    assert_int_equal(r.records.n, 1);
    assert_string_equal(r.records.items[0].target, "::1");
    dns_records_free(&r.records);
}

static void absent_records_are_no_failure(void **state UNUSED)
{
    static const char *const names[] = {"absent.test", "empty.test"};
    struct records_request r;
    for (size_t i = 0; i < LEN(names); i++) {
        ask_for_records(&r, names[i], DNS_A);
        await_records();
        assert_null(r.records.why);
        assert_int_equal(r.records.n, 0);
    }
    ask_for_records(&r, "broken.test", DNS_A);
    await_records();
    assert_non_null(strstr(r.records.why, "reports a failure"));
    ask_for_records(&r, "not..valid", DNS_A);
    await_records();
    assert_non_null(r.records.why);
}

/* Before the lookup, during it, and when its result is on its way; the last one is in progress at the end. */
static void records_can_be_canceled(void **state UNUSED)
{
    struct records_request r;
    ask_for_records(&r, "late.test", DNS_A);
    resolver_cancel_records(&r);
    ask_for_records(&r, "one.test", DNS_A);
    usleep(400 * 1000);
    resolver_cancel_records(&r);
    resolver_cancel_records(&r);
    ask_for_records(&r, "silent.test", DNS_A);
    usleep(50 * 1000);
    resolver_cancel_records(&r);
    loop_turn(loop, 20);
    assert_int_equal(n_records_done, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(addresses_are_cached, set_up, tear_down),
        cmocka_unit_test_setup_teardown(names_without_address_say_why, set_up, tear_down),
        cmocka_unit_test_setup_teardown(literals_need_no_lookup, set_up, tear_down),
        cmocka_unit_test_setup_teardown(equal_names_share_a_lookup, set_up, tear_down),
        cmocka_unit_test_setup_teardown(silence_costs_only_itself, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_canceled_request_is_not_answered, set_up, tear_down),
        cmocka_unit_test_setup_teardown(old_addresses_serve_while_nobody_responds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_new_address_wins_over_an_old_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(records_are_sorted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(absent_records_are_no_failure, set_up, tear_down),
        cmocka_unit_test_setup_teardown(records_can_be_canceled, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
