// SPDX-License-Identifier: Apache-2.0
/* Finds the name that a transfer needs, from libcurl's result: the proxy's, or the host of the current URL. A TLS
 * server_name replaces the URL's host (client_profile.c), but the connection goes to the real one. */
#include "base/http/client_names.h"

#include "base/http/client_body.h"
#include "base/http/client_error.h"
#include "base/http/client_profile.h"
#include "base/http/resolver.h"
#include "base/text/url.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* A request with redirects may need several; the limit also ends a request that keeps needing the same name. */
enum { NAMES_PER_CALL = 12, KEEP_ADDRESSES_S = 60 };

struct client_names {
    struct resolver_request request;
    struct client_call *call;
    struct loop_timer deadline;
    void (*settled)(struct client_call *call, bool found);
    struct curl_slist *known; /* CURLOPT_RESOLVE entries: "+HOST:PORT:ADDRESSES"; "+": libcurl may expire it */
    unsigned n;
    char *host, *port; /* the name being resolved, allocated by curl */
};

/* ---- which name ---- */

static const char *names_url(const struct client_call *call)
{
    char *url = NULL;
    curl_easy_getinfo(call->easy, CURLINFO_EFFECTIVE_URL, &url);
    return url && *url ? url : call->url;
}

static const char *names_proxy(const struct client_call *call)
{
    return client_profile_proxy(call->profile, names_url(call));
}

static bool names_parse(const char *url, unsigned flags, char **host, char **port)
{
    CURLU *u = curl_url();
    bool ok = u && curl_url_set(u, CURLUPART_URL, url, flags) == CURLUE_OK
              && curl_url_get(u, CURLUPART_HOST, host, CURLU_PUNYCODE) == CURLUE_OK;
    if (ok && curl_url_get(u, CURLUPART_PORT, port, CURLU_DEFAULT_PORT) != CURLUE_OK)
        *port = NULL;
    curl_url_cleanup(u);
    return ok;
}

/* A proxy without a port uses libcurl's default port, not that of its scheme. */
static bool names_parse_proxy(const char *proxy, char **host, char **port)
{
    CURLU *u = curl_url();
    char *scheme = NULL, text[24];
    bool ok = u
              && curl_url_set(u, CURLUPART_URL, proxy, CURLU_NON_SUPPORT_SCHEME | CURLU_GUESS_SCHEME) == CURLUE_OK
              && curl_url_get(u, CURLUPART_HOST, host, CURLU_URLDECODE) == CURLUE_OK
              && curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK;
    if (ok && curl_url_get(u, CURLUPART_PORT, port, 0) != CURLUE_OK) {
        snprintf(text, sizeof text, "http://x:%s/", strcasecmp(scheme, "https") == 0 ? "443" : "1080");
        ok = curl_url_set(u, CURLUPART_URL, text, 0) == CURLUE_OK && curl_url_get(u, CURLUPART_PORT, port,
                                                                                  0) == CURLUE_OK;
    }
    curl_free(scheme);
    curl_url_cleanup(u);
    return ok;
}

/* The name that a transfer needs that ended with `code`. */
static bool names_find(struct client_call *call, int code)
{
    struct client_names *names = call->names;
    const char *proxy = names_proxy(call), *url = names_url(call);
    curl_free(names->host);
    curl_free(names->port);
    names->host = names->port = NULL;
    if (code == CURLE_COULDNT_RESOLVE_PROXY && proxy)
        return names_parse_proxy(proxy, &names->host, &names->port);
    if (call->hold.connect_to && client_profile_has_server_name(call->profile, url))
        url = call->url;
    return names_parse(url, 0, &names->host, &names->port) && names->port;
}

/* ---- the guard ---- */

static bool names_is_literal_url(const char *url)
{
    char *host = NULL, *port = NULL;
    bool literal = names_parse(url, 0, &host, &port) && resolver_is_literal(host);
    curl_free(host);
    curl_free(port);
    return literal;
}

/* libcurl calls it before each lookup, and also for addresses, which need none. */
static int names_on_lookup(void *resolver UNUSED, void *reserved UNUSED, void *arg)
{
    struct client_call *call = arg;
    call->name_missing = names_proxy(call) || call->hold.connect_to || !names_is_literal_url(names_url(call));
    return call->name_missing;
}

void client_names_guard(struct client_call *call)
{
    curl_easy_setopt(call->easy, CURLOPT_RESOLVER_START_FUNCTION, names_on_lookup);
    curl_easy_setopt(call->easy, CURLOPT_RESOLVER_START_DATA, call);
}

bool client_names_missing(const struct client_call *call) { return call->name_missing; }

/* ---- resolving ---- */

static int64_t names_spent(const struct client_names *names)
{
    return loop_mono(names->request.loop) - names->call->reply.start_mono;
}

static bool names_fail(struct client_names *names, enum err_kind kind, const char *why)
{
    struct client_call *call = names->call;
    char text[CLIENT_NAME_ERROR_SIZE];
    call->reply.total_ms = names_spent(names);
    call->reply.dial_failed = true;
    client_describe_name(names->host ? names->host : "?", why, text);
    client_describe(&(struct client_failure){call->req.method, call->url, call->reply.total_ms}, kind, text,
                    &call->reply.err);
    return false;
}

static bool names_out_of_time(struct client_names *names)
{
    char why[80];
    client_describe_silence(names_spent(names), why, sizeof why);
    return names_fail(names, ERR_GATEWAY_TIME, why);
}

static int64_t names_left(const struct client_names *names)
{
    return client_call_connect_left(&names->call->req, names_spent(names));
}

/* The next attempt is the same transfer with the remaining time. */
static void names_prepare(struct client_names *names)
{
    struct client_call *call = names->call;
    const struct client_request *req = &call->req;
    call->before_ms = names_spent(names);
    curl_easy_setopt(call->easy, CURLOPT_RESOLVE, names->known);
    curl_easy_setopt(call->easy, CURLOPT_DNS_CACHE_TIMEOUT, (long)KEEP_ADDRESSES_S);
    curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->headers);
    curl_easy_setopt(call->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)(client_call_connect_ms(req) - call->before_ms));
    if (req->timeout_ms)
        curl_easy_setopt(call->easy, CURLOPT_TIMEOUT_MS, (long)(req->timeout_ms - call->before_ms));
    client_lines_free(call->own_headers);
    call->own_headers = NULL;
    call->head_complete = false;
    client_body_forget_head(call);
}

static bool names_take(struct client_names *names)
{
    struct resolver_request *r = &names->request;
    if (r->addresses == NULL)
        return names_fail(names, r->silent ? ERR_GATEWAY_TIME : ERR_BAD_GATEWAY, r->why ? r->why : "unknown");
    struct buf line = {0};
    buf_printf(&line, "+%s:%s:%s", names->host, names->port, r->addresses);
    client_line_add(&names->known, buf_z(&line));
    buf_free(&line);
    mem_free(r->addresses);
    r->addresses = NULL;
    if (names_left(names) <= 0)
        return names_out_of_time(names);
    names_prepare(names);
    return true;
}

static void names_on_deadline(struct loop_timer *t)
{
    struct client_names *names = CONTAINER(t, struct client_names, deadline);
    resolver_cancel(&names->request);
    names->settled(names->call, names_out_of_time(names));
}

static void names_on_answer(struct resolver_request *r)
{
    struct client_names *names = CONTAINER(r, struct client_names, request);
    loop_timer_stop(r->loop, &names->deadline);
    names->settled(names->call, names_take(names));
}

static struct client_names *names_of(struct client_call *call, struct loop *loop)
{
    if (call->names)
        return call->names;
    struct client_names *names = call->names = mem_zalloc(sizeof *names);
    names->call = call;
    names->request.loop = loop;
    names->request.done = names_on_answer;
    names->deadline.run = names_on_deadline;
    return names;
}

enum client_names_state client_names_resolve(struct client_call *call, struct loop *loop, int code,
                                             void (*settled)(struct client_call *call, bool found))
{
    struct client_names *names = names_of(call, loop);
    call->name_missing = false;
    client_call_count_sent(call); /* up to a redirect */
    if (!names_find(call, code)) {
        names_fail(names, ERR_BAD_GATEWAY, "not a valid host name");
        return NAMES_FAILED;
    }
    if (names->n++ == NAMES_PER_CALL) {
        names_fail(names, ERR_BAD_GATEWAY, "libcurl rejects its addresses");
        return NAMES_FAILED;
    }
    if (resolver_ask(&names->request, names->host))
        return names_take(names) ? NAMES_FOUND : NAMES_FAILED;
    int64_t left = names_left(names);
    names->settled = settled;
    loop_timer_in(loop, &names->deadline, left > 0 ? left : 0);
    return NAMES_ASKED;
}

void client_names_free(struct client_call *call)
{
    struct client_names *names = call->names;
    if (names == NULL)
        return;
    resolver_cancel(&names->request);
    loop_timer_stop(names->request.loop, &names->deadline);
    client_lines_free(names->known);
    curl_free(names->host);
    curl_free(names->port);
    mem_free(names);
    call->names = NULL;
}
