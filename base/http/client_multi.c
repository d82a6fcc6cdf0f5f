// SPDX-License-Identifier: Apache-2.0
/* Connects one libcurl multi to the loop.
 *
 * The loop watches a duplicate of curl's descriptor. curl (7.88, when a connection was never established) closes a
 * socket before it removes the watch, and by then another thread may have the same number; the duplicate stays open
 * until we close it. curl removes the watch within the same call.
 *
 * curl keeps idle connections, and has no call that closes one of them. So the multi knows the sockets of its
 * connections: an idle one is one that curl does not watch, and shutdown(2) ends its connection for both peers.
 */
#include "base/http/client_multi.h"

#include "base/http/client_call.h"

#include <curl/curl.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct watch {
    struct loop_fd fd; /* our duplicate */
    curl_socket_t socket;
    struct client_multi *shard;
};

static void act(struct client_multi *s, curl_socket_t socket, int bits)
{
    int running;
    *s->in_curl = true;
    curl_multi_socket_action(s->multi, socket, bits, &running);
    *s->in_curl = false;
    s->settle(s);
}

static void on_socket(struct loop_fd *fd, uint32_t events)
{
    struct watch *w = CONTAINER(fd, struct watch, fd);
    int bits = (events & EPOLLIN ? CURL_CSELECT_IN : 0) | (events & EPOLLOUT ? CURL_CSELECT_OUT : 0)
               | (events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
    act(w->shard, w->socket, bits); /* `w` may be freed now */
}

static void client_multi_on_timer(struct loop_timer *t)
{
    act(CONTAINER(t, struct client_multi, timer), CURL_SOCKET_TIMEOUT, 0);
}

/* ---- sockets of connections ---- */

static struct multi_socket *multi_socket_find(struct client_multi *s, int fd)
{
    for (size_t i = 0; i < s->n_sockets; i++)
        if (s->sockets[i].fd == fd)
            return &s->sockets[i];
    return NULL;
}

static void multi_socket_set_busy(struct client_multi *s, int fd, bool busy)
{
    struct multi_socket *at = multi_socket_find(s, fd);
    if (at)
        at->busy = busy;
}

void client_multi_opened(struct client_multi *s, int fd, uint64_t url)
{
    mem_grow(&s->sockets, &s->sockets_cap, s->n_sockets + 1, sizeof *s->sockets);
    s->sockets[s->n_sockets++] = (struct multi_socket){.url = url, .fd = fd, .busy = true};
}

void client_multi_closed(struct client_multi *s, int fd)
{
    struct multi_socket *at = multi_socket_find(s, fd);
    if (at)
        *at = s->sockets[--s->n_sockets];
}

void client_multi_end_idle(struct client_multi *s, uint64_t url)
{
    size_t left = 0;
    for (size_t i = 0; i < s->n_sockets; i++) {
        struct multi_socket *at = &s->sockets[i];
        if (at->url == url && !at->busy && !at->ended)
            at->ended = shutdown(at->fd, SHUT_RDWR) == 0 || errno == ENOTCONN;
        left += !at->ended;
    }
    if (left == 0 && s->n_calls == 0)
        client_multi_close(s);
}

/* ---- watches ---- */

static void forget_socket(struct client_multi *s, struct watch *w)
{
    multi_socket_set_busy(s, w->socket, false);
    curl_multi_assign(s->multi, w->socket, NULL);
    loop_unwatch(s->loop, &w->fd);
    close(w->fd.fd);
    mem_free(w);
}

/* curl treats a failure of this callback as the end of the complete multi, so it returns success: the call ends by
 * its timeout, with this error. */
static int cannot_watch(CURL *easy)
{
    struct client_call *call;
    int why = errno;
    if (curl_easy_getinfo(easy, CURLINFO_PRIVATE, &call) == CURLE_OK && call && call->reply.err.kind == ERR_NONE)
        err_set(&call->reply.err, ERR_INTERNAL, "cannot watch a connection: %s", strerror(why));
    return 0;
}

static int watch_socket(CURL *easy, curl_socket_t socket, int what, void *arg, void *socket_arg)
{
    struct client_multi *s = arg;
    struct watch *w = socket_arg;
    if (what == CURL_POLL_REMOVE) {
        if (w)
            forget_socket(s, w);
        return 0;
    }
    if (w == NULL) {
        int fd = dup(socket);
        if (fd < 0)
            return cannot_watch(easy);
        w = mem_alloc(sizeof *w);
        *w = (struct watch){.fd = {.run = on_socket, .fd = fd}, .socket = socket, .shard = s};
        curl_multi_assign(s->multi, socket, w);
    }
    multi_socket_set_busy(s, socket, true);
    uint32_t events = (what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0);
    return loop_watch(s->loop, &w->fd, events) ? 0 : cannot_watch(easy);
}

static int set_timer(CURLM *multi UNUSED, long ms, void *arg)
{
    struct client_multi *s = arg;
    if (ms < 0)
        loop_timer_stop(s->loop, &s->timer);
    else
        loop_timer_in(s->loop, &s->timer, ms);
    return 0;
}

bool client_multi_open(struct client_multi *s, long connections)
{
    if (s->multi)
        return true;
    s->multi = curl_multi_init();
    if (s->multi == NULL)
        return false;
    s->timer.run = client_multi_on_timer;
    curl_multi_setopt(s->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
    curl_multi_setopt(s->multi, CURLMOPT_SOCKETDATA, s);
    curl_multi_setopt(s->multi, CURLMOPT_TIMERFUNCTION, set_timer);
    curl_multi_setopt(s->multi, CURLMOPT_TIMERDATA, s);
    curl_multi_setopt(s->multi, CURLMOPT_MAXCONNECTS, connections);
    return true;
}

void client_multi_close(struct client_multi *s)
{
    if (s->multi)
        curl_multi_cleanup(s->multi);
    s->multi = NULL;
    mem_free(s->sockets);
    s->sockets = NULL;
    s->n_sockets = s->sockets_cap = 0;
    loop_timer_stop(s->loop, &s->timer);
}
