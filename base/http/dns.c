// SPDX-License-Identifier: Apache-2.0
/* Connects c-ares to the loop: its sockets are watched and its timeout is a loop timer. A channel reads its
 * configuration once; when one of the files changes, the channel is replaced and pending lookups restart in the new
 * one.
 */
#include "base/http/dns_records.h"

#include <ares.h>
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { TRY_MS = 1000, TRIES = 3, CHECK_FILES_MS = 5000 };

static const char *const dns_files[] = {"/etc/resolv.conf", "/etc/nsswitch.conf"};
static const char *dns_servers; /* for tests */

struct dns_socket {
    struct list node;
    struct loop_fd fd;
    struct dns *dns;
};
struct dns_lookup {
    struct list node;
    struct dns *dns;
    void *arg;
    void (*found)(void *arg, struct dns_records *r); /* of records; NULL: addresses are looked up */
    enum dns_type type;
    char name[];
};
struct dns {
    struct loop *loop;
    ares_channel channel;
    void (*answered)(void *arg, const struct dns_result *r);
    struct list sockets, lookups, again; /* again: interrupted by a new channel */
    struct loop_timer timer;
    bool dropping;
    int64_t checked; /* loop_mono ms of the last check of the files */
    struct stat seen[LEN(dns_files)];
};

/* ---- c-ares in the loop ---- */

static void dns_set_timer(struct dns *d)
{
    struct timeval wait;
    if (d->channel && ares_timeout(d->channel, NULL, &wait))
        loop_timer_in(d->loop, &d->timer, (int64_t)wait.tv_sec * 1000 + (wait.tv_usec + 999) / 1000);
    else
        loop_timer_stop(d->loop, &d->timer);
}

static void dns_on_timer(struct loop_timer *t)
{
    struct dns *d = CONTAINER(t, struct dns, timer);
    ares_process_fd(d->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    dns_set_timer(d);
}

static void dns_on_socket(struct loop_fd *w, uint32_t events)
{
    struct dns_socket *s = CONTAINER(w, struct dns_socket, fd); /* may be freed by the call */
    struct dns *d = s->dns;
    int fd = w->fd;
    ares_process_fd(d->channel, events & ~(uint32_t)EPOLLOUT ? fd : ARES_SOCKET_BAD,
                    events & (EPOLLOUT | EPOLLERR | EPOLLHUP) ? fd : ARES_SOCKET_BAD);
    dns_set_timer(d);
}

static struct dns_socket *dns_socket_of(struct dns *d, int fd)
{
    for (struct list *node = d->sockets.next; node != &d->sockets; node = node->next) {
        struct dns_socket *s = CONTAINER(node, struct dns_socket, node);
        if (s->fd.fd == fd)
            return s;
    }
    struct dns_socket *s = mem_zalloc(sizeof *s);
    s->fd = (struct loop_fd){.run = dns_on_socket, .fd = fd};
    s->dns = d;
    list_push_back(&d->sockets, &s->node);
    return s;
}

/* Called before c-ares closes the socket. A lookup whose socket cannot be watched (no kernel memory) ends by its
 * timeout. */
static void dns_watch(void *arg, ares_socket_t fd, int readable, int writable)
{
    struct dns_socket *s = dns_socket_of(arg, fd);
    if (readable || writable) {
        loop_watch(s->dns->loop, &s->fd, (readable ? EPOLLIN : 0) | (writable ? EPOLLOUT : 0));
        return;
    }
    loop_unwatch(s->dns->loop, &s->fd);
    list_remove(&s->node);
    mem_free(s);
}

/* ---- the channel ---- */

static int dns_open_channel(struct dns *d)
{
    struct ares_options o = {.timeout = TRY_MS, .tries = TRIES, .sock_state_cb = dns_watch, .sock_state_cb_data = d};
    int rc = ares_init_options(&d->channel, &o, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
    if (rc == ARES_SUCCESS && dns_servers && (rc = ares_set_servers_ports_csv(d->channel, dns_servers)) != ARES_SUCCESS)
        ares_destroy(d->channel);
    if (rc != ARES_SUCCESS)
        d->channel = NULL;
    return rc;
}

static bool dns_files_changed(struct dns *d)
{
    bool changed = false;
    for (size_t i = 0; i < LEN(dns_files); i++) {
        struct stat now = {0}, *seen = &d->seen[i];
        if (stat(dns_files[i], &now) < 0)
            now = (struct stat){0};
        changed = changed || now.st_mtim.tv_sec != seen->st_mtim.tv_sec || now.st_mtim.tv_nsec != seen->st_mtim.tv_nsec
                  || now.st_size != seen->st_size || now.st_ino != seen->st_ino || now.st_dev != seen->st_dev;
        *seen = now;
    }
    return changed;
}

static void dns_start_lookup(struct dns_lookup *l);

/* A channel that cannot be created (no memory, no descriptor for the files) is retried at the next lookup. */
static void dns_renew(struct dns *d)
{
    int64_t now = loop_mono(d->loop);
    if (d->channel && now - d->checked < CHECK_FILES_MS)
        return;
    d->checked = now;
    if (!dns_files_changed(d) && d->channel)
        return;
    ares_channel old = d->channel;
    if (dns_open_channel(d) != ARES_SUCCESS) {
        d->channel = old;
        memset(d->seen, 0, sizeof d->seen);
        return;
    }
    if (old)
        ares_destroy(old); /* moves its lookups to `again` */
    for (struct list *node; (node = list_pop_front(&d->again)) != NULL;)
        dns_start_lookup(CONTAINER(node, struct dns_lookup, node));
}

/* ---- lookups ---- */

static void dns_finish(struct dns_lookup *l, const struct dns_result *r)
{
    struct dns *d = l->dns;
    void *arg = l->arg;
    if (list_linked(&l->node))
        list_remove(&l->node);
    mem_free(l);
    d->answered(arg, r);
}

static void dns_add_address(struct dns_result *r, const struct sockaddr *at)
{
    char text[INET6_ADDRSTRLEN];
    size_t n = strlen(r->addresses);
    bool six = at->sa_family == AF_INET6;
    const void *bytes = six ? (const void *)&((const struct sockaddr_in6 *)(const void *)at)->sin6_addr
                            : (const void *)&((const struct sockaddr_in *)(const void *)at)->sin_addr;
    if (inet_ntop(at->sa_family, bytes, text, sizeof text))
        snprintf(r->addresses + n, sizeof r->addresses - n, "%s%s%s%s", n ? "," : "", six ? "[" : "", text,
                 six ? "]" : "");
}

static void dns_take_addresses(struct dns_result *r, const struct ares_addrinfo *found)
{
    unsigned n = 0;
    r->ttl = INT64_MAX;
    for (const struct ares_addrinfo_node *at = found->nodes; at && n < DNS_ADDRESSES; at = at->ai_next) {
        if (at->ai_family != AF_INET && at->ai_family != AF_INET6)
            continue;
        dns_add_address(r, at->ai_addr);
        if ((int64_t)at->ai_ttl * 1000 < r->ttl)
            r->ttl = (int64_t)at->ai_ttl * 1000;
        n++;
    }
    r->outcome = n > 0 ? DNS_FOUND : DNS_ABSENT;
    r->why = "the name has no address";
}

/* A and AAAA are requested together, and the status is that of the later response: after timeouts, "no data" may be
 * incomplete. */
static void dns_explain(struct dns_result *r, int status, int timeouts)
{
    switch (status) {
    case ARES_ENOTFOUND:
    case ARES_EBADNAME:
        r->outcome = DNS_ABSENT;
        r->why = status == ARES_EBADNAME ? "not a valid host name" : "no such host";
        return;
    case ARES_ENODATA:
        r->outcome = timeouts > 0 ? DNS_SILENT : DNS_ABSENT;
        r->why = timeouts > 0 ? "no response from the name server" : "the name has no address";
        return;
    case ARES_ETIMEOUT:
        r->outcome = DNS_SILENT;
        r->why = "no response from the name server";
        return;
    case ARES_ECONNREFUSED: /* c-ares' code for all of these */
        r->outcome = DNS_FAILED;
        r->why = "the name server cannot be reached or reports a failure (SERVFAIL, REFUSED)";
        return;
    default:
        r->outcome = DNS_FAILED;
        r->why = ares_strerror(status);
    }
}

/* True: the lookup was interrupted by the end of the channel. */
static bool dns_interrupted(struct dns_lookup *l, int status)
{
    if (status != ARES_EDESTRUCTION)
        return false;
    list_remove(&l->node);
    if (l->dns->dropping)
        mem_free(l);
    else
        list_push_back(&l->dns->again, &l->node);
    return true;
}

static void dns_on_result(void *arg, int status, int timeouts, struct ares_addrinfo *found)
{
    struct dns_lookup *l = arg;
    struct dns_result r = {.addresses = ""};
    if (dns_interrupted(l, status))
        return;
    if (status == ARES_SUCCESS)
        dns_take_addresses(&r, found);
    else
        dns_explain(&r, status, timeouts);
    ares_freeaddrinfo(found);
    dns_finish(l, &r);
}

static void dns_finish_records(struct dns_lookup *l, struct dns_records *r)
{
    void *arg = l->arg;
    void (*found)(void *arg, struct dns_records *r) = l->found;
    if (list_linked(&l->node))
        list_remove(&l->node);
    mem_free(l);
    found(arg, r);
}

static void dns_on_records(void *arg, int status, int timeouts, unsigned char *message, int length)
{
    struct dns_lookup *l = arg;
    struct dns_records records = {0};
    struct dns_result r = {.addresses = ""};
    if (dns_interrupted(l, status))
        return;
    if (status == ARES_SUCCESS)
        status = dns_records_parse(l->type, message, length, &records);
    if (status != ARES_SUCCESS) {
        dns_explain(&r, status, timeouts);
        records.why = r.outcome == DNS_ABSENT && status != ARES_EBADNAME ? NULL : r.why;
    }
    dns_finish_records(l, &records);
}

static void dns_start_lookup(struct dns_lookup *l)
{
    struct dns *d = l->dns;
    struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC, .ai_flags = 0};
    if (d->channel == NULL) {
        static const char why[] = "cannot read /etc/resolv.conf";
        if (l->found)
            dns_finish_records(l, &(struct dns_records){.why = why});
        else
            dns_finish(l, &(struct dns_result){.outcome = DNS_FAILED, .why = why});
        return;
    }
    list_push_back(&d->lookups, &l->node);
    if (l->found) {
        ares_search(d->channel, l->name, DNS_CLASS_IN, dns_records_type(l->type), dns_on_records, l);
        return;
    }
    ares_getaddrinfo(d->channel, l->name, NULL, &hints, dns_on_result, l); /* may complete within the call */
}

static struct dns_lookup *dns_lookup_new(struct dns *d, const char *name, void *arg)
{
    size_t n = strlen(name) + 1;
    struct dns_lookup *l = mem_zalloc(sizeof *l + n);
    l->dns = d;
    l->arg = arg;
    memcpy(l->name, name, n);
    dns_renew(d);
    return l;
}

void dns_ask(struct dns *d, const char *name, void *arg)
{
    dns_start_lookup(dns_lookup_new(d, name, arg));
    dns_set_timer(d);
}

void dns_ask_records(struct dns *d, const char *name, enum dns_type type,
                     void (*found)(void *arg, struct dns_records *r), void *arg)
{
    struct dns_lookup *l = dns_lookup_new(d, name, arg);
    l->found = found;
    l->type = type;
    dns_start_lookup(l);
    dns_set_timer(d);
}

struct dns *dns_new(struct loop *loop, void (*answered)(void *arg, const struct dns_result *r))
{
    struct dns *d = mem_zalloc(sizeof *d);
    d->loop = loop;
    d->answered = answered;
    d->timer.run = dns_on_timer;
    list_init(&d->sockets);
    list_init(&d->lookups);
    list_init(&d->again);
    dns_renew(d);
    return d;
}

void dns_free(struct dns *d)
{
    if (d == NULL)
        return;
    d->dropping = true;
    if (d->channel)
        ares_destroy(d->channel);
    loop_timer_stop(d->loop, &d->timer);
    mem_free(d);
}

void dns_use_servers(const char *servers) { dns_servers = servers; }
