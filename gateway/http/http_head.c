// SPDX-License-Identifier: Apache-2.0
/* Detects heads that programs between the client and us may parse differently. The next request on such a connection
 * may be one that a proxy in front of us has not seen (request smuggling, RFC 9112, 11.2).
 *
 * The library (0.9.75) is lenient: it ends lines at a bare LF, reads names and values up to the first NUL, joins folded
 * lines, and uses the first of duplicate headers. (Later versions refuse all of that,
 * MHD_OPTION_STRICT_FOR_CLIENT.) Its values are not copies: they point into the head as received, in which line
 * ends have been overwritten by NULs. If each name begins two bytes after the end of the previous value, and the head
 * ends four bytes after the last value, every line ended with CR LF and contained no NUL.
 */
#include "gateway/http/http_connection.h"

#include <string.h>
#include <strings.h>

void http_head_begin(struct http_head *h, const char *method, const char *version, size_t bytes, bool exact)
{
    *h = (struct http_head){.http_1_1 = strcmp(version, "HTTP/1.0") != 0, .exact = exact, .end = method + bytes,
                            .next = version + strlen(version) + 2};
}

bool http_is_token(const char *name)
{
    for (const char *c = name; *c; c++) {
        bool alnum = (*c >= '0' && *c <= '9') || (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z');
        if (!alnum && strchr("!#$%&'*+-.^_`|~", *c) == NULL)
            return false;
    }
    return *name != 0;
}

static bool is_host(const char *value)
{
    return strpbrk(value, " \t\"#,/<>?@\\^`{|}") == NULL;
}

/* One blank between the parts, a method that is a token, and a target that is a path or URL. */
bool http_line_is_odd(const struct http_head *h, const char *method, struct str uri, const char *uri_end, const char *version)
{
    bool target = str_starts(uri, STR("/")) || str_starts(uri, STR("http://")) || str_starts(uri, STR("https://")) ||
                  (str_is(uri, "*") && strcmp(method, "OPTIONS") == 0);
    return !http_is_token(method) || !target || str_find(uri, ' ') < uri.n || str_find(uri, '\r') < uri.n ||
           (h->exact && (uri_end - 1 - uri.n != method + strlen(method) + 1 || uri_end != version));
}

/* A field value has no control character but tabs (RFC 9110, 5.5). */
static bool is_value(const char *value)
{
    for (const char *c = value; *c; c++)
        if (((unsigned char)*c < ' ' && *c != '\t') || *c == 0x7f)
            return false;
    return true;
}

void http_head_header(struct http_head *h, const char *name, const char *value)
{
    bool host = strcasecmp(name, "Host") == 0;
    h->lengths += strcasecmp(name, "Content-Length") == 0;
    h->codings += strcasecmp(name, "Transfer-Encoding") == 0;
    h->hosts += host;
    h->odd = h->odd || !http_is_token(name) || !is_value(value) || (host && !is_host(value)) ||
        (h->exact && name != h->next);
    h->next = value + strlen(value) + 2;
}

const char *http_head_fault(const struct http_head *h)
{
    if (h->odd || (h->exact && h->next + 2 != h->end))
        return "invalid character, line end or order in the head of the request\n";
    if (h->hosts > 1)
        return "duplicate Host header\n";
    if (h->hosts == 0 && h->http_1_1)
        return "missing Host header\n";
    if (h->lengths > 1 || h->codings > 1 || (h->lengths > 0 && h->codings > 0))
        return "conflicting Content-Length and Transfer-Encoding headers\n";
    if (h->codings > 0 && !h->http_1_1)
        return "Transfer-Encoding is not allowed in HTTP/1.0\n";
    return NULL;
}
