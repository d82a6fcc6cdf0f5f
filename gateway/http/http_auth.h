// SPDX-License-Identifier: Apache-2.0
/* Basic authentication. Passwords of users are bcrypt hashes, or texts that are compared.
 *
 * bcrypt is slow by design, 50 ms and more, so a thread verifies passwords, one at a time, and results are cached: a
 * scraper's password costs once. What is cached is a HMAC under a key drawn at start, of the user's name, hash and the
 * password: after a reload the results of unchanged users are still valid, and those of changed ones never match.
 * Passwords are kept in memory only while they wait for the thread.
 *
 * Wrong passwords are limited: each client address may have LOGINS_PER_ADDRESS of them waiting, the process
 * LOGINS_MAX; after a wrong one the thread rests for as long as it took. They cannot evict right ones from the cache.
 * An unknown user takes as long as a known one.
 */
#ifndef GATEWAY_HTTP_HTTP_AUTH_H
#define GATEWAY_HTTP_HTTP_AUTH_H

#include "base/arena.h"
#include "base/err.h"
#include "base/os/loop.h"
#include "base/str.h"

enum { LOGINS_PER_ADDRESS = 8, LOGINS_MAX = 64, LOGIN_COST_MAX = 18 /* some 15 s */ };
struct http_user { struct str name, secret; bool is_hash; unsigned denied; /* bits of enum route_class */ };

/* Immutable, reference counted. */
struct http_users;
/* keyed_routes: routes that are open, or have their own key, need no user (http_hooks.open). */
struct http_users *http_users_new(const struct http_user *users, size_t n, bool keyed_routes); /* copies them */
struct http_users *http_users_ref(struct http_users *u);
void http_users_unref(struct http_users *u); /* NULL is fine */
void http_users_open(struct http_users *u, unsigned classes); /* before it is shared: bits that need no user */
bool http_users_is_open(const struct http_users *u, unsigned class);
bool http_users_allow(const struct http_users *u, struct str name, unsigned class); /* a name that has logged in */
bool http_users_spare_keyed(const struct http_users *u); /* keyed_routes */
/* Whether it is a bcrypt hash as `htpasswd -B` prints it. */
bool http_user_hash_check(struct str hash, struct err *err) MUST_USE;

enum http_login { LOGIN_OK, LOGIN_DENIED, LOGIN_BUSY /* too many wait */, LOGIN_WAITS };
struct http_address;
struct http_login_check {
    struct loop_task done;  /* posted to the loop when `result` is set */
    enum http_login result; /* not WAITS */
    void *owner;
    struct loop *_loop;
    struct http_login_check *_next;
    struct http_address *_from;
    uint8_t _digest[32];
    char *_hash, *_password;
    bool _known;
};
void http_login_check_free(struct http_login_check *c);

/* The thread, the queue and the cache; one per process. */
struct http_auth;
struct http_auth *http_auth_new(void);
/* Any thread; never waits. `authorization`: the header's value. WAITS: *check belongs to the caller from when its task
 * runs, which happens for each check before http_auth_stop returns, or afterwards if its loop still runs. */
enum http_login http_auth_begin(struct http_auth *a, const struct http_users *u, struct str authorization,
                                struct http_address *from, const struct http_login_check *check);
/* The name in the header, in the arena; empty: none. */
struct str http_auth_user(struct arena *a, struct str authorization);
void http_auth_stop(struct http_auth *a); /* checks that wait end as BUSY; joins the thread; NULL is fine */
void http_auth_free(struct http_auth *a);

#endif
