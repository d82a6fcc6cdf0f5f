// SPDX-License-Identifier: Apache-2.0
/* Services, tasks or nodes of a Docker Swarm (dockerswarm_sd_configs of Prometheus), read from a manager every refresh_interval.
 *
 *   services   a target for each virtual IP and published TCP port, or one with `port` for each virtual IP
 *   tasks      a target for each port that is published on the node, and for each address and TCP port of the service
 *   nodes      a target for each node, with `port`
 */
#include "model/discovery/docker/docker_api.h"

#include <arpa/inet.h>

#define META "__meta_dockerswarm_"

#define SWARM(field) offsetof(struct dockerswarm_sd, field)
static const char *const swarm_roles[] = {"services", "tasks", "nodes", NULL}; /* in the order of swarm_reads */
static const struct conf_row swarm_rows[] = {
    {CONF_URL, "host", SWARM(docker.host), .required = true, .not_empty = true,
     .help = "Manager: `unix:///var/run/docker.sock`, `tcp://HOST:PORT` or `http(s)://HOST:PORT`"},
    {CONF_ENUM, "role", SWARM(role), .required = true, .names = swarm_roles, .help = "Kind of the targets"},
    {CONF_INT, "port", SWARM(docker.port), .preset = "80", .min = 0, .max = 65535,
     .help = "Port of nodes, and of services and tasks without published TCP ports"},
    {CONF_SECTIONS, "filters", SWARM(docker.filters), .section = &sd_filter_section,
     .help = "Filters of the list of the role, as in Docker's API"},
    {CONF_DURATION, "refresh_interval", SWARM(server.refresh_interval), .help = "Time between reads. Default: 1m"},
    HTTP_CONF_ROWS(struct dockerswarm_sd, server.http),
    {0}};

static bool check_dockerswarm_sd(struct conf_context *c UNUSED, const struct yaml *node, void *value, struct err *err)
{
    const struct dockerswarm_sd *sd = value;
    return docker_host_check(node, "dockerswarm_sd_config", &sd->docker, err) && http_conf_check(node, &sd->server.http, err);
}
const struct conf_section dockerswarm_sd_section = {"dockerswarm_sd_config", sizeof(struct dockerswarm_sd), swarm_rows,
                                                    check_dockerswarm_sd, "Services, tasks or nodes of a Docker Swarm"};

/* ---- parts of the responses ---- */

/* "10.0.0.5/24" without the length of the prefix. False: it is no address. */
static bool swarm_address(struct str text, struct str *ip)
{
    char z[INET6_ADDRSTRLEN];
    struct in6_addr any;
    *ip = str_first(text, str_find(text, '/'));
    if (ip->n == 0 || ip->n == text.n || ip->n >= sizeof z)
        return false;
    memcpy(z, ip->p, ip->n);
    z[ip->n] = 0;
    return inet_pton(AF_INET, z, &any) == 1 || inet_pton(AF_INET6, z, &any) == 1;
}

static const struct json_value *swarm_spec(const struct json_value *object) { return json_value_get(object, "Spec"); }

static const struct json_value *swarm_container(const struct json_value *template)
{
    return json_value_get(template, "ContainerSpec");
}

static bool swarm_is_set(const struct json_value *object, const char *key)
{
    const struct json_value *v = json_value_get(object, key);
    return v && v->kind != JSON_NULL;
}

static void add_service_labels(struct sd_build *b, const struct json_value *service)
{
    const struct json_value *mode = json_value_get(swarm_spec(service), "Mode");
    sd_build_label(b, META "service_id", docker_text(service, "ID"));
    sd_build_label(b, META "service_name", docker_text(swarm_spec(service), "Name"));
    sd_build_label(b, META "service_mode", swarm_is_set(mode, "Global") ? STR("global")
                                           : swarm_is_set(mode, "Replicated") ? STR("replicated") : STR_NONE);
    sd_build_labels(b, META "service_label_", json_value_get(swarm_spec(service), "Labels"));
}

static void add_node_labels(struct sd_build *b, const struct json_value *node)
{
    const struct json_value *about = json_value_get(node, "Description"), *platform = json_value_get(about, "Platform");
    const struct json_value *status = json_value_get(node, "Status");
    sd_build_label(b, META "node_id", docker_text(node, "ID"));
    sd_build_label(b, META "node_role", docker_text(swarm_spec(node), "Role"));
    sd_build_label(b, META "node_availability", docker_text(swarm_spec(node), "Availability"));
    sd_build_label(b, META "node_hostname", docker_text(about, "Hostname"));
    sd_build_label(b, META "node_platform_architecture", docker_text(platform, "Architecture"));
    sd_build_label(b, META "node_platform_os", docker_text(platform, "OS"));
    sd_build_label(b, META "node_status", docker_text(status, "State"));
    sd_build_label(b, META "node_address", docker_text(status, "Addr"));
    sd_build_labels(b, META "node_label_", json_value_get(swarm_spec(node), "Labels"));
}

static void swarm_index(struct map *by_id, const struct json_value *list)
{
    for (const struct json_value *v = json_value_items(list); v; v = v->next)
        map_set(by_id, docker_text(v, "ID"), (void *)(uintptr_t)v);
}

/* ---- nodes ---- */

static void swarm_build_nodes(const struct docker_source *s, struct sd_build *b, const struct json_value *const *lists)
{
    for (const struct json_value *n = json_value_items(lists[0]); n; n = n->next) {
        const struct json_value *manager = json_value_get(n, "ManagerStatus");
        struct str leader = docker_text(manager, "Leader");
        sd_build_target(b, sd_build_address(b, docker_text(json_value_get(n, "Status"), "Addr"), s->port));
        add_node_labels(b, n);
        sd_build_label(b, META "node_engine_version",
                       docker_text(json_value_get(json_value_get(n, "Description"), "Engine"), "EngineVersion"));
        if (manager == NULL || manager->kind != JSON_OBJECT)
            continue;
        sd_build_label(b, META "node_manager_leader", leader.n > 0 ? leader : STR("false"));
        sd_build_label(b, META "node_manager_reachability", docker_text(manager, "Reachability"));
        sd_build_label(b, META "node_manager_address", docker_text(manager, "Addr"));
    }
}

/* ---- services ---- */

static void add_service_target(struct sd_build *b, const struct json_value *service, const struct docker_networks *networks,
                               struct str network_id)
{
    const struct json_value *container = swarm_container(json_value_get(swarm_spec(service), "TaskTemplate"));
    add_service_labels(b, service);
    sd_build_label(b, META "service_task_container_hostname", docker_text(container, "Hostname"));
    sd_build_label(b, META "service_task_container_image", docker_text(container, "Image"));
    sd_build_label(b, META "service_updating_status", docker_text(json_value_get(service, "UpdateStatus"), "State"));
    docker_networks_add(networks, b, network_id);
}

static void swarm_build_services(const struct docker_source *s, struct sd_build *b, const struct json_value *const *lists)
{
    struct docker_networks networks;
    docker_networks_read(&networks, META, lists[1]);
    for (const struct json_value *service = json_value_items(lists[0]); service && !sd_build_is_full(b);
         service = service->next) {
        const struct json_value *endpoint = json_value_get(service, "Endpoint"), *ports = json_value_get(endpoint, "Ports");
        const struct json_value *addresses = json_value_get(endpoint, "VirtualIPs");
        for (const struct json_value *v = json_value_items(addresses); v && !sd_build_is_full(b); v = v->next) {
            struct str ip, network = docker_text(v, "NetworkID");
            bool has_ports = false;
            if (!swarm_address(docker_text(v, "Addr"), &ip)) /* a service of the host's network has none */
                continue;
            for (const struct json_value *p = json_value_items(ports); p && !sd_build_is_full(b); p = p->next) {
                if (!str_is(docker_text(p, "Protocol"), "tcp"))
                    continue;
                sd_build_target(b, sd_build_address(b, ip, docker_port(p, "PublishedPort")));
                sd_build_label(b, META "service_endpoint_port_name", docker_text(p, "Name"));
                sd_build_label(b, META "service_endpoint_port_publish_mode", docker_text(p, "PublishMode"));
                add_service_target(b, service, &networks, network);
                has_ports = true;
            }
            if (has_ports)
                continue;
            sd_build_target(b, sd_build_address(b, ip, s->port));
            add_service_target(b, service, &networks, network);
        }
    }
    map_free(&networks.by_id);
}

/* ---- tasks ---- */

struct swarm_tasks {
    const struct docker_source *source;
    struct sd_build *build;
    struct map services, nodes;   /* by id */
    struct docker_networks networks;
};

static void add_task_labels(const struct swarm_tasks *t, const struct json_value *task)
{
    const struct json_value *status = json_value_get(task, "Status");
    const struct json_value *service = map_get(&t->services, docker_text(task, "ServiceID"));
    const struct json_value *node = map_get(&t->nodes, docker_text(task, "NodeID"));
    struct str slot = docker_text(task, "Slot");
    struct sd_build *b = t->build;
    sd_build_label(b, META "task_id", docker_text(task, "ID"));
    sd_build_label(b, META "task_desired_state", docker_text(task, "DesiredState"));
    sd_build_label(b, META "task_state", docker_text(status, "State"));
    sd_build_label(b, META "task_slot", slot.n > 0 ? slot : STR("0"));
    sd_build_label(b, META "task_container_id", docker_text(json_value_get(status, "ContainerStatus"), "ContainerID"));
    sd_build_labels(b, META "container_label_", json_value_get(swarm_container(swarm_spec(task)), "Labels"));
    if (service)
        add_service_labels(b, service);
    if (node)
        add_node_labels(b, node);
}

static void add_task_address(const struct swarm_tasks *t, const struct json_value *task, struct str ip, struct str network_id)
{
    const struct json_value *service = map_get(&t->services, docker_text(task, "ServiceID"));
    const struct json_value *ports = json_value_get(json_value_get(service, "Endpoint"), "Ports");
    struct sd_build *b = t->build;
    bool has_ports = false;
    for (const struct json_value *p = json_value_items(ports); p && !sd_build_is_full(b); p = p->next) {
        if (!str_is(docker_text(p, "Protocol"), "tcp"))
            continue;
        sd_build_target(b, sd_build_address(b, ip, docker_port(p, "PublishedPort")));
        sd_build_label(b, META "task_port_publish_mode", docker_text(p, "PublishMode"));
        add_task_labels(t, task);
        docker_networks_add(&t->networks, b, network_id);
        has_ports = true;
    }
    if (has_ports)
        return;
    sd_build_target(b, sd_build_address(b, ip, t->source->port));
    add_task_labels(t, task);
    docker_networks_add(&t->networks, b, network_id);
}

static void add_task(const struct swarm_tasks *t, const struct json_value *task)
{
    const struct json_value *published = json_value_get(json_value_get(json_value_get(task, "Status"), "PortStatus"), "Ports");
    const struct json_value *node = map_get(&t->nodes, docker_text(task, "NodeID"));
    struct sd_build *b = t->build;
    struct str ip;
    for (const struct json_value *p = json_value_items(published); p && !sd_build_is_full(b); p = p->next) {
        if (!str_is(docker_text(p, "Protocol"), "tcp"))
            continue;
        sd_build_target(b, sd_build_address(b, docker_text(json_value_get(node, "Status"), "Addr"), docker_port(p, "PublishedPort")));
        sd_build_label(b, META "task_port_publish_mode", docker_text(p, "PublishMode"));
        add_task_labels(t, task);
    }
    const struct json_value *attachments = json_value_get(task, "NetworksAttachments");
    for (const struct json_value *n = json_value_items(attachments); n && !sd_build_is_full(b); n = n->next) {
        struct str network = docker_text(json_value_get(n, "Network"), "ID");
        const struct json_value *addresses = json_value_get(n, "Addresses");
        for (const struct json_value *a = json_value_items(addresses); a && !sd_build_is_full(b); a = a->next)
            if (swarm_address(json_value_text(a), &ip))
                add_task_address(t, task, ip, network);
    }
}

static void swarm_build_tasks(const struct docker_source *s, struct sd_build *b, const struct json_value *const *lists)
{
    struct swarm_tasks t = {.source = s, .build = b};
    swarm_index(&t.services, lists[1]);
    swarm_index(&t.nodes, lists[2]);
    docker_networks_read(&t.networks, META, lists[3]);
    for (const struct json_value *task = json_value_items(lists[0]); task && !sd_build_is_full(b); task = task->next)
        add_task(&t, task);
    map_free(&t.services);
    map_free(&t.nodes);
    map_free(&t.networks.by_id);
}

/* ---- creation ---- */

static const struct docker_lists swarm_reads[] = {
    {"dockerswarm", {"/services", "/networks"}, swarm_build_services, SD_DOCKERSWARM_FAILURES},
    {"dockerswarm", {"/tasks", "/services", "/nodes", "/networks"}, swarm_build_tasks, SD_DOCKERSWARM_FAILURES},
    {"dockerswarm", {"/nodes"}, swarm_build_nodes, SD_DOCKERSWARM_FAILURES}};

struct sd_source *dockerswarm_source_new(const struct sd_source_env *env, const void *dockerswarm_sd, struct err *err)
{
    const struct dockerswarm_sd *conf = dockerswarm_sd;
    struct docker_source *s = docker_source_make(env, &swarm_reads[conf->role], &conf->server, &conf->docker,
                                                 swarm_roles[conf->role], err);
    return s ? &s->poll.source : NULL;
}
