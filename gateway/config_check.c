// SPDX-License-Identifier: Apache-2.0
/* What a start or a reload would stumble over although every row of the file is right: clients that cannot be built
 * (a line break in a header, an unknown TLS version), names and URLs that two destinations share. A load does it, so
 * that --check-config finds it too.
 */
#include "base/url.h"
#include "gateway/config_file.h"

static bool check_client(struct conf_errors *errors, const struct http_conf *http, const char *kind, struct str name)
{
    struct err err;
    struct client_profile *profile = http_conf_profile(http, &err);
    if (profile) {
        client_profile_unref(profile);
        return true;
    }
    err_wrap(&err, "%s \"%.*s\"", kind, STR_ARG(name));
    conf_errors_add(errors, err.text);
    return false;
}

static struct str shown_destination(const struct destination_conf *d, struct buf *text)
{
    if (d->name.n > 0)
        return d->name;
    url_redact(text, d->url);
    return buf_str(text);
}

/* A queue on disk is known by name and URL. */
static bool check_unique(const struct config *c, size_t i, struct conf_errors *errors)
{
    const struct destination_conf *d = &c->destinations[i];
    struct buf shown = {0};
    struct err err;
    bool ok = true;
    for (size_t k = 0; k < i && ok; k++) {
        const struct destination_conf *other = &c->destinations[k];
        ok = !str_eq(d->name, other->name) || (d->name.n == 0 && !str_eq(d->url, other->url));
    }
    if (!ok) {
        struct str name = shown_destination(d, &shown);
        err_set(&err, ERR_BAD_DATA, d->name.n > 0
                ? "remote_write: the name \"%.*s\" is used twice; names must be unique"
                : "remote_write: the URL %.*s is given twice; give each entry a name of its own, or remove one",
                STR_ARG(name));
        conf_errors_add(errors, err.text);
    }
    buf_free(&shown);
    return ok;
}

bool config_check(const struct config *c, struct conf_errors *errors, struct err *err)
{
    bool ok = true;
    for (size_t i = 0; i < c->n_jobs; i++)
        ok = check_client(errors, &c->jobs[i].http, "job", c->jobs[i].job_name) && ok;
    for (size_t i = 0; i < c->n_destinations; i++) {
        struct buf shown = {0};
        ok = check_client(errors, &c->destinations[i].http, "remote_write",
                          shown_destination(&c->destinations[i], &shown)) && ok;
        ok = check_unique(c, i, errors) && ok;
        buf_free(&shown);
    }
    const struct upstream_env env = {.recent_alone = c->n_groups == 0};
    struct upstream *u = ok ? upstream_new(c->groups, c->n_groups, &env, err) : NULL;
    if (u)
        upstream_unref(u);
    return u != NULL;
}
