// SPDX-License-Identifier: Apache-2.0
/* Services of Nomad (nomad_sd_configs of Prometheus). Every refresh_interval its services are listed, and then the instances of
 * one after the other:
 *
 *   /v1/services          names, by namespace
 *   /v1/service/NAME      its instances
 *
 * Source: https://developer.hashicorp.com/nomad/api-docs/services
 */
#include "model/discovery/groups/sd_build.h"
#include "model/discovery/sd_poll.h"
#include "model/discovery/sd_request.h"

#include "base/text/url.h"

enum { NOMAD_TIMEOUT_MS = 60000 };

struct nomad_source {
    struct sd_poll poll;
    struct arena arena;          /* of what the configuration gave */
    struct str base, query, tag_separator; /* http://HOST:PORT, and the parameters of every request */
    struct client_profile *profile;
    struct sd_request request;
    /* The read in progress: */
    struct arena names;          /* of `services` */
    struct str *services; size_t n_services, services_cap, next;
    struct map seen;             /* the names in `services` */
    struct sd_build build;
};

static struct nomad_source *nomad_of_poll(struct sd_poll *p) { return (struct nomad_source *)(void *)p; }

static void nomad_forget_services(struct nomad_source *s)
{
    map_free(&s->seen);
    s->seen = (struct map){0};
    arena_free(&s->names);
    s->services = NULL;
    s->n_services = s->services_cap = s->next = 0;
}

static void nomad_source_free(struct sd_poll *p)
{
    struct nomad_source *s = nomad_of_poll(p);
    sd_request_free(&s->request);
    sd_build_drop(&s->build);
    nomad_forget_services(s);
    client_profile_unref(s->profile);
    arena_free(&s->arena);
    mem_free(s);
}

static void nomad_get(struct nomad_source *s, const char *path, struct str name,
                      void (*done)(struct sd_request *r, const struct json_value *doc, struct err *err))
{
    struct buf url = {0};
    buf_printf(&url, "%.*s%s", STR_ARG(s->base), path);
    url_encode(&url, name);
    buf_printf(&url, "?%.*s", STR_ARG(s->query));
    s->request.done = done;
    sd_request_start(&s->request, &(struct sd_ask){.client = s->poll.env.client(s->poll.env.arg), .profile = s->profile, .url = buf_str(&url),
                                                   .timeout_ms = NOMAD_TIMEOUT_MS});
    buf_free(&url);
}

static void nomad_fail(struct nomad_source *s, const struct err *err)
{
    sd_build_drop(&s->build);
    nomad_forget_services(s);
    sd_poll_failed(&s->poll, err->text);
}

/* ---- instances ---- */

static void nomad_add_tags(struct nomad_source *s, const struct json_value *tags)
{
    struct buf b = {0};
    for (const struct json_value *t = json_value_items(tags); t; t = t->next)
        buf_printf(&b, "%.*s%.*s", STR_ARG(s->tag_separator), STR_ARG(json_value_text(t)));
    if (json_value_items(tags))
        buf_add_str(&b, s->tag_separator);
    sd_build_label(&s->build, "__meta_nomad_tags", buf_str(&b));
    buf_free(&b);
}

static void nomad_add_instance(struct nomad_source *s, const struct json_value *instance)
{
    struct sd_build *b = &s->build;
    struct str address = json_value_text(json_value_get(instance, "Address"));
    double port = json_value_number(json_value_get(instance, "Port"));
    sd_build_target(b, sd_build_address(b, address, port >= 0 && port <= 65535 ? (unsigned)port : 0));
    sd_build_label(b, "__meta_nomad_address", address);
    sd_build_label(b, "__meta_nomad_dc", json_value_text(json_value_get(instance, "Datacenter")));
    sd_build_label(b, "__meta_nomad_node_id", json_value_text(json_value_get(instance, "NodeID")));
    sd_build_label(b, "__meta_nomad_namespace", json_value_text(json_value_get(instance, "Namespace")));
    sd_build_label(b, "__meta_nomad_service", json_value_text(json_value_get(instance, "ServiceName")));
    sd_build_label(b, "__meta_nomad_service_address", address);
    sd_build_label(b, "__meta_nomad_service_id", json_value_text(json_value_get(instance, "ID")));
    sd_build_label(b, "__meta_nomad_service_port", json_value_scalar(json_value_get(instance, "Port")));
    nomad_add_tags(s, json_value_get(instance, "Tags"));
}

static void nomad_next(struct nomad_source *s);

static void nomad_on_service(struct sd_request *r, const struct json_value *doc, struct err *err)
{
    struct nomad_source *s = CONTAINER(r, struct nomad_source, request);
    if (doc == NULL) {
        nomad_fail(s, err);
        return;
    }
    for (const struct json_value *i = json_value_items(doc); i; i = i->next)
        nomad_add_instance(s, i);
    nomad_next(s);
}

static void nomad_next(struct nomad_source *s)
{
    if (s->next < s->n_services) {
        nomad_get(s, "/v1/service/", s->services[s->next++], nomad_on_service);
        return;
    }
    struct sd_groups *groups = s->build.groups;
    s->build.groups = NULL;
    nomad_forget_services(s);
    sd_poll_succeeded(&s->poll, groups);
}

/* ---- services ---- */

/* One name may be in several namespaces, whose instances one request lists. */
static void nomad_add_service(struct nomad_source *s, struct str name)
{
    bool added;
    if (name.n == 0)
        return;
    struct str copy = arena_str(&s->names, name);
    map_add(&s->seen, copy, &added);
    if (!added)
        return;
    arena_grow(&s->names, &s->services, &s->services_cap, s->n_services + 1, sizeof *s->services);
    s->services[s->n_services++] = copy;
}

static void nomad_on_services(struct sd_request *r, const struct json_value *doc, struct err *err)
{
    struct nomad_source *s = CONTAINER(r, struct nomad_source, request);
    if (doc == NULL) {
        nomad_fail(s, err);
        return;
    }
    for (const struct json_value *n = json_value_items(doc); n; n = n->next)
        for (const struct json_value *i = json_value_items(json_value_get(n, "Services")); i; i = i->next)
            nomad_add_service(s, json_value_text(json_value_get(i, "ServiceName")));
    sd_build_start(&s->build);
    nomad_next(s);
}

static void nomad_source_begin(struct sd_poll *p)
{
    nomad_get(nomad_of_poll(p), "/v1/services", STR_NONE, nomad_on_services);
}

static const struct sd_poll_ops nomad_source_ops = {nomad_source_begin, nomad_source_free};

/* ---- creation ---- */

static void nomad_copy_conf(struct nomad_source *s, const struct nomad_sd *conf)
{
    struct buf base = {0}, query = {0};
    if (!url_is_http(conf->address))
        buf_add_z(&base, "http://");
    buf_add_str(&base, conf->address);
    while (base.n > 0 && base.p[base.n - 1] == '/')
        base.n--;
    buf_add_z(&query, "namespace=");
    url_encode(&query, conf->namespace);
    buf_add_z(&query, "&region=");
    url_encode(&query, conf->region);
    buf_add_z(&query, conf->allow_stale ? "&stale=" : "");
    s->base = arena_str(&s->arena, buf_str(&base));
    s->query = arena_str(&s->arena, buf_str(&query));
    s->tag_separator = arena_str(&s->arena, conf->tag_separator);
    buf_free(&base);
    buf_free(&query);
}

struct sd_source *nomad_source_new(const struct sd_source_env *env, const void *nomad_sd, struct err *err)
{
    const struct nomad_sd *conf = nomad_sd;
    struct client_profile *profile = http_conf_profile(&conf->server.http, err);
    struct buf shown = {0}, key = {0};
    if (profile == NULL)
        return NULL;
    struct nomad_source *s = mem_zalloc(sizeof *s);
    arena_init(&s->arena, 0);
    arena_init(&s->names, 0);
    s->profile = profile;
    nomad_copy_conf(s, conf);
    url_redact(&shown, s->base);
    buf_printf(&key, "nomad %.*s %.*s %016llx %lld %.*s", STR_ARG(s->base), STR_ARG(s->query),
               (unsigned long long)client_profile_hash(profile), (long long)conf->server.refresh_interval,
               STR_ARG(s->tag_separator));
    sd_poll_init(&s->poll, &nomad_source_ops, env, conf->server.refresh_interval, SD_NOMAD_FAILURES,
                 &(struct sd_found){.mechanism = "nomad", .source = s->base}, buf_z(&shown), buf_str(&key));
    buf_free(&shown);
    buf_free(&key);
    return &s->poll.source;
}
