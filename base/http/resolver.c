// SPDX-License-Identifier: Apache-2.0
/* The resolver's cache and thread. A name in the cache is in one of these states:
 *
 *   fresh      addresses, and now < fresh_until: returned immediately
 *   absent     no addresses, and now < retry_at: returned immediately, with the reason
 *   asked      `asking`: a lookup is in progress, requests are in `waiting`
 *   stale      addresses, and fresh_until <= now < stale_until: the next request starts a lookup and waits. After
 *              STALE_MS, or when the lookup fails, `failing` is set and all get the stale addresses; until a lookup
 *              succeeds, later requests get them immediately while lookups continue in the background
 *
 * The mutex guards requests and states; results are posted while holding it, so that resolver_cancel() knows where a
 * request is. Only the resolver thread runs lookups. They start in batches, because thousands of datagrams at once
 * overflow a name server's receive buffer.
 */
#include "base/http/resolver.h"

#include "base/map.h"
#include "base/refs.h"
#include "base/telemetry/stats.h"
#include "base/os/thread.h"
#include "base/text/duration.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <strings.h>

enum {
    FRESH_LEAST_MS = 1000,
    FRESH_MOST_MS = 30 * 1000,
    STALE_MOST_MS = 60 * 60 * 1000,
    STALE_MS = 500,
    ABSENT_MS = 5000,
    RETRY_MS = 1000,
    NAMES_MOST = 10000,
    NAME_MOST = 253,
    PORTION = 50,
    PORTION_EVERY_MS = 2
};

#define RESOLVER_STATS(X)                                                                                            \
    X(DNS_LOOKUPS, "sluice_dns_lookups_total", STATS_COUNTER, "Host name lookups")                                   \
    X(DNS_FAILURES, "sluice_dns_lookup_failures_total", STATS_COUNTER, "Lookups without an address")                 \
    X(DNS_HITS, "sluice_dns_cache_hits_total", STATS_COUNTER, "Host names resolved from the cache")                  \
    X(DNS_STALE, "sluice_dns_stale_responses_total", STATS_COUNTER,                                                  \
      "Host names resolved to addresses past their TTL because the name server did not respond")
enum resolver_stat { RESOLVER_STATS(STATS_ID) };
static struct stats_group resolver_stats = STATS_GROUP(RESOLVER_STATS);
static const double lookup_bounds[] = {0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10};
static struct stats_histogram lookup_durations = {.name = "sluice_dns_lookup_duration_seconds",
                                                  .help = "Duration of lookups",
                                                  .bounds = lookup_bounds,
                                                  .n_bounds = LEN(lookup_bounds)};

struct resolver_name {
    struct list used;        /* in resolver.names_used */
    struct list queued;      /* in resolver.lookup_queue, until the thread has started the lookup */
    struct list waiting;     /* requests */
    char *addresses;         /* NULL: none known */
    const char *why;         /* of the last failed lookup; a constant */
    bool silent;
    bool asking, failing;
    int64_t fresh_until, stale_until, retry_at, asked_at; /* monotonic ms */
    struct loop_timer overdue; /* thread only: a refresh that takes too long */
    char text[];
};

struct records_lookup {
    struct list node;        /* in resolver.record_queue, or resolver.record_lookups */
    struct records_request *request; /* NULL: it was canceled */
    enum dns_type type;
    char name[];
};

static pthread_mutex_t lifetime = PTHREAD_MUTEX_INITIALIZER; /* guards refs and the end of the thread */
static unsigned refs;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct resolver { /* under `mutex`, except fields of the thread */
    struct map names;
    struct list names_used; /* least recently used first */
    struct list lookup_queue; /* names whose lookup the thread has not started */
    struct list record_queue, record_lookups; /* of struct records_lookup: not started, and in progress */
    struct thread *thread;  /* NULL until the first lookup */
    struct loop *loop;
    struct loop_task start;
    struct loop_timer next_portion; /* thread only */
    struct dns *dns;                /* thread only */
} resolver;

/* ---- results ---- */

static bool resolver_usable(const struct resolver_name *n, int64_t now) { return n->addresses && now < n->stale_until; }

static void resolver_fill(struct resolver_request *r, const struct resolver_name *n, int64_t now)
{
    bool usable = resolver_usable(n, now);
    r->addresses = usable ? mem_strdup(n->addresses) : NULL;
    r->why = usable ? NULL : n->why;
    r->silent = n->silent;
    if (usable && now >= n->fresh_until)
        stats_add(&resolver_stats, DNS_STALE, 1);
}

static void resolver_tell(struct loop_task *task)
{
    struct resolver_request *r = CONTAINER(task, struct resolver_request, _task);
    r->_posted = false;
    r->done(r);
}

static void resolver_answer_all(struct resolver_name *n, int64_t now)
{
    for (struct list *node; (node = list_pop_front(&n->waiting)) != NULL;) {
        struct resolver_request *r = CONTAINER(node, struct resolver_request, _node);
        resolver_fill(r, n, now);
        r->_waiting = false;
        r->_posted = true;
        r->_task.run = resolver_tell;
        loop_post(r->loop, &r->_task);
    }
}

/* ---- the thread ---- */

static void resolver_on_overdue(struct loop_timer *t)
{
    struct resolver_name *n = CONTAINER(t, struct resolver_name, overdue);
    pthread_mutex_lock(&mutex);
    int64_t now = clock_mono_ms();
    if (resolver_usable(n, now)) {
        n->failing = true;
        resolver_answer_all(n, now);
    }
    pthread_mutex_unlock(&mutex);
}

static void resolver_keep(struct resolver_name *n, const struct dns_result *r, int64_t now)
{
    int64_t ttl = r->ttl < FRESH_LEAST_MS ? FRESH_LEAST_MS : r->ttl > FRESH_MOST_MS ? FRESH_MOST_MS : r->ttl;
    if (r->outcome == DNS_FOUND || r->outcome == DNS_ABSENT) {
        mem_free(n->addresses);
        n->addresses = r->outcome == DNS_FOUND ? mem_strdup(r->addresses) : NULL;
        n->fresh_until = now + ttl;
        n->stale_until = now + ttl + STALE_MOST_MS;
    }
    n->failing = r->outcome == DNS_SILENT || r->outcome == DNS_FAILED;
    n->silent = r->outcome == DNS_SILENT;
    n->why = r->why;
    n->retry_at = r->outcome == DNS_FOUND ? 0 : now + (r->outcome == DNS_ABSENT ? ABSENT_MS : RETRY_MS);
}

static void resolver_on_result(void *arg, const struct dns_result *r)
{
    struct resolver_name *n = arg;
    int64_t now = clock_mono_ms();
    loop_timer_stop(resolver.loop, &n->overdue);
    stats_observe(&lookup_durations, (double)(now - n->asked_at) / 1e3);
    if (r->outcome != DNS_FOUND)
        stats_add(&resolver_stats, DNS_FAILURES, 1);
    pthread_mutex_lock(&mutex);
    n->asking = false;
    resolver_keep(n, r, now);
    resolver_answer_all(n, now);
    pthread_mutex_unlock(&mutex);
}

static struct resolver_name *resolver_next_lookup(bool *refresh)
{
    pthread_mutex_lock(&mutex);
    struct list *node = list_pop_front(&resolver.lookup_queue);
    struct resolver_name *n = node ? CONTAINER(node, struct resolver_name, queued) : NULL;
    *refresh = n && n->addresses;
    pthread_mutex_unlock(&mutex);
    return n;
}

static void resolver_look_up_some(void)
{
    struct resolver_name *n;
    bool refresh;
    if (loop_timer_armed(&resolver.next_portion))
        return;
    for (unsigned i = 0; i < PORTION && (n = resolver_next_lookup(&refresh)) != NULL; i++) {
        n->overdue.run = resolver_on_overdue;
        if (refresh)
            loop_timer_in(resolver.loop, &n->overdue, STALE_MS);
        stats_add(&resolver_stats, DNS_LOOKUPS, 1);
        dns_ask(resolver.dns, n->text, n);
        if (i + 1 == PORTION)
            loop_timer_in(resolver.loop, &resolver.next_portion, PORTION_EVERY_MS);
    }
}

static void resolver_on_portion(struct loop_timer *t UNUSED) { resolver_look_up_some(); }

/* ---- records ---- */

static void records_tell(struct loop_task *task)
{
    struct records_request *r = CONTAINER(task, struct records_request, _task);
    r->_posted = false;
    r->done(r);
}

static void resolver_on_records(void *arg, struct dns_records *records)
{
    struct records_lookup *l = arg;
    pthread_mutex_lock(&mutex);
    struct records_request *r = l->request;
    list_remove(&l->node);
    if (r) {
        r->records = *records;
        *records = (struct dns_records){0};
        r->_lookup = NULL;
        r->_posted = true;
        r->_task.run = records_tell;
        loop_post(r->loop, &r->_task);
    }
    pthread_mutex_unlock(&mutex);
    dns_records_free(records);
    mem_free(l);
}

static struct records_lookup *resolver_next_records(void)
{
    pthread_mutex_lock(&mutex);
    struct list *node = list_pop_front(&resolver.record_queue);
    if (node)
        list_push_back(&resolver.record_lookups, node);
    pthread_mutex_unlock(&mutex);
    return node ? CONTAINER(node, struct records_lookup, node) : NULL;
}

static void resolver_look_up_records(void)
{
    for (struct records_lookup *l; (l = resolver_next_records()) != NULL;)
        dns_ask_records(resolver.dns, l->name, l->type, resolver_on_records, l);
}

static void resolver_on_start(struct loop_task *t UNUSED)
{
    resolver_look_up_some();
    resolver_look_up_records();
}

static void resolver_collect(struct stats_out *o, void *arg UNUSED)
{
    pthread_mutex_lock(&mutex);
    size_t names = resolver.names.n;
    pthread_mutex_unlock(&mutex);
    stats_single(o, "sluice_dns_cache_names", STATS_GAUGE, "Host names in the cache", (double)names);
}

static void resolver_run(void *arg UNUSED)
{
    resolver.dns = dns_new(resolver.loop, resolver_on_result);
    loop_run(resolver.loop);
    dns_free(resolver.dns);
    loop_timer_stop(resolver.loop, &resolver.next_portion);
}

/* False with errno. */
static bool resolver_start_thread(void)
{
    if (resolver.thread)
        return true;
    resolver.start.run = resolver_on_start;
    resolver.next_portion.run = resolver_on_portion;
    if (resolver.loop == NULL && (resolver.loop = loop_new()) == NULL)
        return false;
    return (resolver.thread = thread_start("resolver", resolver_run, NULL)) != NULL;
}

/* ---- names ---- */

static void resolver_forget(struct resolver_name *n)
{
    map_remove(&resolver.names, str_of(n->text));
    list_remove(&n->used);
    mem_free(n->addresses);
    mem_free(n);
}

/* Evicts the least recently used name without a lookup; there are at most as many lookups as requests. */
static void resolver_make_place(void)
{
    if (resolver.names.n < NAMES_MOST)
        return;
    for (struct list *node = resolver.names_used.next; node != &resolver.names_used; node = node->next) {
        struct resolver_name *n = CONTAINER(node, struct resolver_name, used);
        if (!n->asking) {
            resolver_forget(n);
            return;
        }
    }
}

/* Names are case-insensitive. */
static struct resolver_name *resolver_name_of(const char *name)
{
    char lower[NAME_MOST + 1];
    size_t n = strlen(name);
    for (size_t i = 0; i <= n; i++)
        lower[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] + 32 : name[i]);
    struct resolver_name *found = map_get(&resolver.names, str_n(lower, n));
    if (found) {
        list_remove(&found->used);
    } else {
        resolver_make_place();
        found = mem_zalloc(sizeof *found + n + 1);
        memcpy(found->text, lower, n + 1);
        list_init(&found->waiting);
        map_set(&resolver.names, str_n(found->text, n), found);
    }
    list_push_back(&resolver.names_used, &found->used);
    return found;
}

static bool resolver_look_up(struct resolver_name *n, int64_t now)
{
    if (n->asking || now < n->retry_at)
        return true;
    if (!resolver_start_thread())
        return false;
    n->asking = true;
    n->asked_at = now;
    list_push_back(&resolver.lookup_queue, &n->queued);
    loop_post(resolver.loop, &resolver.start);
    return true;
}

/* ---- requests ---- */

/* libcurl resolves localhost and its subdomains itself; this is for proxies. */
static const char *resolver_literal(const char *host, char text[64])
{
    struct in6_addr any;
    size_t n = strlen(host), dot = n > 10 ? n - 10 : 0;
    if (strcasecmp(host, "localhost") == 0 || (dot && strcasecmp(host + dot, ".localhost") == 0))
        return "127.0.0.1,[::1]";
    if (n == 0 || n >= 62)
        return NULL;
    if (host[0] == '[')
        return memcpy(text, host, n + 1);
    if (inet_pton(AF_INET, host, &any) == 1)
        return host;
    if (inet_pton(AF_INET6, host, &any) != 1)
        return NULL;
    text[0] = '[';
    memcpy(text + 1, host, n);
    memcpy(text + 1 + n, "]", 2);
    return text;
}

bool resolver_is_literal(const char *host)
{
    char text[64];
    return resolver_literal(host, text) != NULL;
}

static bool resolver_ask_cache(struct resolver_request *r, const char *name)
{
    int64_t now = clock_mono_ms();
    struct resolver_name *n = resolver_name_of(name);
    bool usable = resolver_usable(n, now), fresh = usable && now < n->fresh_until,
         absent = !usable && now < n->retry_at;
    if (!fresh && !absent && !resolver_look_up(n, now)) {
        r->why = errno == EAGAIN ? "cannot start a thread for name lookups" : "no descriptors left for name lookups";
        return true;
    }
    if (fresh || absent || (usable && n->failing)) {
        resolver_fill(r, n, now);
        if (fresh || absent)
            stats_add(&resolver_stats, DNS_HITS, 1);
        return true;
    }
    r->_waiting = true;
    list_push_back(&n->waiting, &r->_node);
    return false;
}

bool resolver_ask(struct resolver_request *r, const char *name)
{
    char text[64];
    const char *literal = resolver_literal(name, text);
    r->addresses = literal ? mem_strdup(literal) : NULL;
    r->why = NULL;
    r->silent = false;
    if (literal)
        return true;
    size_t n = strlen(name);
    if (n == 0 || n > NAME_MOST) {
        r->why = "not a valid host name";
        return true;
    }
    pthread_mutex_lock(&mutex);
    bool answered = resolver_ask_cache(r, name);
    pthread_mutex_unlock(&mutex);
    return answered;
}

void resolver_cancel(struct resolver_request *r)
{
    pthread_mutex_lock(&mutex);
    if (r->_waiting)
        list_remove(&r->_node);
    if (r->_posted) {
        loop_unpost(r->loop, &r->_task);
        mem_free(r->addresses);
        r->addresses = NULL;
    }
    r->_waiting = r->_posted = false;
    pthread_mutex_unlock(&mutex);
}

bool resolver_ask_records(struct records_request *r, const char *name, enum dns_type type)
{
    size_t n = strlen(name) + 1;
    struct records_lookup *l = mem_zalloc(sizeof *l + n);
    memcpy(l->name, name, n);
    l->type = type;
    l->request = r;
    r->records = (struct dns_records){0};
    pthread_mutex_lock(&mutex);
    bool started = resolver_start_thread();
    if (started) {
        r->_lookup = l;
        list_push_back(&resolver.record_queue, &l->node);
        loop_post(resolver.loop, &resolver.start);
    } else {
        r->records.why = "cannot start a thread for name lookups";
    }
    pthread_mutex_unlock(&mutex);
    if (!started)
        mem_free(l);
    return !started;
}

void resolver_cancel_records(struct records_request *r)
{
    pthread_mutex_lock(&mutex);
    if (r->_lookup)
        r->_lookup->request = NULL;
    if (r->_posted)
        loop_unpost(r->loop, &r->_task);
    bool posted = r->_posted;
    r->_lookup = NULL;
    r->_posted = false;
    pthread_mutex_unlock(&mutex);
    if (posted)
        dns_records_free(&r->records);
}

/* ---- lifetime ---- */

void resolver_register_stats(void)
{
    stats_register(&resolver_stats);
    stats_register_histogram(&lookup_durations);
}

void resolver_retain(void)
{
    pthread_mutex_lock(&lifetime);
    if (refs++ == 0) {
        pthread_mutex_lock(&mutex);
        list_init(&resolver.names_used);
        list_init(&resolver.lookup_queue);
        list_init(&resolver.record_queue);
        list_init(&resolver.record_lookups);
        pthread_mutex_unlock(&mutex);
        stats_collector(resolver_collect, NULL);
    }
    pthread_mutex_unlock(&lifetime);
}

static void resolver_end(void)
{
    stats_collector_remove(resolver_collect, NULL);
    if (resolver.thread) {
        loop_stop(resolver.loop);
        thread_join(resolver.thread);
    }
    while (!list_empty(&resolver.names_used))
        resolver_forget(CONTAINER(resolver.names_used.next, struct resolver_name, used));
    map_free(&resolver.names);
    for (struct list *node; (node = list_pop_front(&resolver.record_queue)) != NULL;)
        mem_free(CONTAINER(node, struct records_lookup, node));
    for (struct list *node; (node = list_pop_front(&resolver.record_lookups)) != NULL;)
        mem_free(CONTAINER(node, struct records_lookup, node));
    loop_free(resolver.loop);
    resolver = (struct resolver){0};
}

void resolver_release(void)
{
    pthread_mutex_lock(&lifetime);
    if (refs_drop_own(&refs))
        resolver_end();
    pthread_mutex_unlock(&lifetime);
}
