// SPDX-License-Identifier: Apache-2.0
#include "gateway/config/proxy_headers.h"

#include <ctype.h>

/* Those of a connection, of the body, and those that sluice sets itself. */
static const char *const reserved[] = {
    "Accept-Encoding", "Connection", "Content-Encoding", "Content-Length", "Content-Type", "Expect", "Host", "Keep-Alive",
    "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "TE", "Trailer", "Transfer-Encoding", "Upgrade",
    "X-Prometheus-Remote-Read-Version", "X-Sluice-Via",
};

static bool is_header_name(struct str name)
{
    bool token = name.n > 0;
    for (size_t i = 0; i < name.n; i++)
        token = token && (isalnum((unsigned char)name.p[i]) || (name.p[i] && strchr("!#$%&'*+-.^_`|~", name.p[i])));
    return token;
}

bool proxy_headers_check(const struct str_list *names, struct err *err)
{
    if (names->n > PROXY_HEADERS_MAX)
        return err_set(err, ERR_BAD_DATA, "--proxy-headers: %zu names exceed the limit of %d", names->n,
                       PROXY_HEADERS_MAX);
    for (size_t i = 0; i < names->n; i++) {
        struct str name = names->items[i];
        if (!is_header_name(name))
            return err_set(err, ERR_BAD_DATA, "--proxy-headers: \"%.*s\" is not the name of a header", STR_ARG(name));
        for (size_t k = 0; k < LEN(reserved); k++)
            if (str_ieq(name, str_of(reserved[k])))
                return err_set(err, ERR_BAD_DATA, "--proxy-headers: %.*s belongs to a single request and cannot be "
                               "passed on", STR_ARG(name));
    }
    return true;
}
