// SPDX-License-Identifier: Apache-2.0
/* Private to model/discovery/: an object of Kubernetes as it is kept: its key, and of its contents what targets and labels
 * are made from. A pod takes about 1.5 KiB instead of the 5 to 20 KiB of its JSON, and a change of something else, such as
 * the heartbeat of a node, leaves it equal. Immutable.
 */
#ifndef MODEL_DISCOVERY_KUBERNETES_KUBE_OBJECT_H
#define MODEL_DISCOVERY_KUBERNETES_KUBE_OBJECT_H

#include "base/json/json_value.h"

/* X(enumerator, name in paths, path of the group, whether it has a namespace) */
#define KUBE_RESOURCES(X)                                                                                             \
    X(KUBE_NODES, "nodes", "/api/v1", false)                                                                          \
    X(KUBE_NAMESPACES, "namespaces", "/api/v1", false)                                                                \
    X(KUBE_PODS, "pods", "/api/v1", true)                                                                             \
    X(KUBE_SERVICES, "services", "/api/v1", true)                                                                     \
    X(KUBE_ENDPOINTS, "endpoints", "/api/v1", true)                                                                   \
    X(KUBE_ENDPOINTSLICES, "endpointslices", "/apis/discovery.k8s.io/v1", true)                                       \
    X(KUBE_INGRESSES, "ingresses", "/apis/networking.k8s.io/v1", true)                                                \
    X(KUBE_REPLICASETS, "replicasets", "/apis/apps/v1", true)                                                         \
    X(KUBE_JOBS, "jobs", "/apis/batch/v1", true)
#define KUBE_RESOURCE_ID(id, ...) id,
enum kube_resource { KUBE_RESOURCES(KUBE_RESOURCE_ID) KUBE_RESOURCES_N };

struct kube_object {
    struct str key;              /* NAMESPACE/NAME, or NAME without a namespace; follows the struct */
    uint32_t size;               /* bytes of `packed` */
    uint32_t mark;               /* the list that had it last; kube_watch.c's */
    uint8_t packed[];
};
/* NULL: it has no name. mem_free. */
struct kube_object *kube_object_new(enum kube_resource resource, const struct json_value *item);
bool kube_object_equal(const struct kube_object *a, const struct kube_object *b); /* but for the mark */
size_t kube_object_bytes(const struct kube_object *o);
/* Its contents; the texts are the object's. */
const struct json_value *kube_object_value(const struct kube_object *o, struct arena *a);

/* A member of a member, and so on: "metadata", "name", NULL. */
const struct json_value *kube_at(const struct json_value *v, ...) __attribute__((sentinel));

#endif
