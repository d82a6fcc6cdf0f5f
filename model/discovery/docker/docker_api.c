// SPDX-License-Identifier: Apache-2.0
#include "model/discovery/docker/docker_api.h"

#include "base/text/url.h"

enum { DOCKER_TIMEOUT_MS = 60000 };

static struct docker_source *docker_of_poll(struct sd_poll *p) { return (struct docker_source *)(void *)p; }

static void docker_stop(struct docker_source *s)
{
    for (size_t i = 0; i < DOCKER_LISTS; i++)
        sd_request_free(&s->slots[i].request);
    s->running = 0;
}

static void docker_source_free(struct sd_poll *p)
{
    struct docker_source *s = docker_of_poll(p);
    docker_stop(s);
    client_profile_unref(s->profile);
    mem_free((char *)s->host_networking_host.p);
    mem_free(s->base);
    mem_free(s->socket);
    mem_free(s->filters);
    mem_free(s);
}

/* ---- lists ---- */

static void docker_end(struct docker_source *s)
{
    const struct json_value *lists[DOCKER_LISTS];
    struct sd_build build;
    for (size_t i = 0; i < DOCKER_LISTS; i++)
        lists[i] = s->slots[i].list;
    sd_build_start(&build);
    s->reads->build(s, &build, lists);
    docker_stop(s);
    sd_poll_succeeded(&s->poll, build.groups);
}

static void docker_on_list(struct sd_request *r, const struct json_value *doc, struct err *err)
{
    struct docker_slot *slot = CONTAINER(r, struct docker_slot, request);
    struct docker_source *s = slot->source;
    bool is_list = doc && (doc->kind == JSON_ARRAY || doc->kind == JSON_NULL);
    struct err why = {0};
    if (doc && !is_list)
        err_set(&why, ERR_BAD_GATEWAY, "%s%s: the response is not a list", s->poll.shown, s->reads->paths[slot - s->slots]);
    else if (doc == NULL)
        why = *err;
    slot->list = doc;
    s->running--;
    if (!is_list) {
        docker_stop(s);
        sd_poll_failed(&s->poll, why.text);
    } else if (s->running == 0) {
        docker_end(s);
    }
}

static void docker_source_begin(struct sd_poll *p)
{
    struct docker_source *s = docker_of_poll(p);
    struct buf url = {0};
    for (size_t i = 0; i < DOCKER_LISTS && s->reads->paths[i]; i++) {
        buf_clear(&url);
        buf_printf(&url, "%s%s%s", s->base, s->reads->paths[i], i == 0 ? s->filters : "");
        s->running++;
        sd_request_start(&s->slots[i].request, &(struct sd_ask){
            .client = p->env.client(p->env.arg), .profile = s->profile, .socket = s->socket, .url = buf_str(&url),
            .timeout_ms = DOCKER_TIMEOUT_MS});
    }
    buf_free(&url);
}

static const struct sd_poll_ops docker_source_ops = {docker_source_begin, docker_source_free};

/* ---- what lists have in common ---- */

struct str docker_text(const struct json_value *object, const char *key) { return json_value_scalar(json_value_get(object, key)); }

unsigned docker_port(const struct json_value *object, const char *key)
{
    double port = json_value_number(json_value_get(object, key));
    return port > 0 && port <= 65535 ? (unsigned)port : 0;
}

void docker_networks_read(struct docker_networks *n, const char *prefix, const struct json_value *list)
{
    *n = (struct docker_networks){.prefix = prefix};
    for (const struct json_value *v = json_value_items(list); v; v = v->next)
        map_set(&n->by_id, docker_text(v, "Id"), (void *)(uintptr_t)v);
}

void docker_networks_add(const struct docker_networks *n, struct sd_build *b, struct str id)
{
    static const struct { const char *key, *label; bool is_switch; } members[] = {
        {"Id", "id", false}, {"Name", "name", false}, {"Scope", "scope", false}, {"Internal", "internal", true},
        {"Ingress", "ingress", true}};
    const struct json_value *network = map_get(&n->by_id, id);
    struct buf name = {0};
    if (network == NULL)
        return;
    for (size_t i = 0; i < LEN(members); i++) {
        struct str value = docker_text(network, members[i].key);
        buf_clear(&name);
        buf_printf(&name, "%snetwork_%s", n->prefix, members[i].label);
        sd_build_label(b, buf_z(&name), members[i].is_switch && value.n == 0 ? STR("false") : value);
    }
    buf_clear(&name);
    buf_printf(&name, "%snetwork_label_", n->prefix);
    sd_build_labels(b, buf_z(&name), json_value_get(network, "Labels"));
    buf_free(&name);
}

/* ---- configuration ---- */

static struct str docker_socket(struct str host) { return str_starts(host, STR("unix://")) ? str_skip(host, 7) : STR_NONE; }

bool docker_host_check(const struct yaml *node, const char *section, const struct docker_host *host, struct err *err)
{
    struct url url;
    struct err why;
    struct str socket = docker_socket(host->host), rest = str_skip(host->host, 6);
    if (socket.p && socket.n > 0)
        return true;
    if (socket.p || (str_starts(host->host, STR("tcp://")) && rest.n == 0))
        return conf_err(yaml_get(node, "host"), err, "%s.host: \"%.*s\" names no %s", section, STR_ARG(host->host),
                        socket.p ? "path of a socket" : "host");
    if (str_starts(host->host, STR("tcp://")) || url_parse(host->host, &url, &why))
        return true;
    return conf_err(yaml_get(node, "host"), err, "%s.host: \"%.*s\" is none of unix:///PATH, tcp://HOST:PORT and http(s)://HOST:PORT",
                    section, STR_ARG(host->host));
}

/* As Docker's client writes them: {"NAME":{"VALUE":true}}. Filters of one name are one. */
static void docker_filters(struct buf *out, const struct conf_items *filters)
{
    const struct sd_filter *f = filters->items;
    struct buf json = {0};
    struct json_writer w = {.out = &json};
    if (filters->n == 0)
        return;
    json_begin_object(&w);
    for (size_t i = 0; i < filters->n; i++) {
        size_t first = 0;
        while (!str_eq(f[first].name, f[i].name))
            first++;
        if (first < i)
            continue;
        json_key_str(&w, f[i].name);
        json_begin_object(&w);
        for (size_t k = i; k < filters->n; k++)
            for (size_t v = 0; v < f[k].values.n && str_eq(f[k].name, f[i].name); v++) {
                json_key_str(&w, f[k].values.items[v]);
                json_bool(&w, true);
            }
        json_end_object(&w);
    }
    json_end_object(&w);
    buf_add_z(out, "?filters=");
    url_encode(out, buf_str(&json));
    buf_free(&json);
}

static void docker_set_host(struct docker_source *s, struct str host)
{
    struct str socket = docker_socket(host);
    struct buf base = {0};
    if (socket.p)
        s->socket = str_dup(socket);
    if (socket.p)
        buf_add_z(&base, "http://docker");
    else if (str_starts(host, STR("tcp://")))
        buf_printf(&base, "http://%.*s", STR_ARG(str_skip(host, 6)));
    else
        buf_add_str(&base, host);
    while (str_ends(buf_str(&base), STR("/")))
        base.n--;
    s->base = str_dup(buf_str(&base));
    buf_free(&base);
}

struct docker_source *docker_source_make(const struct sd_source_env *env, const struct docker_lists *reads,
                                         const struct sd_server *server, const struct docker_host *host, const char *more,
                                         struct err *err)
{
    struct client_profile *profile = http_conf_profile(&server->http, err);
    struct buf filters = {0}, shown = {0}, key = {0};
    if (profile == NULL)
        return NULL;
    struct docker_source *s = mem_zalloc(sizeof *s);
    docker_set_host(s, host->host);
    docker_filters(&filters, &host->filters);
    s->reads = reads;
    s->port = (unsigned)host->port;
    s->filters = mem_strdup(buf_z(&filters));
    if (s->socket)
        buf_add_str(&shown, host->host);
    else
        url_redact(&shown, str_of(s->base));
    buf_printf(&key, "%s %.*s %s %u %016llx %lld %s", reads->name, STR_ARG(host->host), s->filters, s->port,
               (unsigned long long)client_profile_hash(profile), (long long)server->refresh_interval, more);
    if (s->socket) {
        client_profile_unref(profile);
        profile = NULL;
    }
    s->profile = profile;
    sd_poll_init(&s->poll, &docker_source_ops, env, server->refresh_interval, reads->failures,
                 &(struct sd_found){.mechanism = reads->name, .source = buf_str(&shown)}, buf_z(&shown), buf_str(&key));
    for (size_t i = 0; i < DOCKER_LISTS; i++)
        s->slots[i] = (struct docker_slot){.request.done = docker_on_list, .source = s};
    buf_free(&filters);
    buf_free(&shown);
    buf_free(&key);
    return s;
}
