// SPDX-License-Identifier: Apache-2.0
/* Is a head read the same way by every program between the client and us? If not, the next request on the connection
 * may be one that a proxy before us never saw (RFC 9112, 11.2).
 *
 * The library (0.9.75) is lenient: it ends lines at a bare LF, reads names and values up to the first NUL, joins folded
 * lines, and of several equal headers takes the first. Later versions refuse all of that by themselves when told so
 * (MHD_OPTION_CLIENT_DISCIPLINE_LVL). Its values are not copies but point into the head as it came, where every line
 * end was overwritten by NULs. So each name must begin two bytes behind the value before it, and the head must end four
 * bytes behind the last value: then every line ended with CR LF, and no NUL was in it.
 */
#include "gateway/http/http_connection.h"

#include <string.h>
#include <strings.h>

void http_head_begin(struct http_head *h, const char *method, const char *version, size_t bytes, bool exact)
{
    *h = (struct http_head){.http_1_1 = strcmp(version, "HTTP/1.0") != 0, .exact = exact, .end = method + bytes,
                            .next = version + strlen(version) + 2};
}

/* A token of RFC 9110, 5.6.2. */
static bool is_token(const char *name)
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

void http_head_header(struct http_head *h, const char *name, const char *value)
{
    bool host = strcasecmp(name, "Host") == 0;
    h->lengths += strcasecmp(name, "Content-Length") == 0;
    h->codings += strcasecmp(name, "Transfer-Encoding") == 0;
    h->hosts += host;
    h->odd = h->odd || !is_token(name) || strchr(value, '\r') || (host && !is_host(value)) ||
        (h->exact && name != h->next);
    h->next = value + strlen(value) + 2;
}

const char *http_head_fault(const struct http_head *h)
{
    if (h->odd || (h->exact && h->next + 2 != h->end))
        return "the headers contain characters or line ends that are not allowed\n";
    if (h->hosts > 1)
        return "more than one Host header\n";
    if (h->hosts == 0 && h->http_1_1)
        return "no Host header\n";
    if (h->lengths > 1 || h->codings > 1 || (h->lengths > 0 && h->codings > 0))
        return "conflicting Content-Length and Transfer-Encoding headers\n";
    if (h->codings > 0 && !h->http_1_1)
        return "HTTP/1.0 has no Transfer-Encoding\n";
    return NULL;
}
