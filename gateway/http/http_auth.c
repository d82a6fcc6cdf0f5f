// SPDX-License-Identifier: Apache-2.0
#include "gateway/http/http_auth.h"

#include "base/buf.h"
#include "base/os/thread.h"
#include "base/refs.h"
#include "base/text/base64.h"
#include "base/text/duration.h"
#include "gateway/http/http_connection.h"

#include <crypt.h>
#include <gnutls/crypto.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { DIGEST = 32, SETS = 64, WAYS = 4, PASSWORD_MAX = 1024, NAME_MAX_BYTES = 256, SAME_MAX = 1024,
       REST_MAX_MS = 1000, AUTH_NICE = 10, HASH_BYTES = 60 };
enum { CACHE_OK, CACHE_DENIED, CACHES };

struct user { char *name, *secret; bool is_hash; unsigned denied; };
struct http_users {
    struct refs refs;
    bool keyed_routes;
    unsigned open; /* classes of routes */
    struct user *users;
    size_t n;
    char *decoy; /* hash that unknown users' passwords are verified against; NULL: no user has a hash */
};

struct http_auth {
    struct mutex lock;             /* guards what follows, but the key */
    struct cond wake;              /* there is a check, or a stop */
    struct thread *thread;         /* NULL: not started */
    bool stopping;
    struct http_login_check *first, *last;
    unsigned waiting;
    uint8_t cache[CACHES][SETS][WAYS][DIGEST]; /* zeros: none */
    uint8_t next[CACHES][SETS];    /* the way to replace next */
    uint8_t key[DIGEST];
};

/* ---- users ---- */

bool http_user_hash_check(struct str hash, struct err *err)
{
    static const char digits[] = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    bool ok = hash.n == HASH_BYTES && str_starts(hash, STR("$2")) && strchr("aby", hash.p[2]) && hash.p[3] == '$' &&
              hash.p[4] >= '0' && hash.p[4] <= '9' && hash.p[5] >= '0' && hash.p[5] <= '9' && hash.p[6] == '$';
    for (size_t i = 7; ok && i < hash.n; i++)
        ok = hash.p[i] && strchr(digits, hash.p[i]);
    int cost = ok ? 10 * (hash.p[4] - '0') + hash.p[5] - '0' : 0;
    if (!ok || cost < 4)
        return err_set(err, ERR_BAD_DATA, "not a bcrypt hash; make one with htpasswd -nBC 10 \"\"");
    return cost <= LOGIN_COST_MAX ||
           err_set(err, ERR_BAD_DATA, "the cost of the bcrypt hash is %d, a login would take too long; use at most %d", cost,
                   LOGIN_COST_MAX);
}

/* As slow as the slowest hash of a user. */
static char *users_decoy(const struct http_user *users, size_t n)
{
    struct str cost = STR("");
    struct buf out = {0};
    for (size_t i = 0; i < n; i++)
        if (users[i].is_hash && str_cmp(cost, str_n(users[i].secret.p + 4, 2)) < 0)
            cost = str_n(users[i].secret.p + 4, 2);
    if (cost.n == 0)
        return NULL;
    buf_printf(&out, "$2b$%.*s$......................abcdefghijklmnopqrstuvwxyzABCDE", STR_ARG(cost));
    char *decoy = str_dup(buf_str(&out));
    buf_free(&out);
    return decoy;
}

struct http_users *http_users_new(const struct http_user *users, size_t n, bool keyed_routes)
{
    struct http_users *u = mem_zalloc(sizeof *u);
    refs_init(&u->refs);
    u->keyed_routes = keyed_routes;
    u->users = mem_zalloc((n + 1) * sizeof *u->users);
    u->decoy = users_decoy(users, n);
    for (; u->n < n; u->n++)
        u->users[u->n] = (struct user){str_dup(users[u->n].name), str_dup(users[u->n].secret), users[u->n].is_hash,
                                        users[u->n].denied};
    return u;
}

struct http_users *http_users_ref(struct http_users *u)
{
    refs_take(&u->refs);
    return u;
}

static void secret_free(char *secret)
{
    if (secret)
        explicit_bzero(secret, strlen(secret));
    mem_free(secret);
}

void http_users_unref(struct http_users *u)
{
    if (u == NULL || !refs_drop(&u->refs))
        return;
    for (size_t i = 0; i < u->n; i++) {
        mem_free(u->users[i].name);
        secret_free(u->users[i].secret);
    }
    mem_free(u->users);
    mem_free(u->decoy);
    mem_free(u);
}

bool http_users_spare_keyed(const struct http_users *u) { return u->keyed_routes; }

static const struct user *user_find(const struct http_users *u, struct str name)
{
    for (size_t i = 0; i < u->n; i++)
        if (str_is(name, u->users[i].name))
            return &u->users[i];
    return NULL;
}

void http_users_open(struct http_users *u, unsigned classes) { u->open = classes; }
bool http_users_is_open(const struct http_users *u, unsigned class) { return u->open >> class & 1; }

bool http_users_allow(const struct http_users *u, struct str name, unsigned class)
{
    const struct user *user = user_find(u, name);
    return user && !(user->denied >> class & 1);
}

/* ---- digests and their cache ---- */

static void login_digest(const struct http_auth *a, struct str name, const char *hash, struct str password,
                         uint8_t out[DIGEST])
{
    struct buf all = {0};
    buf_printf(&all, "%zu %zu ", name.n, strlen(hash));
    buf_add_str(&all, name);
    buf_add_z(&all, hash);
    buf_add_str(&all, password);
    if (gnutls_hmac_fast(GNUTLS_MAC_SHA256, a->key, sizeof a->key, all.p, all.n, out) != 0)
        memset(out, 0, DIGEST);
    explicit_bzero(all.p, all.n);
    buf_free(&all);
}

/* With the lock. */
static bool cache_has(const struct http_auth *a, int cache, const uint8_t digest[DIGEST])
{
    static const uint8_t none[DIGEST];
    size_t set = digest[0] % SETS;
    for (size_t i = 0; i < WAYS; i++)
        if (memcmp(a->cache[cache][set][i], digest, DIGEST) == 0)
            return memcmp(digest, none, DIGEST) != 0;
    return false;
}

/* With the lock. */
static void cache_put(struct http_auth *a, int cache, const uint8_t digest[DIGEST])
{
    size_t set = digest[0] % SETS, way = a->next[cache][set]++ % WAYS;
    memcpy(a->cache[cache][set][way], digest, DIGEST);
}

static bool cache_find(const struct http_auth *a, const uint8_t digest[DIGEST], enum http_login *result)
{
    *result = cache_has(a, CACHE_OK, digest) ? LOGIN_OK : LOGIN_DENIED;
    return *result == LOGIN_OK || cache_has(a, CACHE_DENIED, digest);
}

static bool secrets_equal(const char *a, const char *b, size_t n)
{
    unsigned char differs = 0;
    for (size_t i = 0; i < n; i++)
        differs |= (unsigned char)(a[i] ^ b[i]);
    return !differs;
}

/* ---- the thread ---- */

static bool password_matches(struct crypt_data *data, const struct http_login_check *c)
{
    const char *hash = crypt_r(c->_password, c->_hash, data);
    return hash && strlen(hash) == HASH_BYTES && secrets_equal(hash, c->_hash, HASH_BYTES) && c->_known;
}

/* With the lock, which is released meanwhile. The time that a wrong password has taken, in ms; 0: it is right, or the
 * result was known. */
static int64_t auth_verify(struct http_auth *a, struct crypt_data *data, struct http_login_check *c)
{
    if (cache_find(a, c->_digest, &c->result))
        return 0;
    mutex_unlock(&a->lock);
    int64_t began = clock_mono_ms();
    bool ok = password_matches(data, c);
    int64_t ms = clock_mono_ms() - began;
    explicit_bzero(data, sizeof *data);
    stats_add(&http_stats, HTTP_PASSWORDS, 1);
    mutex_lock(&a->lock);
    c->result = ok ? LOGIN_OK : LOGIN_DENIED;
    cache_put(a, ok ? CACHE_OK : CACHE_DENIED, c->_digest);
    return ok ? 0 : ms;
}

/* With the lock. */
static void auth_rest(struct http_auth *a, int64_t ms)
{
    int64_t until = clock_mono_ms() + (ms < REST_MAX_MS ? ms : REST_MAX_MS), left;
    while (!a->stopping && (left = until - clock_mono_ms()) > 0)
        cond_wait_ms(&a->wake, &a->lock, left);
}

static void login_end(struct http_auth *a, struct http_login_check *c)
{
    a->waiting--;
    atomic_fetch_sub(&c->_from->logins, 1);
    loop_post(c->_loop, &c->done);
}

static struct http_login_check *login_pop(struct http_auth *a)
{
    struct http_login_check *c = a->first;
    a->first = c->_next;
    if (a->first == NULL)
        a->last = NULL;
    return c;
}

static void auth_run(void *arg)
{
    struct http_auth *a = arg;
    struct crypt_data *data = mem_zalloc(sizeof *data);
    setpriority(PRIO_PROCESS, (id_t)gettid(), AUTH_NICE);
    mutex_lock(&a->lock);
    while (!a->stopping) {
        if (a->first == NULL) {
            cond_wait(&a->wake, &a->lock);
            continue;
        }
        struct http_login_check *c = login_pop(a);
        int64_t ms = auth_verify(a, data, c);
        login_end(a, c);
        auth_rest(a, ms);
    }
    mutex_unlock(&a->lock);
    mem_free(data);
}

/* ---- logins ---- */

/* "Basic BASE64" of "name:password". False: it is none that can be right. */
static bool login_parse(struct str authorization, struct buf *out, struct str *name, struct str *password)
{
    struct str scheme, code = str_trim(authorization);
    if (!str_cut(&code, ' ', &scheme) || !str_ieq(scheme, STR("Basic")) ||
        code.n > (NAME_MAX_BYTES + PASSWORD_MAX) * 2 || !base64_read(out, str_trim(code)))
        return false;
    *password = buf_str(out);
    return str_cut(password, ':', name) && password->p && name->n <= NAME_MAX_BYTES && password->n <= PASSWORD_MAX &&
           str_find(buf_str(out), 0) == out->n;
}

static bool login_is_queued(const struct http_auth *a, const uint8_t digest[DIGEST])
{
    for (const struct http_login_check *c = a->first; c; c = c->_next)
        if (memcmp(c->_digest, digest, DIGEST) == 0)
            return true;
    return false;
}

/* With the lock. A check that equals a queued one costs nothing but its place. */
static bool login_may_wait(const struct http_auth *a, const struct http_address *from, const uint8_t digest[DIGEST])
{
    if (a->stopping || a->thread == NULL)
        return false;
    if (login_is_queued(a, digest))
        return a->waiting < SAME_MAX;
    return a->waiting < LOGINS_MAX && atomic_load(&from->logins) < LOGINS_PER_ADDRESS;
}

/* With the lock. */
static void login_enqueue(struct http_auth *a, struct http_login_check *c)
{
    atomic_fetch_add(&c->_from->logins, 1);
    a->waiting++;
    if (a->last)
        a->last->_next = c;
    else
        a->first = c;
    a->last = c;
    cond_signal(&a->wake);
}

static enum http_login login_hashed(struct http_auth *a, const char *hash, bool known, struct str name,
                                    struct str password, struct http_address *from,
                                    const struct http_login_check *check)
{
    uint8_t digest[DIGEST];
    enum http_login result;
    login_digest(a, name, hash, password, digest);
    mutex_lock(&a->lock);
    if (!cache_find(a, digest, &result)) {
        if (a->thread == NULL && !a->stopping)
            a->thread = thread_start("auth", auth_run, a);
        result = login_may_wait(a, from, digest) ? LOGIN_WAITS : LOGIN_BUSY;
    }
    if (result == LOGIN_WAITS) {
        struct http_login_check *c = mem_dup(check, sizeof *c);
        memcpy(c->_digest, digest, DIGEST);
        c->_from = from;
        c->_known = known;
        c->_hash = mem_strdup(hash);
        c->_password = str_dup(password);
        login_enqueue(a, c);
    }
    mutex_unlock(&a->lock);
    return result;
}

static enum http_login login_text(const struct http_auth *a, const struct user *user, struct str password)
{
    uint8_t sent[DIGEST], right[DIGEST];
    login_digest(a, STR(""), "", password, sent);
    login_digest(a, STR(""), "", str_of(user->secret), right);
    return secrets_equal((const char *)sent, (const char *)right, DIGEST) ? LOGIN_OK : LOGIN_DENIED;
}

enum http_login http_auth_begin(struct http_auth *a, const struct http_users *u, struct str authorization,
                                struct http_address *from, const struct http_login_check *check)
{
    struct buf text = {0};
    struct str name, password;
    enum http_login result = LOGIN_DENIED;
    if (login_parse(authorization, &text, &name, &password)) {
        const struct user *user = user_find(u, name);
        const char *hash = user ? user->secret : u->decoy;
        if (user && !user->is_hash)
            result = login_text(a, user, password);
        else if (hash)
            result = login_hashed(a, hash, user != NULL, name, password, from, check);
    }
    if (text.p)
        explicit_bzero(text.p, text.cap);
    buf_free(&text);
    return result;
}

struct str http_auth_user(struct arena *a, struct str authorization)
{
    struct buf text = {0};
    struct str name = STR(""), password;
    if (login_parse(authorization, &text, &name, &password))
        name = arena_str(a, name);
    else
        name = STR("");
    if (text.p)
        explicit_bzero(text.p, text.cap);
    buf_free(&text);
    return name;
}

void http_login_check_free(struct http_login_check *c)
{
    mem_free(c->_hash);
    secret_free(c->_password);
    mem_free(c);
}

/* ---- life ---- */

struct http_auth *http_auth_new(void)
{
    struct http_auth *a = mem_zalloc(sizeof *a);
    mutex_init(&a->lock, RANK_AUTH);
    cond_init(&a->wake);
    if (gnutls_rnd(GNUTLS_RND_KEY, a->key, sizeof a->key) != 0) {
        mem_free(a);
        return NULL;
    }
    return a;
}

void http_auth_stop(struct http_auth *a)
{
    if (a == NULL)
        return;
    mutex_lock(&a->lock);
    a->stopping = true;
    cond_signal(&a->wake);
    mutex_unlock(&a->lock);
    if (a->thread)
        thread_join(a->thread);
    a->thread = NULL;
    mutex_lock(&a->lock);
    while (a->first) {
        struct http_login_check *c = login_pop(a);
        c->result = LOGIN_BUSY;
        login_end(a, c);
    }
    mutex_unlock(&a->lock);
}

void http_auth_free(struct http_auth *a)
{
    if (a == NULL)
        return;
    http_auth_stop(a);
    explicit_bzero(a->key, sizeof a->key);
    cond_free(&a->wake);
    mutex_free(&a->lock);
    mem_free(a);
}
