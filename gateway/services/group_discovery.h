// SPDX-License-Identifier: Apache-2.0
/* Service discovery of all server groups, over reloads: a discovery for each group that configures one, found again by
 * the name of the group. Control thread.
 *
 * When a configuration is applied, its groups are made of the targets that are known (group_discovery_find); then
 * group_discovery_use reads the sources, and `changed` is called when the groups must be made again.
 */
#ifndef GATEWAY_SERVICES_GROUP_DISCOVERY_H
#define GATEWAY_SERVICES_GROUP_DISCOVERY_H

#include "gateway/config/config.h"

struct server_registry;
struct group_discovery;
struct group_discovery_env {
    struct loop *main;
    struct kube_watches *kube;    /* outlives it */
    struct server_registry *registry; /* counts sources that fail; outlives it */
    /* found: other targets; otherwise only why there are none may have changed. */
    void (*changed)(void *arg, bool found);
    void *arg;
};
struct group_discovery *group_discovery_new(const struct group_discovery_env *env);
void group_discovery_free(struct group_discovery *d);
void group_discovery_stop(struct group_discovery *d); /* no `changed` any more */

/* What is known for each group of a configuration; valid until the next turn of the loop. */
struct group_discovered *group_discovery_find(struct group_discovery *d, const struct config *c);
void group_discovered_free(struct group_discovered *found, size_t n);
void group_discovery_use(struct group_discovery *d, const struct config *c);
bool group_discovery_ready(const struct group_discovery *d); /* every source was read once, or does not respond */
void group_discovery_await(struct group_discovery *d, struct loop_task *task); /* likewise, since the last use */

/* For --check-config: makes the groups of what is found, on the calling thread. */
void group_discovery_check(const struct config *c, void (*warn)(void *arg, const char *text), void *arg);

#endif
