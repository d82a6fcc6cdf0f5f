// SPDX-License-Identifier: Apache-2.0
/* Where an API server is, and how to authenticate to it, if the configuration does not say it itself:
 *
 * - a kubeconfig file (https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/): its current
 *   context names a cluster and a user,
 * - or the service account of the pod (https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/).
 *
 * Credentials and certificates that are in files of their own are read again when these change, the kubeconfig file at a
 * reload.
 */
#include "base/os/file_read.h"
#include "base/text/base64.h"
#include "model/discovery/kubernetes/kube_conf.h"

#include <stdlib.h>

enum { KUBECONFIG_MAX = 1 << 20, NAMESPACE_MAX = 256 };

static struct str kube_yaml_text(const struct yaml *map, const char *key)
{
    const struct yaml *y = map ? yaml_get(map, key) : NULL;
    return y && y->kind == YAML_SCALAR ? y->text : STR_NONE;
}

static bool kube_yaml_true(const struct yaml *map, const char *key) { return str_is(kube_yaml_text(map, key), "true"); }

/* The member `what` of the item of `list` that has this name. */
static const struct yaml *find_named(const struct yaml *root, const char *list, struct str name, const char *what)
{
    const struct yaml *items = yaml_get(root, list);
    for (size_t i = 0; items && items->kind == YAML_LIST && i < items->n; i++)
        if (str_eq(kube_yaml_text(&items->items[i], "name"), name))
            return yaml_get(&items->items[i], what);
    return NULL;
}

struct kubeconfig { struct arena *arena; const char *path; struct str dir; struct err err; };

/* A path relative to the file's directory. */
static struct str kubeconfig_path(struct kubeconfig *k, struct str path)
{
    if (path.n == 0 || path.p[0] == '/')
        return path;
    return str_of(arena_z(k->arena, arena_printf(k->arena, "%.*s%.*s", STR_ARG(k->dir), STR_ARG(path))));
}

/* Text in base64. */
static bool kubeconfig_data(struct kubeconfig *k, const struct yaml *map, const char *key, struct str *out)
{
    struct str text = kube_yaml_text(map, key);
    struct buf plain = {0};
    if (text.n == 0)
        return true;
    bool ok = base64_read(&plain, text) || err_set(&k->err, ERR_BAD_DATA, "%s: %s is not base64", k->path, key);
    if (ok)
        *out = str_of(arena_z(k->arena, buf_str(&plain)));
    buf_free(&plain);
    return ok;
}

static bool kubeconfig_refuse(struct kubeconfig *k, const struct yaml *map, const char *key)
{
    const struct yaml *y = map ? yaml_get(map, key) : NULL;
    return y == NULL || y->kind == YAML_NULL ||
           err_set(&k->err, ERR_BAD_DATA, "%s: %s is not supported; use a token, a certificate or a password", k->path, key);
}

static bool kubeconfig_cluster(struct kubeconfig *k, const struct yaml *cluster, struct kube_access *to)
{
    struct tls_conf *tls = &to->http.tls;
    to->server = kube_yaml_text(cluster, "server");
    if (to->server.n == 0)
        return err_set(&k->err, ERR_BAD_DATA, "%s: the cluster of the current context has no server", k->path);
    tls->ca_file = kubeconfig_path(k, kube_yaml_text(cluster, "certificate-authority"));
    tls->server_name = kube_yaml_text(cluster, "tls-server-name");
    tls->insecure_skip_verify = kube_yaml_true(cluster, "insecure-skip-tls-verify");
    to->http.proxy_url = kube_yaml_text(cluster, "proxy-url");
    if (!kubeconfig_data(k, cluster, "certificate-authority-data", &tls->ca))
        return false;
    if (tls->ca.n > 0)
        tls->ca_file = STR_NONE;
    return true;
}

static bool kubeconfig_certificate(struct kubeconfig *k, const struct yaml *user, struct tls_conf *tls)
{
    tls->cert_file = kubeconfig_path(k, kube_yaml_text(user, "client-certificate"));
    tls->key_file = kubeconfig_path(k, kube_yaml_text(user, "client-key"));
    if (!kubeconfig_data(k, user, "client-certificate-data", &tls->cert) ||
        !kubeconfig_data(k, user, "client-key-data", &tls->key))
        return false;
    if (tls->cert.n > 0)
        tls->cert_file = STR_NONE;
    if (tls->key.n > 0)
        tls->key_file = STR_NONE;
    return true;
}

static bool kubeconfig_user(struct kubeconfig *k, const struct yaml *user, struct kube_access *to)
{
    static const char *const unsupported[] = {"exec", "auth-provider", "as", "as-uid", "as-groups", "as-user-extra"};
    struct str token = kube_yaml_text(user, "token"), file = kubeconfig_path(k, kube_yaml_text(user, "tokenFile"));
    struct str name = kube_yaml_text(user, "username");
    for (size_t i = 0; i < LEN(unsupported); i++)
        if (!kubeconfig_refuse(k, user, unsupported[i]))
            return false;
    if (file.n > 0)
        to->http.bearer_token_file = file;
    else if (token.n > 0)
        to->http.bearer_token = token;
    if (name.n > 0) {
        if (file.n > 0 || token.n > 0)
            return err_set(&k->err, ERR_BAD_DATA, "%s: a user has a token and a username", k->path);
        to->http.basic_auth = ARENA_NEW(k->arena, struct basic_auth_conf);
        to->http.basic_auth->username = name;
        to->http.basic_auth->password = kube_yaml_text(user, "password");
    }
    return kubeconfig_certificate(k, user, &to->http.tls);
}

static bool kubeconfig_read(struct kubeconfig *k, struct kube_access *to)
{
    struct buf text = {0};
    bool read = file_read(k->path, KUBECONFIG_MAX, &text, &k->err);
    const struct yaml *root = read ? yaml_parse(k->arena, buf_str(&text), k->path, &k->err) : NULL;
    buf_free(&text);
    if (root == NULL)
        return false;
    struct str name = kube_yaml_text(root, "current-context");
    const struct yaml *context = find_named(root, "contexts", name, "context");
    if (context == NULL)
        return err_set(&k->err, ERR_BAD_DATA, "%s: there is no context \"%.*s\", which current-context names", k->path,
                       STR_ARG(name));
    struct str cluster = kube_yaml_text(context, "cluster"), user = kube_yaml_text(context, "user");
    return kubeconfig_cluster(k, find_named(root, "clusters", cluster, "cluster"), to) &&
           kubeconfig_user(k, find_named(root, "users", user, "user"), to);
}

void kube_access_file(struct arena *a, const char *path, struct kube_access *to)
{
    size_t dir = strlen(path);
    while (dir > 0 && path[dir - 1] != '/')
        dir--;
    struct kubeconfig k = {.arena = a, .path = path, .dir = {path, dir}};
    *to = (struct kube_access){.http.follow_redirects = true};
    if (!kubeconfig_read(&k, to))
        to->error = str_of(arena_z(a, str_of(k.err.text)));
}

void kube_access_pod(struct arena *a, const char *dir, struct kube_access *to)
{
    const char *host = getenv("KUBERNETES_SERVICE_HOST"), *port = getenv("KUBERNETES_SERVICE_PORT");
    struct buf text = {0};
    struct err err;
    *to = (struct kube_access){.http.follow_redirects = true};
    if (host == NULL || host[0] == 0 || port == NULL || port[0] == 0) {
        to->error = STR("neither api_server nor kubeconfig_file is set, and KUBERNETES_SERVICE_HOST and "
                        "KUBERNETES_SERVICE_PORT are not: this program does not run in a pod");
        return;
    }
    bool six = strchr(host, ':') != NULL;
    to->server = arena_printf(a, "https://%s%s%s:%s", six ? "[" : "", host, six ? "]" : "", port);
    to->http.bearer_token_file = str_of(arena_z(a, arena_printf(a, "%s/token", dir)));
    to->http.tls.ca_file = str_of(arena_z(a, arena_printf(a, "%s/ca.crt", dir)));
    if (file_read(arena_z(a, arena_printf(a, "%s/namespace", dir)), NAMESPACE_MAX, &text, &err))
        to->namespace = str_of(arena_z(a, str_trim(buf_str(&text))));
    buf_free(&text);
}
