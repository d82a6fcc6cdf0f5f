// SPDX-License-Identifier: Apache-2.0
/* A connection is closed by shutdown() of its socket: the library then reads the end of the stream, or fails to write,
 * and closes it as if the client had disconnected.
 *
 * Lists are ordered by deadline, except that of readers, so a sweep checks only the first connections of each.
 */
#include "gateway/http/http_sockets.h"

#include "base/hash.h"
#include "base/os/process.h"
#include "gateway/http/http_connection.h"
#include "gateway/http/http_tls.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>

enum { LEFT_MS = 20, LEFT_CHECKS = 3, LEFT_UNREAD_CHECKS = 50, HEAD_MS = 10000, READER_MS = 30000, READER_BYTES_PER_MS = 64, SWEEP_MS = 1000, EVICTED_PART = 32 };

static struct http_address *address_of(struct http_limits *l, const struct sockaddr *from)
{
    const struct sockaddr_in *v4 = (const void *)from;
    const struct sockaddr_in6 *v6 = (const void *)from;
    struct { uint64_t seed; char bytes[8]; } key = {l->seed, {0}};
    if (from && from->sa_family == AF_INET)
        memcpy(key.bytes, &v4->sin_addr, 4);
    else if (from && from->sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
        memcpy(key.bytes, (const char *)&v6->sin6_addr + 12, 4);
    else if (from && from->sa_family == AF_INET6)
        memcpy(key.bytes, &v6->sin6_addr, 8);
    return &l->addresses[hash_bytes(&key, sizeof key) % HTTP_ADDRESSES];
}

/* ---- states ---- */

static void socket_unlink(struct http_sockets *s, struct http_socket *k)
{
    list_remove(&k->node);
    s->n_closing -= k->wait == HTTP_CLOSING;
    s->n_next -= k->wait == HTTP_WAIT_NEXT;
}

static void socket_link(struct http_sockets *s, struct http_socket *k, enum http_wait wait)
{
    k->wait = wait;
    s->n_closing += wait == HTTP_CLOSING;
    s->n_next += wait == HTTP_WAIT_NEXT;
    list_push_back(&s->waiting[wait], &k->node);
}

static void socket_shut(struct http_sockets *s, struct http_socket *k)
{
    socket_unlink(s, k);
    socket_link(s, k, HTTP_CLOSING);
    shutdown(k->fd, SHUT_RDWR);
}

static void drop_unread(struct http_socket *k)
{
    atomic_fetch_sub(&k->from->unread_bytes, k->unread_bytes);
    k->unread_bytes = 0;
}

/* ---- clients that leave ---- */

static void socket_check_left(struct http_sockets *s, struct http_socket *k)
{
    if (!k->left || k->wait > HTTP_WAIT_BODY || list_linked(&k->left_node))
        return;
    k->left_checks = 0;
    list_push_back(&s->left, &k->left_node);
    if (!loop_timer_armed(&s->check_left))
        loop_timer_in(s->loop, &s->check_left, LEFT_MS);
}

static void socket_on_hangup(struct loop_fd *w, uint32_t events UNUSED)
{
    struct http_socket *k = CONTAINER(w, struct http_socket, watch);
    loop_unwatch(k->sockets->loop, w);
    k->left = true;
    if (k->owner)
        k->on_left(k->owner);
    else
        socket_check_left(k->sockets, k);
}

void http_socket_watch(struct http_socket *k)
{
    k->watch = (struct loop_fd){.run = socket_on_hangup, .fd = k->fd};
    loop_watch(k->sockets->loop, &k->watch, EPOLLRDHUP);
}

/* Several checks, as the library may hold bytes of a complete request that it has not parsed yet. It reads nothing more
 * if its memory is used up, for example by the extension of a chunk. */
static bool client_sends_no_more(struct http_socket *k)
{
    int arrived = 0;
    (void)!ioctl(k->fd, FIONREAD, &arrived);
    k->left_checks = arrived == k->left_bytes ? k->left_checks + 1 : 1;
    k->left_bytes = arrived;
    return k->left_checks >= (arrived == 0 ? LEFT_CHECKS : LEFT_UNREAD_CHECKS);
}

static void http_sockets_check_left(struct loop_timer *t)
{
    struct http_sockets *s = CONTAINER(t, struct http_sockets, check_left);
    for (struct list *node = s->left.next, *next; node != &s->left; node = next) {
        struct http_socket *k = CONTAINER(node, struct http_socket, left_node);
        next = node->next;
        bool waits = k->wait <= HTTP_WAIT_BODY, over = waits && client_sends_no_more(k);
        if (waits && !over)
            continue;
        list_remove(node);
        if (over)
            socket_shut(s, k);
    }
    if (!list_empty(&s->left))
        loop_timer_in(s->loop, t, LEFT_MS);
}

void http_socket_wait(struct http_sockets *s, struct http_socket *k, enum http_wait wait)
{
    const int64_t limits[HTTP_WAITS] = {
        [HTTP_WAIT_FIRST] = HEAD_MS, [HTTP_WAIT_HEAD] = HEAD_MS, [HTTP_WAIT_NEXT] = s->limits->idle_timeout,
        [HTTP_WAIT_BODY] = s->limits->read_timeout, [HTTP_WAIT_READER] = READER_MS};
    if (k->wait == HTTP_CLOSING)
        return;
    socket_unlink(s, k);
    socket_link(s, k, wait);
    k->deadline = loop_mono(s->loop) + limits[wait];
    if (wait == HTTP_WAIT_NEXT)
        drop_unread(k);
    socket_check_left(s, k);
}

/* ---- eviction ---- */

static void shut_counted(struct http_sockets *s, struct http_socket *k, enum http_stat reason)
{
    stats_add(&http_stats, reason, 1);
    socket_shut(s, k);
}

static unsigned most_connections(const struct list *list)
{
    unsigned most = 0;
    for (struct list *n = list->next; n != list; n = n->next) {
        unsigned c = atomic_load_explicit(&CONTAINER(n, struct http_socket, node)->from->connections,
                                          memory_order_relaxed);
        most = c > most ? c : most;
    }
    return most;
}

/* Closes up to `n` connections of the address with the most, those that have waited longest; returns their number.
 * Other lanes change the counters meanwhile, so an address with nearly as many will do. */
static unsigned shut_longest(struct http_sockets *s, enum http_wait wait, unsigned n)
{
    struct list *list = &s->waiting[wait], *next;
    unsigned most = most_connections(list), shut = 0;
    for (struct list *node = list->next; node != list && shut < n; node = next) {
        struct http_socket *k = CONTAINER(node, struct http_socket, node);
        next = node->next;
        if (atomic_load_explicit(&k->from->connections, memory_order_relaxed) < most - most / 8)
            continue;
        shut_counted(s, k, HTTP_EVICTED);
        shut++;
    }
    return shut;
}

bool http_socket_has_place(struct http_sockets *s, struct http_socket *k)
{
    static const enum http_wait order[] = {HTTP_WAIT_NEXT, HTTP_WAIT_FIRST, HTTP_WAIT_HEAD};
    if (s->limits->per_client == 0 || atomic_load(&k->from->connections) <= s->limits->per_client)
        return true;
    for (size_t i = 0; i < LEN(order); i++)
        for (struct list *n = s->waiting[order[i]].next; n != &s->waiting[order[i]]; n = n->next) {
            struct http_socket *other = CONTAINER(n, struct http_socket, node);
            if (other->from == k->from && other != k) {
                shut_counted(s, other, HTTP_EVICTED);
                return true;
            }
        }
    stats_add(&http_stats, HTTP_CROWDED, 1);
    return false;
}

/* Evicts several at once, since finding them walks a list. */
static bool make_places(struct http_sockets *s, unsigned n)
{
    static const enum http_wait order[] = {HTTP_WAIT_NEXT, HTTP_WAIT_FIRST, HTTP_WAIT_HEAD, HTTP_WAIT_BODY,
                                           HTTP_WAIT_READER};
    for (size_t i = 0; i < LEN(order); i++)
        if (shut_longest(s, order[i], n) > 0)
            return true;
    return false;
}

/* The system assigns the lowest free descriptor, so its number shows how many are open in the whole process. */
static bool descriptors_scarce(const struct http_limits *l, int fd) { return l->max_fd > 0 && fd >= l->max_fd; }

bool http_sockets_admit(struct http_sockets *s, int fd, bool *spare)
{
    unsigned places = s->limits->places, open = s->n - s->n_closing;
    bool full = open >= places || (open >= s->limits->min_places && descriptors_scarce(s->limits, fd));
    *spare = full && !make_places(s, places / EVICTED_PART + 1);
    if (!*spare || s->n_spare < s->limits->spare_places)
        return true;
    stats_add(&http_stats, HTTP_FULL, 1);
    return false;
}

/* Idle connections keep the memory of their last head. */
static void limit_idle(struct http_sockets *s)
{
    unsigned most = s->limits->idle;
    if (s->n_next > most)
        shut_longest(s, HTTP_WAIT_NEXT, s->n_next - most + most / EVICTED_PART);
}

/* Closes connections if targets and servers need their descriptors. */
static void free_descriptors(struct http_sockets *s)
{
    int fd = process_lowest_free_fd();
    if (s->n - s->n_closing > s->limits->min_places && (fd < 0 || descriptors_scarce(s->limits, fd)))
        make_places(s, fd < 0 ? s->n / 2 : (unsigned)(fd - s->limits->max_fd) + 1);
}

/* ---- deadlines ---- */

static void shut_late(struct http_sockets *s, enum http_wait wait, int64_t now)
{
    struct list *list = &s->waiting[wait], *next;
    for (struct list *node = list->next; node != list; node = next) {
        struct http_socket *k = CONTAINER(node, struct http_socket, node);
        next = node->next;
        if (k->deadline <= now)
            shut_counted(s, k, wait == HTTP_WAIT_READER ? HTTP_SLOW_READERS : HTTP_LATE);
        else if (wait != HTTP_WAIT_READER)
            return;
    }
}

static void http_sockets_on_sweep(struct loop_timer *t)
{
    struct http_sockets *s = CONTAINER(t, struct http_sockets, sweep);
    int64_t now = loop_mono(s->loop);
    for (enum http_wait w = 0; w < HTTP_AT_WORK; w++)
        shut_late(s, w, now);
    limit_idle(s);
    free_descriptors(s);
    if (s->on_sweep)
        s->on_sweep(s);
    if (s->n > 0)
        loop_timer_in(s->loop, t, SWEEP_MS);
}

/* ---- bytes ---- */

bool http_socket_may_add_body(const struct http_sockets *s, const struct http_socket *k, size_t n)
{
    size_t has = atomic_load_explicit(&k->from->body_bytes, memory_order_relaxed), most = s->limits->body_share;
    return most == 0 || (has <= most && n <= most - has);
}

bool http_socket_add_body(struct http_sockets *s, struct http_socket *k, size_t n)
{
    if (!http_socket_may_add_body(s, k, n))
        return false;
    k->body_bytes += n;
    atomic_fetch_add(&k->from->body_bytes, n);
    return true;
}

void http_socket_drop_body(struct http_socket *k)
{
    atomic_fetch_sub(&k->from->body_bytes, k->body_bytes);
    k->body_bytes = 0;
}

void http_socket_send(struct http_sockets *s, struct http_socket *k, size_t n)
{
    http_socket_wait(s, k, HTTP_WAIT_READER);
    k->deadline += (int64_t)(n / READER_BYTES_PER_MS);
    drop_unread(k);
    k->unread_bytes = n;
    atomic_fetch_add(&k->from->unread_bytes, n);
}

static struct http_socket *largest_reader(struct http_sockets *s)
{
    struct http_socket *found = NULL;
    struct list *list = &s->waiting[HTTP_WAIT_READER];
    size_t most = 0;
    for (struct list *n = list->next; n != list; n = n->next) {
        struct http_socket *k = CONTAINER(n, struct http_socket, node);
        size_t has = atomic_load_explicit(&k->from->unread_bytes, memory_order_relaxed);
        if (k->unread_bytes > 0 && has > most) {
            most = has;
            found = k;
        }
    }
    return found;
}

void http_sockets_drop_unread(struct http_sockets *s, size_t n)
{
    for (size_t freed = 0; freed < n;) {
        struct http_socket *k = largest_reader(s);
        if (k == NULL)
            return;
        freed += k->unread_bytes;
        drop_unread(k);
        shut_counted(s, k, HTTP_SLOW_READERS);
    }
}

/* ---- creation and end ---- */

void http_limits_init(struct http_limits *l)
{
    l->addresses = mem_zalloc(HTTP_ADDRESSES * sizeof *l->addresses);
    if (getrandom(&l->seed, sizeof l->seed, GRND_NONBLOCK) != sizeof l->seed)
        l->seed = (uint64_t)(uintptr_t)l;
}

void http_limits_free(struct http_limits *l) { mem_free(l->addresses); }

void http_sockets_init(struct http_sockets *s, struct loop *loop, struct http_limits *limits)
{
    *s = (struct http_sockets){.loop = loop, .limits = limits, .sweep.run = http_sockets_on_sweep,
                               .check_left.run = http_sockets_check_left};
    list_init(&s->left);
    for (size_t i = 0; i < HTTP_WAITS; i++)
        list_init(&s->waiting[i]);
}

void http_sockets_free(struct http_sockets *s)
{
    loop_timer_stop(s->loop, &s->sweep);
    loop_timer_stop(s->loop, &s->check_left);
}

/* Clients that connected together do not connect again together. */
static int64_t socket_rotation(const struct http_sockets *s, const void *socket)
{
    const struct { uint64_t seed; const void *socket; } key = {s->limits->seed, socket};
    int64_t age = s->limits->max_age;
    return age == 0 ? INT64_MAX
                    : loop_mono(s->loop) + age + (int64_t)(hash_bytes(&key, sizeof key) % (uint64_t)(age / 10 + 1));
}

struct http_socket *http_socket_open(struct http_sockets *s, struct listener *l, int fd, const struct sockaddr *from,
                                     bool spare)
{
    struct http_socket *k = mem_zalloc(sizeof *k);
    *k = (struct http_socket){.fd = fd, .listener = l, .from = address_of(s->limits, from), .spare = spare,
                              .deadline = loop_mono(s->loop) + HEAD_MS, .rotate_at = socket_rotation(s, k), .sockets = s};

    atomic_fetch_add(&k->from->connections, 1);
    atomic_fetch_add(&s->limits->connections, 1);
    s->n++;
    s->n_spare += spare;
    socket_link(s, k, HTTP_WAIT_FIRST);
    if (!loop_timer_armed(&s->sweep))
        loop_timer_in(s->loop, &s->sweep, SWEEP_MS);
    return k;
}

void http_socket_set_from(struct http_sockets *s, struct http_socket *k, const struct sockaddr *from)
{
    atomic_fetch_sub(&k->from->connections, 1);
    k->from = address_of(s->limits, from);
    atomic_fetch_add(&k->from->connections, 1);
}

void http_socket_close(struct http_sockets *s, struct http_socket *k)
{
    if (k->tls && !k->used)
        stats_add(&http_stats, HTTP_TLS_UNUSED, 1);
    loop_unwatch(s->loop, &k->watch);
    if (list_linked(&k->left_node))
        list_remove(&k->left_node);
    http_tls_unref(k->tls);
    http_socket_drop_body(k);
    drop_unread(k);
    atomic_fetch_sub(&k->from->connections, 1);
    atomic_fetch_sub(&s->limits->connections, 1);
    s->n--;
    s->n_spare -= k->spare;
    socket_unlink(s, k);
    mem_free(k);
}
