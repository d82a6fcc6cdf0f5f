// SPDX-License-Identifier: Apache-2.0
#include "base/http/client_plain.h"

#include "base/http/client_body.h"
#include "base/http/client_error.h"
#include "base/http/client_profile.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

enum { PLAIN_RECEIVE = 64 << 10, RECEIVES_PER_EVENT = 4 };

static void plain_connect(struct client_call *call);

/* ---- time ---- */

static struct loop *plain_loop(const struct client_call *call) { return call->plain.owner->connections.loop; }

static int64_t plain_spent(const struct client_call *call)
{
    return loop_mono(plain_loop(call)) - call->reply.start_mono;
}

/* Of the time until the request is sent. */
static int64_t plain_connect_left(const struct client_call *call)
{
    return client_call_connect_left(&call->req, plain_spent(call));
}

static void plain_set_deadline(struct client_call *call, int64_t left)
{
    loop_timer_in(plain_loop(call), &call->plain.deadline, left > 0 ? left : 0);
}

/* ---- the end ---- */

/* Everything but the reply. */
static void plain_close(struct client_call *call, bool keep)
{
    struct plain_exchange *x = &call->plain;
    if (x->resolving) /* the resolver's lock is the process's */
        resolver_cancel(&x->name);
    loop_timer_stop(plain_loop(call), &x->deadline);
    if (x->connection && keep)
        connection_keep(x->connection);
    else if (x->connection)
        connection_close(x->connection);
    x->connection = NULL;
    if (x->server)
        server_release(&x->owner->connections, x->server);
    x->server = NULL;
    response_free(&x->reader);
}

void plain_stop(struct client_call *call)
{
    if (call->plain.owner)
        plain_close(call, false);
    call->plain.owner = NULL;
}

/* client_send must not call back before it returns: a call that fails as it starts is reported by plain_start. */
static void plain_settle(struct client_call *call, enum plain_outcome outcome, bool keep)
{
    struct client_plain *owner = call->plain.owner;
    call->reply.total_ms = plain_spent(call);
    plain_close(call, keep);
    call->plain.owner = NULL;
    if (!call->plain.starting)
        owner->settled(call, outcome);
}

/* Sets reply.err unless it is set, and whether the status counts anyway. */
static void plain_explain(struct client_call *call, enum err_kind kind, const char *text)
{
    struct client_reply *r = &call->reply;
    r->total_ms = plain_spent(call);
    if (call->req.status_only && call->head_complete && call->state != CALL_CANCELED) {
        r->err = (struct err){0};
        return;
    }
    r->status = 0;
    r->gunzip_failed = call->corrupted_body;
    if (r->err.kind == ERR_NONE)
        client_describe(&(struct client_failure){call->req.method, call->url, r->total_ms}, kind, text, &r->err);
    client_hide_secrets_in(call->profile, str_of(call->url), r->err.text, sizeof r->err.text);
}

static void plain_fail(struct client_call *call, enum err_kind kind, const char *text)
{
    plain_explain(call, kind, text);
    plain_settle(call, PLAIN_ENDED, false);
}

/* On an error or the end of the connection; errno is 0 for the latter. */
static void plain_lost(struct client_call *call, int why)
{
    struct plain_exchange *x = &call->plain;
    char text[160];
    if (x->connection->reused && !x->answered && !x->repeated) {
        x->repeated = true;
        connection_close(x->connection);
        x->connection = NULL;
        plain_connect(call);
        return;
    }
    if (why)
        snprintf(text, sizeof text, "connection lost: %s", strerror(why));
    else
        snprintf(text, sizeof text, "%s", x->answered ? "connection closed before the response was complete"
                                                      : "the server closed the connection without a response");
    plain_fail(call, ERR_BAD_GATEWAY, text);
}

/* ---- the response ---- */

static bool plain_is_followed(const struct client_call *call)
{
    int status = call->reply.status;
    bool changes_method = status == 301 || status == 302 || status == 303;
    return ((changes_method && !call->req.keep_method) || status == 307 || status == 308)
           && call->reply.location.n > 0 && !call->req.no_redirects && client_profile_follows_redirects(call->profile);
}

static void plain_complete(struct client_call *call, bool keep)
{
    struct plain_exchange *x = &call->plain;
    if (!client_body_end(call)) {
        plain_fail(call, ERR_BAD_GATEWAY, CLIENT_BAD_ENCODING);
        return;
    }
    keep = keep && !call->req.close && x->reader.keeps_open && x->sent == x->head.text.n + call->req.body.n;
    call->reply.err = (struct err){0};
    plain_settle(call, PLAIN_ENDED, keep);
}

/* What ended client_body_take early. */
static void plain_refused(struct client_call *call)
{
    plain_fail(call, ERR_BAD_GATEWAY, call->corrupted_body ? CLIENT_BAD_ENCODING : "the response was refused");
}

static bool plain_deliver(struct client_call *call, struct str piece)
{
    call->reply.body_bytes += piece.n;
    call->delivering = true;
    bool ok = client_body_take(call, piece);
    call->delivering = false;
    return ok && call->state != CALL_CANCELED;
}

/* False: the call has ended. */
static bool plain_read(struct client_call *call, struct str in)
{
    struct plain_exchange *x = &call->plain;
    struct response_part part;
    struct err why;
    if (!x->answered)
        call->reply.first_byte_ms = plain_spent(call);
    x->answered = true;
    for (;;)
        switch (response_next(&x->reader, &in, &part, &why)) {
        case RESPONSE_MORE: return true;
        case RESPONSE_HEADER: client_body_take_header(call, part.name, part.value); break;
        case RESPONSE_HEAD:
            call->head_complete = true;
            call->reply.status = x->reader.status;
            if (plain_is_followed(call)) {
                plain_settle(call, PLAIN_REDIRECTED, false);
                return false;
            }
            if (call->req.head)
                call->req.head(call->req.arg, &call->reply);
            break;
        case RESPONSE_BODY:
            if (plain_deliver(call, part.value))
                break;
            plain_refused(call);
            return false;
        case RESPONSE_END: plain_complete(call, in.n == 0); return false;
        case RESPONSE_BAD: plain_fail(call, why.kind, why.text); return false;
        }
}

static char *plain_buffer(struct client_plain *plain)
{
    if (plain->received == NULL)
        plain->received = mem_alloc(PLAIN_RECEIVE);
    return plain->received;
}

/* A receive that does not fill the buffer has emptied the socket, as good as always; if not, the loop says so. */
static void plain_receive(struct client_call *call)
{
    struct plain_exchange *x = &call->plain;
    char *buffer = plain_buffer(x->owner);
    for (int i = 0; i < RECEIVES_PER_EVENT; i++) {
        ssize_t n = recv(x->connection->watch.fd, buffer, PLAIN_RECEIVE, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n == 0 && x->answered && response_ends_here(&x->reader))
            plain_complete(call, false);
        else if (n <= 0)
            plain_lost(call, n < 0 ? errno : 0);
        if (n <= 0 || !plain_read(call, str_n(buffer, (size_t)n)) || n < PLAIN_RECEIVE || x->paused)
            return;
    }
}

/* A connection that cannot be watched again is closed by the deadline. */
void plain_pause(struct client_call *call, bool pause)
{
    struct plain_exchange *x = &call->plain;
    x->paused = pause;
    if (x->connection)
        (void)!connection_watch(x->connection, pause ? 0 : EPOLLIN);
}

/* ---- the request ---- */

/* False: the call has ended, or begun again. */
static bool plain_send(struct client_call *call)
{
    struct plain_exchange *x = &call->plain;
    size_t head = x->head.text.n, all = head + call->req.body.n;
    while (x->sent < all) {
        struct iovec parts[2];
        int n = 0;
        if (x->sent < head)
            parts[n++] = (struct iovec){x->head.text.p + x->sent, head - x->sent};
        size_t at = x->sent > head ? x->sent - head : 0;
        if (call->req.body.n > at)
            parts[n++] = (struct iovec){(char *)call->req.body.p + at, call->req.body.n - at};
        ssize_t sent = sendmsg(x->connection->watch.fd, &(struct msghdr){.msg_iov = parts, .msg_iovlen = (size_t)n},
                               MSG_NOSIGNAL);
        if (sent < 0 && (errno == EAGAIN || errno == EINTR))
            break;
        x->refused = sent < 0 && (errno == EPIPE || errno == ECONNRESET);
        if (x->refused) /* the response, if there is one, is still to be received */
            break;
        if (sent < 0) {
            plain_lost(call, errno);
            return false;
        }
        x->sent += (size_t)sent;
        call->reply.sent_bytes += (uint64_t)sent;
        call->reply.sent = true;
    }
    if (connection_watch(x->connection, x->sent < all && !x->refused ? EPOLLIN | EPOLLOUT : EPOLLIN))
        return true;
    snprintf(call->message, sizeof call->message, "cannot watch a connection: %s", strerror(errno));
    plain_fail(call, ERR_INTERNAL, call->message);
    return false;
}

/* ---- connecting ---- */

/* One item of "192.0.2.1,[2001:db8::1]". */
static bool plain_read_address(struct str item, uint16_t port, union socket_address *to)
{
    char text[INET6_ADDRSTRLEN + 2];
    bool v6 = item.n > 2 && item.p[0] == '[';
    struct str address = v6 ? str_n(item.p + 1, item.n - 2) : item;
    if (address.n >= sizeof text)
        return false;
    memcpy(text, address.p, address.n);
    text[address.n] = 0;
    *to = (union socket_address){.any.sa_family = v6 ? AF_INET6 : AF_INET};
    if (v6)
        to->v6.sin6_port = htons(port);
    else
        to->v4.sin_port = htons(port);
    return inet_pton(to->any.sa_family, text, v6 ? (void *)&to->v6.sin6_addr : (void *)&to->v4.sin_addr) == 1;
}

static void plain_take_addresses(struct plain_exchange *x, const char *list)
{
    struct str rest = str_of(list), item;
    x->n_addresses = x->next_address = 0;
    while (x->n_addresses < PLAIN_ADDRESSES && str_cut(&rest, ',', &item))
        x->n_addresses += plain_read_address(item, x->server->port, &x->addresses[x->n_addresses]);
}

static void plain_dial_failed(struct client_call *call, enum err_kind kind, const char *text)
{
    call->reply.dial_failed = true;
    plain_fail(call, kind, text);
}

/* Tries the remaining addresses in turn, each for half of the remaining time, the last for all of it. */
static void plain_dial(struct client_call *call, int why)
{
    struct plain_exchange *x = &call->plain;
    while (x->next_address < x->n_addresses) {
        x->connection = connection_open(&x->owner->connections, x->server, call, &x->addresses[x->next_address++]);
        if (x->connection) {
            int64_t left = plain_connect_left(call);
            plain_set_deadline(call, x->next_address < x->n_addresses ? left / 2 : left);
            return;
        }
        why = errno;
    }
    if (why == ECONNREFUSED || why == 0)
        snprintf(call->message, sizeof call->message, "%s", why ? "connection refused" : "cannot connect");
    else
        snprintf(call->message, sizeof call->message, "cannot connect: %s", strerror(why));
    plain_dial_failed(call, ERR_BAD_GATEWAY, call->message);
}

static void plain_dial_socket(struct client_call *call)
{
    struct plain_exchange *x = &call->plain;
    x->n_addresses = x->next_address = 0;
    x->connection = connection_open(&x->owner->connections, x->server, call, NULL);
    if (x->connection)
        return;
    snprintf(call->message, sizeof call->message, "cannot connect to the Unix socket %s: %s", x->server->host.p,
             strerror(errno));
    plain_dial_failed(call, ERR_BAD_GATEWAY, call->message);
}

static void plain_explain_name(struct client_call *call, enum err_kind kind, const char *why)
{
    char text[CLIENT_NAME_ERROR_SIZE];
    client_describe_name(call->plain.server->host.p, why, text);
    plain_dial_failed(call, kind, text);
}

static void plain_take_name(struct client_call *call)
{
    struct plain_exchange *x = &call->plain;
    struct resolver_request *name = &x->name;
    if (name->addresses == NULL) {
        plain_explain_name(call, name->silent ? ERR_GATEWAY_TIME : ERR_BAD_GATEWAY, name->why ? name->why : "unknown");
        return;
    }
    plain_take_addresses(x, name->addresses);
    mem_free(name->addresses);
    name->addresses = NULL;
    plain_dial(call, 0);
}

static void plain_on_name(struct resolver_request *name)
{
    struct client_call *call = CONTAINER(name, struct client_call, plain.name);
    call->plain.resolving = false;
    plain_take_name(call);
}

static void plain_connect(struct client_call *call)
{
    struct plain_exchange *x = &call->plain;
    x->sent = 0;
    x->connected = x->answered = x->refused = false;
    call->reply.reused = false;
    plain_set_deadline(call, plain_connect_left(call));
    if (x->server->port == SERVER_SOCKET) {
        plain_dial_socket(call);
        return;
    }
    x->name = (struct resolver_request){.loop = plain_loop(call), .done = plain_on_name};
    x->resolving = !resolver_ask(&x->name, x->server->host.p);
    if (!x->resolving)
        plain_take_name(call);
}

/* ---- events ---- */

static void plain_on_deadline(struct loop_timer *t)
{
    struct client_call *call = CONTAINER(t, struct client_call, plain.deadline);
    struct plain_exchange *x = &call->plain;
    char text[96];
    long long ms = (long long)plain_spent(call);
    if (x->resolving) {
        client_describe_silence(ms, text, sizeof text);
        plain_explain_name(call, ERR_GATEWAY_TIME, text);
    } else if (x->connected) {
        snprintf(text, sizeof text, "timed out after %lld ms", ms);
        plain_fail(call, ERR_GATEWAY_TIME, text);
    } else if (x->next_address < x->n_addresses) {
        connection_close(x->connection);
        x->connection = NULL;
        plain_dial(call, ETIMEDOUT);
    } else {
        snprintf(text, sizeof text, "timed out connecting after %lld ms", ms);
        plain_dial_failed(call, ERR_GATEWAY_TIME, text);
    }
}

static bool plain_begin(struct client_call *call)
{
    call->plain.connected = true;
    if (call->req.timeout_ms)
        plain_set_deadline(call, call->req.timeout_ms - plain_spent(call));
    else
        loop_timer_stop(plain_loop(call), &call->plain.deadline);
    return plain_send(call);
}

/* Whether the connection is established; otherwise the next address is tried. */
static bool plain_is_connected(struct client_call *call)
{
    struct plain_exchange *x = &call->plain;
    int why = 0;
    socklen_t size = sizeof why;
    if (getsockopt(x->connection->watch.fd, SOL_SOCKET, SO_ERROR, &why, &size) == 0 && why == 0)
        return true;
    connection_close(x->connection);
    x->connection = NULL;
    plain_dial(call, why);
    return false;
}

static void plain_on_event(struct client_call *call, uint32_t events)
{
    struct plain_exchange *x = &call->plain;
    if (!x->connected && (!plain_is_connected(call) || !plain_begin(call)))
        return;
    bool unsent = x->sent < x->head.text.n + call->req.body.n && !x->refused;
    if ((events & EPOLLOUT) && unsent && !plain_send(call))
        return;
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        plain_receive(call);
}

/* ---- the interface ---- */

bool plain_start(struct client_plain *plain, struct client_call *call)
{
    struct plain_exchange *x = &call->plain;
    x->owner = plain;
    x->deadline.run = plain_on_deadline;
    x->server = server_of(&plain->connections, x->head.host, x->head.port);
    x->connection = connection_take(x->server, call);
    call->reply.reused = x->connection != NULL;
    x->starting = true;
    if (x->connection == NULL)
        plain_connect(call);
    else
        (void)!plain_begin(call);
    x->starting = false;
    return x->owner != NULL;
}

void plain_init(struct client_plain *plain, struct loop *loop, int64_t idle_ms, size_t most_idle)
{
    connections_init(&plain->connections, loop, idle_ms, most_idle);
    plain->connections.ready = plain_on_event;
}

void plain_free(struct client_plain *plain)
{
    connections_free(&plain->connections);
    mem_free(plain->received);
}
