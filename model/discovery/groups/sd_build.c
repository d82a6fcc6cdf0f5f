// SPDX-License-Identifier: Apache-2.0
#include "model/discovery/groups/sd_build.h"

void sd_build_start(struct sd_build *b) { *b = (struct sd_build){.groups = sd_groups_new()}; }

struct arena *sd_build_arena(struct sd_build *b) { return &b->groups->arena; }

void sd_build_drop(struct sd_build *b)
{
    sd_groups_unref(b->groups);
    b->groups = NULL;
}

bool sd_build_is_full(struct sd_build *b)
{
    struct sd_groups *g = b->groups;
    g->too_large = g->too_large || arena_over(&g->arena, SD_GROUPS_MAX);
    return g->too_large;
}

void sd_build_target(struct sd_build *b, struct str address)
{
    struct sd_groups *g = b->groups;
    if (sd_build_is_full(b))
        return;
    arena_grow(&g->arena, &g->items, &b->cap, g->n + 1, sizeof *g->items);
    struct static_group *target = &g->items[g->n++];
    *target = (struct static_group){.targets = {ARENA_NEW(&g->arena, struct str), 1}};
    target->targets.items[0] = arena_str(&g->arena, address);
    b->keys_cap = b->values_cap = 0;
}

void sd_build_label(struct sd_build *b, const char *name, struct str value)
{
    struct sd_groups *g = b->groups;
    struct str_map *labels = &g->items[g->n - 1].labels;
    if (value.n == 0 || sd_build_is_full(b))
        return;
    arena_grow(&g->arena, &labels->keys, &b->keys_cap, labels->n + 1, sizeof *labels->keys);
    arena_grow(&g->arena, &labels->values, &b->values_cap, labels->n + 1, sizeof *labels->values);
    labels->keys[labels->n] = arena_str(&g->arena, str_of(name));
    labels->values[labels->n++] = arena_str(&g->arena, value);
}

static bool in_label_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

void sd_build_label_of(struct sd_build *b, const char *prefix, struct str key, struct str value)
{
    struct buf name = {0};
    buf_add_z(&name, prefix);
    for (size_t i = 0; i < key.n; i++)
        buf_add_char(&name, in_label_name(key.p[i]) ? key.p[i] : '_');
    sd_build_label(b, buf_z(&name), value);
    buf_free(&name);
}

void sd_build_labels(struct sd_build *b, const char *prefix, const struct json_value *object)
{
    for (const struct json_value *v = json_value_items(object); v; v = v->next)
        sd_build_label_of(b, prefix, v->key, json_value_text(v));
}

void sd_build_present(struct sd_build *b, const char *prefix, const struct json_value *object)
{
    for (const struct json_value *v = json_value_items(object); v; v = v->next)
        sd_build_label_of(b, prefix, v->key, STR("true"));
}

struct str sd_build_address(struct sd_build *b, struct str host, unsigned port)
{
    bool six = str_find(host, ':') < host.n;
    return arena_printf(sd_build_arena(b), "%s%.*s%s:%u", six ? "[" : "", STR_ARG(host), six ? "]" : "", port);
}
