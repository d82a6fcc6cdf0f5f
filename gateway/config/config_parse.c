// SPDX-License-Identifier: Apache-2.0
/* Files of the configuration as YAML and as lists of a section. */
#include "base/text/url.h"
#include "gateway/config/config_file.h"
#include "gateway/config/dialect.h"
#include "gateway/config/environment.h"

#include <string.h>

static unsigned config_line_of(struct str text, const char *at)
{
    return 1 + (unsigned)str_count(str_first(text, (size_t)(at - text.p)), '\n');
}

static bool config_expand_environment(const char *path, struct str text, struct buf *out, struct err *err)
{
    struct str missing;
    return environment_fill(text, out, &missing)
           || err_set(err, ERR_BAD_DATA, "%s:%u: environment variable %.*s is not set", path,
                      config_line_of(text, missing.p), STR_ARG(missing));
}

/* Relative paths in a file start from its directory, those in the text of a URL from the working directory; errors show
 * the path as the user wrote it. */
const struct yaml *config_parse_yaml(struct loader *l, const char *path, struct str text)
{
    struct buf expanded = {0};
    struct yaml *y = NULL;
    const char *name = config_shown_path(l, path), *slash = url_is_http(str_of(path)) ? NULL : strrchr(name, '/');
    l->conf.file = name;
    l->conf.dir = slash ? str_n(name, slash == name ? 1 : (size_t)(slash - name)) : STR_NONE;
    struct buf dollars = {0};
    if (l->flags->expand_file) {
        environment_expand_file(text, &dollars);
        text = buf_str(&dollars);
    }
    bool environment = dialects[l->flags->dialect].environment;
    if (!environment || config_expand_environment(name, text, &expanded, l->err))
        y = yaml_parse(l->conf.arena, environment ? buf_str(&expanded) : text, name, l->err);
    if (y && environment && l->flags->keep_references)
        environment_note_references(l->conf.arena, y, text);
    buf_free(&expanded);
    buf_free(&dollars);
    return y;
}

/* Replaces a mapping whose only key is `key` by the key's value. */
static bool config_unwrap_key(struct loader *l, const char *key, const struct yaml **node)
{
    const struct yaml *map = *node;
    for (size_t i = 0; i < map->n; i++)
        if (!str_is(map->keys[i].text, key))
            return conf_err(&map->keys[i], l->err, "unknown key \"%.*s\": expected a list, or a mapping with the key "
                            "\"%s\"", STR_ARG(map->keys[i].text), key);
    static const struct yaml nothing = {.kind = YAML_NULL};
    *node = map->n > 0 ? &map->items[0] : &nothing;
    return true;
}

bool config_parse_list(struct loader *l, const char *path, struct str text, const struct conf_section *section,
                       const char *key, struct conf_items *items, const struct yaml **node)
{
    const struct conf_context before = l->conf;
    const struct yaml *list = config_parse_yaml(l, path, text);
    bool ok = list != NULL;
    if (ok && key && list->kind == YAML_MAP)
        ok = config_unwrap_key(l, key, &list);
    if (ok && list->kind != YAML_LIST && list->kind != YAML_NULL)
        ok = conf_err(list, l->err, "expected a list of %s", section->name);
    if (ok) {
        *items = (struct conf_items){arena_array(l->conf.arena, list->n + 1, section->size), list->n};
        for (size_t i = 0; i < list->n; i++) {
            size_t errors = conf_error_count(&l->conf);
            void *item = (char *)items->items + i * section->size;
            if (conf_load(&l->conf, section, &list->items[i], item, l->err))
                continue;
            ok = false;
            if (!conf_errors_continue(&l->conf, errors, l->err))
                break;
        }
    }
    if (node)
        *node = list;
    l->conf = before;
    return ok;
}

bool config_load_list(struct loader *l, const char *path, const struct conf_section *section, struct conf_items *items,
                      bool *hangs, const struct yaml **node)
{
    struct buf text = {0};
    enum config_read read = config_read_optional(l, path, &text);
    *hangs = read == CONFIG_READ_HANGS;
    if (*hangs) {
        l->config->incomplete = true;
        return true;
    }
    bool ok = read == CONFIG_READ_OK && config_parse_list(l, path, buf_str(&text), section, NULL, items, node);
    buf_free(&text);
    return ok;
}
