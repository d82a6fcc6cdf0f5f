// SPDX-License-Identifier: Apache-2.0
/* Header lines as libcurl treats them: "Name: value" replaces the default field of that name, "Name;" sends it empty.
 * "Name:", which removes it, is left to libcurl. */
#include "base/http/client_head.h"

#include "base/http/client_connections.h"
#include "base/http/client_profile.h"
#include "base/text/num.h"
#include "base/text/url.h"

#include <arpa/inet.h>
#include <strings.h>

/* ---- the URL ---- */

/* Anything else libcurl may have to encode, or to refuse. */
static bool head_is_visible(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] >= 0x7f)
            return false;
    return true;
}

/* libcurl also reads "127.1" and "0x7f000001" as addresses; a last label that begins with a digit is left to it,
 * unless it is an address in the usual form. */
static bool head_is_plain_host(struct str host)
{
    struct in6_addr any;
    char text[SERVER_HOST_MAX + 1];
    if (host.n == 0 || host.n > SERVER_HOST_MAX)
        return false;
    memcpy(text, host.p, host.n);
    text[host.n] = 0;
    if (inet_pton(AF_INET, text, &any) == 1 || inet_pton(AF_INET6, text, &any) == 1)
        return true;
    const char *dot = strrchr(text, '.'), *last = dot ? dot + 1 : text;
    return (*last < '0' || *last > '9') && *last != 0
           && strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._") == host.n;
}

static bool head_split(const char *text, struct url *u, uint16_t *port)
{
    uint64_t number = 80;
    if (strncasecmp(text, "http://", 7) != 0 || !head_is_visible(str_of(text)) || !url_parse(str_of(text), u, NULL)
        || u->user.p != NULL || !head_is_plain_host(u->host))
        return false;
    if (u->port.n > 0 && (!num_parse_u64(u->port, &number) || number == 0 || number > UINT16_MAX))
        return false;
    *port = (uint16_t)number;
    return true;
}

bool client_head_server(const char *url, struct str *host, uint16_t *port)
{
    struct url u;
    if (!head_split(url, &u, port))
        return false;
    *host = u.host;
    return true;
}

static void head_add_request_line(struct buf *out, const char *method, const struct url *u)
{
    buf_add_z(out, method);
    buf_add_z(out, u->path.n > 0 ? " " : " /");
    buf_add_str(out, u->path);
    if (u->query.n > 0)
        buf_add_char(out, '?');
    buf_add_str(out, u->query);
    buf_add_z(out, " HTTP/1.1\r\n");
}

static void head_add_host(struct buf *out, const struct url *u, uint16_t port)
{
    bool v6 = str_find(u->host, ':') < u->host.n;
    buf_add_z(out, v6 ? "Host: [" : "Host: ");
    buf_add_str(out, u->host);
    if (v6)
        buf_add_char(out, ']');
    if (port != 80)
        buf_printf(out, ":%u", (unsigned)port);
    buf_add_z(out, "\r\n");
}

/* ---- header fields ---- */

struct head_fields { bool host, user_agent, accept, accept_encoding, content_type; }; /* given */

/* Appends a given line. False: only libcurl can send it. */
static bool head_add_line(struct buf *out, struct str line, struct head_fields *given)
{
    static const char *const framing[] = {"content-length", "transfer-encoding", "connection", "expect", "upgrade",
                                          "te", "trailer"};
    struct { const char *name; bool *given; } defaults[] = {
        {"host", &given->host}, {"user-agent", &given->user_agent}, {"accept", &given->accept},
        {"accept-encoding", &given->accept_encoding}, {"content-type", &given->content_type}};
    size_t end = 0;
    while (end < line.n && line.p[end] != ':' && line.p[end] != ';')
        end++;
    struct str name = str_first(line, end), value = str_trim(str_skip(line, end + 1));
    bool empty = end < line.n && line.p[end] == ';';
    if (name.n == 0 || end == line.n || empty != (value.n == 0))
        return false;
    for (size_t i = 0; i < LEN(framing); i++)
        if (str_ieq(name, str_of(framing[i])))
            return false;
    for (size_t i = 0; i < LEN(defaults); i++)
        if (str_ieq(name, str_of(defaults[i].name)))
            *defaults[i].given = true;
    buf_add_str(out, name);
    buf_add_z(out, empty ? ":" : ": ");
    buf_add_str(out, value);
    buf_add_z(out, "\r\n");
    return true;
}

static bool head_add_lines(struct buf *out, struct str lines, struct head_fields *given)
{
    struct str line;
    while (lines.n > 0 && str_cut(&lines, '\n', &line))
        if (!head_add_line(out, line, given))
            return false;
    return true;
}

static void head_add_defaults(struct buf *out, const struct client_request *req, const struct url *u, uint16_t port,
                              const char *user_agent, const struct head_fields *given)
{
    bool is_get = strcmp(req->method, "GET") == 0, has_body = req->body.n > 0 || strcmp(req->method, "DELETE") != 0;
    if (!given->host && req->host)
        buf_printf(out, "Host: %s\r\n", req->host);
    else if (!given->host)
        head_add_host(out, u, port);
    if (!given->user_agent)
        buf_printf(out, "User-Agent: %s\r\n", user_agent);
    if (!given->accept)
        buf_add_z(out, "Accept: */*\r\n");
    if (!given->accept_encoding && req->accept_gzip)
        buf_add_z(out, "Accept-Encoding: gzip\r\n");
    if (req->close)
        buf_add_z(out, CLIENT_CLOSE_LINE "\r\n");
    if (!is_get && has_body)
        buf_printf(out, "Content-Length: %zu\r\n", req->body.n);
    if (!is_get && has_body && !given->content_type)
        buf_add_z(out, "Content-Type: application/x-www-form-urlencoded\r\n");
}

bool client_head_build(struct client_head *h, const struct client_request *req, const char *user_agent)
{
    struct url u;
    struct buf profile = {0};
    struct head_fields given = {.host = false};
    *h = (struct client_head){.port = 80};
    bool plain = head_split(req->url, &u, &h->port) && (req->socket == NULL || strlen(req->socket) <= SERVER_SOCKET_MAX) && client_profile_proxy(req->profile, req->url) == NULL
                 && client_profile_lines(req->profile, req, &profile, NULL);
    if (!plain)
        goto done;
    uint16_t port = h->port;
    h->host = req->socket ? str_of(req->socket) : u.host;
    h->port = req->socket ? SERVER_SOCKET : port;
    head_add_request_line(&h->text, req->method, &u);
    h->own_from = h->text.n;
    for (size_t i = 0; i < req->n_headers && plain; i++)
        plain = head_add_line(&h->text, str_of(req->headers[i]), &given);
    h->own_to = h->text.n;
    plain = plain && head_add_lines(&h->text, buf_str(&profile), &given);
    head_add_defaults(&h->text, req, &u, port, user_agent, &given);
    buf_add_z(&h->text, "\r\n");
done:
    buf_free(&profile);
    if (!plain)
        buf_free(&h->text);
    return plain;
}
