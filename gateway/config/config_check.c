// SPDX-License-Identifier: Apache-2.0
/* Checks that would otherwise fail at start or reload although each key of the file is valid: HTTP clients that cannot
 * be created (a line break in a header, an unknown TLS version), duplicate names and URLs of destinations, a destination
 * that is this program itself. They are part of loading, so that --check-config reports them too.
 */
#include "base/text/url.h"
#include "gateway/config/own_address.h"
#include "gateway/config/config_file.h"

#include <stdio.h>

static bool config_check_client(struct conf_errors *errors, const struct http_conf *http, const char *kind,
                                struct str name)
{
    struct err err;
    if (http_conf_check_profile(http, &err))
        return true;
    err_wrap(&err, "%s \"%.*s\"", kind, STR_ARG(name));
    conf_errors_add(errors, err.text);
    return false;
}

static bool config_check_discovery(struct conf_errors *errors, const struct sd_conf *sd, const char *kind,
                                   struct str name)
{
    struct sd_server_conf one;
    char subject[100];
    bool ok = true;
    for (size_t at = 0; sd_conf_next_server(sd, &at, &one); ) {
        snprintf(subject, sizeof subject, "%s of %s", one.key, kind);
        ok = config_check_client(errors, &one.server->http, subject, name) && ok;
    }
    return ok;
}

/* Behind a proxy, an address that looks like ours may be another machine's. */
static bool check_not_itself(const struct config *c, const struct destination_conf *d, const struct flags *f,
                             struct str name, struct conf_errors *errors)
{
    struct err err;
    bool *tls = mem_zalloc(f->listen.n + 1);
    for (size_t i = 0, k = 0; c->access && i < f->listen.n; i++)
        if (f->listen.items[i].n > 0 && k < c->access->n) {
            tls[i] = c->access->of[k] && c->access->of[k]->tls;
            k++;
        }
    struct str own = d->http.proxy_url.n > 0 ? STR_NONE : own_address_of_url(d->url, &f->listen, tls);
    mem_free(tls);
    if (own.n == 0)
        return true;
    err_set(&err, ERR_BAD_DATA, "remote_write \"%.*s\": url is the address of this program (--web.listen-address=%.*s): its "
            "samples would come back; set it to the address of the storage", STR_ARG(name), STR_ARG(own));
    conf_errors_add(errors, err.text);
    return false;
}

/* Errors refer to it by its name, or by its URL without secrets. */
static bool check_destination(const struct config *c, const struct flags *f, size_t i, struct conf_errors *errors)
{
    const struct destination_conf *d = &c->destinations[i];
    struct buf url = {0};
    struct err err;
    url_redact(&url, d->url);
    struct str name = d->name.n > 0 ? d->name : buf_str(&url);
    bool client = config_check_client(errors, &d->http, "remote_write", name);
    bool other = check_not_itself(c, d, f, name, errors);
    bool unique = writer_check_destination(c->destinations, i, &err);
    if (!unique)
        conf_errors_add(errors, err.text);
    buf_free(&url);
    return client && other && unique;
}

bool config_check_job(const struct scrape_job *job, struct err *err)
{
    struct conf_errors errors = {0};
    bool ok = config_check_client(&errors, &job->http, "job", job->job_name);
    ok = config_check_discovery(&errors, &job->sd, "job", job->job_name) && ok;
    if (!ok)
        (void)!conf_errors_first(&errors, err);
    buf_free(&errors.text);
    return ok;
}

bool config_check_destination(struct loader *l, size_t i, struct err *err)
{
    struct conf_errors errors = {0};
    bool ok = check_destination(l->config, l->flags, i, &errors);
    if (!ok)
        (void)!conf_errors_first(&errors, err);
    buf_free(&errors.text);
    return ok;
}

static bool check_upstream(struct loader *l)
{
    struct err err;
    const struct config *c = l->config;
    const struct upstream_env env = {.recent_alone = c->n_groups == 0, .warn = l->conf.warn, .warn_arg = l->conf.warn_arg,
                                     .empty_groups = c->empty_groups};
    struct upstream *u = upstream_new(c->groups, c->n_groups, &env, &err);
    if (u)
        upstream_unref(u);
    else
        conf_errors_add(l->conf.errors, err.text);
    return u != NULL;
}

bool config_check(struct loader *l)
{
    const struct config *c = l->config;
    struct conf_errors *errors = l->conf.errors;
    bool ok = true;
    for (size_t i = 0; i < l->n_own_jobs; i++) {
        const struct scrape_job *job = &c->jobs[i];
        ok = config_check_client(errors, &job->http, "job", job->job_name) && ok;
        ok = config_check_discovery(errors, &job->sd, "job", job->job_name) && ok;
    }
    for (size_t i = 0; i < c->n_groups; i++) {
        const struct server_group_conf *g = &c->groups[i];
        struct buf scratch = {0};
        struct str name = server_group_name(g, i, &scratch);
        if (!sd_conf_empty(&g->sd)) /* otherwise each server's is created by check_upstream */
            ok = config_check_client(errors, &g->client.http, "server group", name) && ok;
        ok = config_check_discovery(errors, &g->sd, "server group", name) && ok;
        buf_free(&scratch);
    }
    for (size_t i = 0; i < l->n_own_destinations; i++)
        ok = check_destination(c, l->flags, i, errors) && ok;
    return check_upstream(l) && ok;
}
