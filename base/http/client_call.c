// SPDX-License-Identifier: Apache-2.0
/* One HTTP request: sets curl's options, and fills the reply. */
#include "base/http/client_call.h"

#include "base/http/client_body.h"
#include "base/http/client_error.h"
#include "base/http/client_names.h"
#include "base/http/client_profile.h"
#include "base/text/url.h"

#include <curl/curl.h>
#include <string.h>

enum { BUFFER = 16 << 10, CONNECT_MS = 5000 };

/* ---- the request ---- */

int64_t client_call_connect_ms(const struct client_request *req)
{
    return req->connect_timeout_ms ? req->connect_timeout_ms : CONNECT_MS;
}

int64_t client_call_connect_left(const struct client_request *req, int64_t spent)
{
    int64_t most = client_call_connect_ms(req);
    return (req->timeout_ms && req->timeout_ms < most ? req->timeout_ms : most) - spent;
}

/* curl would ask for "100 Continue" before sending a body over 1 MB. */
static void omit_expect(struct client_call *call) { client_line_add(&call->headers, "Expect:"); }

static void client_call_add_host(struct client_call *call)
{
    struct buf line = {0};
    if (call->req.host == NULL)
        return;
    buf_printf(&line, "Host: %s", call->req.host);
    client_line_add(&call->headers, buf_z(&line));
    buf_free(&line);
}

struct client_call *client_call_new(const struct client_request *req, const char *user_agent)
{
    struct client_call *call = mem_zalloc(sizeof *call);
    call->req = *req;
    call->req.url = call->url = mem_strdup(req->url);
    call->req.host = call->host = req->host ? mem_strdup(req->host) : NULL;
    call->req.socket = call->socket = req->socket ? mem_strdup(req->socket) : NULL;
    call->profile = client_profile_ref(req->profile);
    call->is_plain = user_agent && client_head_build(&call->plain.head, &call->req, user_agent);
    if (call->is_plain)
        return call;
    omit_expect(call);
    client_call_add_host(call);
    if (req->close)
        client_line_add(&call->headers, CLIENT_CLOSE_LINE);
    for (size_t i = 0; i < req->n_headers; i++)
        client_line_add(&call->headers, req->headers[i]);
    return call;
}

/* The lines that the caller gave are in the head only. */
void client_call_leave_plain(struct client_call *call)
{
    const struct client_head *head = &call->plain.head;
    struct str lines = str_n(head->text.p + head->own_from, head->own_to - head->own_from), line;
    struct buf text = {0};
    omit_expect(call);
    client_call_add_host(call);
    if (call->req.close)
        client_line_add(&call->headers, CLIENT_CLOSE_LINE);
    while (lines.n > 0 && str_cut(&lines, '\n', &line)) {
        buf_clear(&text);
        buf_add_str(&text, str_trim(line));
        if (str_ends(buf_str(&text), STR(":"))) /* empty, and to be sent */
            text.p[text.n - 1] = ';';
        client_line_add(&call->headers, buf_z(&text));
    }
    buf_free(&text);
    client_body_forget_head(call);
    call->reply.status = 0;
    call->is_plain = call->head_complete = false;
}

void client_call_free(struct client_call *call)
{
    client_names_free(call);
    client_lines_free(call->headers);
    client_lines_free(call->own_headers);
    client_profile_release(&call->hold);
    client_profile_unref(call->profile);
    client_body_free(call);
    buf_free(&call->plain.head.text);
    mem_free(call->url);
    mem_free(call->host);
    mem_free(call->socket);
    mem_free(call);
}

/* ---- the response arrives ---- */

static int status_of(const struct client_call *call)
{
    long status = 0;
    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    return (int)status;
}

/* Whether a redirect keeps the URL's scheme, host and port. In doubt it does not. */
static bool same_origin(struct str url, struct str location)
{
    struct url from, to;
    bool absolute = str_starts(location, STR("//")) || str_find(location, ':') < str_find(location, '/');
    if (!absolute)
        return true;
    return url_parse(url, &from, NULL) && url_parse(location, &to, NULL) && str_ieq(from.scheme, to.scheme)
           && str_ieq(from.host, to.host) && str_eq(from.port, to.port);
}

/* curl sends the given headers to every host that a redirect names; the profile's headers may contain secrets. It
 * reads the list anew for each request. */
static void keep_headers_from(struct client_call *call, struct str location)
{
    if (call->own_headers || same_origin(str_of(call->url), location))
        return;
    const struct curl_slist *at = call->headers;
    for (size_t i = 0; i < call->n_own; i++, at = at->next)
        client_line_add(&call->own_headers, at->data);
    curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->own_headers);
}

/* curl reads the option when it comes to Location. */
static void check_method_is_kept(struct client_call *call)
{
    int status = status_of(call);
    if (call->req.keep_method && !call->req.no_redirects && client_profile_follows_redirects(call->profile))
        curl_easy_setopt(call->easy, CURLOPT_FOLLOWLOCATION, status == 301 || status == 302 || status == 303 ? 0L : 1L);
}

static size_t call_on_header(char *p, size_t one UNUSED, size_t n, void *arg)
{
    struct client_call *call = arg;
    struct str value = str_n(p, n), name;
    if (str_starts(value, STR("HTTP/"))) { /* a new head: after a redirect or a 100 */
        client_body_forget_head(call);
        check_method_is_kept(call);
    } else if (str_trim(value).n == 0) {
        int status = status_of(call);
        call->head_complete = status >= 200;
        if (call->req.head && status >= 200 && (status < 300 || status >= 400)) {
            call->reply.status = status;
            call->req.head(call->req.arg, &call->reply);
        }
    } else if (str_cut(&value, ':', &name) && value.p) {
        client_body_take_header(call, name, str_trim(value));
        if (str_ieq(name, STR("location")))
            keep_headers_from(call, str_trim(value));
    }
    return n;
}

/* Returning less than n ends the transfer with CURLE_WRITE_ERROR. */
static size_t on_body(char *p, size_t one UNUSED, size_t n, void *arg)
{
    struct client_call *call = arg;
    if (call->state == CALL_CANCELED || call->refused_body)
        return 0;
    call->reply.status = status_of(call);
    call->refused_body = !client_body_take(call, str_n(p, n));
    return call->refused_body ? 0 : n;
}

struct client_progress client_progress(const struct client_call *call)
{
    curl_off_t bytes = 0;
    if (call->is_plain)
        return (struct client_progress){call->head_complete, call->reply.body_bytes};
    if (call->easy && call->head_complete)
        curl_easy_getinfo(call->easy, CURLINFO_SIZE_DOWNLOAD_T, &bytes);
    return (struct client_progress){call->head_complete, (uint64_t)bytes};
}

static int64_t info_ms(CURL *easy, CURLINFO info)
{
    curl_off_t us = 0;
    curl_easy_getinfo(easy, info, &us);
    return us / 1000;
}

/* curl counts a body of less than 64 KiB, which is sent with the head, in both of its counters. */
static uint64_t call_sent_bytes(CURL *easy)
{
    enum { WITH_HEAD = 64 << 10 };
    curl_off_t body = 0;
    long head = 0;
    curl_easy_getinfo(easy, CURLINFO_REQUEST_SIZE, &head);
    curl_easy_getinfo(easy, CURLINFO_SIZE_UPLOAD_T, &body);
    return (uint64_t)head + (body >= WITH_HEAD ? (uint64_t)body : 0);
}

void client_call_count_sent(struct client_call *call)
{
    call->reply.sent_bytes += call_sent_bytes(call->easy);
    call->reply.sent = call->reply.sent_bytes > 0;
}

void client_call_ended(struct client_call *call, int code)
{
    struct client_reply *r = &call->reply;
    curl_off_t bytes = 0;
    long connects = 0, redirects = 0;
    if (call->req.status_only && call->head_complete && call->state != CALL_CANCELED)
        code = CURLE_OK;
    else if ((code == CURLE_OK && (call->refused_body || !client_body_end(call))) || call->corrupted_body)
        code = call->corrupted_body ? CURLE_BAD_CONTENT_ENCODING : CURLE_WRITE_ERROR;
    curl_easy_getinfo(call->easy, CURLINFO_SIZE_DOWNLOAD_T, &bytes);
    curl_easy_getinfo(call->easy, CURLINFO_NUM_CONNECTS, &connects);
    client_call_count_sent(call);
    curl_easy_getinfo(call->easy, CURLINFO_REDIRECT_COUNT, &redirects);
    call->redirected = redirects > 0;
    r->first_byte_ms = info_ms(call->easy, CURLINFO_STARTTRANSFER_TIME_T);
    if (r->first_byte_ms)
        r->first_byte_ms += call->before_ms;
    r->total_ms = info_ms(call->easy, CURLINFO_TOTAL_TIME_T) + call->before_ms;
    r->body_bytes = (uint64_t)bytes;
    r->reused = connects == 0;
    bool never_connected = !r->sent && info_ms(call->easy, CURLINFO_CONNECT_TIME_T) == 0;
    r->dial_failed = code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_RESOLVE_PROXY
                     || code == CURLE_COULDNT_CONNECT || (code == CURLE_OPERATION_TIMEDOUT && never_connected);
    r->gunzip_failed = code == CURLE_BAD_CONTENT_ENCODING;
    r->status = code == CURLE_OK ? status_of(call) : 0;
    struct client_failure failure = {call->req.method, call->url, r->total_ms};
    if (code == CURLE_OK)
        r->err = (struct err){0};
    else if (r->err.kind == ERR_NONE)
        client_explain(call->easy, code, call->message, &failure, &r->err);
    if (r->err.kind != ERR_NONE)
        client_hide_secrets_in(call->profile, str_of(call->url), r->err.text, sizeof r->err.text);
}

/* ---- curl's options ---- */

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

static void set_transport(CURL *easy)
{
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)BUFFER); /* the same for all: a handle may keep its old buffer */
    /* curl walks the complete cache at each transfer to prune it */
    curl_easy_setopt(easy, CURLOPT_DNS_CACHE_TIMEOUT, 0L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
}

bool client_call_prepare(struct client_call *call, const char *user_agent)
{
    _Static_assert(sizeof call->message >= CURL_ERROR_SIZE, "libcurl writes up to CURL_ERROR_SIZE bytes");
    const struct client_request *req = &call->req;
    CURL *easy = call->easy;
    int64_t timeout_ms = req->timeout_ms - call->before_ms;
    set_transport(easy);
    client_names_guard(call);
    curl_easy_setopt(easy, CURLOPT_URL, call->url);
    curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, call->socket);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, user_agent);
    curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, req->accept_gzip ? "gzip" : NULL);
    curl_easy_setopt(easy, CURLOPT_HTTP_CONTENT_DECODING, 0L);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, req->timeout_ms == 0 ? 0L : timeout_ms > 0 ? (long)timeout_ms : 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)client_call_connect_ms(req));
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, (long)req->close);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->message);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, call_on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
    set_method(easy, req);
    for (const struct curl_slist *at = call->headers; at; at = at->next)
        call->n_own++;
    if (!client_profile_apply(call->profile, easy, &call->req, &call->headers, &call->hold, &call->reply.err))
        return false;
    if (req->no_redirects)
        curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, call->headers);
    return true;
}
