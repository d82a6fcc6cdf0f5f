// SPDX-License-Identifier: Apache-2.0
/* Paths are matched percent-encoded, so that an encoded slash (label/a%2Fb/values) is no separator; the caller decodes
 * only the part that matches the *. A route without * takes precedence over one with it, independent of their order.
 */
#include "gateway/http/http_connection.h"

bool http_strip_prefix(struct str prefix, struct str *path)
{
    while (prefix.n > 0 && prefix.p[prefix.n - 1] == '/')
        prefix.n--;
    if (!str_starts(*path, prefix) || (path->n > prefix.n && path->p[prefix.n] != '/'))
        return false;
    *path = str_skip(*path, prefix.n);
    if (path->n == 0)
        *path = STR("/");
    return true;
}

/* True if the path begins with the part before the * and ends with the part after it, with something in between. */
static bool match_star(struct str pattern, size_t star, struct str path, struct str *tail)
{
    struct str before = str_first(pattern, star), after = str_skip(pattern, star + 1);
    if (path.n <= before.n + after.n || !str_starts(path, before) || !str_ends(path, after))
        return false;
    *tail = str_n(path.p + before.n, path.n - before.n - after.n);
    return after.n == 0 || str_find(*tail, '/') == tail->n;
}

static bool route_match_path(const struct route *r, struct str path, struct str *tail)
{
    struct str pattern = str_of(r->path);
    if (r->slash && path.n > 1 && path.p[path.n - 1] == '/')
        path.n--;
    size_t star = str_find(pattern, '*');
    *tail = STR_NONE;
    return star == pattern.n ? str_eq(pattern, path) : match_star(pattern, star, path, tail);
}

/* HEAD is GET without the body of the response: nothing that changes state. */
static bool route_takes_method(const struct route *r, enum http_method method)
{
    return r->methods & method || (method == HTTP_HEAD && r->methods & HTTP_GET && !r->changes_state);
}

const struct route *http_route(const struct route *routes, size_t n, enum http_method method, struct str path,
                               struct str *tail, bool *other)
{
    const struct route *found = NULL;
    struct str at;
    *other = false;
    for (size_t i = 0; i < n; i++) {
        if (!route_match_path(&routes[i], path, &at))
            continue;
        if (!route_takes_method(&routes[i], method)) {
            *other = true;
            continue;
        }
        if (found == NULL || at.p == NULL) {
            found = &routes[i];
            *tail = at;
        }
        if (at.p == NULL)
            break;
    }
    return found;
}
