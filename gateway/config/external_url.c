// SPDX-License-Identifier: Apache-2.0
#include "gateway/config/external_url.h"

#include "base/text/url.h"

/* "pre", "/pre" and "/pre/" are the same prefix. */
static struct str normalized_prefix(struct arena *a, struct str s)
{
    while (s.n > 0 && s.p[0] == '/')
        s = str_skip(s, 1);
    while (s.n > 0 && s.p[s.n - 1] == '/')
        s.n--;
    return s.n > 0 ? arena_printf(a, "/%.*s", STR_ARG(s)) : STR("");
}

/* The path is written to pages as it is. */
static bool path_is_safe(struct str path)
{
    for (size_t i = 0; i < path.n; i++)
        if (path.p[i] <= ' ' || path.p[i] == 0x7f || strchr("\"'<>`\\", path.p[i]))
            return false;
    return true;
}

/* A path alone is accepted, as in Prometheus. */
static bool external_url_path(struct str text, struct str *path, struct err *err)
{
    struct url u = {.path = text};
    if (text.n > 0 && text.p[0] != '/' && !url_parse(text, &u, err))
        return err_wrap(err, "--web.external-url");
    *path = u.path;
    return path_is_safe(u.path) || err_set(err, ERR_BAD_DATA, "--web.external-url: \"%.*s\": the path has a character that "
                                           "URLs encode; write it as %%XX", STR_ARG(text));
}

bool external_url_apply(struct flags *f, bool prefix_set, struct err *err)
{
    struct str path;
    if (!external_url_path(f->external_url, &path, err))
        return false;
    f->path_prefix = normalized_prefix(&f->arena, prefix_set ? f->path_prefix : path);
    f->link_prefix = f->external_url.n > 0 ? normalized_prefix(&f->arena, path) : f->path_prefix;
    return true;
}

static bool is_localhost(struct str host)
{
    return str_is(host, "localhost") || str_is(host, "127.0.0.1") || str_is(host, "::1");
}

static bool listens_on(const struct flags *f, struct str port)
{
    struct str host, own;
    for (size_t i = 0; i < f->listen.n; i++)
        if (address_split(f->listen.items[i], &host, &own) && str_eq(own, port))
            return true;
    return false;
}

/* With a port of this program, the target is this program, which users reach under the external URL; otherwise only the
 * host is known to be wrong. */
void external_url_of_target(struct buf *out, const struct flags *f, struct str target)
{
    struct url external, u;
    struct err err;
    if (f->external_url.n == 0 || !url_parse(f->external_url, &external, &err) || !url_parse(target, &u, &err) ||
        !is_localhost(u.host)) {
        buf_add_str(out, target);
        return;
    }
    bool own = listens_on(f, u.port), v6 = str_find(external.host, ':') < external.host.n;
    struct str port = own ? external.port : u.port, scheme = own ? external.scheme : u.scheme;
    struct str login = url_userinfo(target);
    buf_printf(out, "%.*s://%.*s%s", STR_ARG(scheme), STR_ARG(login), login.n > 0 ? "@" : "");
    buf_printf(out, "%s%.*s%s", v6 ? "[" : "", STR_ARG(external.host), v6 ? "]" : "");
    if (port.n > 0)
        buf_printf(out, ":%.*s", STR_ARG(port));
    buf_add_str(out, u.path);
    if (u.query.n > 0)
        buf_printf(out, "?%.*s", STR_ARG(u.query));
}
