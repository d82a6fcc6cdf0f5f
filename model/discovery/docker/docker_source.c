// SPDX-License-Identifier: Apache-2.0
/* Containers of a Docker daemon (docker_sd_configs of Prometheus). Every refresh_interval /containers/json and /networks are
 * read. A container has a target for each of its networks and TCP ports, or one with `port` for each network if it has none. A
 * container that uses the network of another one ("container:ID") has the networks of that one.
 */
#include "model/discovery/docker/docker_api.h"

#define META "__meta_docker_"

#define DOCKER(field) offsetof(struct docker_sd, field)
static const struct conf_row docker_rows[] = {
    {CONF_URL, "host", DOCKER(docker.host), .required = true, .not_empty = true,
     .help = "Docker daemon: `unix:///var/run/docker.sock`, `tcp://HOST:PORT` or `http(s)://HOST:PORT`"},
    {CONF_INT, "port", DOCKER(docker.port), .preset = "80", .min = 0, .max = 65535, .help = "Port of containers without TCP ports"},
    {CONF_STRING, "host_networking_host", DOCKER(host_networking_host), .preset = "localhost",
     .help = "Address of containers in the network of the host"},
    {CONF_BOOL, "match_first_network", DOCKER(match_first_network), .preset = "true",
     .help = "Of several networks of a container use the first one by name"},
    {CONF_SECTIONS, "filters", DOCKER(docker.filters), .section = &sd_filter_section,
     .help = "Filters of the list of containers, as in Docker's API"},
    {CONF_DURATION, "refresh_interval", DOCKER(server.refresh_interval), .help = "Time between reads. Default: 1m"},
    HTTP_CONF_ROWS(struct docker_sd, server.http),
    {0}};

static bool check_docker_sd(struct conf_context *c UNUSED, const struct yaml *node, void *value, struct err *err)
{
    const struct docker_sd *sd = value;
    return docker_host_check(node, "docker_sd_config", &sd->docker, err) && http_conf_check(node, &sd->server.http, err);
}
const struct conf_section docker_sd_section = {"docker_sd_config", sizeof(struct docker_sd), docker_rows, check_docker_sd,
                                               "Containers of a Docker daemon"};

/* ---- containers ---- */

struct docker_reading {
    const struct docker_source *source;
    struct sd_build *build;
    struct docker_networks networks;
    struct map containers;        /* by id */
};

static struct str container_mode(const struct json_value *c) { return docker_text(json_value_get(c, "HostConfig"), "NetworkMode"); }

static const struct json_value *container_own_networks(const struct json_value *c)
{
    return json_value_get(json_value_get(c, "NetworkSettings"), "Networks");
}

enum { CONTAINERS_IN_A_ROW = 64 };

/* Follows "container:ID" to the first container that has networks. Stops after more steps than any real chain has: it
 * may be a circle. */
static const struct json_value *container_networks(const struct docker_reading *r, const struct json_value *c)
{
    const struct json_value *networks = container_own_networks(c);
    for (size_t steps = 0; json_value_items(networks) == NULL && steps < CONTAINERS_IN_A_ROW; steps++) {
        struct str mode = container_mode(c);
        c = str_starts(mode, STR("container:")) ? map_get(&r->containers, str_skip(mode, 10)) : NULL;
        if (c == NULL)
            return NULL;
        networks = container_own_networks(c);
    }
    return networks;
}

static void add_container_labels(const struct docker_reading *r, const struct json_value *c, struct str network_id)
{
    struct sd_build *b = r->build;
    sd_build_label(b, META "container_id", docker_text(c, "Id"));
    sd_build_label(b, META "container_name", json_value_text(json_value_items(json_value_get(c, "Names"))));
    sd_build_label(b, META "container_network_mode", container_mode(c));
    sd_build_label(b, META "container_image", docker_text(c, "Image"));
    sd_build_label(b, META "container_image_id", docker_text(c, "ImageID"));
    sd_build_labels(b, META "container_label_", json_value_get(c, "Labels"));
    docker_networks_add(&r->networks, b, network_id);
}

static void add_container_port(const struct docker_reading *r, const struct json_value *c, const struct json_value *port,
                               struct str ip, struct str network_id)
{
    struct sd_build *b = r->build;
    sd_build_target(b, sd_build_address(b, ip, docker_port(port, "PrivatePort")));
    sd_build_label(b, META "network_ip", ip);
    sd_build_label(b, META "port_private", docker_text(port, "PrivatePort"));
    if (docker_port(port, "PublicPort") > 0) {
        sd_build_label(b, META "port_public", docker_text(port, "PublicPort"));
        sd_build_label(b, META "port_public_ip", docker_text(port, "IP"));
    }
    add_container_labels(r, c, network_id);
}

static void add_container_network(const struct docker_reading *r, const struct json_value *c, const struct json_value *network)
{
    struct str v4 = docker_text(network, "IPAddress"), id = docker_text(network, "NetworkID");
    struct str ip = v4.n > 0 ? v4 : docker_text(network, "GlobalIPv6Address");
    bool has_ports = false, in_host = str_is(container_mode(c), "host");
    const struct json_value *ports = json_value_get(c, "Ports");
    for (const struct json_value *p = json_value_items(ports); p && !sd_build_is_full(r->build); p = p->next) {
        if (!str_is(docker_text(p, "Type"), "tcp"))
            continue;
        add_container_port(r, c, p, ip, id);
        has_ports = true;
    }
    if (has_ports)
        return;
    struct sd_build *b = r->build;
    sd_build_target(b, in_host ? r->source->host_networking_host : sd_build_address(b, ip, r->source->port));
    sd_build_label(b, META "network_ip", ip);
    add_container_labels(r, c, id);
}

static const struct json_value *first_network(const struct json_value *networks)
{
    const struct json_value *first = NULL;
    for (const struct json_value *n = json_value_items(networks); n; n = n->next)
        if (n->kind == JSON_OBJECT && (first == NULL || str_cmp(n->key, first->key) < 0))
            first = n;
    return first;
}

static void add_container(const struct docker_reading *r, const struct json_value *c)
{
    const struct json_value *networks = container_networks(r, c);
    if (json_value_items(json_value_get(c, "Names")) == NULL)
        return;
    if (r->source->match_first_network) {
        const struct json_value *first = first_network(networks);
        if (first)
            add_container_network(r, c, first);
        return;
    }
    for (const struct json_value *n = json_value_items(networks); n && !sd_build_is_full(r->build); n = n->next)
        if (n->kind == JSON_OBJECT)
            add_container_network(r, c, n);
}

static void docker_build(const struct docker_source *s, struct sd_build *b, const struct json_value *const *lists)
{
    struct docker_reading r = {.source = s, .build = b};
    docker_networks_read(&r.networks, META, lists[1]);
    for (const struct json_value *c = json_value_items(lists[0]); c; c = c->next)
        map_set(&r.containers, docker_text(c, "Id"), (void *)(uintptr_t)c);
    for (const struct json_value *c = json_value_items(lists[0]); c && !sd_build_is_full(b); c = c->next)
        add_container(&r, c);
    map_free(&r.networks.by_id);
    map_free(&r.containers);
}

struct sd_source *docker_source_new(const struct sd_source_env *env, const void *docker_sd, struct err *err)
{
    static const struct docker_lists reads = {"docker", {"/containers/json", "/networks"}, docker_build, SD_DOCKER_FAILURES};
    const struct docker_sd *conf = docker_sd;
    struct buf more = {0};
    buf_printf(&more, "%.*s %d", STR_ARG(conf->host_networking_host), conf->match_first_network);
    struct docker_source *s = docker_source_make(env, &reads, &conf->server, &conf->docker, buf_z(&more), err);
    buf_free(&more);
    if (s == NULL)
        return NULL;
    s->host_networking_host = str_of(str_dup(conf->host_networking_host));
    s->match_first_network = conf->match_first_network;
    return &s->poll.source;
}
