// SPDX-License-Identifier: Apache-2.0
/* Passwords: what is right, what is cached, and how much waits. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/text/base64.h"
#include "base/text/duration.h"
#include "gateway/http/http_auth.h"
#include "gateway/http/http_connection.h"

#include <stdio.h>

/* Of "secret", with cost 4 and 10. */
#define QUICK "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"
#define SLOW  "$2y$10$abcdefghijklmnopqrstuuqflPDzB6gcMhKa1rZqKiun2YGL5sa2u"

static struct http_auth *auth;
static struct loop *loop;
static struct http_address address, other_address;
static unsigned n_done;
static enum http_login last;

static void on_done(struct loop_task *t)
{
    struct http_login_check *c = CONTAINER(t, struct http_login_check, done);
    last = c->result;
    n_done++;
    http_login_check_free(c);
}

static int auth_set_up(void **state UNUSED)
{
    stats_register(&http_stats);
    auth = http_auth_new();
    loop = loop_new();
    n_done = 0;
    return auth == NULL || loop == NULL;
}

static int auth_tear_down(void **state UNUSED)
{
    http_auth_free(auth);
    loop_turn(loop, 0);
    loop_free(loop);
    return atomic_load(&address.logins) > 0;
}

static struct http_users *user(const char *name, const char *secret, bool is_hash)
{
    return http_users_new(&(struct http_user){str_of(name), str_of(secret), is_hash}, 1, false);
}

static enum http_login login_from(struct http_address *from, const struct http_users *u, const char *login)
{
    struct buf header = {0};
    const struct http_login_check check = {.done.run = on_done, ._loop = loop};
    buf_add_z(&header, "Basic ");
    base64_add(&header, str_of(login));
    enum http_login result = http_auth_begin(auth, u, buf_str(&header), from, &check);
    buf_free(&header);
    return result;
}

static enum http_login login(const struct http_users *u, const char *login)
{
    return login_from(&address, u, login);
}

static enum http_login await(unsigned n)
{
    int64_t until = clock_mono_ms() + 20000;
    while (n_done < n && clock_mono_ms() < until)
        loop_turn(loop, 100);
    assert_int_equal(n_done, n);
    return last;
}

static double verified(void) { return stats_sum(&http_stats, HTTP_PASSWORDS); }

static void a_hash_is_verified_once(void **state UNUSED)
{
    struct http_users *u = user("alice", QUICK, true);
    double before = verified();
    assert_int_equal(login(u, "alice:secret"), LOGIN_WAITS);
    assert_int_equal(await(1), LOGIN_OK);
    for (int i = 0; i < 100; i++)
        assert_int_equal(login(u, "alice:secret"), LOGIN_OK);
    assert_int_equal(login(u, "alice:wrong"), LOGIN_WAITS);
    assert_int_equal(await(2), LOGIN_DENIED);
    assert_int_equal(login(u, "alice:wrong"), LOGIN_DENIED);
    assert_true(verified() - before == 2);
    http_users_unref(u);
}

/* The cache outlives the users, but not their hashes. */
static void a_reload_keeps_what_is_unchanged(void **state UNUSED)
{
    struct http_users *u = user("alice", QUICK, true), *same = user("alice", QUICK, true), *changed = user("alice", SLOW, true),
                      *renamed = user("bob", QUICK, true);
    assert_int_equal(login(u, "alice:secret"), LOGIN_WAITS);
    assert_int_equal(await(1), LOGIN_OK);
    assert_int_equal(login(same, "alice:secret"), LOGIN_OK);
    assert_int_equal(login(changed, "alice:secret"), LOGIN_WAITS);
    assert_int_equal(login(renamed, "bob:secret"), LOGIN_WAITS);
    assert_int_equal(await(3), LOGIN_OK);
    http_users_unref(u);
    http_users_unref(same);
    http_users_unref(changed);
    http_users_unref(renamed);
}

static void an_unknown_user_is_denied_as_slowly(void **state UNUSED)
{
    struct http_users *u = user("alice", QUICK, true);
    assert_int_equal(login(u, "mallory:secret"), LOGIN_WAITS);
    assert_int_equal(await(1), LOGIN_DENIED);
    assert_int_equal(login(u, "alice:secret"), LOGIN_WAITS); /* the same password: not taken for the other's */
    assert_int_equal(await(2), LOGIN_OK);
    http_users_unref(u);
}

static void texts_are_compared_at_once(void **state UNUSED)
{
    struct http_users *u = user("alice", "pass:word", false);
    assert_int_equal(login(u, "alice:pass:word"), LOGIN_OK);
    assert_int_equal(login(u, "alice:pass"), LOGIN_DENIED);
    assert_int_equal(login(u, "alice:"), LOGIN_DENIED);
    assert_int_equal(login(u, "mallory:pass:word"), LOGIN_DENIED);
    http_users_unref(u);
}

static void what_is_no_login(void **state UNUSED)
{
    static const char *const headers[] = {"", "Basic", "Basic ", "Basic !!!!", "Basic YWxpY2U6c2VjcmV0x", "Bearer YWxpY2U6c2VjcmV0",
                                          "Basic YWxpY2U=" /* no colon */, "Basic YWxpY2U6cw== YWxpY2U6cw=="};
    struct http_users *u = user("alice", "secret", false);
    const struct http_login_check check = {.done.run = on_done, ._loop = loop};
    for (size_t i = 0; i < LEN(headers); i++)
        assert_int_equal(http_auth_begin(auth, u, str_of(headers[i]), &address, &check), LOGIN_DENIED);
    assert_int_equal(http_auth_begin(auth, u, STR_NONE, &address, &check), LOGIN_DENIED);
    assert_int_equal(http_auth_begin(auth, u, STR("bAsIc  YWxpY2U6c2VjcmV0 "), &address, &check), LOGIN_OK);
    struct buf zero = {0};
    buf_add_z(&zero, "Basic ");
    base64_add(&zero, str_n("alice:secret\0more", 17));
    assert_int_equal(http_auth_begin(auth, u, buf_str(&zero), &address, &check), LOGIN_DENIED);
    buf_free(&zero);
    http_users_unref(u);
}

/* An address that guesses fills its own places only, and connections with one password share a verification. */
static void what_waits_is_limited(void **state UNUSED)
{
    struct http_users *u = user("alice", SLOW, true);
    double before = verified();
    char guess[32];
    unsigned waiting = 0, busy = 0;
    for (int i = 0; i < 50; i++) {
        snprintf(guess, sizeof guess, "alice:guess%d", i);
        enum http_login result = login(u, guess);
        waiting += result == LOGIN_WAITS;
        busy += result == LOGIN_BUSY;
    }
    assert_int_equal(waiting, LOGINS_PER_ADDRESS);
    assert_int_equal(busy, 50 - LOGINS_PER_ADDRESS);
    for (int i = 0; i < 200; i++)
        assert_int_equal(login_from(&other_address, u, "alice:secret"), LOGIN_WAITS);
    assert_int_equal(await(LOGINS_PER_ADDRESS + 200), LOGIN_OK);
    assert_true(verified() - before == LOGINS_PER_ADDRESS + 1);
    http_users_unref(u);
}

static void a_stop_ends_what_waits(void **state UNUSED)
{
    struct http_users *u = user("alice", SLOW, true);
    assert_int_equal(login(u, "alice:a"), LOGIN_WAITS);
    assert_int_equal(login(u, "alice:b"), LOGIN_WAITS);
    assert_int_equal(login(u, "alice:c"), LOGIN_WAITS);
    http_auth_stop(auth);
    assert_int_equal(await(3), LOGIN_BUSY);
    assert_int_equal(login(u, "alice:d"), LOGIN_BUSY);
    http_users_unref(u);
}

/* 300 wrong passwords of many addresses cannot evict a right one. */
static void guesses_do_not_evict_logins(void **state UNUSED)
{
    struct http_users *u = user("alice", QUICK, true);
    char guess[32];
    assert_int_equal(login(u, "alice:secret"), LOGIN_WAITS);
    assert_int_equal(await(1), LOGIN_OK);
    for (int i = 0; i < 300; i++) {
        snprintf(guess, sizeof guess, "alice:guess%d", i);
        assert_int_equal(login(u, guess), LOGIN_WAITS);
        assert_int_equal(await((unsigned)i + 2), LOGIN_DENIED);
    }
    assert_int_equal(login(u, "alice:secret"), LOGIN_OK);
    http_users_unref(u);
}

static void hashes(void **state UNUSED)
{
    static const char *const wrong[] = {"", "secret", "$1$abc", "$2y$10$short", "$2x$10$abcdefghijklmnopqrstuuqflPDzB6gcMhKa1rZqKiun2YGL5sa2u",
        "$2y$03$abcdefghijklmnopqrstuuqflPDzB6gcMhKa1rZqKiun2YGL5sa2u", "$2y$19$abcdefghijklmnopqrstuuqflPDzB6gcMhKa1rZqKiun2YGL5sa2u",
        "$2y$10$abcdefghijklmnopqrst:uqflPDzB6gcMhKa1rZqKiun2YGL5sa2u"};
    struct err err;
    assert_true(http_user_hash_check(STR(QUICK), &err));
    assert_true(http_user_hash_check(STR(SLOW), &err));
    for (size_t i = 0; i < LEN(wrong); i++)
        assert_false(http_user_hash_check(str_of(wrong[i]), &err));
    assert_non_null(strstr(err.text, "htpasswd"));
}

static void base64(void **state UNUSED)
{
    static const char *const texts[] = {"", "a", "ab", "abc", "abcd", "\xff\xfe\x01"};
    static const char *const wrong[] = {"a", "ab", "abc", "YQ=", "YR==", "YWJ=", "Y Q=", "====", "YQ==YQ=="};
    for (size_t i = 0; i < LEN(texts); i++) {
        struct buf code = {0}, text = {0};
        base64_add(&code, str_of(texts[i]));
        assert_true(base64_read(&text, buf_str(&code)));
        assert_true(str_is(buf_str(&text), texts[i]));
        buf_free(&code);
        buf_free(&text);
    }
    for (size_t i = 0; i < LEN(wrong); i++) {
        struct buf text = {0};
        assert_false(base64_read(&text, str_of(wrong[i])));
        buf_free(&text);
    }
}

#define WITH_AUTH(test) cmocka_unit_test_setup_teardown(test, auth_set_up, auth_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_AUTH(a_hash_is_verified_once), WITH_AUTH(a_reload_keeps_what_is_unchanged),
        WITH_AUTH(an_unknown_user_is_denied_as_slowly), WITH_AUTH(texts_are_compared_at_once), WITH_AUTH(what_is_no_login),
        WITH_AUTH(what_waits_is_limited), WITH_AUTH(a_stop_ends_what_waits), WITH_AUTH(guesses_do_not_evict_logins),
        cmocka_unit_test(hashes), cmocka_unit_test(base64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
