// SPDX-License-Identifier: Apache-2.0
/* Targets of Endpoints and EndpointSlices.
 *
 * Each address has a target for each port. If it is a pod's, the target has the pod's labels and those of the container that
 * has this port (the last one that does). The other ports of these pods' containers are targets too, without the labels of
 * an address.
 */
#include "model/discovery/kubernetes/kube_targets.h"

#include "base/map.h"

#define META "__meta_kubernetes_"

struct seen_pod { struct str key; const struct json_value *pod; struct str *ports; size_t n, cap; struct seen_pod *next; };
struct endpoints_build {
    const struct kube_build *b;
    bool slice;
    const struct json_value *service; /* NULL: none */
    struct map pods;                  /* of struct seen_pod, by NAMESPACE/NAME */
    struct seen_pod *first, **last;   /* in the order of the addresses */
};
/* One address and port; texts may be empty. */
struct endpoint { const struct json_value *address, *port; struct str ip, ready; };

/* What all targets of the object have. */
static void endpoints_begin_target(const struct endpoints_build *e, struct str address)
{
    const struct kube_build *b = e->b;
    sd_build_target(b->to, address);
    kube_label(b, META "namespace", b->namespace);
    kube_add_service(b, e->service);
    if (e->slice)
        kube_label(b, META "endpointslice_address_type", json_value_scalar(json_value_get(b->object, "addressType")));
    kube_add_meta(b, e->slice ? "endpointslice" : "endpoints", b->meta);
    kube_add_namespace(b);
}

/* ---- pods ---- */

static struct seen_pod *endpoints_find_pod(struct endpoints_build *e, const struct json_value *ref)
{
    struct str namespace = json_value_scalar(json_value_get(ref, "namespace")), name = json_value_scalar(json_value_get(ref, "name"));
    bool added;
    if (!str_is(json_value_scalar(json_value_get(ref, "kind")), "Pod"))
        return NULL;
    struct str key = arena_printf(e->b->arena, "%.*s/%.*s", STR_ARG(namespace), STR_ARG(name));
    struct map_entry *entry = map_add(&e->pods, key, &added);
    if (added) {
        struct seen_pod *new = ARENA_NEW(e->b->arena, struct seen_pod);
        *new = (struct seen_pod){.key = key, .pod = kube_build_find(e->b, KUBE_PODS, namespace, name)};
        entry->value.p = new;
        *e->last = new;
        e->last = &new->next;
    }
    struct seen_pod *found = entry->value.p;
    return found->pod ? found : NULL;
}

static const struct json_value *container_port(const struct json_value *container, struct str number)
{
    for (const struct json_value *p = json_value_items(json_value_get(container, "ports")); p; p = p->next)
        if (number.n > 0 && str_eq(json_value_scalar(json_value_get(p, "containerPort")), number))
            return p;
    return NULL;
}

static void endpoints_add_container(const struct endpoints_build *e, const struct json_value *pod, struct str number,
                                    struct str protocol)
{
    const struct json_value *container = NULL, *port = NULL;
    bool init, of_init = false;
    for (const struct json_value *c = kube_containers(pod, &init); c; c = kube_next_container(pod, c, &init)) {
        const struct json_value *match = container_port(c, number);
        if (match == NULL)
            continue;
        container = c;
        port = match;
        of_init = init;
    }
    if (container == NULL)
        return;
    kube_add_container(e->b, container, of_init, port, e->slice ? json_value_scalar(json_value_get(port, "protocol")) : protocol);
}

static void endpoints_add_pod(struct endpoints_build *e, const struct json_value *ref, const struct json_value *port)
{
    struct seen_pod *seen = endpoints_find_pod(e, ref);
    struct str number = json_value_scalar(json_value_get(port, "port"));
    if (seen == NULL)
        return;
    kube_add_pod(e->b, seen->pod);
    endpoints_add_container(e, seen->pod, number, json_value_scalar(json_value_get(port, "protocol")));
    arena_grow(e->b->arena, &seen->ports, &seen->cap, seen->n + 1, sizeof *seen->ports);
    seen->ports[seen->n++] = number;
}

static bool pod_port_seen(const struct seen_pod *seen, struct str number)
{
    for (size_t i = 0; i < seen->n; i++)
        if (str_eq(seen->ports[i], number))
            return true;
    return false;
}

/* The ports of its containers that no address has. */
static void endpoints_build_rest(const struct endpoints_build *e, const struct seen_pod *seen)
{
    struct str ip = json_value_scalar(kube_at(seen->pod, "status", "podIP", NULL));
    bool init;
    if (ip.n == 0)
        return;
    for (const struct json_value *c = kube_containers(seen->pod, &init); c; c = kube_next_container(seen->pod, c, &init))
        for (const struct json_value *p = json_value_items(json_value_get(c, "ports")); p; p = p->next) {
            struct str number = json_value_scalar(json_value_get(p, "containerPort"));
            if (pod_port_seen(seen, number))
                continue;
            endpoints_begin_target(e, kube_address(e->b, ip, number));
            kube_add_container(e->b, c, init, p, json_value_scalar(json_value_get(p, "protocol")));
            kube_add_pod(e->b, seen->pod);
        }
}

/* ---- addresses ---- */

static void endpoint_add_labels(const struct endpoints_build *e, const struct endpoint *x)
{
    const struct kube_build *b = e->b;
    const struct json_value *ref = json_value_get(x->address, "targetRef");
    kube_label(b, META "endpoint_port_name", json_value_scalar(json_value_get(x->port, "name")));
    kube_label(b, META "endpoint_port_protocol", json_value_scalar(json_value_get(x->port, "protocol")));
    kube_label(b, META "endpoint_ready", x->ready);
    kube_label(b, META "endpoint_address_target_kind", json_value_scalar(json_value_get(ref, "kind")));
    kube_label(b, META "endpoint_address_target_name", json_value_scalar(json_value_get(ref, "name")));
    kube_label(b, META "endpoint_node_name", json_value_scalar(json_value_get(x->address, "nodeName")));
    kube_label(b, META "endpoint_hostname", json_value_scalar(json_value_get(x->address, "hostname")));
}

static void slice_add_labels(const struct endpoints_build *e, const struct endpoint *x)
{
    const struct kube_build *b = e->b;
    const struct json_value *ref = json_value_get(x->address, "targetRef");
    const struct json_value *conditions = json_value_get(x->address, "conditions");
    const struct json_value *topology = json_value_get(x->address, "deprecatedTopology");
    kube_label(b, META "endpointslice_port_name", json_value_scalar(json_value_get(x->port, "name")));
    kube_label(b, META "endpointslice_port_protocol", json_value_scalar(json_value_get(x->port, "protocol")));
    kube_label(b, META "endpointslice_port", json_value_scalar(json_value_get(x->port, "port")));
    kube_label(b, META "endpointslice_port_app_protocol", json_value_scalar(json_value_get(x->port, "appProtocol")));
    kube_label(b, META "endpointslice_endpoint_conditions_ready", json_value_scalar(json_value_get(conditions, "ready")));
    kube_label(b, META "endpointslice_endpoint_conditions_serving", json_value_scalar(json_value_get(conditions, "serving")));
    kube_label(b, META "endpointslice_endpoint_conditions_terminating",
               json_value_scalar(json_value_get(conditions, "terminating")));
    kube_label(b, META "endpointslice_endpoint_hostname", json_value_scalar(json_value_get(x->address, "hostname")));
    kube_label(b, META "endpointslice_address_target_kind", json_value_scalar(json_value_get(ref, "kind")));
    kube_label(b, META "endpointslice_address_target_name", json_value_scalar(json_value_get(ref, "name")));
    kube_label(b, META "endpointslice_endpoint_node_name", json_value_scalar(json_value_get(x->address, "nodeName")));
    kube_label(b, META "endpointslice_endpoint_zone", json_value_scalar(json_value_get(x->address, "zone")));
    sd_build_labels(b->to, META "endpointslice_endpoint_topology_", topology);
    sd_build_present(b->to, META "endpointslice_endpoint_topology_present_", topology);
}

/* The node of an address itself; of Endpoints its own name counts first, of slices that of a target that is a node. */
static struct str endpoint_node(const struct endpoints_build *e, const struct json_value *address)
{
    const struct json_value *ref = json_value_get(address, "targetRef");
    struct str named = json_value_scalar(json_value_get(address, "nodeName"));
    bool is_node = str_is(json_value_scalar(json_value_get(ref, "kind")), "Node");
    return is_node && (e->slice || named.n == 0) ? json_value_scalar(json_value_get(ref, "name")) : named;
}

static void endpoints_build_one(struct endpoints_build *e, const struct endpoint *x)
{
    const struct json_value *ref = json_value_get(x->address, "targetRef");
    struct str number = json_value_scalar(json_value_get(x->port, "port"));
    endpoints_begin_target(e, kube_address(e->b, x->ip, number));
    if (e->slice)
        slice_add_labels(e, x);
    else
        endpoint_add_labels(e, x);
    kube_add_node(e->b, endpoint_node(e, x->address));
    endpoints_add_pod(e, ref, x->port);
}

static void endpoints_finish(struct endpoints_build *e)
{
    for (const struct seen_pod *p = e->first; p; p = p->next)
        if (p->pod)
            endpoints_build_rest(e, p);
    map_free(&e->pods);
}

static void build_subset(struct endpoints_build *e, const struct json_value *subset, const struct json_value *port,
                         const char *addresses, struct str ready)
{
    for (const struct json_value *a = json_value_items(json_value_get(subset, addresses)); a; a = a->next)
        endpoints_build_one(e, &(struct endpoint){a, port, json_value_scalar(json_value_get(a, "ip")), ready});
}

void kube_build_endpoints(const struct kube_build *b)
{
    struct endpoints_build e = {.b = b, .service = kube_build_find(b, KUBE_SERVICES, b->namespace, b->name)};
    e.last = &e.first;
    for (const struct json_value *s = json_value_items(json_value_get(b->object, "subsets")); s; s = s->next)
        for (const struct json_value *p = json_value_items(json_value_get(s, "ports")); p; p = p->next) {
            build_subset(&e, s, p, "addresses", STR("true"));
            build_subset(&e, s, p, "notReadyAddresses", STR("false"));
        }
    endpoints_finish(&e);
}

/* Of a service with two families of addresses only the slices of the first one count. */
static bool slice_is_secondary(const struct kube_build *b, const struct json_value *service)
{
    const struct json_value *spec = json_value_get(service, "spec");
    struct str policy = json_value_scalar(json_value_get(spec, "ipFamilyPolicy"));
    const struct json_value *family = json_value_items(json_value_get(spec, "ipFamilies"));
    return (str_is(policy, "PreferDualStack") || str_is(policy, "RequireDualStack")) && family &&
           !str_eq(json_value_scalar(family), json_value_scalar(json_value_get(b->object, "addressType")));
}

void kube_build_slice(const struct kube_build *b)
{
    struct str name = json_value_scalar(kube_at(b->meta, "labels", "kubernetes.io/service-name", NULL));
    struct endpoints_build e = {.b = b, .slice = true, .service = kube_build_find(b, KUBE_SERVICES, b->namespace, name)};
    e.last = &e.first;
    if (slice_is_secondary(b, e.service))
        return;
    for (const struct json_value *x = json_value_items(json_value_get(b->object, "endpoints")); x; x = x->next)
        for (const struct json_value *p = json_value_items(json_value_get(b->object, "ports")); p; p = p->next)
            for (const struct json_value *a = json_value_items(json_value_get(x, "addresses")); a; a = a->next)
                endpoints_build_one(&e, &(struct endpoint){x, p, json_value_scalar(a), STR_NONE});
    endpoints_finish(&e);
}
