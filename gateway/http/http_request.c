// SPDX-License-Identifier: Apache-2.0
/* An incoming request, in the order in which it arrives: the request line selects the route, the headers must determine
 * the origin and the end of the body, the body is collected under the limits and parsed if it is a form. A refused
 * request has a response in `r` and no route.
 */
#include "gateway/http/http_connection.h"

#include "base/text/num.h"

#include <string.h>

enum { DEFAULT_MAX_BODY = 1 << 20, RETRY_SECONDS = 1 };

void http_refuse(struct http_connection *c, int status, const char *text)
{
    c->r.route = NULL;
    http_text(&c->r, status, text);
}

void http_refuse_for_now(struct http_connection *c, enum http_stat reason, const char *text)
{
    stats_add(&http_stats, reason, 1);
    http_refuse(c, 503, text);
    http_retry_after(&c->r, RETRY_SECONDS);
}

/* ---- the request line ---- */

static const struct http_method_name { const char *name; enum http_method method; } http_method_names[] = {
    {"GET", HTTP_GET}, {"POST", HTTP_POST}, {"PUT", HTTP_PUT}, {"DELETE", HTTP_DELETE}, {"OPTIONS", HTTP_OPTIONS},
    {"HEAD", HTTP_HEAD}};

static enum http_method method_of(const char *name)
{
    for (size_t i = 0; i < LEN(http_method_names); i++)
        if (strcmp(name, http_method_names[i].name) == 0)
            return http_method_names[i].method;
    return 0;
}

struct str http_method_name(enum http_method method)
{
    for (size_t i = 0; i < LEN(http_method_names); i++)
        if (method == http_method_names[i].method)
            return str_of(http_method_names[i].name);
    return STR("");
}

void http_methods_print(struct buf *out, unsigned methods)
{
    const char *separator = "";
    for (size_t i = 0; i < LEN(http_method_names); i++) {
        if (!(methods & http_method_names[i].method))
            continue;
        buf_printf(out, "%s%s", separator, http_method_names[i].name);
        separator = ", ";
    }
}

/* Redirects "/" to the prefix, for clients that do not know it. */
static void refuse_outside_prefix(struct http_connection *c)
{
    struct http_request *r = &c->r;
    if (!str_is(r->path, "/")) {
        http_refuse(c, 404, "404 page not found\n");
        return;
    }
    struct str prefix = str_of(c->conf->prefix);
    bool slash = str_ends(prefix, STR("/"));
    http_refuse(c, 302, "");
    http_header_add(r, "Location", arena_printf(&r->arena, "%.*s%s", STR_ARG(prefix), slash ? "" : "/"));
}

/* Removes scheme and host from http://host:port/path, as proxies send it (RFC 9112, 3.2.2). */
static struct str without_host(struct str path)
{
    size_t host = str_starts(path, STR("http://")) ? 7 : str_starts(path, STR("https://")) ? 8 : 0;
    if (host == 0)
        return path;
    path = str_skip(path, host);
    path = str_skip(path, str_find(path, '/'));
    return path.n > 0 ? path : STR("/");
}

/* Base URLs that end in a slash lead to //api/v1/write: treated as one slash, as in VictoriaMetrics and vmagent. */
static struct str without_double_slashes(struct arena *a, struct str path)
{
    if (str_find_str(path, STR("//")) == path.n)
        return path;
    char *to = arena_bytes(a, path.n);
    size_t n = 0;
    for (size_t i = 0; i < path.n; i++)
        if (path.p[i] != '/' || n == 0 || to[n - 1] != '/')
            to[n++] = path.p[i];
    return str_n(to, n);
}

static bool read_uri(struct http_connection *c)
{
    struct http_request *r = &c->r;
    struct err err;
    struct str query = str_of(c->uri);
    str_cut(&query, '?', &r->path);
    r->path = without_double_slashes(&r->arena, without_host(r->path));
    if (!form_parse(&r->arena, &r->form, query, &err))
        http_error(r, &err);
    else if (!http_strip_prefix(str_of(c->conf->prefix), &r->path))
        refuse_outside_prefix(c);
    else {
        (void)!http_strip_prefix(STR("/prometheus"), &r->path); /* as in vmagent, everything is also below it */
        return true;
    }
    return false;
}

static void find_route(struct http_connection *c)
{
    struct http_request *r = &c->r;
    struct str tail = STR_NONE;
    bool other;
    c->r.route = http_route(c->conf->routes, c->conf->n_routes, r->method, r->path, &tail, &other);
    if (c->r.route == NULL)
        http_refuse(c, other ? 405 : 404, other ? "Method Not Allowed\n" : "404 page not found\n");
    else if (!url_decode(&r->arena, tail, false, &r->tail))
        http_refuse(c, 400, "invalid percent-encoding in the path\n");
}

void http_request_start(struct http_connection *c, const char *method)
{
    c->r.method = method_of(method);
    if (c->r.method == HTTP_OPTIONS)
        c->r.status = 204;
    else if (read_uri(c))
        find_route(c);
}

/* ---- the origin ---- */

/* host:port of an Origin or Referer; empty for "null". */
static struct str authority_of(struct str url)
{
    size_t at = str_find_str(url, STR("://"));
    url = at < url.n ? str_skip(url, at + 3) : STR_NONE;
    return str_first(url, str_find(url, '/'));
}

/* Browsers send the origin of a request, and a page cannot change it. Other programs send none of these
 * headers. X-Forwarded-Host is the Host seen by a proxy in front of us: a page cannot set it without a CORS preflight,
 * which is refused. */
static bool from_other_site(struct http_request *r)
{
    struct str site = http_header(r, "Sec-Fetch-Site"), from = http_header(r, "Origin");
    if (str_ieq(site, STR("cross-site")) || str_ieq(site, STR("same-site")))
        return true;
    if (from.p == NULL)
        from = http_header(r, "Referer");
    if (from.p == NULL)
        return false;
    from = authority_of(from);
    return from.n == 0 ||
        (!str_ieq(from, http_header(r, "Host")) && !str_ieq(from, http_header(r, "X-Forwarded-Host")));
}

static void check_origin(struct http_connection *c)
{
    if (c->r.route && c->r.route->changes_state && from_other_site(&c->r))
        http_refuse(c, 403, "cross-site request refused: this endpoint changes state\n");
}

/* ---- the body ---- */

static size_t max_body(const struct http_connection *c)
{
    const struct route *route = c->r.route;
    if (route && route->streams_body)
        return SIZE_MAX;
    if (route && route->max_body > 0)
        return route->max_body;
    return route && route->class == ROUTE_PUSH ? c->conf->max_push : DEFAULT_MAX_BODY;
}

/* The bytes after such a request may be its body or the next request. */
static void refuse_framing(struct http_connection *c, int status, const char *text)
{
    c->close = true;
    http_refuse(c, status, text);
}

static const char body_too_large[] = "the request body exceeds the limit of this endpoint\n";

bool http_request_check(struct http_connection *c, const struct http_head *h)
{
    struct str length = http_header(&c->r, "Content-Length"), coding = http_header(&c->r, "Transfer-Encoding");
    const char *fault = http_head_fault(h);
    uint64_t n = 0;
    check_origin(c);
    if (fault)
        refuse_framing(c, 400, fault);
    else if (coding.p && !http_is_token(coding.p))
        refuse_framing(c, 400, "invalid Transfer-Encoding; use chunked\n");
    else if (coding.p && !str_ieq(coding, STR("chunked")))
        refuse_framing(c, 400, "unsupported Transfer-Encoding; use chunked\n");
    else if (length.p && !num_parse_u64(length, &n))
        refuse_framing(c, 400, "Content-Length is not a number\n");
    else if (n > max_body(c))
        http_refuse(c, 413, body_too_large);
    else if (c->r.route && c->r.route->streams_body)
        ; /* its parts are counted as they arrive */
    else if (n > budget_left(&c->conf->limits->bodies) || !http_socket_may_add_body(c->sockets, c->socket, (size_t)n))
        c->dropped = BODY_NO_MEMORY; /* still read to its end: a client that is sending may not read a response */
    c->body.max = n > 0 ? (size_t)n : max_body(c);
    /* the library accepts chunks whose lines end with a bare LF: another request must not follow them */
    c->close = c->close || coding.p;
    return coding.p || n > 0;
}

void http_request_drop_body(struct http_connection *c)
{
    buf_spare_put(&c->server->spare, &c->body);
    http_socket_drop_body(c->socket);
}

/* For bytes that have arrived, not for the announced length. Memory that earlier bodies left is used if it is at most
 * eight times as large. */
bool http_request_reserve_body(struct http_connection *c, size_t n)
{
    struct buf *b = &c->body;
    size_t before = b->cap;
    if (b->cap - b->n < n && b->n + n >= BUF_SPARE_MIN / 4)
        buf_spare_grow(&c->server->spare, b, 8 * (b->n + n));
    return buf_try_reserve(b, n) && http_socket_add_body(c->sockets, c->socket, b->cap - before);
}

/* A dropped body is still read to its end, since the library cannot respond earlier. */
void http_request_read_body(struct http_connection *c, const char *p, size_t n)
{
    if (c->dropped)
        return;
    if (n > c->body.max - c->body.n)
        c->dropped = BODY_TOO_LARGE;
    else if (!http_request_reserve_body(c, n))
        c->dropped = BODY_NO_MEMORY;
    else
        buf_add(&c->body, p, n);
    if (c->dropped)
        http_request_drop_body(c);
}

static void refuse_body(struct http_connection *c)
{
    http_refuse_for_now(c, HTTP_NO_BODY_MEMORY, "the memory for request bodies is used up; try again later\n");
}

static bool body_kept(struct http_connection *c)
{
    bool scarce = budget_exceeded(&c->conf->limits->bodies) && !c->r.route->always;
    if (c->dropped == BODY_TOO_LARGE)
        http_refuse(c, 413, body_too_large);
    else if (c->dropped || scarce)
        refuse_body(c);
    return c->r.route != NULL;
}

/* What is pushed is no form, although curl says so. */
static bool is_form(struct http_request *r)
{
    struct str rest = http_header(r, "Content-Type"), type;
    return r->route->class != ROUTE_PUSH && !r->route->no_form && r->method == HTTP_POST && str_cut(&rest, ';', &type)
           && str_ieq(str_trim(type), STR("application/x-www-form-urlencoded"));
}

bool http_request_read(struct http_connection *c)
{
    struct err err;
    if (!body_kept(c))
        return false;
    if (!is_form(&c->r)) {
        c->r.body = buf_str(&c->body);
        return true;
    }
    if (form_parse(&c->r.arena, &c->r.form, buf_str(&c->body), &err))
        return body_kept(c);
    http_error(&c->r, &err);
    return false;
}
