// SPDX-License-Identifier: Apache-2.0
#include "gateway/agent/instance_text.h"

#include "base/text/url.h"
#include "gateway/agent/agent_conf.h"

static void instance_put(struct yaml *map, const char *key, struct str text)
{
    map->keys[map->n] = (struct yaml){.kind = YAML_SCALAR, .text = str_of(key)};
    map->items[map->n++] = (struct yaml){.kind = YAML_SCALAR, .text = text};
}

/* A copy with `name` first, and place for `more` further keys. */
static struct yaml instance_named(struct arena *a, struct str name, const struct yaml *node, size_t more)
{
    struct yaml copy = {.kind = YAML_MAP, .keys = arena_array(a, node->n + 1 + more, sizeof *copy.keys),
                        .items = arena_array(a, node->n + 1 + more, sizeof *copy.items)};
    instance_put(&copy, "name", name);
    copy.items[0].quoted = true;
    for (size_t i = 0; node->kind == YAML_MAP && i < node->n; i++)
        if (!str_is(node->keys[i].text, "name")) {
            copy.keys[copy.n] = node->keys[i];
            copy.items[copy.n++] = node->items[i];
        }
    return copy;
}

void instance_write(struct arena *a, struct str name, const struct yaml *node, struct buf *out)
{
    struct yaml named = instance_named(a, name, node, 0);
    yaml_write(out, &named);
}

/* ---- secrets ---- */

/* Sections that sluice does not read have secrets, too. */
static bool instance_sounds_secret(struct str key)
{
    static const char *const words[] = {"password", "secret", "token", "credentials", "key"};
    if (str_ends(key, STR("_file")) || str_ends(key, STR("_url")))
        return false;
    for (size_t i = 0; i < LEN(words); i++)
        if (str_find_str(key, str_of(words[i])) < key.n)
            return true;
    return false;
}

static struct yaml instance_masked(struct arena *a, const struct conf_section *s, const struct yaml *node);

static struct yaml instance_mask_all(struct arena *a, const struct yaml *value)
{
    struct yaml masked = *value;
    masked.items = arena_array(a, value->n + 1, sizeof *masked.items);
    for (size_t i = 0; i < value->n; i++)
        masked.items[i] = instance_mask_all(a, &value->items[i]);
    if (value->kind == YAML_SCALAR && value->text.n > 0)
        masked = (struct yaml){.kind = YAML_SCALAR, .text = STR("<secret>")};
    return masked;
}

static struct yaml instance_mask_url(struct arena *a, const struct yaml *value)
{
    struct yaml masked = *value;
    struct buf shown = {0};
    if (value->kind == YAML_SCALAR) {
        url_redact(&shown, value->text);
        masked.text = arena_str(a, buf_str(&shown));
    }
    buf_free(&shown);
    return masked;
}

static struct yaml instance_mask_value(struct arena *a, const struct conf_row *row, struct str key,
                                       const struct yaml *value)
{
    bool inert = row == NULL || row->type == CONF_LATER || row->type == CONF_ACCEPTED || row->type == CONF_IGNORED ||
                 row->type == CONF_GUARD;
    if (inert && value->kind != YAML_MAP && value->kind != YAML_LIST)
        return instance_sounds_secret(key) ? instance_mask_all(a, value) : *value;
    if (inert)
        return instance_masked(a, NULL, value);
    if (row->type == CONF_SECRET || row->type == CONF_HEADERS || strcmp(row->name, "http_headers") == 0 ||
        strcmp(row->name, "proxy_connect_header") == 0)
        return instance_mask_all(a, value);
    if (row->type == CONF_URL)
        return instance_mask_url(a, value);
    return row->section ? instance_masked(a, row->section, value) : *value;
}

static struct yaml instance_masked(struct arena *a, const struct conf_section *s, const struct yaml *node)
{
    struct yaml masked = *node;
    masked.items = arena_array(a, node->n + 1, sizeof *masked.items);
    for (size_t i = 0; i < node->n; i++) {
        struct str key = node->kind == YAML_MAP ? node->keys[i].text : STR_NONE;
        masked.items[i] = node->kind == YAML_LIST ? instance_masked(a, s, &node->items[i])
                          : instance_mask_value(a, s ? conf_find_row(s, key) : NULL, key, &node->items[i]);
    }
    return masked;
}

void instance_show(struct arena *a, struct str name, const struct yaml *node, struct buf *out)
{
    static const char *const defaults[][2] = {{"wal_truncate_frequency", "1h0m0s"}, {"min_wal_time", "5m0s"},
                                              {"max_wal_time", "4h0m0s"}, {"remote_flush_deadline", "1m0s"}};
    struct yaml named = instance_named(a, name, node, LEN(defaults));
    for (size_t i = 0; i < LEN(defaults); i++)
        if (yaml_get(&named, defaults[i][0]) == NULL)
            instance_put(&named, defaults[i][0], str_of(defaults[i][1]));
    struct yaml masked = instance_masked(a, &instance_section, &named);
    yaml_write(out, &masked);
}
