// SPDX-License-Identifier: Apache-2.0
/* Services of Nomad (nomad_sd_configs of Prometheus), by blocking queries (sd_follow.h), like vmagent:
 *
 *   /v1/services          names, by namespace
 *   /v1/service/NAME      its instances
 *
 * Source: https://developer.hashicorp.com/nomad/api-docs/services, .../api-docs#blocking-queries
 */
#include "model/discovery/source/sd_follow.h"

#include "base/text/url.h"

struct nomad_source {
    struct sd_follow follow;
    struct arena arena;          /* of what the configuration gave */
    struct str base, query, tag_separator; /* http://HOST:PORT, and the parameters of every request */
};

static struct nomad_source *nomad_of(struct sd_follow *f) { return (struct nomad_source *)(void *)f; }

static void nomad_source_free(struct sd_follow *f)
{
    struct nomad_source *s = nomad_of(f);
    arena_free(&s->arena);
    mem_free(s);
}

static void nomad_url(struct sd_follow *f, struct buf *url, struct str name)
{
    const struct nomad_source *s = nomad_of(f);
    buf_printf(url, "%.*s%s", STR_ARG(s->base), name.n > 0 ? "/v1/service/" : "/v1/services");
    url_encode(url, name);
    buf_printf(url, "?%.*s", STR_ARG(s->query));
}

/* ---- instances ---- */

static void nomad_add_tags(struct nomad_source *s, struct sd_build *build, const struct json_value *tags)
{
    struct buf b = {0};
    for (const struct json_value *t = json_value_items(tags); t; t = t->next)
        buf_printf(&b, "%.*s%.*s", STR_ARG(s->tag_separator), STR_ARG(json_value_text(t)));
    if (json_value_items(tags))
        buf_add_str(&b, s->tag_separator);
    sd_build_label(build, "__meta_nomad_tags", buf_str(&b));
    buf_free(&b);
}

static void nomad_add_instance(struct nomad_source *s, struct sd_build *b, const struct json_value *instance)
{
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
    nomad_add_tags(s, b, json_value_get(instance, "Tags"));
}

static void nomad_take_instances(struct sd_follow *f, struct sd_build *b, struct str name UNUSED,
                                 const struct json_value *doc)
{
    for (const struct json_value *i = json_value_items(doc); i; i = i->next)
        nomad_add_instance(nomad_of(f), b, i);
}

/* One name may be in several namespaces, whose instances one request lists. */
static bool nomad_take_services(struct sd_follow *f, const struct json_value *doc, struct err *err)
{
    if (doc->kind != JSON_ARRAY)
        return err_set(err, ERR_BAD_GATEWAY, "%s: the response is not a list of services", f->shown);
    for (const struct json_value *n = json_value_items(doc); n; n = n->next)
        for (const struct json_value *i = json_value_items(json_value_get(n, "Services")); i; i = i->next)
            sd_follow_service(f, json_value_text(json_value_get(i, "ServiceName")));
    return true;
}

static const struct sd_follow_ops nomad_source_ops = {
    .url = nomad_url, .services = nomad_take_services, .instances = nomad_take_instances, .free = nomad_source_free};

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
    nomad_copy_conf(s, conf);
    url_redact(&shown, s->base);
    buf_printf(&key, "nomad %.*s %.*s %016llx %lld %.*s", STR_ARG(s->base), STR_ARG(s->query),
               (unsigned long long)client_profile_hash(profile), (long long)conf->server.refresh_interval,
               STR_ARG(s->tag_separator));
    sd_follow_init(&s->follow, &nomad_source_ops, env, conf->server.refresh_interval, SD_NOMAD_FAILURES, profile,
                   &(struct sd_found){.mechanism = "nomad", .source = s->base}, buf_z(&shown), buf_str(&key));
    buf_free(&shown);
    buf_free(&key);
    return &s->follow.source;
}
