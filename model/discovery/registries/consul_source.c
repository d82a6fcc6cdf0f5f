// SPDX-License-Identifier: Apache-2.0
/* Instances of services that Consul knows (consul_sd_configs of Prometheus), by blocking queries (sd_follow.h):
 *
 *   /v1/agent/self               once, for the name of the datacenter, if none is configured
 *   /v1/catalog/services         names and tags of services; not if `services` alone says which
 *   /v1/health/service/NAME      its instances, with their nodes and checks
 *
 * Source: https://developer.hashicorp.com/consul/api-docs, .../api-docs/features/blocking
 */
#include "model/discovery/registries/consul_api.h"
#include "model/discovery/source/sd_follow.h"

#include "base/text/url.h"

struct consul_source {
    struct sd_follow follow;
    struct arena arena;          /* of what the configuration gave */
    struct consul_sd conf;       /* strings in the arena */
    struct str base, query;      /* http://HOST:PORT/PREFIX, and the parameters of every request: stale&dc=... */
    char *token;                 /* the header, or NULL */
    char *datacenter;            /* of the agent; owned */
};

static struct consul_source *consul_of(struct sd_follow *f) { return (struct consul_source *)(void *)f; }

static void consul_source_free(struct sd_follow *f)
{
    struct consul_source *s = consul_of(f);
    arena_free(&s->arena);
    mem_free(s->datacenter);
    mem_free(s->token);
    mem_free(s);
}

/* ---- instances ---- */

void consul_health_add(struct consul_health *h, const struct json_value *check)
{
    struct str id = json_value_text(json_value_get(check, "CheckID")), status = json_value_text(json_value_get(check, "Status"));
    h->maintenance = h->maintenance || str_is(id, "_node_maintenance") || str_starts(id, STR("_service_maintenance:"));
    h->critical = h->critical || str_is(status, "critical");
    h->warning = h->warning || str_is(status, "warning");
}

struct str consul_health_text(const struct consul_health *h)
{
    return h->maintenance ? STR("maintenance") : h->critical ? STR("critical") : h->warning ? STR("warning") : STR("passing");
}

static struct str instance_health(const struct json_value *checks)
{
    struct consul_health health = {.critical = false};
    for (const struct json_value *c = json_value_items(checks); c; c = c->next)
        consul_health_add(&health, c);
    return consul_health_text(&health);
}

static void add_tags(struct consul_source *s, struct sd_build *build, const struct json_value *tags)
{
    struct buf b = {0};
    buf_add_str(&b, s->conf.tag_separator);
    for (const struct json_value *t = json_value_items(tags); t; t = t->next)
        buf_printf(&b, "%.*s%.*s", STR_ARG(json_value_text(t)), STR_ARG(s->conf.tag_separator));
    if (json_value_items(tags) == NULL)
        buf_add_str(&b, s->conf.tag_separator);
    sd_build_label(build, "__meta_consul_tags", buf_str(&b));
    buf_free(&b);
}

static void add_instance(struct consul_source *s, struct sd_build *b, struct str name, const struct json_value *entry)
{
    const struct json_value *node = json_value_get(entry, "Node"), *service = json_value_get(entry, "Service");
    struct str node_address = json_value_text(json_value_get(node, "Address"));
    struct str address = json_value_text(json_value_get(service, "Address"));
    double port = json_value_number(json_value_get(service, "Port"));
    unsigned number = port >= 0 && port <= 65535 ? (unsigned)port : 0;
    sd_build_target(b, sd_build_address(b, address.n > 0 ? address : node_address, number));
    sd_build_label(b, "__meta_consul_service", name);
    sd_build_label(b, "__meta_consul_dc", s->conf.datacenter.n > 0 ? s->conf.datacenter : str_of(s->datacenter));
    sd_build_label(b, "__meta_consul_address", node_address);
    sd_build_label(b, "__meta_consul_node", json_value_text(json_value_get(node, "Node")));
    sd_build_label(b, "__meta_consul_namespace", json_value_text(json_value_get(service, "Namespace")));
    sd_build_label(b, "__meta_consul_partition", json_value_text(json_value_get(service, "Partition")));
    add_tags(s, b, json_value_get(service, "Tags"));
    sd_build_label(b, "__meta_consul_service_address", address);
    sd_build_label(b, "__meta_consul_service_port", arena_printf(sd_build_arena(b), "%u", number));
    sd_build_label(b, "__meta_consul_service_id", json_value_text(json_value_get(service, "ID")));
    sd_build_label(b, "__meta_consul_health", instance_health(json_value_get(entry, "Checks")));
    sd_build_labels(b, "__meta_consul_metadata_", json_value_get(node, "Meta"));
    sd_build_labels(b, "__meta_consul_service_metadata_", json_value_get(service, "Meta"));
    sd_build_labels(b, "__meta_consul_tagged_address_", json_value_get(node, "TaggedAddresses"));
}

static void consul_take_instances(struct sd_follow *f, struct sd_build *b, struct str name,
                                  const struct json_value *doc)
{
    for (const struct json_value *entry = json_value_items(doc); entry; entry = entry->next)
        add_instance(consul_of(f), b, name, entry);
}

/* ---- requests ---- */

static void add_parameter(struct buf *out, const char *name, struct str value)
{
    if (value.n == 0)
        return;
    if (out->n > 0 && out->p[out->n - 1] != '?')
        buf_add_char(out, '&');
    buf_printf(out, "%s=", name);
    url_encode(out, value);
}

static void consul_url(struct sd_follow *f, struct buf *url, struct str name)
{
    struct consul_source *s = consul_of(f);
    buf_printf(url, "%.*s%s", STR_ARG(s->base), name.n > 0 ? "/v1/health/service/" : "/v1/catalog/services");
    url_encode(url, name);
    buf_printf(url, "?%.*s", STR_ARG(s->query));
    for (size_t i = 0; name.n > 0 && i < s->conf.tags.n; i++)
        add_parameter(url, "tag", s->conf.tags.items[i]);
    add_parameter(url, "filter", name.n > 0 ? s->conf.health_filter : s->conf.filter);
}

static bool consul_self_url(struct sd_follow *f, struct buf *url)
{
    const struct consul_source *s = consul_of(f);
    if (s->conf.datacenter.n > 0 || s->datacenter)
        return false;
    buf_printf(url, "%.*s/v1/agent/self?%.*s", STR_ARG(s->base), STR_ARG(s->query));
    return true;
}

static bool consul_take_self(struct sd_follow *f, const struct json_value *doc, struct err *err)
{
    struct str dc = json_value_text(json_value_get(json_value_get(doc, "Config"), "Datacenter"));
    if (dc.n == 0)
        return err_set(err, ERR_BAD_GATEWAY, "%s: the agent names no datacenter", f->shown);
    consul_of(f)->datacenter = str_dup(dc);
    return true;
}

/* ---- services ---- */

static bool has_tags(const struct consul_source *s, const struct json_value *tags)
{
    for (size_t i = 0; i < s->conf.tags.n; i++) {
        const struct json_value *t = json_value_items(tags);
        while (t && !str_eq(json_value_text(t), s->conf.tags.items[i]))
            t = t->next;
        if (t == NULL)
            return false;
    }
    return true;
}

static bool consul_take_services(struct sd_follow *f, const struct json_value *doc, struct err *err)
{
    struct consul_source *s = consul_of(f);
    if (doc->kind != JSON_OBJECT)
        return err_set(err, ERR_BAD_GATEWAY, "%s: the response is not a map of services", f->shown);
    for (const struct json_value *v = json_value_items(doc); v; v = v->next) {
        bool wanted = s->conf.services.n == 0;
        for (size_t i = 0; i < s->conf.services.n && !wanted; i++)
            wanted = str_eq(s->conf.services.items[i], v->key);
        if (wanted && has_tags(s, v))
            sd_follow_service(f, v->key);
    }
    return true;
}

static const struct sd_follow_ops consul_source_ops = {
    consul_url, consul_take_services, consul_take_instances, consul_self_url, consul_take_self, consul_source_free};

/* ---- creation ---- */

static struct str_list copy_list(struct arena *a, struct str_list list)
{
    struct str_list copy = {ARENA_ARRAY(a, struct str, list.n), list.n};
    for (size_t i = 0; i < list.n; i++)
        copy.items[i] = arena_str(a, list.items[i]);
    return copy;
}

static void consul_copy_conf(struct consul_source *s, const struct consul_sd *conf)
{
    struct arena *a = &s->arena;
    struct buf base = {0}, query = {0}, meta = {0};
    s->conf = (struct consul_sd){
        .datacenter = arena_str(a, conf->datacenter), .filter = arena_str(a, conf->filter),
        .health_filter = arena_str(a, conf->health_filter), .tag_separator = arena_str(a, conf->tag_separator),
        .services = copy_list(a, conf->services), .tags = copy_list(a, conf->tags)};
    if (!url_is_http(conf->address))
        buf_printf(&base, "%.*s://", STR_ARG(conf->scheme));
    buf_add_str(&base, conf->address);
    for (; base.n > 0 && base.p[base.n - 1] == '/'; base.n--) {
    }
    struct str prefix = conf->path_prefix;
    while (prefix.n > 0 && (prefix.p[0] == '/' || prefix.p[prefix.n - 1] == '/'))
        prefix = prefix.p[0] == '/' ? str_skip(prefix, 1) : str_first(prefix, prefix.n - 1);
    if (prefix.n > 0)
        buf_printf(&base, "/%.*s", STR_ARG(prefix));
    if (conf->allow_stale)
        buf_add_z(&query, "stale=");
    add_parameter(&query, "dc", conf->datacenter);
    add_parameter(&query, "ns", conf->namespace);
    add_parameter(&query, "partition", conf->partition);
    for (size_t i = 0; i < conf->node_meta.n; i++) {
        buf_clear(&meta);
        buf_printf(&meta, "%.*s:%.*s", STR_ARG(conf->node_meta.keys[i]), STR_ARG(conf->node_meta.values[i]));
        add_parameter(&query, "node-meta", buf_str(&meta));
    }
    s->base = arena_str(a, buf_str(&base));
    s->query = arena_str(a, buf_str(&query));
    if (conf->token.n > 0) {
        buf_clear(&meta);
        buf_printf(&meta, "X-Consul-Token: %.*s", STR_ARG(conf->token));
        s->token = mem_strdup(buf_z(&meta));
    }
    buf_free(&base);
    buf_free(&query);
    buf_free(&meta);
}

static void consul_key(struct buf *out, const struct consul_source *s, const struct client_profile *profile,
                       int64_t interval)
{
    buf_printf(out, "consul %.*s %.*s %016llx %lld %.*s %.*s %.*s %s", STR_ARG(s->base), STR_ARG(s->query),
               (unsigned long long)client_profile_hash(profile), (long long)interval, STR_ARG(s->conf.filter),
               STR_ARG(s->conf.health_filter), STR_ARG(s->conf.tag_separator), s->token ? s->token : "");
    for (size_t i = 0; i < s->conf.services.n; i++)
        buf_printf(out, "\ns%.*s", STR_ARG(s->conf.services.items[i]));
    for (size_t i = 0; i < s->conf.tags.n; i++)
        buf_printf(out, "\nt%.*s", STR_ARG(s->conf.tags.items[i]));
}

struct sd_source *consul_source_new(const struct sd_source_env *env, const void *consul_sd, struct err *err)
{
    const struct consul_sd *conf = consul_sd;
    struct client_profile *profile = http_conf_profile(&conf->server.http, err);
    struct buf shown = {0}, key = {0};
    if (profile == NULL)
        return NULL;
    struct consul_source *s = mem_zalloc(sizeof *s);
    arena_init(&s->arena, 0);
    consul_copy_conf(s, conf);
    consul_key(&key, s, profile, conf->server.refresh_interval);
    url_redact(&shown, s->base);
    sd_follow_init(&s->follow, &consul_source_ops, env, conf->server.refresh_interval, SD_CONSUL_FAILURES, profile,
                   &(struct sd_found){.mechanism = "consul", .source = s->base}, buf_z(&shown), buf_str(&key));
    s->follow.header = s->token;
    s->follow.fixed = s->conf.services.n > 0 && s->conf.tags.n == 0 && s->conf.filter.n == 0;
    for (size_t i = 0; s->follow.fixed && i < s->conf.services.n; i++)
        sd_follow_service(&s->follow, s->conf.services.items[i]);
    buf_free(&shown);
    buf_free(&key);
    return &s->follow.source;
}
