// SPDX-License-Identifier: Apache-2.0
#include "gateway/upstream/source.h"

#include "base/map.h"
#include "writer/writer.h"

enum { MAX_RESPONSE = 1 << 30 };

static bool check_name(const struct server_group_conf *groups, size_t i, struct err *err)
{
    for (size_t k = 0; k < i; k++)
        if (groups[i].name.n > 0 && str_eq(groups[i].name, groups[k].name))
            return conf_duplicate(NULL, "server_groups", "name", groups[i].name, err);
    return true;
}

static bool is_written_by(const struct server_group_conf *group, struct str destination)
{
    for (size_t i = 0; destination.n > 0 && i < group->written_by.n; i++)
        if (str_eq(group->written_by.items[i], destination))
            return true;
    return false;
}

/* Two shards of a group may be on one server, whose metrics are exposed once. */
static void upstream_show_traffic_once(struct upstream *u)
{
    struct map shown = {0};
    for (size_t g = 0; g < u->groups.n; g++)
        for (size_t i = 0; i < u->groups.items[g].n_servers; i++) {
            struct server *s = u->groups.items[g].servers[i];
            map_add(&shown, (struct str){(const char *)&s->traffic, sizeof s->traffic}, &s->shows_traffic);
        }
    map_free(&shown);
}

/* Borrows nothing from the configuration: texts of groups are copied. */
struct upstream *upstream_new(const struct server_group_conf *groups, size_t n, const struct upstream_env *env,
                              struct err *err)
{
    struct upstream *u = mem_zalloc(sizeof *u);
    u->source.ops = env->recent_alone ? &upstream_local_ops : &upstream_source_ops;
    u->source.united = !env->recent_alone;
    refs_init(&u->refs);
    arena_init(&u->arena, 0);
    u->env = *env;
    u->env.recent_like = arena_str(&u->arena, env->recent_like);
    u->env.placement = env->placement ? writer_placement_ref(env->placement) : NULL;
    if (env->registry == NULL)
        u->env.registry = u->own_registry = server_registry_new();
    if (env->coverage == NULL)
        u->env.coverage = u->own_coverage = coverage_registry_new();
    u->env.max_response = env->max_response ? env->max_response : MAX_RESPONSE;
    for (size_t i = 0; i < n; i++) {
        size_t first = u->groups.n;
        if (!check_name(groups, i, err) || !groups_add(&u->groups, &u->arena, &groups[i], i, &u->env, err)) {
            upstream_unref(u);
            return NULL;
        }
        bool recent = env->recent_get && is_written_by(&groups[i], env->recent_like);
        for (size_t k = first; k < u->groups.n; k++)
            u->groups.items[k].recent = recent;
    }
    u->env.discovered = NULL; /* the caller's */
    u->env.backups = NULL;
    upstream_show_traffic_once(u);
    return u;
}

bool upstream_lacks_servers(const struct upstream *u)
{
    for (size_t i = 0; i < u->groups.n; i++)
        if (u->groups.items[i].n_servers == 0)
            return true;
    return false;
}

void upstream_adopt(struct upstream *u, struct upstream *previous)
{
    for (size_t i = 0; i < u->groups.n; i++)
        for (size_t k = 0; k < previous->groups.n; k++)
            copies_memory_adopt(u->groups.items[i].copies, previous->groups.items[k].copies);
}

int64_t upstream_placed_since(const struct upstream *previous, const struct placement *placement, int64_t now)
{
    bool same = previous && previous->env.placement && placement &&
                writer_placement_equal(previous->env.placement, placement);
    return same ? previous->env.placed_since : now;
}

struct upstream *upstream_ref(struct upstream *u)
{
    refs_take(&u->refs);
    return u;
}

void upstream_unref(struct upstream *u)
{
    if (u == NULL || !refs_drop(&u->refs))
        return;
    groups_free(&u->groups);
    if (u->own_registry)
        server_registry_free(u->own_registry);
    if (u->own_coverage)
        coverage_registry_free(u->own_coverage);
    writer_placement_unref(u->env.placement);
    arena_free(&u->arena);
    mem_free(u);
}

struct source *upstream_source(struct upstream *u) { return &u->source; }

void upstream_status(struct upstream *u, struct arena *a, struct server_status **out, size_t *n)
{
    size_t cap = 0;
    *out = NULL;
    *n = 0;
    for (size_t g = 0; g < u->groups.n; g++)
        for (size_t i = 0; i < u->groups.items[g].n_servers; i++) {
            arena_grow(a, out, &cap, *n + 1, sizeof **out);
            server_show(u->groups.items[g].servers[i], a, &(*out)[(*n)++]);
        }
}
