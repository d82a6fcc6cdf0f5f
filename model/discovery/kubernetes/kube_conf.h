// SPDX-License-Identifier: Apache-2.0
/* The configuration of kubernetes_sd_configs. */
#ifndef MODEL_DISCOVERY_KUBERNETES_KUBE_CONF_H
#define MODEL_DISCOVERY_KUBERNETES_KUBE_CONF_H

#include "base/conf/conf.h"
#include "base/http/http_conf.h"

enum kube_role { /* in the order of the names */
    KUBE_ROLE_NODE, KUBE_ROLE_POD, KUBE_ROLE_SERVICE, KUBE_ROLE_ENDPOINTS, KUBE_ROLE_ENDPOINTSLICE, KUBE_ROLE_INGRESS
};
extern const char *const kube_role_names[];

struct kube_namespaces { bool own_namespace; struct str_list names; };
struct kube_selector { int role; struct str label, field; };
struct kube_attach { bool node, namespace, deployment, job, cronjob; };

/* An API server that a kubeconfig file names, or that a pod finds in its environment. */
struct kube_access {
    struct str server;           /* URL */
    struct http_conf http;
    struct str namespace;        /* of the pod; empty: unknown */
    struct str error;            /* why there is none; empty: there is */
};
/* Reads the file, and waits for it. Errors are in to->error. Texts are in the arena. */
void kube_access_file(struct arena *a, const char *path, struct kube_access *to);
/* `dir`: of the files of the service account. */
void kube_access_pod(struct arena *a, const char *dir, struct kube_access *to);

#endif
