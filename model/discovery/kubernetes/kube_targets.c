// SPDX-License-Identifier: Apache-2.0
/* Targets of nodes, pods, services and ingresses; those of endpoints are in kube_endpoints.c. Of two labels with the same
 * name the later one counts.
 */
#include "model/discovery/kubernetes/kube_targets.h"

#define META "__meta_kubernetes_"

static void kube_begin_target(const struct kube_build *b, struct str address) { sd_build_target(b->to, address); }

/* ---- nodes ---- */

static struct str node_address(const struct json_value *addresses, const char *type)
{
    for (const struct json_value *a = json_value_items(addresses); a; a = a->next)
        if (str_is(json_value_scalar(json_value_get(a, "type")), type))
            return json_value_scalar(json_value_get(a, "address"));
    return STR_NONE;
}

static struct str node_default_address(const struct json_value *addresses)
{
    static const char *const types[] = {"InternalIP", "InternalDNS", "ExternalIP", "ExternalDNS", "LegacyHostIP", "Hostname"};
    struct str found = STR_NONE;
    for (size_t i = 0; i < LEN(types) && found.n == 0; i++)
        found = node_address(addresses, types[i]);
    return found;
}

static void kube_add_conditions(const struct kube_build *b)
{
    for (const struct json_value *c = json_value_items(kube_at(b->object, "status", "conditions", NULL)); c; c = c->next) {
        struct str type = kube_lower(b, json_value_scalar(json_value_get(c, "type")));
        sd_build_label_of(b->to, META "node_condition_", type, kube_lower(b, json_value_scalar(json_value_get(c, "status"))));
    }
}

/* The first address of each type counts: it is the last one that is added. */
static void kube_add_addresses(const struct kube_build *b, const struct json_value *addresses)
{
    const struct json_value *first = json_value_items(addresses);
    size_t n = 0;
    if (first == NULL)
        return;
    const struct json_value **all = ARENA_ARRAY(b->arena, const struct json_value *, addresses->n);
    for (const struct json_value *a = first; a; a = a->next)
        all[n++] = a;
    while (n-- > 0)
        sd_build_label_of(b->to, META "node_address_", json_value_scalar(json_value_get(all[n], "type")),
                          json_value_scalar(json_value_get(all[n], "address")));
}

static void kube_build_node(const struct kube_build *b)
{
    const struct json_value *addresses = kube_at(b->object, "status", "addresses", NULL);
    struct str host = node_default_address(addresses);
    struct str port = json_value_scalar(kube_at(b->object, "status", "daemonEndpoints", "kubeletEndpoint", "Port", NULL));
    if (host.n == 0)
        return;
    kube_begin_target(b, kube_address(b, host, port.n > 0 ? port : STR("0")));
    kube_label(b, META "node_provider_id", json_value_scalar(kube_at(b->object, "spec", "providerID", NULL)));
    kube_add_conditions(b);
    kube_add_meta(b, "node", b->meta);
    kube_label(b, "instance", b->name);
    kube_add_addresses(b, addresses);
}

/* ---- pods ---- */

static struct str container_id(const struct json_value *pod, struct str name, bool init)
{
    const struct json_value *statuses = kube_at(pod, "status", init ? "initContainerStatuses" : "containerStatuses", NULL);
    for (const struct json_value *s = json_value_items(statuses); s; s = s->next)
        if (str_eq(json_value_scalar(json_value_get(s, "name")), name))
            return json_value_scalar(json_value_get(s, "containerID"));
    return STR_NONE;
}

static void kube_build_container(const struct kube_build *b, struct str address, const struct json_value *container,
                                 bool init, const struct json_value *port)
{
    kube_begin_target(b, address);
    kube_label(b, META "namespace", b->namespace);
    kube_add_pod(b, b->object);
    kube_add_node(b, json_value_scalar(kube_at(b->object, "spec", "nodeName", NULL)));
    kube_add_namespace(b);
    kube_label(b, META "pod_container_id", container_id(b->object, json_value_scalar(json_value_get(container, "name")), init));
    kube_add_container(b, container, init, port, json_value_scalar(json_value_get(port, "protocol")));
}

static void kube_build_pod(const struct kube_build *b)
{
    struct str ip = json_value_scalar(kube_at(b->object, "status", "podIP", NULL));
    struct str node = json_value_scalar(kube_at(b->object, "spec", "nodeName", NULL));
    bool init;
    if (ip.n == 0)
        return;
    /* a selector may have excluded its node */
    if (b->view->attach.node && kube_build_find(b, KUBE_NODES, STR_NONE, node) == NULL)
        return;
    for (const struct json_value *c = kube_containers(b->object, &init); c; c = kube_next_container(b->object, c, &init)) {
        const struct json_value *port = json_value_items(json_value_get(c, "ports"));
        if (port == NULL)
            kube_build_container(b, kube_address(b, ip, STR_NONE), c, init, NULL);
        for (; port; port = port->next)
            kube_build_container(b, kube_address(b, ip, json_value_scalar(json_value_get(port, "containerPort"))), c, init, port);
    }
}

/* ---- services ---- */

static void kube_add_balancer(const struct kube_build *b)
{
    struct buf all = {0};
    const struct json_value *ingress = kube_at(b->object, "status", "loadBalancer", "ingress", NULL);
    for (const struct json_value *i = json_value_items(ingress); i; i = i->next) {
        struct str ip = json_value_scalar(json_value_get(i, "ip"));
        if (ip.n > 0)
            buf_printf(&all, "%s%.*s", all.n > 0 ? "," : "", STR_ARG(ip));
    }
    if (all.n == 0)
        buf_add_str(&all, json_value_scalar(kube_at(b->object, "spec", "loadBalancerIP", NULL)));
    kube_label(b, META "service_loadbalancer_ip", buf_str(&all));
    buf_free(&all);
}

static void kube_build_service(const struct kube_build *b)
{
    const struct json_value *spec = json_value_get(b->object, "spec");
    struct str type = json_value_scalar(json_value_get(spec, "type"));
    struct str host = arena_printf(b->arena, "%.*s.%.*s.svc", STR_ARG(b->name), STR_ARG(b->namespace));
    for (const struct json_value *p = json_value_items(json_value_get(spec, "ports")); p; p = p->next) {
        struct str port = json_value_scalar(json_value_get(p, "port"));
        kube_begin_target(b, kube_address(b, host, port));
        kube_label(b, META "namespace", b->namespace);
        kube_add_service(b, b->object);
        kube_add_namespace(b);
        kube_label(b, META "service_port_name", json_value_scalar(json_value_get(p, "name")));
        kube_label(b, META "service_port_number", port);
        kube_label(b, META "service_port_protocol", json_value_scalar(json_value_get(p, "protocol")));
        kube_label(b, META "service_type", type);
        if (str_is(type, "ExternalName"))
            kube_label(b, META "service_external_name", json_value_scalar(json_value_get(spec, "externalName")));
        else
            kube_label(b, META "service_cluster_ip", json_value_scalar(json_value_get(spec, "clusterIP")));
        if (str_is(type, "LoadBalancer"))
            kube_add_balancer(b);
    }
}

/* ---- ingresses ---- */

/* Equal, or "*.DOMAIN" for one more element. */
static bool host_matches(struct str pattern, struct str host)
{
    size_t dot = str_find(host, '.');
    return str_eq(pattern, host) || (str_starts(pattern, STR("*.")) && dot < host.n &&
                                     str_eq(str_skip(pattern, 1), str_skip(host, dot)));
}

static bool ingress_has_tls(const struct kube_build *b, struct str host)
{
    for (const struct json_value *t = json_value_items(kube_at(b->object, "spec", "tls", NULL)); t; t = t->next)
        for (const struct json_value *h = json_value_items(json_value_get(t, "hosts")); h; h = h->next)
            if (host_matches(json_value_scalar(h), host))
                return true;
    return false;
}

static void kube_build_path(const struct kube_build *b, struct str host, bool tls, struct str path)
{
    kube_begin_target(b, host);
    kube_label(b, META "namespace", b->namespace);
    kube_label(b, META "ingress_class_name", json_value_scalar(kube_at(b->object, "spec", "ingressClassName", NULL)));
    kube_add_meta(b, "ingress", b->meta);
    kube_add_namespace(b);
    kube_label(b, META "ingress_scheme", tls ? STR("https") : STR("http"));
    kube_label(b, META "ingress_host", host);
    kube_label(b, META "ingress_path", path.n > 0 ? path : STR("/"));
}

static void kube_build_ingress(const struct kube_build *b)
{
    for (const struct json_value *r = json_value_items(kube_at(b->object, "spec", "rules", NULL)); r; r = r->next) {
        struct str host = json_value_scalar(json_value_get(r, "host"));
        bool tls = ingress_has_tls(b, host);
        const struct json_value *http = json_value_get(r, "http");
        if (http == NULL || http->kind != JSON_OBJECT)
            kube_build_path(b, host, tls, STR_NONE);
        for (const struct json_value *p = json_value_items(json_value_get(http, "paths")); p; p = p->next)
            kube_build_path(b, host, tls, json_value_scalar(json_value_get(p, "path")));
    }
}

/* ---- all roles ---- */

void kube_build_targets(struct sd_build *to, struct arena *scratch, enum kube_role role, const struct kube_object *o,
                        const struct kube_view *view)
{
    static void (*const build[])(const struct kube_build *b) = {
        [KUBE_ROLE_NODE] = kube_build_node,           [KUBE_ROLE_POD] = kube_build_pod,
        [KUBE_ROLE_SERVICE] = kube_build_service,     [KUBE_ROLE_ENDPOINTS] = kube_build_endpoints,
        [KUBE_ROLE_ENDPOINTSLICE] = kube_build_slice, [KUBE_ROLE_INGRESS] = kube_build_ingress};
    struct kube_build b = {.to = to, .arena = scratch, .view = view, .object = kube_object_value(o, scratch)};
    b.meta = json_value_get(b.object, "metadata");
    b.namespace = json_value_scalar(json_value_get(b.meta, "namespace"));
    b.name = json_value_scalar(json_value_get(b.meta, "name"));
    build[role](&b);
}
