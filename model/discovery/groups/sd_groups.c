// SPDX-License-Identifier: Apache-2.0
#include "model/discovery/groups/sd_groups.h"

struct sd_groups *sd_groups_new(void)
{
    struct sd_groups *g = mem_zalloc(sizeof *g);
    refs_init(&g->_refs);
    arena_init(&g->arena, 0);
    return g;
}

struct sd_groups *sd_groups_view(struct sd_groups *whole, size_t n)
{
    struct sd_groups *g = sd_groups_new();
    g->whole = sd_groups_ref(whole);
    g->items = ARENA_ARRAY(&g->arena, struct static_group, n);
    g->n = n;
    return g;
}

struct sd_groups *sd_groups_ref(struct sd_groups *g)
{
    if (g)
        refs_take(&g->_refs);
    return g;
}

void sd_groups_unref(struct sd_groups *g)
{
    if (g == NULL || !refs_drop(&g->_refs))
        return;
    sd_groups_unref(g->whole);
    arena_free(&g->arena);
    mem_free(g);
}
