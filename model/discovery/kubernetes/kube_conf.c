// SPDX-License-Identifier: Apache-2.0
#include "model/discovery/source/sd_conf.h"

#define SERVICE_ACCOUNT "/var/run/secrets/kubernetes.io/serviceaccount"

/* The last one is what vmagent accepts for the operator of VictoriaMetrics. */
const char *const kube_role_names[] = {
    [KUBE_ROLE_NODE] = "node", [KUBE_ROLE_POD] = "pod", [KUBE_ROLE_SERVICE] = "service",
    [KUBE_ROLE_ENDPOINTS] = "endpoints", [KUBE_ROLE_ENDPOINTSLICE] = "endpointslice", [KUBE_ROLE_INGRESS] = "ingress",
    "endpointslices", NULL};

/* ---- rows ---- */

static const struct conf_row namespaces_rows[] = {
    {CONF_BOOL, "own_namespace", offsetof(struct kube_namespaces, own_namespace), .preset = "false",
     .help = "The namespace of the pod that this program runs in"},
    {CONF_STRINGS, "names", offsetof(struct kube_namespaces, names), .help = "Names of namespaces. Default: all"},
    {0}};
static const struct conf_section namespaces_section = {
    "kubernetes_namespaces", sizeof(struct kube_namespaces), namespaces_rows, NULL, "Namespaces to discover"};

static const struct conf_row selector_rows[] = {
    {CONF_ENUM, "role", offsetof(struct kube_selector, role), .names = kube_role_names, .required = true,
     .help = "Role whose objects are selected"},
    {CONF_STRING, "label", offsetof(struct kube_selector, label), .help = "Label selector, such as `app=web,tier!=test`"},
    {CONF_STRING, "field", offsetof(struct kube_selector, field),
     .help = "Field selector, such as `spec.nodeName=node1`"},
    {0}};
static const struct conf_section selector_section = {
    "kubernetes_selector", sizeof(struct kube_selector), selector_rows, NULL, "Selection of objects by the API server"};

#define ATTACH(field) offsetof(struct kube_attach, field)
static const struct conf_row attach_rows[] = {
    {CONF_BOOL, "node", ATTACH(node), .preset = "false", .help = "Labels and annotations of the node"},
    {CONF_BOOL, "namespace", ATTACH(namespace), .preset = "false", .help = "Labels and annotations of the namespace"},
    {CONF_BOOL, "deployment", ATTACH(deployment), .preset = "false",
     .help = "Name of the deployment of a pod; reads replica sets"},
    {CONF_BOOL, "job", ATTACH(job), .preset = "false", .help = "Name of the job of a pod"},
    {CONF_BOOL, "cronjob", ATTACH(cronjob), .preset = "false", .help = "Name of the cron job of a pod; reads jobs"},
    {0}};
static const struct conf_section attach_section = {
    "kubernetes_attach_metadata", sizeof(struct kube_attach), attach_rows, NULL, "More labels of the targets"};

#define KUBE(field) offsetof(struct kubernetes_sd, field)
static const struct conf_row kubernetes_rows[] = {
    {CONF_ENUM, "role", KUBE(role), .names = kube_role_names, .required = true, .help = "What the targets are"},
    {CONF_URL, "api_server", KUBE(api_server),
     .help = "URL of the API server. Default: that of the cluster this program runs in, with the pod's service account"},
    {CONF_FILE, "kubeconfig_file", KUBE(kubeconfig_file),
     .help = "File with API server and credentials, instead of `api_server` and the options of the HTTP client"},
    {CONF_SECTION, "namespaces", KUBE(namespaces), .section = &namespaces_section, .help = "Namespaces. Default: all"},
    {CONF_SECTIONS, "selectors", KUBE(selectors), .section = &selector_section, .help = "Selectors, one for a role"},
    {CONF_OPTIONAL, "attach_metadata", KUBE(attach_metadata), .section = &attach_section,
     .help = "More labels, of other objects"},
    HTTP_CONF_ROWS(struct kubernetes_sd, server.http),
    {0}};

/* ---- checks ---- */

static bool check_selectors(const struct yaml *node, const struct kubernetes_sd *sd, struct err *err)
{
    static const unsigned allowed[] = { /* bits by role */
        [KUBE_ROLE_NODE] = 1 << KUBE_ROLE_NODE, [KUBE_ROLE_POD] = 1 << KUBE_ROLE_POD | 1 << KUBE_ROLE_NODE,
        [KUBE_ROLE_SERVICE] = 1 << KUBE_ROLE_SERVICE, [KUBE_ROLE_INGRESS] = 1 << KUBE_ROLE_INGRESS,
        [KUBE_ROLE_ENDPOINTS] = 1 << KUBE_ROLE_POD | 1 << KUBE_ROLE_SERVICE | 1 << KUBE_ROLE_ENDPOINTS,
        [KUBE_ROLE_ENDPOINTSLICE] = 1 << KUBE_ROLE_POD | 1 << KUBE_ROLE_SERVICE | 1 << KUBE_ROLE_ENDPOINTSLICE};
    unsigned seen = 0;
    for (size_t i = 0; i < sd->selectors.n; i++) {
        int role = ((const struct kube_selector *)sd->selectors.items)[i].role;
        if (seen & 1u << role)
            return conf_err(node, err, "kubernetes_sd_config.selectors: two selectors of role %s", kube_role_names[role]);
        if (!(allowed[sd->role] & 1u << role))
            return conf_err(node, err, "kubernetes_sd_config.selectors: role %s has no selector of role %s",
                            kube_role_names[sd->role], kube_role_names[role]);
        seen |= 1u << role;
    }
    return true;
}

/* A key of the HTTP client that is set, or NULL. */
static const char *find_http_key(const struct yaml *node)
{
    static const char *const own[] = {"role", "api_server", "kubeconfig_file", "namespaces", "selectors", "attach_metadata",
                                      "follow_redirects", "enable_http2"};
    for (size_t i = 0; i < node->n; i++) {
        bool is_own = node->items[i].kind == YAML_NULL;
        for (size_t k = 0; k < LEN(own) && !is_own; k++)
            is_own = str_is(node->keys[i].text, own[k]);
        if (!is_own)
            return node->keys[i].text.p;
    }
    return NULL;
}

static bool check_server(struct conf_context *c, const struct yaml *node, const struct kubernetes_sd *sd, struct err *err)
{
    const char *key = find_http_key(node);
    bool file = sd->kubeconfig_file.n > 0, server = sd->api_server.n > 0;
    if (file && server)
        return conf_err(node, err, "kubernetes_sd_config: api_server and kubeconfig_file are both set; keep one");
    if (sd->namespaces.own_namespace && (file || server))
        return conf_err(node, err, "kubernetes_sd_config.namespaces.own_namespace: not with %s, which belongs to no pod",
                        file ? "kubeconfig_file" : "api_server");
    /* vmagent ignores the key */
    if (key && !server && !c->vmagent_relabeling)
        return conf_err(yaml_get(node, key), err, "kubernetes_sd_config.%s: %s", key,
                        file ? "not with kubeconfig_file, which has its own" : "requires api_server");
    return true;
}

static void normalize_role(int *role)
{
    if (*role > KUBE_ROLE_INGRESS)
        *role = KUBE_ROLE_ENDPOINTSLICE;
}

static bool check_kubernetes_sd(struct conf_context *c, const struct yaml *node, void *value, struct err *err)
{
    struct kubernetes_sd *sd = value;
    normalize_role(&sd->role);
    for (size_t i = 0; i < sd->selectors.n; i++)
        normalize_role(&((struct kube_selector *)sd->selectors.items)[i].role);
    if (!check_selectors(node, sd, err) || !check_server(c, node, sd, err))
        return false;
    if (sd->api_server.n == 0) {
        sd->access = ARENA_NEW(c->arena, struct kube_access);
        if (sd->kubeconfig_file.n > 0)
            kube_access_file(c->arena, sd->kubeconfig_file.p, sd->access);
        else
            kube_access_pod(c->arena, SERVICE_ACCOUNT, sd->access);
    }
    return http_conf_check(node, &sd->server.http, err);
}

const struct conf_section kubernetes_sd_section = {"kubernetes_sd_config", sizeof(struct kubernetes_sd), kubernetes_rows,
                                                   check_kubernetes_sd, "Objects of a Kubernetes cluster"};
