// SPDX-License-Identifier: Apache-2.0
#include "gateway/services/group_discovery.h"

#include "base/list.h"
#include "gateway/servers/registry.h"

struct discovered_group {
    struct list node;             /* in group_discovery.groups */
    char *name;
    struct discovery *discovery;
    struct group_traffic *traffic;
    bool used;                    /* by the configuration */
};

struct group_discovery {
    struct group_discovery_env env;
    struct sd_manager *manager;
    struct list groups;
};

static struct discovered_group *discovered_group_at(struct list *node)
{
    return CONTAINER(node, struct discovered_group, node);
}

static struct discovered_group *discovered_group_find(struct group_discovery *d, struct str name)
{
    for (struct list *node = d->groups.next; node != &d->groups; node = node->next)
        if (str_is(name, discovered_group_at(node)->name))
            return discovered_group_at(node);
    return NULL;
}

static void discovered_group_show(struct discovered_group *g)
{
    struct sd_status status = discovery_status(g->discovery);
    atomic_store(&g->traffic->sd_failing, (unsigned)(status.failing + status.hung + status.unanswered));
    sd_status_free(&status);
}

static struct discovered_group *discovered_group_add(struct group_discovery *d, struct str name)
{
    struct discovered_group *g = mem_zalloc(sizeof *g);
    g->name = str_dup(name);
    g->discovery = discovery_new(d->manager, (struct sd_owner){"group", name});
    g->traffic = group_traffic_get(d->env.registry, name);
    list_push_back(&d->groups, &g->node);
    return g;
}

static void discovered_group_free(struct group_discovery *d, struct discovered_group *g)
{
    list_remove(&g->node);
    atomic_store(&g->traffic->sd_failing, 0);
    group_traffic_put(d->env.registry, g->traffic);
    discovery_free(g->discovery);
    mem_free(g->name);
    mem_free(g);
}

/* ---- news ---- */

static void group_discovery_on_news(void *arg)
{
    struct group_discovery *d = arg;
    bool news = false, found = false;
    for (struct list *node = d->groups.next; node != &d->groups; node = node->next) {
        enum sd_change change;
        if (!discovery_take_news(discovered_group_at(node)->discovery, &change))
            continue;
        discovered_group_show(discovered_group_at(node));
        news = true;
        found = found || change != SD_UNCHANGED;
    }
    if (news)
        d->env.changed(d->env.arg, found);
}

struct group_discovered *group_discovery_find(struct group_discovery *d, const struct config *c)
{
    struct group_discovered *all = mem_zalloc((c->n_groups + 1) * sizeof *all);
    struct buf scratch = {0};
    for (size_t i = 0; i < c->n_groups; i++) {
        struct discovered_group *g = discovered_group_find(d, server_group_name(&c->groups[i], i, &scratch));
        struct buf problem = {0};
        if (sd_conf_empty(&c->groups[i].sd))
            continue;
        if (g) {
            all[i].found = discovery_list(g->discovery);
            discovery_explain(g->discovery, &problem);
        } else {
            buf_add_z(&problem, "its service discovery has only begun");
        }
        all[i].problem = str_of(str_dup(buf_str(&problem)));
        buf_free(&problem);
    }
    buf_free(&scratch);
    return all;
}

void group_discovered_free(struct group_discovered *found, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        sd_listing_free(&found[i].found);
        mem_free((char *)found[i].problem.p);
    }
    mem_free(found);
}

/* ---- configurations ---- */

static void discovered_groups_end_unused(struct group_discovery *d)
{
    for (struct list *node = d->groups.next, *next; node != &d->groups; node = next) {
        next = node->next;
        if (!discovered_group_at(node)->used)
            discovered_group_free(d, discovered_group_at(node));
    }
}

void group_discovery_use(struct group_discovery *d, const struct config *c)
{
    struct buf scratch = {0};
    for (struct list *node = d->groups.next; node != &d->groups; node = node->next)
        discovered_group_at(node)->used = false;
    for (size_t i = 0; i < c->n_groups; i++) {
        struct str name = server_group_name(&c->groups[i], i, &scratch);
        if (sd_conf_empty(&c->groups[i].sd))
            continue;
        struct discovered_group *g = discovered_group_find(d, name);
        if (g == NULL)
            g = discovered_group_add(d, name);
        g->used = true;
        discovery_set(g->discovery, &c->groups[i].sd);
    }
    buf_free(&scratch);
    discovered_groups_end_unused(d);
    sd_manager_start(d->manager);
}

bool group_discovery_ready(const struct group_discovery *d) { return sd_manager_ready(d->manager); }

void group_discovery_await(struct group_discovery *d, struct loop_task *task) { sd_manager_await(d->manager, task); }

void group_discovery_check(const struct config *c, void (*warn)(void *arg, const char *text), void *arg)
{
    struct sd_checked *checked = mem_zalloc((c->n_groups + 1) * sizeof *checked);
    struct group_discovered *found = mem_zalloc((c->n_groups + 1) * sizeof *found);
    struct err err;
    for (size_t i = 0; i < c->n_groups; i++) {
        discovery_check(&checked[i], &c->groups[i].sd, warn, arg);
        found[i].found = checked[i].listing;
    }
    struct upstream_env env = {.discovered = found, .recent_alone = c->n_groups == 0, .empty_groups = c->empty_groups,
                               .warn = warn, .warn_arg = arg};
    struct upstream *u = upstream_new(c->groups, c->n_groups, &env, &err);
    if (u)
        upstream_unref(u);
    else
        warn(arg, err.text);
    for (size_t i = 0; i < c->n_groups; i++)
        sd_checked_free(&checked[i]);
    mem_free(checked);
    mem_free(found);
}

/* ---- life ---- */

struct group_discovery *group_discovery_new(const struct group_discovery_env *env)
{
    struct group_discovery *d = mem_zalloc(sizeof *d);
    d->env = *env;
    d->manager = sd_manager_new(
        &(struct sd_manager_env){.main = env->main, .kube = env->kube, .news = group_discovery_on_news, .arg = d});
    list_init(&d->groups);
    return d;
}

void group_discovery_stop(struct group_discovery *d) { sd_manager_stop(d->manager); }

void group_discovery_free(struct group_discovery *d)
{
    while (!list_empty(&d->groups))
        discovered_group_free(d, discovered_group_at(d->groups.next));
    sd_manager_free(d->manager);
    mem_free(d);
}
