// SPDX-License-Identifier: Apache-2.0
/* Private to model/discovery/: the targets of an object of Kubernetes, with the labels that Prometheus gives them. */
#ifndef MODEL_DISCOVERY_KUBERNETES_KUBE_TARGETS_H
#define MODEL_DISCOVERY_KUBERNETES_KUBE_TARGETS_H

#include "model/discovery/kubernetes/kube_conf.h"
#include "model/discovery/kubernetes/kube_object.h"
#include "model/discovery/groups/sd_build.h"

/* What a target's labels are made from, besides its object. */
struct kube_view {
    struct kube_attach attach;
    /* Another object, or NULL; the caller notes that the targets depend on it, whether or not it exists. */
    const struct kube_object *(*find)(void *arg, enum kube_resource resource, struct str namespace, struct str name);
    void *arg;
};
struct kube_build {
    struct sd_build *to;
    struct arena *arena;         /* of unpacked objects */
    const struct kube_view *view;
    const struct json_value *object, *meta;
    struct str namespace, name;
};
/* Appends the targets of `o`. */
void kube_build_targets(struct sd_build *to, struct arena *scratch, enum kube_role role, const struct kube_object *o,
                        const struct kube_view *view);

/* ---- kube_labels.c: labels that several roles have, of the target built last ---- */

const struct json_value *kube_build_find(const struct kube_build *b, enum kube_resource resource, struct str namespace,
                                         struct str name);
void kube_label(const struct kube_build *b, const char *name, struct str value);
/* __meta_kubernetes_KIND_label_*, _labelpresent_*, _annotation_* and _annotationpresent_* */
void kube_add_texts(const struct kube_build *b, const char *kind, const struct json_value *meta);
void kube_add_meta(const struct kube_build *b, const char *kind, const struct json_value *meta); /* and its _name */
void kube_add_node(const struct kube_build *b, struct str name);             /* of attach_metadata */
void kube_add_namespace(const struct kube_build *b);                         /* likewise, the object's */
void kube_add_service(const struct kube_build *b, const struct json_value *service);
void kube_add_pod(const struct kube_build *b, const struct json_value *pod);
/* A container of a pod, and its port unless it is NULL; id: whether it has the label of its id. */
void kube_add_container(const struct kube_build *b, const struct json_value *container, bool init,
                        const struct json_value *port, struct str protocol);
/* for (c = kube_containers(pod, &init); c; c = kube_next_container(pod, c, &init)) */
const struct json_value *kube_containers(const struct json_value *pod, bool *init);
const struct json_value *kube_next_container(const struct json_value *pod, const struct json_value *c, bool *init);
/* host:port, [host]:port for IPv6; without a port only the host, for IPv6 in brackets: an address must be valid in a URL. */
struct str kube_address(const struct kube_build *b, struct str host, struct str port);
struct str kube_lower(const struct kube_build *b, struct str text);

/* ---- kube_endpoints.c ---- */

void kube_build_endpoints(const struct kube_build *b);
void kube_build_slice(const struct kube_build *b);

#endif
