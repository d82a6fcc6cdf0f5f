// SPDX-License-Identifier: Apache-2.0
/* Services that are registered at one agent of Consul (consulagent_sd_configs of vmagent). Every refresh_interval its services
 * and checks are read, two requests however many services there are:
 *
 *   /v1/agent/self       once, for datacenter, node and address of the agent
 *   /v1/agent/services   its services
 *   /v1/agent/checks     checks of services, and of the node, which concern all of them
 *
 * Source: https://developer.hashicorp.com/consul/api-docs/agent
 */
#include "model/discovery/registries/consul_api.h"
#include "model/discovery/groups/sd_build.h"
#include "model/discovery/source/sd_poll.h"
#include "model/discovery/source/sd_request.h"

#include "base/text/url.h"

#define META "__meta_consulagent_"

enum { CONSULAGENT_TIMEOUT_MS = 60000 };

#define AGENT(field) offsetof(struct consulagent_sd, field)
static const struct conf_row consulagent_rows[] = {
    {CONF_STRING, "server", AGENT(address), .preset = "localhost:8500", .help = "Address of the agent, `host:port`"},
    {CONF_SECRET, "token", AGENT(token), .help = "ACL token"},
    {CONF_STRING, "datacenter", AGENT(datacenter), .help = "Datacenter of the services. Default: that of the agent"},
    {CONF_STRING, "namespace", AGENT(namespace), .help = "Namespace (Consul Enterprise)"},
    {CONF_STRING, "scheme", AGENT(scheme), .preset = "http", .help = "http or https"},
    {CONF_STRINGS, "services", AGENT(services), .help = "Names of services. Default: all"},
    {CONF_STRING, "tag_separator", AGENT(tag_separator), .preset = ",", .help = "Separator around the tags in `__meta_consulagent_tags`"},
    {CONF_STRING, "filter", AGENT(filter), .help = "Filter expression for the services"},
    {CONF_DURATION, "refresh_interval", AGENT(server.refresh_interval), .help = "Time between reads. Default: 30s"},
    HTTP_CONF_ROWS(struct consulagent_sd, server.http),
    {0}};

static bool check_consulagent_sd(struct conf_context *c UNUSED, const struct yaml *node, void *value, struct err *err)
{
    const struct consulagent_sd *sd = value;
    if (sd->address.n == 0)
        return conf_err(yaml_get(node, "server"), err, "consulagent_sd_config.server: must not be empty");
    if (!str_is(sd->scheme, "http") && !str_is(sd->scheme, "https"))
        return conf_err(yaml_get(node, "scheme"), err, "consulagent_sd_config.scheme: \"%.*s\" is neither http nor https",
                        STR_ARG(sd->scheme));
    return http_conf_check(node, &sd->server.http, err);
}
const struct conf_section consulagent_sd_section = {"consulagent_sd_config", sizeof(struct consulagent_sd), consulagent_rows,
                                                    check_consulagent_sd, "Services of one agent of Consul"};

enum agent_request { AGENT_SERVICES, AGENT_CHECKS, AGENT_REQUESTS };
struct agent_slot { struct sd_request request; struct consulagent_source *source; const struct json_value *doc; };
struct consulagent_source {
    struct sd_poll poll;
    struct arena arena;          /* of the settings, and of what the agent says of itself */
    struct str base, query, tag_separator, wanted_datacenter;
    struct str_list services;
    char *token;                 /* the header, or NULL */
    struct client_profile *profile;
    struct sd_request self;
    struct str datacenter, node, address; /* of the agent; datacenter is empty until it is known */
    struct str_map meta;
    struct agent_slot slots[AGENT_REQUESTS];
    size_t running;
};

static struct consulagent_source *consulagent_of_poll(struct sd_poll *p) { return (struct consulagent_source *)(void *)p; }

static void consulagent_stop(struct consulagent_source *s)
{
    for (size_t i = 0; i < AGENT_REQUESTS; i++)
        sd_request_free(&s->slots[i].request);
    s->running = 0;
}

static void consulagent_source_free(struct sd_poll *p)
{
    struct consulagent_source *s = consulagent_of_poll(p);
    consulagent_stop(s);
    sd_request_free(&s->self);
    client_profile_unref(s->profile);
    arena_free(&s->arena);
    mem_free(s->token);
    mem_free(s);
}

static struct str consulagent_text(const struct json_value *object, const char *key) { return json_value_text(json_value_get(object, key)); }

/* ---- services ---- */

static bool agent_wants(const struct consulagent_source *s, const struct json_value *service)
{
    struct str dc = consulagent_text(service, "Datacenter");
    bool wanted = s->services.n == 0;
    for (size_t i = 0; i < s->services.n && !wanted; i++)
        wanted = str_eq(s->services.items[i], consulagent_text(service, "Service"));
    return wanted && (dc.n == 0 || str_eq(dc, s->wanted_datacenter.n > 0 ? s->wanted_datacenter : s->datacenter));
}

/* The checks of each service; a check without a service is the node's, and applies to all services. */
struct agent_checks { struct map services; /* of struct consul_health */ struct consul_health node; };

static void agent_checks_read(struct agent_checks *checks, struct arena *a, const struct json_value *list)
{
    *checks = (struct agent_checks){.node.critical = false};
    for (const struct json_value *c = json_value_items(list); c; c = c->next) {
        struct str of = consulagent_text(c, "ServiceID");
        bool added = false;
        struct map_entry *e = of.n > 0 ? map_add(&checks->services, of, &added) : NULL;
        if (added)
            e->value.p = ARENA_NEW(a, struct consul_health);
        consul_health_add(e ? e->value.p : &checks->node, c);
    }
}

static struct str agent_health(const struct agent_checks *checks, struct str service_id)
{
    const struct consul_health *own = map_get(&checks->services, service_id);
    struct consul_health all = checks->node;
    if (own) {
        all.maintenance = all.maintenance || own->maintenance;
        all.critical = all.critical || own->critical;
        all.warning = all.warning || own->warning;
    }
    return consul_health_text(&all);
}

/* "k=v" is also a label k with the value v, "k" one without. */
static void agent_add_tags(const struct consulagent_source *s, struct sd_build *b, const struct json_value *tags)
{
    struct buf all = {0};
    for (const struct json_value *t = json_value_items(tags); t; t = t->next) {
        struct str value = json_value_text(t), key;
        buf_printf(&all, "%.*s%.*s", STR_ARG(s->tag_separator), STR_ARG(value));
        (void)!str_cut(&value, '=', &key);
        sd_build_label_of(b, META "tag_", key, value);
        sd_build_label_of(b, META "tagpresent_", key, STR("true"));
    }
    if (all.n == 0)
        buf_add_str(&all, s->tag_separator);
    buf_add_str(&all, s->tag_separator);
    sd_build_label(b, META "tags", buf_str(&all));
    buf_free(&all);
}

static void agent_add_service(const struct consulagent_source *s, struct sd_build *b, const struct json_value *service,
                              const struct agent_checks *checks)
{
    struct str address = consulagent_text(service, "Address"), id = consulagent_text(service, "ID");
    double number = json_value_number(json_value_get(service, "Port"));
    unsigned port = number >= 0 && number <= 65535 ? (unsigned)number : 0;
    sd_build_target(b, sd_build_address(b, address.n > 0 ? address : s->address, port));
    sd_build_label(b, META "address", s->address);
    sd_build_label(b, META "dc", s->datacenter);
    sd_build_label(b, META "health", agent_health(checks, id));
    sd_build_label(b, META "namespace", consulagent_text(service, "Namespace"));
    sd_build_label(b, META "node", s->node);
    sd_build_label(b, META "service", consulagent_text(service, "Service"));
    sd_build_label(b, META "service_address", address);
    sd_build_label(b, META "service_id", id);
    sd_build_label(b, META "service_port", arena_printf(sd_build_arena(b), "%u", port));
    agent_add_tags(s, b, json_value_get(service, "Tags"));
    for (size_t i = 0; i < s->meta.n; i++)
        sd_build_label_of(b, META "metadata_", s->meta.keys[i], s->meta.values[i]);
    sd_build_labels(b, META "service_metadata_", json_value_get(service, "Meta"));
    for (const struct json_value *t = json_value_items(json_value_get(service, "TaggedAddresses")); t; t = t->next)
        sd_build_label_of(b, META "tagged_address_", t->key,
                          arena_printf(sd_build_arena(b), "%.*s:%.*s", STR_ARG(consulagent_text(t, "Address")),
                                       STR_ARG(json_value_scalar(json_value_get(t, "Port")))));
}

static void consulagent_end(struct consulagent_source *s)
{
    struct sd_build build;
    struct agent_checks checks;
    sd_build_start(&build);
    agent_checks_read(&checks, sd_build_arena(&build), s->slots[AGENT_CHECKS].doc);
    for (const struct json_value *v = json_value_items(s->slots[AGENT_SERVICES].doc); v; v = v->next)
        if (agent_wants(s, v))
            agent_add_service(s, &build, v, &checks);
    map_free(&checks.services);
    consulagent_stop(s);
    sd_poll_succeeded(&s->poll, build.groups);
}

/* ---- requests ---- */

static void consulagent_get(struct consulagent_source *s, struct sd_request *r, const char *path, struct str query)
{
    struct buf url = {0};
    const char *headers[] = {s->token};
    buf_printf(&url, "%.*s%s%s%.*s", STR_ARG(s->base), path, query.n > 0 ? "?" : "", STR_ARG(query));
    sd_request_start(r, &(struct sd_ask){.client = s->poll.env.client(s->poll.env.arg), .profile = s->profile, .url = buf_str(&url),
                                         .headers = headers, .n_headers = s->token != NULL, .timeout_ms = CONSULAGENT_TIMEOUT_MS});
    buf_free(&url);
}

static void consulagent_on_list(struct sd_request *r, const struct json_value *doc, struct err *err)
{
    struct agent_slot *slot = CONTAINER(r, struct agent_slot, request);
    struct consulagent_source *s = slot->source;
    struct err why = doc ? (struct err){0} : *err;
    bool ok = doc && doc->kind == JSON_OBJECT;
    if (doc && !ok)
        err_set(&why, ERR_BAD_GATEWAY, "%s: the response is not a map of services or checks", s->poll.shown);
    slot->doc = doc;
    s->running--;
    if (!ok) {
        consulagent_stop(s);
        sd_poll_failed(&s->poll, why.text);
    } else if (s->running == 0) {
        consulagent_end(s);
    }
}

static void consulagent_read(struct consulagent_source *s)
{
    s->running = AGENT_REQUESTS;
    consulagent_get(s, &s->slots[AGENT_SERVICES].request, "/v1/agent/services", s->query);
    consulagent_get(s, &s->slots[AGENT_CHECKS].request, "/v1/agent/checks", STR_NONE);
}

static void consulagent_on_self(struct sd_request *r, const struct json_value *doc, struct err *err)
{
    struct consulagent_source *s = CONTAINER(r, struct consulagent_source, self);
    const struct json_value *config = json_value_get(doc, "Config"), *meta = json_value_get(doc, "Meta");
    struct str dc = consulagent_text(config, "Datacenter");
    if (doc && dc.n == 0)
        err_set(err, ERR_BAD_GATEWAY, "%s: the agent names no datacenter", s->poll.shown);
    if (dc.n == 0) {
        sd_poll_failed(&s->poll, err->text);
        return;
    }
    s->datacenter = arena_str(&s->arena, dc);
    s->node = arena_str(&s->arena, consulagent_text(config, "NodeName"));
    s->address = arena_str(&s->arena, consulagent_text(json_value_get(doc, "Member"), "Addr"));
    s->meta.keys = ARENA_ARRAY(&s->arena, struct str, meta ? meta->n : 0);
    s->meta.values = ARENA_ARRAY(&s->arena, struct str, meta ? meta->n : 0);
    for (const struct json_value *m = json_value_items(meta); m; m = m->next) {
        s->meta.keys[s->meta.n] = arena_str(&s->arena, m->key);
        s->meta.values[s->meta.n++] = arena_str(&s->arena, json_value_text(m));
    }
    consulagent_read(s);
}

static void consulagent_source_begin(struct sd_poll *p)
{
    struct consulagent_source *s = consulagent_of_poll(p);
    if (s->datacenter.n > 0)
        consulagent_read(s);
    else
        consulagent_get(s, &s->self, "/v1/agent/self", STR_NONE);
}

static const struct sd_poll_ops consulagent_source_ops = {consulagent_source_begin, consulagent_source_free};

/* ---- creation ---- */

static void consulagent_copy_conf(struct consulagent_source *s, const struct consulagent_sd *conf)
{
    struct buf base = {0}, query = {0}, token = {0};
    if (!url_is_http(conf->address))
        buf_printf(&base, "%.*s://", STR_ARG(conf->scheme));
    buf_add_str(&base, conf->address);
    while (str_ends(buf_str(&base), STR("/")))
        base.n--;
    if (conf->namespace.n > 0)
        form_add(&query, "ns", conf->namespace);
    if (conf->filter.n > 0)
        form_add(&query, "filter", conf->filter);
    buf_printf(&token, "X-Consul-Token: %.*s", STR_ARG(conf->token));
    s->base = arena_str(&s->arena, buf_str(&base));
    s->query = arena_str(&s->arena, buf_str(&query));
    s->tag_separator = arena_str(&s->arena, conf->tag_separator);
    s->wanted_datacenter = arena_str(&s->arena, conf->datacenter);
    s->token = conf->token.n > 0 ? mem_strdup(buf_z(&token)) : NULL;
    s->services = (struct str_list){ARENA_ARRAY(&s->arena, struct str, conf->services.n), conf->services.n};
    for (size_t i = 0; i < conf->services.n; i++)
        s->services.items[i] = arena_str(&s->arena, conf->services.items[i]);
    buf_free(&base);
    buf_free(&query);
    buf_free(&token);
}

struct sd_source *consulagent_source_new(const struct sd_source_env *env, const void *consulagent_sd, struct err *err)
{
    const struct consulagent_sd *conf = consulagent_sd;
    struct client_profile *profile = http_conf_profile(&conf->server.http, err);
    struct buf shown = {0}, key = {0};
    if (profile == NULL)
        return NULL;
    struct consulagent_source *s = mem_zalloc(sizeof *s);
    arena_init(&s->arena, 0);
    s->profile = profile;
    consulagent_copy_conf(s, conf);
    s->self.done = consulagent_on_self;
    for (size_t i = 0; i < AGENT_REQUESTS; i++)
        s->slots[i] = (struct agent_slot){.request.done = consulagent_on_list, .source = s};
    url_redact(&shown, s->base);
    buf_printf(&key, "consulagent %.*s %.*s %.*s %.*s %016llx %lld %s", STR_ARG(s->base), STR_ARG(s->query), STR_ARG(s->tag_separator),
               STR_ARG(s->wanted_datacenter), (unsigned long long)client_profile_hash(profile), (long long)conf->server.refresh_interval,
               s->token ? s->token : "");
    for (size_t i = 0; i < s->services.n; i++)
        buf_printf(&key, "\ns%.*s", STR_ARG(s->services.items[i]));
    sd_poll_init(&s->poll, &consulagent_source_ops, env, conf->server.refresh_interval, SD_CONSULAGENT_FAILURES,
                 &(struct sd_found){.mechanism = "consulagent", .source = s->base}, buf_z(&shown), buf_str(&key));
    buf_free(&shown);
    buf_free(&key);
    return &s->poll.source;
}
