// SPDX-License-Identifier: Apache-2.0
/* Instances of services that Consul knows (consul_sd_configs of Prometheus). Every refresh_interval the catalog is read,
 * and then the health of each service that matches, SERVICES_AT_ONCE at a time:
 *
 *   /v1/agent/self               once, for the name of the datacenter, if none is configured
 *   /v1/catalog/services         names and tags of services; not if `services` alone says which
 *   /v1/health/service/NAME      its instances, with their nodes and checks
 *
 * The targets change when all services have been read. Source: https://developer.hashicorp.com/consul/api-docs
 */
#include "model/discovery/consul_api.h"
#include "model/discovery/groups/sd_build.h"
#include "model/discovery/sd_poll.h"
#include "model/discovery/sd_request.h"

#include "base/text/url.h"

enum { SERVICES_AT_ONCE = 8, CONSUL_TIMEOUT_MS = 60000 };

struct consul_source;
struct consul_slot { struct sd_request request; struct consul_source *source; struct str service; };
struct consul_source {
    struct sd_poll poll;
    struct arena arena;          /* of what the configuration gave */
    struct consul_sd conf;       /* strings in the arena */
    struct str base, query;      /* http://HOST:PORT/PREFIX, and the parameters of every request: stale&dc=... */
    char *token;                 /* the header, or NULL */
    struct client_profile *profile;
    struct sd_request catalog;   /* also of the agent */
    struct consul_slot slots[SERVICES_AT_ONCE];
    char *datacenter;            /* of the agent; owned */
    /* The read in progress: */
    struct str *services; size_t n_services, services_cap, next; /* in the catalog's document or the configuration */
    size_t running;
    struct sd_build build;
};

static struct consul_source *consul_of_poll(struct sd_poll *p) { return (struct consul_source *)(void *)p; }

static void consul_source_free(struct sd_poll *p)
{
    struct consul_source *s = consul_of_poll(p);
    for (size_t i = 0; i < SERVICES_AT_ONCE; i++)
        sd_request_free(&s->slots[i].request);
    sd_request_free(&s->catalog);
    sd_build_drop(&s->build);
    client_profile_unref(s->profile);
    arena_free(&s->arena);
    mem_free(s->services);
    mem_free(s->datacenter);
    mem_free(s->token);
    mem_free(s);
}

/* ---- requests ---- */

static void consul_get(struct consul_source *s, struct sd_request *r, struct str path, struct str parameters)
{
    struct buf url = {0};
    buf_printf(&url, "%.*s%.*s?%.*s%s%.*s", STR_ARG(s->base), STR_ARG(path), STR_ARG(s->query),
               s->query.n > 0 && parameters.n > 0 ? "&" : "", STR_ARG(parameters));
    const char *headers[] = {s->token};
    sd_request_start(r, &(struct sd_ask){
        .client = s->poll.env.client(s->poll.env.arg), .profile = s->profile, .url = buf_str(&url), .headers = headers,
        .n_headers = s->token != NULL, .timeout_ms = CONSUL_TIMEOUT_MS});
    buf_free(&url);
}

static void consul_end(struct consul_source *s)
{
    struct sd_groups *groups = s->build.groups;
    s->build.groups = NULL;
    sd_poll_succeeded(&s->poll, groups);
}

/* Of several requests the first failure ends the read. */
static void consul_fail(struct consul_source *s, const struct err *err)
{
    for (size_t i = 0; i < SERVICES_AT_ONCE; i++)
        sd_request_free(&s->slots[i].request);
    sd_build_drop(&s->build);
    s->running = 0;
    sd_poll_failed(&s->poll, err->text);
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

static void add_tags(struct consul_source *s, const struct json_value *tags)
{
    struct buf b = {0};
    buf_add_str(&b, s->conf.tag_separator);
    for (const struct json_value *t = json_value_items(tags); t; t = t->next)
        buf_printf(&b, "%.*s%.*s", STR_ARG(json_value_text(t)), STR_ARG(s->conf.tag_separator));
    if (json_value_items(tags) == NULL)
        buf_add_str(&b, s->conf.tag_separator);
    sd_build_label(&s->build, "__meta_consul_tags", buf_str(&b));
    buf_free(&b);
}

static void add_instance(struct consul_source *s, struct str name, const struct json_value *entry)
{
    const struct json_value *node = json_value_get(entry, "Node"), *service = json_value_get(entry, "Service");
    struct str node_address = json_value_text(json_value_get(node, "Address"));
    struct str address = json_value_text(json_value_get(service, "Address"));
    double port = json_value_number(json_value_get(service, "Port"));
    unsigned number = port >= 0 && port <= 65535 ? (unsigned)port : 0;
    struct sd_build *b = &s->build;
    sd_build_target(b, sd_build_address(b, address.n > 0 ? address : node_address, number));
    sd_build_label(b, "__meta_consul_service", name);
    sd_build_label(b, "__meta_consul_dc", s->conf.datacenter.n > 0 ? s->conf.datacenter : str_of(s->datacenter));
    sd_build_label(b, "__meta_consul_address", node_address);
    sd_build_label(b, "__meta_consul_node", json_value_text(json_value_get(node, "Node")));
    sd_build_label(b, "__meta_consul_namespace", json_value_text(json_value_get(service, "Namespace")));
    sd_build_label(b, "__meta_consul_partition", json_value_text(json_value_get(service, "Partition")));
    add_tags(s, json_value_get(service, "Tags"));
    sd_build_label(b, "__meta_consul_service_address", address);
    sd_build_label(b, "__meta_consul_service_port", arena_printf(sd_build_arena(b), "%u", number));
    sd_build_label(b, "__meta_consul_service_id", json_value_text(json_value_get(service, "ID")));
    sd_build_label(b, "__meta_consul_health", instance_health(json_value_get(entry, "Checks")));
    sd_build_labels(b, "__meta_consul_metadata_", json_value_get(node, "Meta"));
    sd_build_labels(b, "__meta_consul_service_metadata_", json_value_get(service, "Meta"));
    sd_build_labels(b, "__meta_consul_tagged_address_", json_value_get(node, "TaggedAddresses"));
}

/* ---- services ---- */

static void consul_next(struct consul_source *s, struct consul_slot *slot)
{
    struct buf path = {0}, parameters = {0};
    slot->service = s->services[s->next++];
    s->running++;
    buf_add_z(&path, "/v1/health/service/");
    url_encode(&path, slot->service);
    for (size_t i = 0; i < s->conf.tags.n; i++) {
        buf_add_z(&parameters, parameters.n > 0 ? "&tag=" : "tag=");
        url_encode(&parameters, s->conf.tags.items[i]);
    }
    if (s->conf.health_filter.n > 0) {
        buf_add_z(&parameters, parameters.n > 0 ? "&filter=" : "filter=");
        url_encode(&parameters, s->conf.health_filter);
    }
    consul_get(s, &slot->request, buf_str(&path), buf_str(&parameters));
    buf_free(&path);
    buf_free(&parameters);
}

static void consul_on_service(struct sd_request *r, const struct json_value *doc, struct err *err)
{
    struct consul_slot *slot = CONTAINER(r, struct consul_slot, request);
    struct consul_source *s = slot->source;
    if (doc == NULL) {
        struct err why = *err;
        consul_fail(s, &why);
        return;
    }
    for (const struct json_value *entry = json_value_items(doc); entry; entry = entry->next)
        add_instance(s, slot->service, entry);
    s->running--;
    if (s->next < s->n_services)
        consul_next(s, slot);
    else if (s->running == 0)
        consul_end(s);
}

static void consul_read_services(struct consul_source *s)
{
    s->next = s->running = 0;
    sd_build_start(&s->build);
    for (size_t i = 0; i < SERVICES_AT_ONCE && s->next < s->n_services; i++)
        consul_next(s, &s->slots[i]);
    if (s->n_services == 0)
        consul_end(s);
}

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

static void add_service(struct consul_source *s, struct str name)
{
    mem_grow(&s->services, &s->services_cap, s->n_services + 1, sizeof *s->services);
    s->services[s->n_services++] = name;
}

static void consul_on_catalog(struct sd_request *r, const struct json_value *doc, struct err *err)
{
    struct consul_source *s = CONTAINER(r, struct consul_source, catalog);
    if (doc == NULL) {
        consul_fail(s, err);
        return;
    }
    s->n_services = 0;
    for (const struct json_value *v = json_value_items(doc); v; v = v->next) {
        bool wanted = s->conf.services.n == 0;
        for (size_t i = 0; i < s->conf.services.n && !wanted; i++)
            wanted = str_eq(s->conf.services.items[i], v->key);
        if (wanted && has_tags(s, v))
            add_service(s, v->key);
    }
    consul_read_services(s);
}

static void consul_read_catalog(struct consul_source *s)
{
    struct buf parameters = {0};
    if (s->conf.services.n > 0 && s->conf.tags.n == 0 && s->conf.filter.n == 0) {
        s->n_services = 0;
        for (size_t i = 0; i < s->conf.services.n; i++)
            add_service(s, s->conf.services.items[i]);
        consul_read_services(s);
        return;
    }
    if (s->conf.filter.n > 0) {
        buf_add_z(&parameters, "filter=");
        url_encode(&parameters, s->conf.filter);
    }
    s->catalog.done = consul_on_catalog;
    consul_get(s, &s->catalog, STR("/v1/catalog/services"), buf_str(&parameters));
    buf_free(&parameters);
}

static void consul_on_agent(struct sd_request *r, const struct json_value *doc, struct err *err)
{
    struct consul_source *s = CONTAINER(r, struct consul_source, catalog);
    struct str dc = json_value_text(json_value_get(json_value_get(doc, "Config"), "Datacenter"));
    if (doc && dc.n == 0)
        err_set(err, ERR_BAD_GATEWAY, "%s: the agent names no datacenter", s->poll.shown);
    if (dc.n == 0) {
        consul_fail(s, err);
        return;
    }
    s->datacenter = str_dup(dc);
    consul_read_catalog(s);
}

static void consul_source_begin(struct sd_poll *p)
{
    struct consul_source *s = consul_of_poll(p);
    if (s->conf.datacenter.n > 0 || s->datacenter) {
        consul_read_catalog(s);
        return;
    }
    s->catalog.done = consul_on_agent;
    consul_get(s, &s->catalog, STR("/v1/agent/self"), STR_NONE);
}

static const struct sd_poll_ops consul_source_ops = {consul_source_begin, consul_source_free};

/* ---- creation ---- */

static void add_parameter(struct buf *out, const char *name, struct str value)
{
    if (value.n == 0)
        return;
    buf_printf(out, "%s%s=", out->n > 0 ? "&" : "", name);
    url_encode(out, value);
}

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

static void consul_key(struct buf *out, const struct consul_source *s, int64_t interval)
{
    buf_printf(out, "consul %.*s %.*s %016llx %lld %.*s %.*s %.*s %s", STR_ARG(s->base), STR_ARG(s->query),
               (unsigned long long)client_profile_hash(s->profile), (long long)interval, STR_ARG(s->conf.filter),
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
    s->profile = profile;
    consul_copy_conf(s, conf);
    consul_key(&key, s, conf->server.refresh_interval);
    url_redact(&shown, s->base);
    sd_poll_init(&s->poll, &consul_source_ops, env, conf->server.refresh_interval, SD_CONSUL_FAILURES,
                 &(struct sd_found){.mechanism = "consul", .source = s->base}, buf_z(&shown), buf_str(&key));
    for (size_t i = 0; i < SERVICES_AT_ONCE; i++)
        s->slots[i] = (struct consul_slot){.request.done = consul_on_service, .source = s};
    buf_free(&shown);
    buf_free(&key);
    return &s->poll.source;
}
