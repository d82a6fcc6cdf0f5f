// SPDX-License-Identifier: Apache-2.0
#include "model/discovery/kubernetes/kube_targets.h"

#define META "__meta_kubernetes_"

const struct json_value *kube_build_find(const struct kube_build *b, enum kube_resource resource, struct str namespace,
                                         struct str name)
{
    if (name.n == 0)
        return NULL;
    const struct kube_object *o = b->view->find(b->view->arg, resource, namespace, name);
    return o ? kube_object_value(o, b->arena) : NULL;
}

void kube_label(const struct kube_build *b, const char *name, struct str value) { sd_build_label(b->to, name, value); }

void kube_add_texts(const struct kube_build *b, const char *kind, const struct json_value *meta)
{
    const struct json_value *labels = json_value_get(meta, "labels"), *annotations = json_value_get(meta, "annotations");
    struct buf prefix = {0};
    buf_printf(&prefix, META "%s_label_", kind);
    sd_build_labels(b->to, buf_z(&prefix), labels);
    buf_clear(&prefix);
    buf_printf(&prefix, META "%s_labelpresent_", kind);
    sd_build_present(b->to, buf_z(&prefix), labels);
    buf_clear(&prefix);
    buf_printf(&prefix, META "%s_annotation_", kind);
    sd_build_labels(b->to, buf_z(&prefix), annotations);
    buf_clear(&prefix);
    buf_printf(&prefix, META "%s_annotationpresent_", kind);
    sd_build_present(b->to, buf_z(&prefix), annotations);
    buf_free(&prefix);
}

void kube_add_meta(const struct kube_build *b, const char *kind, const struct json_value *meta)
{
    struct buf name = {0};
    buf_printf(&name, META "%s_name", kind);
    kube_label(b, buf_z(&name), json_value_scalar(json_value_get(meta, "name")));
    buf_free(&name);
    kube_add_texts(b, kind, meta);
}

void kube_add_node(const struct kube_build *b, struct str name)
{
    const struct json_value *node = b->view->attach.node ? kube_build_find(b, KUBE_NODES, STR_NONE, name) : NULL;
    if (node)
        kube_add_meta(b, "node", json_value_get(node, "metadata"));
}

void kube_add_namespace(const struct kube_build *b)
{
    const struct json_value *namespace =
        b->view->attach.namespace ? kube_build_find(b, KUBE_NAMESPACES, STR_NONE, b->namespace) : NULL;
    if (namespace)
        kube_add_texts(b, "namespace", json_value_get(namespace, "metadata"));
}

void kube_add_service(const struct kube_build *b, const struct json_value *service)
{
    if (service)
        kube_add_meta(b, "service", json_value_get(service, "metadata"));
}

struct str kube_lower(const struct kube_build *b, struct str text)
{
    char *lower = arena_bytes(b->arena, text.n);
    for (size_t i = 0; i < text.n; i++)
        lower[i] = text.p[i] >= 'A' && text.p[i] <= 'Z' ? (char)(text.p[i] | 0x20) : text.p[i];
    return str_n(lower, text.n);
}

struct str kube_address(const struct kube_build *b, struct str host, struct str port)
{
    bool six = str_find(host, ':') < host.n;
    return arena_printf(b->arena, "%s%.*s%s%s%.*s", six ? "[" : "", STR_ARG(host), six ? "]" : "", port.n > 0 ? ":" : "",
                        STR_ARG(port));
}

/* ---- pods ---- */

static const struct json_value *controller_of(const struct json_value *object)
{
    for (const struct json_value *o = json_value_items(kube_at(object, "metadata", "ownerReferences", NULL)); o; o = o->next)
        if (str_is(json_value_scalar(json_value_get(o, "controller")), "true"))
            return o;
    return NULL;
}

/* The controller of the object's controller, if it is of this kind. */
static struct str grand_controller(const struct kube_build *b, enum kube_resource resource, struct str namespace,
                                   struct str name, const char *kind)
{
    const struct json_value *owner = controller_of(kube_build_find(b, resource, namespace, name));
    return str_is(json_value_scalar(json_value_get(owner, "kind")), kind) ? json_value_scalar(json_value_get(owner, "name")) : STR_NONE;
}

static void kube_add_controllers(const struct kube_build *b, const struct json_value *pod, struct str namespace)
{
    const struct kube_attach *attach = &b->view->attach;
    const struct json_value *owner = controller_of(pod);
    struct str kind = json_value_scalar(json_value_get(owner, "kind")), name = json_value_scalar(json_value_get(owner, "name"));
    kube_label(b, META "pod_controller_kind", kind);
    kube_label(b, META "pod_controller_name", name);
    if (attach->deployment && str_is(kind, "ReplicaSet"))
        kube_label(b, META "pod_deployment_name", grand_controller(b, KUBE_REPLICASETS, namespace, name, "Deployment"));
    if (attach->job && str_is(kind, "Job"))
        kube_label(b, META "pod_job_name", name);
    if (attach->cronjob && str_is(kind, "Job"))
        kube_label(b, META "pod_cronjob_name", grand_controller(b, KUBE_JOBS, namespace, name, "CronJob"));
}

static struct str pod_ready(const struct kube_build *b, const struct json_value *pod)
{
    for (const struct json_value *c = json_value_items(kube_at(pod, "status", "conditions", NULL)); c; c = c->next)
        if (str_is(json_value_scalar(json_value_get(c, "type")), "Ready"))
            return kube_lower(b, json_value_scalar(json_value_get(c, "status")));
    return STR("unknown");
}

void kube_add_pod(const struct kube_build *b, const struct json_value *pod)
{
    const struct json_value *meta = json_value_get(pod, "metadata"), *status = json_value_get(pod, "status");
    kube_label(b, META "pod_ip", json_value_scalar(json_value_get(status, "podIP")));
    kube_label(b, META "pod_ready", pod_ready(b, pod));
    kube_label(b, META "pod_phase", json_value_scalar(json_value_get(status, "phase")));
    kube_label(b, META "pod_node_name", json_value_scalar(kube_at(pod, "spec", "nodeName", NULL)));
    kube_label(b, META "pod_host_ip", json_value_scalar(json_value_get(status, "hostIP")));
    kube_label(b, META "pod_uid", json_value_scalar(json_value_get(meta, "uid")));
    kube_add_meta(b, "pod", meta);
    kube_add_controllers(b, pod, json_value_scalar(json_value_get(meta, "namespace")));
}

const struct json_value *kube_containers(const struct json_value *pod, bool *init)
{
    const struct json_value *c = json_value_items(kube_at(pod, "spec", "containers", NULL));
    *init = c == NULL;
    return c ? c : json_value_items(kube_at(pod, "spec", "initContainers", NULL));
}

const struct json_value *kube_next_container(const struct json_value *pod, const struct json_value *c, bool *init)
{
    if (c->next || *init)
        return c->next;
    *init = true;
    return json_value_items(kube_at(pod, "spec", "initContainers", NULL));
}

void kube_add_container(const struct kube_build *b, const struct json_value *container, bool init,
                        const struct json_value *port, struct str protocol)
{
    kube_label(b, META "pod_container_name", json_value_scalar(json_value_get(container, "name")));
    kube_label(b, META "pod_container_image", json_value_scalar(json_value_get(container, "image")));
    kube_label(b, META "pod_container_init", init ? STR("true") : STR("false"));
    if (port == NULL)
        return;
    kube_label(b, META "pod_container_port_name", json_value_scalar(json_value_get(port, "name")));
    kube_label(b, META "pod_container_port_number", json_value_scalar(json_value_get(port, "containerPort")));
    kube_label(b, META "pod_container_port_protocol", protocol);
}
