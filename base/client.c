/* Who calls whom: the loop calls on_socket or on_timer, these call curl_multi_socket_action, and curl calls back: socket
 * and timer wishes, headers, pieces of bodies. Inside such a call no handle may be added or removed (`in_curl`), so what
 * the user's callback asks for there is done by `settle` when curl has returned; finished transfers are told there too.
 *
 * A call is in exactly one list: waiting (no handle yet), running (it has one, its multi knows it), or failed (it could
 * not be started; a timer tells so, since client_send may not call back before it has returned).
 */
#include "base/client.h"

#include "base/client_error.h"
#include "base/client_profile.h"

#include <curl/curl.h>
#include <string.h>

enum { PER_MULTI = 250, SPARE_CONNECTIONS = 16, IDLE_HANDLES = 4, BUFFER = 16 << 10, CONNECT_MS = 5000 };

struct shard { /* one multi; made when first needed */
    struct client *client;
    CURLM *multi;
    struct loop_timer timer;
};
struct watch {
    struct loop_fd fd;
    struct shard *shard;
};
struct client {
    struct loop *loop;
    unsigned max_inflight, n_shards;
    long connections; /* kept by each multi */
    char *user_agent;
    struct list waiting, running, failed;
    size_t n_waiting, n_running;
    CURL *idle[IDLE_HANDLES];
    unsigned n_idle;
    bool in_curl, curl_ready;
    bool has_canceled; /* calls in `running` that were canceled while in_curl */
    struct loop_timer tell_failed;
    struct shard shards[];
};
enum call_state { CALL_WAITING, CALL_RUNNING, CALL_FAILED, CALL_CANCELED /* still in running */, CALL_DONE /* in no list */ };
struct client_call {
    struct list node;
    enum call_state state;
    struct client *client;
    struct shard *shard;
    struct client_request req; /* url, headers and profile are our own */
    char *url;
    struct client_profile *profile;
    struct curl_slist *headers, *connect_to;
    CURL *easy;
    size_t body; /* decoded bytes so far */
    struct client_reply reply;
    char content_type[256], content_encoding[64], retry_after[64];
    char message[CURL_ERROR_SIZE];
};

static void settle(struct shard *s);

/* ---- curl's wishes ---- */

static void act(struct shard *s, curl_socket_t fd, int bits)
{
    struct client *c = s->client;
    int running;
    c->in_curl = true;
    curl_multi_socket_action(s->multi, fd, bits, &running);
    c->in_curl = false;
    settle(s);
}

static void on_socket(struct loop_fd *fd, uint32_t events)
{
    struct watch *w = CONTAINER(fd, struct watch, fd);
    int bits = (events & EPOLLIN ? CURL_CSELECT_IN : 0) | (events & EPOLLOUT ? CURL_CSELECT_OUT : 0)
               | (events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
    act(w->shard, fd->fd, bits); /* `w` may be gone now */
}

static void on_timer(struct loop_timer *t) { act(CONTAINER(t, struct shard, timer), CURL_SOCKET_TIMEOUT, 0); }

static int watch_socket(CURL *easy UNUSED, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    struct shard *s = arg;
    struct watch *w = socket_arg;
    if (what == CURL_POLL_REMOVE) {
        if (w)
            loop_unwatch(s->client->loop, &w->fd);
        mem_free(w);
        curl_multi_assign(s->multi, fd, NULL);
        return 0;
    }
    if (w == NULL) {
        w = mem_zalloc(sizeof *w);
        w->fd = (struct loop_fd){.run = on_socket, .fd = fd};
        w->shard = s;
        curl_multi_assign(s->multi, fd, w);
    }
    uint32_t events = (what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0);
    return loop_watch(s->client->loop, &w->fd, events) ? 0 : -1;
}

static int set_timer(CURLM *multi UNUSED, long ms, void *arg)
{
    struct shard *s = arg;
    if (ms < 0)
        loop_timer_stop(s->client->loop, &s->timer);
    else
        loop_timer_in(s->client->loop, &s->timer, ms);
    return 0;
}

static bool open_shard(struct shard *s)
{
    struct client *c = s->client;
    if (s->multi)
        return true;
    if (!c->curl_ready && curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return false;
    c->curl_ready = true;
    s->multi = curl_multi_init();
    if (s->multi == NULL)
        return false;
    curl_multi_setopt(s->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
    curl_multi_setopt(s->multi, CURLMOPT_SOCKETDATA, s);
    curl_multi_setopt(s->multi, CURLMOPT_TIMERFUNCTION, set_timer);
    curl_multi_setopt(s->multi, CURLMOPT_TIMERDATA, s);
    curl_multi_setopt(s->multi, CURLMOPT_MAXCONNECTS, c->connections);
    return true;
}

/* ---- the answer arrives ---- */

static void keep(char *to, size_t size, struct str *slice, struct str value)
{
    value = str_trim(value);
    *slice = str_n(to, value.n < size ? value.n : size - 1);
    if (slice->n > 0)
        memcpy(to, value.p, slice->n);
}

static size_t on_header(char *p, size_t one UNUSED, size_t n, void *arg)
{
    struct client_call *call = arg;
    struct client_reply *r = &call->reply;
    struct str value = str_n(p, n), name;
    if (str_starts(value, STR("HTTP/"))) /* a new head: after a redirect or a 100 */
        r->content_type = r->content_encoding = r->retry_after = STR_NONE;
    else if (str_cut(&value, ':', &name) && value.p) {
        if (str_ieq(name, STR("content-type")))
            keep(call->content_type, sizeof call->content_type, &r->content_type, value);
        else if (str_ieq(name, STR("content-encoding")))
            keep(call->content_encoding, sizeof call->content_encoding, &r->content_encoding, value);
        else if (str_ieq(name, STR("retry-after")))
            keep(call->retry_after, sizeof call->retry_after, &r->retry_after, value);
    }
    return n;
}

static int status_of(const struct client_call *call)
{
    long status = 0;
    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    return (int)status;
}

/* Returning less than n ends the transfer with CURLE_WRITE_ERROR; reply.err then says why. */
static size_t on_body(char *p, size_t one UNUSED, size_t n, void *arg)
{
    struct client_call *call = arg;
    struct client_reply *r = &call->reply;
    if (call->state == CALL_CANCELED)
        return 0;
    if (call->req.max_body && n > call->req.max_body - call->body) {
        err_set(&r->err, ERR_TOO_LARGE, "the body is larger than %zu bytes", call->req.max_body);
        return 0;
    }
    call->body += n;
    if (call->req.data == NULL)
        return n;
    r->status = status_of(call);
    struct err err = {0};
    if (call->req.data(call->req.arg, r, str_n(p, n), &err))
        return call->state == CALL_CANCELED ? 0 : n;
    if (err.kind == ERR_NONE)
        err_set(&err, ERR_CANCELED, "the answer was not wanted any more");
    r->err = err;
    return 0;
}

/* ---- starting ---- */

static CURL *take_handle(struct client *c) { return c->n_idle ? c->idle[--c->n_idle] : curl_easy_init(); }

static void give_handle(struct client *c, CURL *easy)
{
    if (c->n_idle == IDLE_HANDLES) {
        curl_easy_cleanup(easy);
        return;
    }
    curl_easy_reset(easy);
    c->idle[c->n_idle++] = easy;
}

static void set_method(CURL *easy, const struct client_request *req)
{
    if (strcmp(req->method, "GET") == 0)
        return;
    if (req->body.n > 0 || strcmp(req->method, "DELETE") != 0) {
        curl_easy_setopt(easy, CURLOPT_POST, 1L);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)req->body.n);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, req->body.n ? req->body.p : "");
    }
    if (strcmp(req->method, "POST") != 0) /* as CUSTOMREQUEST, POST would survive a 303 */
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, req->method);
}

static void set_options(struct client_call *call)
{
    const struct client_request *req = &call->req;
    CURL *easy = call->easy;
    int64_t connect_ms = req->connect_timeout_ms ? req->connect_timeout_ms : CONNECT_MS;
    curl_easy_setopt(easy, CURLOPT_URL, call->url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)BUFFER);
    curl_easy_setopt(easy, CURLOPT_DNS_CACHE_TIMEOUT, 0L); /* pruning that cache walks all of it at each transfer */
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, call->client->user_agent);
    curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, req->accept_gzip ? "gzip" : NULL);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)req->timeout_ms);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->message);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
    set_method(easy, req);
}

static bool start(struct client_call *call)
{
    struct err *err = &call->reply.err;
    if (!open_shard(call->shard) || (call->easy = take_handle(call->client)) == NULL)
        return err_set(err, ERR_INTERNAL, "libcurl has no handle for us");
    set_options(call);
    if (!client_profile_apply(call->profile, call->easy, call->url, &call->headers, &call->connect_to, err))
        return false;
    curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->headers);
    call->reply.start_mono = loop_mono(call->client->loop);
    CURLMcode rc = curl_multi_add_handle(call->shard->multi, call->easy);
    return rc == CURLM_OK || err_set(err, ERR_INTERNAL, "libcurl: %s", curl_multi_strerror(rc));
}

static void move_to(struct client_call *call, struct list *list, enum call_state state)
{
    list_remove(&call->node);
    list_push_back(list, &call->node);
    call->state = state;
}

static void start_waiting(struct client *c)
{
    while (!c->in_curl && c->n_waiting > 0 && c->n_running < c->max_inflight) {
        struct client_call *call = CONTAINER(c->waiting.next, struct client_call, node);
        c->n_waiting--;
        if (start(call)) {
            c->n_running++;
            move_to(call, &c->running, CALL_RUNNING);
        } else {
            move_to(call, &c->failed, CALL_FAILED);
            loop_timer_in(c->loop, &c->tell_failed, 0);
        }
    }
}

/* ---- ending ---- */

static int64_t info_ms(CURL *easy, CURLINFO info)
{
    curl_off_t us = 0;
    curl_easy_getinfo(easy, info, &us);
    return us / 1000;
}

static void fill_reply(struct client_call *call, CURLcode code)
{
    struct client_reply *r = &call->reply;
    curl_off_t bytes = 0;
    long connects = 0;
    curl_easy_getinfo(call->easy, CURLINFO_SIZE_DOWNLOAD_T, &bytes);
    curl_easy_getinfo(call->easy, CURLINFO_NUM_CONNECTS, &connects);
    r->first_byte_ms = info_ms(call->easy, CURLINFO_STARTTRANSFER_TIME_T);
    r->total_ms = info_ms(call->easy, CURLINFO_TOTAL_TIME_T);
    r->body_bytes = (uint64_t)bytes;
    r->reused = connects == 0;
    r->status = code == CURLE_OK ? status_of(call) : 0;
    if (code != CURLE_OK && r->err.kind == ERR_NONE)
        client_explain(call->easy, code, call->message, &(struct client_failure){call->req.method, call->url, r->total_ms}, &r->err);
}

/* Takes the call out of its list and its handle out of its multi. */
static void detach(struct client_call *call)
{
    struct client *c = call->client;
    if (call->state == CALL_WAITING)
        c->n_waiting--;
    if (call->state == CALL_RUNNING || call->state == CALL_CANCELED) {
        curl_multi_remove_handle(call->shard->multi, call->easy);
        c->n_running--;
    }
    list_remove(&call->node);
    call->state = CALL_DONE;
    if (call->easy)
        give_handle(c, call->easy);
    call->easy = NULL;
}

static void free_call(struct client_call *call)
{
    curl_slist_free_all(call->headers);
    curl_slist_free_all(call->connect_to);
    client_profile_unref(call->profile);
    mem_free(call->url);
    mem_free(call);
}

static void finish(struct client_call *call)
{
    bool canceled = call->state == CALL_CANCELED;
    detach(call);
    if (!canceled)
        call->req.done(call->req.arg, &call->reply);
    free_call(call);
}

static void tell_failed(struct loop_timer *t)
{
    struct client *c = CONTAINER(t, struct client, tell_failed);
    while (!list_empty(&c->failed))
        finish(CONTAINER(c->failed.next, struct client_call, node));
    start_waiting(c);
}

static void drop_canceled(struct client *c)
{
    c->has_canceled = false;
    for (struct list *node = c->running.next, *next; node != &c->running; node = next) {
        next = node->next;
        struct client_call *call = CONTAINER(node, struct client_call, node);
        if (call->state == CALL_CANCELED)
            finish(call);
    }
}

static void tell_done(struct shard *s)
{
    int left;
    for (CURLMsg *m; (m = curl_multi_info_read(s->multi, &left)) != NULL;) {
        struct client_call *call;
        CURLcode code = m->data.result; /* `m` is gone with its handle */
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &call);
        fill_reply(call, code);
        finish(call);
    }
}

static void settle(struct shard *s)
{
    struct client *c = s->client;
    if (c->has_canceled)
        drop_canceled(c);
    tell_done(s);
    start_waiting(c);
}

/* ---- the client ---- */

struct client *client_new(struct loop *loop, const struct client_conf *conf)
{
    unsigned connections = conf->connections ? conf->connections : 100, n = (connections + PER_MULTI - 1) / PER_MULTI;
    struct client *c = mem_zalloc(sizeof *c + n * sizeof c->shards[0]);
    c->loop = loop;
    c->max_inflight = conf->max_inflight ? conf->max_inflight : 64;
    c->n_shards = n;
    c->connections = (long)(connections / n + connections / n / 4 + SPARE_CONNECTIONS);
    c->user_agent = mem_strdup(conf->user_agent ? conf->user_agent : "sluice/" VERSION);
    c->tell_failed.run = tell_failed;
    list_init(&c->waiting);
    list_init(&c->running);
    list_init(&c->failed);
    for (unsigned i = 0; i < n; i++)
        c->shards[i] = (struct shard){.client = c, .timer.run = on_timer};
    return c;
}

static void drop_all(struct list *calls)
{
    while (!list_empty(calls)) {
        struct client_call *call = CONTAINER(calls->next, struct client_call, node);
        detach(call);
        free_call(call);
    }
}

void client_free(struct client *c)
{
    if (c == NULL)
        return;
    drop_all(&c->waiting);
    drop_all(&c->running);
    drop_all(&c->failed);
    while (c->n_idle > 0)
        curl_easy_cleanup(c->idle[--c->n_idle]);
    for (unsigned i = 0; i < c->n_shards; i++) {
        curl_multi_cleanup(c->shards[i].multi);
        loop_timer_stop(c->loop, &c->shards[i].timer);
    }
    loop_timer_stop(c->loop, &c->tell_failed);
    if (c->curl_ready)
        curl_global_cleanup();
    mem_free(c->user_agent);
    mem_free(c);
}

struct client_call *client_send(struct client *c, const struct client_request *req)
{
    struct client_call *call = mem_zalloc(sizeof *call);
    call->client = c;
    call->shard = &c->shards[req->slot % c->n_shards];
    call->req = *req;
    call->url = mem_strdup(req->url);
    call->profile = client_profile_ref(req->profile);
    call->headers = curl_slist_append(NULL, "Expect:"); /* without it curl asks before it sends a body over 1 MB */
    for (size_t i = 0; i < req->n_headers; i++)
        call->headers = curl_slist_append(call->headers, req->headers[i]);
    list_push_back(&c->waiting, &call->node);
    c->n_waiting++;
    start_waiting(c);
    return call;
}

void client_cancel(struct client_call *call)
{
    struct client *c = call->client;
    if (call->state == CALL_DONE || call->state == CALL_CANCELED)
        return;
    if (c->in_curl && call->state == CALL_RUNNING) {
        call->state = CALL_CANCELED;
        c->has_canceled = true;
        return;
    }
    detach(call);
    free_call(call);
    start_waiting(c);
}

size_t client_inflight(const struct client *c) { return c->n_running; }
size_t client_waiting(const struct client *c) { return c->n_waiting; }
