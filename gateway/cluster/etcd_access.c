// SPDX-License-Identifier: Apache-2.0
#include "gateway/cluster/etcd_access.h"

#include "base/os/watched_file.h"
#include "base/telemetry/log.h"

static const char *etcd_access_password(const struct etcd_section *e, struct arena *a, struct file_text **held)
{
    struct err err;
    *held = NULL;
    if (e->password_file.n == 0)
        return e->password.n > 0 ? arena_z(a, e->password) : NULL;
    struct watched_file *f = watched_file_new(arena_z(a, e->password_file), WATCHED_LINE);
    *held = watched_file_text(f, &err);
    if (*held == NULL)
        log_warn("cluster", "the file with etcd's password cannot be read", "err", err.text);
    watched_file_free(f);
    return *held ? (*held)->text : NULL;
}

struct etcd *etcd_access_new(struct loop *loop, const struct etcd_section *e, int64_t timeout_most, struct err *err)
{
    struct client_profile *profile = http_conf_profile(&e->http, err);
    struct file_text *held;
    struct arena a;
    if (profile == NULL)
        return NULL;
    arena_init(&a, 0);
    const char **endpoints = ARENA_ARRAY(&a, const char *, e->endpoints.n);
    for (size_t i = 0; i < e->endpoints.n; i++)
        endpoints[i] = arena_z(&a, e->endpoints.items[i]);
    struct etcd *etcd = etcd_new(loop, &(struct etcd_conf){
        .endpoints = endpoints, .n_endpoints = e->endpoints.n, .profile = profile,
        .username = e->username.n > 0 ? arena_z(&a, e->username) : NULL, .password = etcd_access_password(e, &a, &held),
        .timeout_ms = e->timeout < timeout_most ? e->timeout : timeout_most});
    file_text_unref(held);
    client_profile_unref(profile);
    arena_free(&a);
    return etcd;
}
