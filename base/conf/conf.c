// SPDX-License-Identifier: Apache-2.0
/* Loads a section from YAML.
 *
 * 1. Every row gets its default.
 * 2. Each key of the file is matched to its row and loaded over the default.
 * 3. Missing required keys are reported, and the section's own check runs.
 *
 * There is one function per family of types; each gets a `struct conf_position`, which knows the position for messages.
 */
#include "base/conf/conf.h"

#include "base/telemetry/log.h"

#include <stdarg.h>
#include <stdio.h>

enum { NAME_SIZE = 200 };

struct conf_position {
    struct conf_context *c;
    const struct conf_section *section;
    const struct conf_row *row;
    struct err *err;
};

static bool err_at(const struct yaml *node, struct err *err, struct buf *text)
{
    if (node)
        err_set(err, ERR_BAD_DATA, "%s:%u: %s", node->file, node->line, buf_z(text));
    else
        err_set(err, ERR_BAD_DATA, "%s", buf_z(text));
    buf_free(text);
    return false;
}

bool conf_err(const struct yaml *node, struct err *err, const char *format, ...)
{
    struct buf text = {0};
    va_list args;
    va_start(args, format);
    buf_vprintf(&text, format, args);
    va_end(args);
    return err_at(node, err, &text);
}

static const char *dot(const struct conf_section *s) { return s->name[0] ? "." : ""; }
static const char *colon(const struct conf_section *s) { return s->name[0] ? ": " : ""; }

static bool PRINTF(3, 4) conf_fail(const struct conf_position *at, const struct yaml *node, const char *format, ...)
{
    struct buf text = {0};
    va_list args;
    buf_printf(&text, "%s%s%s: ", at->section->name, dot(at->section), at->row->name);
    va_start(args, format);
    buf_vprintf(&text, format, args);
    va_end(args);
    return err_at(node, at->err, &text);
}

static bool conf_fail_memory(const struct conf_position *at)
{
    return err_set(at->err, ERR_LIMIT, "%s: the configuration exceeds its memory limit", at->c->file);
}

static void PRINTF(3, 4) conf_warn(struct conf_context *c, const struct yaml *node, const char *format, ...)
{
    if (c->warn == NULL)
        return;
    struct buf text = {0};
    va_list args;
    buf_printf(&text, "%s:%u: ", node->file, node->line);
    va_start(args, format);
    buf_vprintf(&text, format, args);
    va_end(args);
    c->warn(c->warn_arg, buf_z(&text));
    buf_free(&text);
}

static const char *const conf_kind_names[] = {
    [YAML_NULL] = "nothing", [YAML_SCALAR] = "a single value", [YAML_LIST] = "a list", [YAML_MAP] = "a mapping"};
static const char *const conf_expected_names[] = {
    [CONF_STRING] = "a string", [CONF_SECRET] = "a string", [CONF_URL] = "a URL", [CONF_FILE] = "a file name",
    [CONF_BOOL] = "true or false", [CONF_INT] = "a whole number", [CONF_FLOAT] = "a number",
    [CONF_DURATION] = "a duration", [CONF_DURATION_AUTO] = "a duration or auto", [CONF_SIZE] = "a size",
    [CONF_ENUM] = "a word",
    [CONF_STRINGS] = "a list of strings", [CONF_ADDRESSES] = "a list of addresses",
    [CONF_FILES] = "a list of file names",
    [CONF_HEADERS] = "a list of strings or a mapping of names to values", [CONF_MAP] = "a mapping of strings",
    [CONF_MULTIMAP] = "a mapping of lists of strings", [CONF_SECTION] = "a mapping", [CONF_OPTIONAL] = "a mapping",
    [CONF_SECTIONS] = "a list of mappings"};

static bool fail_kind(const struct conf_position *at, const struct yaml *node)
{
    return conf_fail(at, node, "expected %s, got %s", conf_expected_names[at->row->type], conf_kind_names[node->kind]);
}

/* "global.scrape_interval": the key's name in messages. */
static const char *name_of(const struct conf_position *at, char *text, size_t size)
{
    snprintf(text, size, "%s%s%s", at->section->name, dot(at->section), at->row->name);
    return text;
}

static bool load_scalar(const struct conf_position *at, const struct yaml *node, void *field)
{
    struct err why;
    char name[NAME_SIZE];
    if (node->kind != YAML_SCALAR)
        return fail_kind(at, node);
    if (!conf_scalar(at->c, at->row, node->text, field, &why))
        return conf_fail(at, node, "%s", why.text);
    if (at->row->type == CONF_FILE)
        conf_check_readable(at->c, node, name_of(at, name, sizeof name), *(const struct str *)field);
    return true;
}

/* A string of a list or mapping; null is the empty string. */
static bool load_text(const struct conf_position *at, const struct yaml *node, struct str *to)
{
    if (node->kind != YAML_SCALAR && node->kind != YAML_NULL)
        return fail_kind(at, node);
    struct str text = node->kind == YAML_NULL ? STR("") : node->text;
    char *copy = arena_z(at->c->arena, text);
    *to = str_n(copy, text.n);
    return copy != NULL || conf_fail_memory(at);
}

static bool load_strings(const struct conf_position *at, const struct yaml *node, struct str_list *list)
{
    bool one = node->kind == YAML_SCALAR;
    if (!one && node->kind != YAML_LIST && node->kind != YAML_NULL)
        return fail_kind(at, node);
    size_t n = one ? 1 : node->n;
    *list = (struct str_list){ARENA_ARRAY(at->c->arena, struct str, n), n};
    if (list->items == NULL)
        return conf_fail_memory(at);
    for (size_t i = 0; i < n; i++)
        if (!load_text(at, one ? node : &node->items[i], &list->items[i]))
            return false;
    return true;
}

static bool load_files(const struct conf_position *at, const struct yaml *node, struct str_list *list)
{
    static const struct conf_row file = {.type = CONF_FILE, .name = "file"};
    char name[NAME_SIZE];
    struct err why;
    if (!load_strings(at, node, list))
        return false;
    for (size_t i = 0; i < list->n; i++) {
        if (!conf_scalar(at->c, &file, list->items[i], &list->items[i], &why))
            return conf_fail(at, node, "%s", why.text);
        conf_check_pattern(at->c, node, name_of(at, name, sizeof name), list->items[i]);
    }
    return true;
}

/* Prometheus has a mapping, vmagent a list of "Name: value". */
static bool load_headers(const struct conf_position *at, const struct yaml *node, struct str_list *list)
{
    if (node->kind != YAML_MAP)
        return load_strings(at, node, list);
    *list = (struct str_list){ARENA_ARRAY(at->c->arena, struct str, node->n), node->n};
    if (list->items == NULL)
        return conf_fail_memory(at);
    for (size_t i = 0; i < node->n; i++) {
        struct str value;
        if (!load_text(at, &node->items[i], &value))
            return false;
        list->items[i] = arena_printf(at->c->arena, "%.*s: %.*s", STR_ARG(node->keys[i].text), STR_ARG(value));
        if (list->items[i].p == NULL)
            return conf_fail_memory(at);
    }
    return true;
}

static bool load_keys(const struct conf_position *at, const struct yaml *node, struct str **keys)
{
    if (node->kind != YAML_MAP)
        return fail_kind(at, node);
    *keys = ARENA_ARRAY(at->c->arena, struct str, node->n);
    if (*keys == NULL)
        return conf_fail_memory(at);
    for (size_t i = 0; i < node->n; i++)
        if (!load_text(at, &node->keys[i], &(*keys)[i]))
            return false;
    return true;
}

static bool load_map(const struct conf_position *at, const struct yaml *node, struct str_map *map)
{
    *map = (struct str_map){0};
    if (!load_keys(at, node, &map->keys))
        return false;
    map->n = node->n;
    map->values = ARENA_ARRAY(at->c->arena, struct str, node->n);
    if (map->values == NULL)
        return conf_fail_memory(at);
    for (size_t i = 0; i < node->n; i++)
        if (!load_text(at, &node->items[i], &map->values[i]))
            return false;
    return true;
}

static bool load_multimap(const struct conf_position *at, const struct yaml *node, struct multimap *map)
{
    *map = (struct multimap){0};
    if (!load_keys(at, node, &map->keys))
        return false;
    map->n = node->n;
    map->values = ARENA_ARRAY(at->c->arena, struct str_list, node->n);
    if (map->values == NULL)
        return conf_fail_memory(at);
    for (size_t i = 0; i < node->n; i++)
        if (!load_strings(at, &node->items[i], &map->values[i]))
            return false;
    return true;
}

static bool load_optional(const struct conf_position *at, const struct yaml *node, void *field)
{
    void *section = arena_zalloc(at->c->arena, at->row->section->size);
    if (section == NULL)
        return conf_fail_memory(at);
    memcpy(field, &section, sizeof section);
    return conf_load(at->c, at->row->section, node, section, at->err);
}

static bool load_sections(const struct conf_position *at, const struct yaml *node, struct conf_items *items)
{
    const struct conf_section *s = at->row->section;
    if (node->kind != YAML_LIST)
        return fail_kind(at, node);
    *items = (struct conf_items){arena_array(at->c->arena, node->n, s->size), node->n};
    if (items->items == NULL)
        return conf_fail_memory(at);
    bool ok = true;
    for (size_t i = 0; i < node->n; i++) {
        size_t before = conf_error_count(at->c);
        const struct yaml *item = &node->items[i];
        if (item->kind == YAML_NULL ? !fail_kind(at, item)
                                    : !conf_load(at->c, s, item, (char *)items->items + i * s->size, at->err)) {
            ok = false;
            if (!conf_errors_continue(at->c, before, at->err))
                break;
        }
    }
    return ok;
}

/* false, 0, an empty list: the key is present without effect. */
static bool conf_takes_no_value(const struct yaml *node)
{
    if (node->kind != YAML_SCALAR)
        return node->n == 0;
    return node->text.n == 0 || str_is(node->text, "false") || str_is(node->text, "0");
}

static bool load_inert(const struct conf_position *at, const struct yaml *node)
{
    const struct conf_row *row = at->row;
    char name[NAME_SIZE];
    name_of(at, name, sizeof name);
    bool guards = row->type == CONF_GUARD || row->type == CONF_LATER;
    if (row->type == CONF_IGNORED || (guards && conf_takes_no_value(node))) {
        log_debug("config", "key has no effect; ignored", "key", name);
        return true;
    }
    if (!conf_accepts_inert(at->c->accept_inert, at->section->name, row->name)) {
        if (row->type == CONF_GUARD)
            return conf_err(node, at->err, "%s is not supported yet: %s; remove it, or set --accept-inert=%s to run "
                                           "without it", name, row->help, row->name);
        if (at->c->strict)
            return conf_err(node, at->err, "%s is %s, an error with --strict: %s; remove the key or --strict", name,
                            row->type == CONF_LATER ? "not supported yet" : "ignored", row->help);
    }
    if (row->type == CONF_LATER && at->c->later)
        at->c->later(at->c->warn_arg, node, name);
    else
        conf_warn(at->c, node, "%s is ignored: %s", name, row->help);
    if (at->c->ignored)
        at->c->ignored(at->c->warn_arg, name);
    return true;
}

static bool is_inert(enum conf_type t)
{
    return t == CONF_GUARD || t == CONF_LATER || t == CONF_ACCEPTED || t == CONF_IGNORED;
}

static bool load_field(const struct conf_position *at, const struct yaml *node, void *field)
{
    switch (at->row->type) {
    case CONF_STRINGS:
    case CONF_ADDRESSES: return load_strings(at, node, field);
    case CONF_FILES: return load_files(at, node, field);
    case CONF_HEADERS: return load_headers(at, node, field);
    case CONF_MAP: return load_map(at, node, field);
    case CONF_MULTIMAP: return load_multimap(at, node, field);
    case CONF_SECTION: return conf_load(at->c, at->row->section, node, field, at->err);
    case CONF_OPTIONAL: return load_optional(at, node, field);
    case CONF_SECTIONS: return load_sections(at, node, field);
    case CONF_CUSTOM: return at->row->custom(at->c, node, field, at->err);
    case CONF_YAML: memcpy(field, &node, sizeof node); return true;
    case CONF_GUARD:
    case CONF_LATER:
    case CONF_ACCEPTED:
    case CONF_IGNORED: return load_inert(at, node);
    case CONF_END: return true;
    default: return load_scalar(at, node, field);
    }
}

static bool is_scalar(enum conf_type t) { return t >= CONF_STRING && t <= CONF_ENUM; }

/* A default of a list or mapping is YAML; that of a scalar is its text, so that it needs no quotes. */
static bool load_preset(const struct conf_position *at, void *field)
{
    struct err why;
    struct str text = str_of(at->row->preset);
    if (is_scalar(at->row->type)) {
        if (!conf_scalar(at->c, at->row, text, field, &why))
            return conf_fail(at, NULL, "invalid default: %s", why.text);
        return true;
    }
    const struct yaml *node = yaml_parse(at->c->arena, text, "default", at->err);
    return node && load_field(at, node, field);
}

bool conf_defaults(struct conf_context *c, const struct conf_section *s, void *value, struct err *err)
{
    memset(value, 0, s->size);
    for (const struct conf_row *row = s->rows; row->type != CONF_END; row++) {
        struct conf_position at = {c, s, row, err};
        char *field = (char *)value + row->offset;
        if (row->type == CONF_SECTION && !conf_defaults(c, row->section, field, err))
            return false;
        if (row->preset && !is_inert(row->type) && !load_preset(&at, field))
            return false;
    }
    return true;
}

const struct conf_row *conf_find_row(const struct conf_section *s, struct str key)
{
    for (const struct conf_row *row = s->rows; row->type != CONF_END; row++)
        if (str_is(key, row->name) || (row->alias && str_is(key, row->alias)))
            return row;
    return NULL;
}

/* The known key closest to a misspelt one: at most a third of the letters differ. */
static const char *nearest(const struct conf_section *s, struct str key)
{
    const char *best = NULL;
    unsigned least = (unsigned)key.n / 3 + 2;
    for (const struct conf_row *row = s->rows; row->type != CONF_END; row++) {
        unsigned d = str_distance(key, str_of(row->name));
        if (d < least) {
            least = d;
            best = row->name;
        }
    }
    return best;
}

static bool unknown_key(struct conf_context *c, const struct conf_section *s, const struct yaml *key, struct err *err)
{
    const char *known = nearest(s, key->text);
    struct buf hint = {0};
    if (known)
        buf_printf(&hint, "; did you mean \"%s\"?", known);
    if (c->lenient_keys)
        conf_warn(c, key, "%s%sunknown key \"%s\" is ignored%s", s->name, colon(s), key->text.p, buf_z(&hint));
    else
        conf_err(key, err, "%s%sunknown key \"%s\"%s", s->name, colon(s), key->text.p, buf_z(&hint));
    buf_free(&hint);
    return c->lenient_keys;
}

static bool load_key(struct conf_context *c, const struct conf_section *s, const struct yaml *node, size_t i,
                     void *value, struct err *err)
{
    const struct yaml *key = &node->keys[i], *item = &node->items[i];
    const struct conf_row *row = conf_find_row(s, key->text);
    if (row == NULL)
        return unknown_key(c, s, key, err);
    struct conf_position at = {c, s, row, err};
    if (row->alias && str_is(key->text, row->alias) && yaml_get(node, row->name))
        return conf_fail(&at, key, "duplicate key: \"%s\" is an alias of it; keep one of them", row->alias);
    if (item->kind == YAML_NULL && row->type != CONF_ACCEPTED)
        return true;
    return load_field(&at, item, (char *)value + row->offset);
}

static bool conf_row_is_set(const struct yaml *node, const char *name)
{
    const struct yaml *item = name ? yaml_get(node, name) : NULL;
    return item && item->kind != YAML_NULL;
}

static bool check_required(struct conf_context *c, const struct conf_section *s, const struct yaml *node,
                           struct err *err)
{
    bool ok = true;
    for (const struct conf_row *row = s->rows; row->type != CONF_END; row++) {
        if (!row->required || conf_row_is_set(node, row->name) || conf_row_is_set(node, row->alias))
            continue;
        size_t before = conf_error_count(c);
        ok = conf_err(node, err, "%s%smissing required key \"%s\"", s->name, colon(s), row->name);
        if (!conf_errors_continue(c, before, err))
            break;
    }
    return ok;
}

bool conf_load(struct conf_context *c, const struct conf_section *s, const struct yaml *node, void *value,
               struct err *err)
{
    if (!conf_defaults(c, s, value, err))
        return false;
    if (node == NULL || node->kind == YAML_NULL)
        return true;
    if (node->kind != YAML_MAP)
        return conf_err(node, err, "%s%sexpected a mapping, got %s", s->name, colon(s), conf_kind_names[node->kind]);
    bool ok = true;
    for (size_t i = 0; i < node->n; i++) {
        size_t before = conf_error_count(c);
        if (load_key(c, s, node, i, value, err))
            continue;
        ok = false;
        if (!conf_errors_continue(c, before, err))
            return false;
    }
    return check_required(c, s, node, err) && ok && (s->check == NULL || s->check(c, node, value, err));
}
