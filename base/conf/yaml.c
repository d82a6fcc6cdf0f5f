// SPDX-License-Identifier: Apache-2.0
/* Builds a tree from libyaml's events by recursive descent: one function per kind of node, called with the event that
 * begins it.
 *
 * An anchored node is stored with its weight (the number of nodes it expands to) and its height. An alias shares the
 * node, so it costs no memory, but its weight counts towards the limit of nodes, since code that walks the tree
 * visits every copy. An anchor is defined only when its node is complete, so no node can contain itself.
 */
#include "base/conf/yaml.h"

#include "base/map.h"

#include <yaml.h>

enum { TEXT_MAX = 32 << 20, DEPTH_MAX = 64, NODES_MAX = 1000000 };

struct anchor { struct yaml node; size_t weight; unsigned height; };

struct yaml_parser {
    yaml_parser_t events;
    struct arena *arena;
    const char *file;
    struct str text;
    struct err *err;
    size_t nodes;   /* so far, aliases expanded */
    unsigned depth;
    struct map anchors; /* the latest of each name; keys and struct anchor in the arena */
};

static bool fail_at(struct yaml_parser *p, unsigned line, const char *what)
{
    return err_set(p->err, ERR_BAD_DATA, "%s:%u: %s", p->file, line, what);
}

static bool yaml_fail_memory(struct yaml_parser *p)
{
    return err_set(p->err, ERR_LIMIT, "%s: the file exceeds the memory limit of %zu bytes", p->file,
                   p->arena->max);
}

static bool fail_limit(struct yaml_parser *p, unsigned line, const char *what, unsigned limit)
{
    return err_set(p->err, ERR_BAD_DATA, "%s:%u: %s (limit %u)", p->file, line, what, limit);
}

static unsigned yaml_mark_line(yaml_mark_t mark) { return (unsigned)mark.line + 1; }

/* libyaml reports encoding errors by offset and syntax errors by line. */
static bool fail_syntax(struct yaml_parser *p)
{
    const yaml_parser_t *e = &p->events;
    unsigned line = yaml_mark_line(e->problem_mark);
    if (e->error == YAML_READER_ERROR)
        line = 1 + (unsigned)str_count(str_first(p->text, e->problem_offset), '\n');
    return err_set(p->err, ERR_BAD_DATA, "%s:%u: %s%s%s", p->file, line, e->problem ? e->problem : "not YAML",
                   e->context ? " " : "", e->context ? e->context : "");
}

static bool next_event(struct yaml_parser *p, yaml_event_t *e)
{
    return yaml_parser_parse(&p->events, e) || fail_syntax(p);
}

static bool count_nodes(struct yaml_parser *p, unsigned line, size_t n)
{
    p->nodes += n;
    return p->nodes <= NODES_MAX || fail_limit(p, line, "too many nodes, aliases expanded", NODES_MAX);
}

/* Makes space for one more element after n; false when the arena's budget is exceeded. */
static bool yaml_grow(struct yaml_parser *p, void *items, size_t *cap, size_t n, size_t size)
{
    arena_grow(p->arena, items, cap, n + 1, size);
    return *cap > n || yaml_fail_memory(p);
}

static bool is_null_word(struct str s)
{
    return s.n == 0 || str_is(s, "~") || str_is(s, "null") || str_is(s, "Null") || str_is(s, "NULL");
}

/* Only YAML's own tags; !!str makes any scalar a string. */
static bool read_tag(struct yaml_parser *p, const yaml_char_t *tag, struct yaml *y)
{
    struct str name = str_of((const char *)tag), core = STR("tag:yaml.org,2002:");
    if (name.n == 0 || str_is(name, "!"))
        return true;
    struct str kind = str_skip(name, core.n);
    static const char *const known[] = {"str", "int", "float", "bool", "null", "seq", "map"};
    for (size_t i = 0; str_starts(name, core) && i < LEN(known); i++)
        if (str_is(kind, known[i])) {
            y->quoted |= i == 0;
            return true;
        }
    return err_set(p->err, ERR_BAD_DATA, "%s:%u: unknown tag %s", p->file, y->line, (const char *)tag);
}

static bool read_scalar(struct yaml_parser *p, const yaml_event_t *e, struct yaml *out)
{
    struct str value = str_n(e->data.scalar.value, e->data.scalar.length);
    const char *text = arena_z(p->arena, value);
    if (text == NULL)
        return yaml_fail_memory(p);
    out->kind = YAML_SCALAR;
    out->quoted = e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    out->text = str_n(text, value.n);
    if (!read_tag(p, e->data.scalar.tag, out))
        return false;
    if (!out->quoted && is_null_word(out->text))
        out->kind = YAML_NULL;
    return true;
}

static bool read_node(struct yaml_parser *p, yaml_event_t *e, struct yaml *out);

static bool read_list(struct yaml_parser *p, const yaml_event_t *begin, struct yaml *out)
{
    size_t cap = 0;
    out->kind = YAML_LIST;
    if (!read_tag(p, begin->data.sequence_start.tag, out))
        return false;
    for (;;) {
        yaml_event_t e;
        if (!next_event(p, &e))
            return false;
        if (e.type == YAML_SEQUENCE_END_EVENT)
            return true;
        struct yaml item;
        if (!read_node(p, &e, &item) || !yaml_grow(p, &out->items, &cap, out->n, sizeof *out->items))
            return false;
        out->items[out->n++] = item;
    }
}

struct pairs {
    struct yaml *keys, *values;
    size_t n, keys_cap, values_cap;
    struct map lines;   /* key to its line */
    struct yaml merged; /* value of <<; YAML_NULL when absent */
};

static bool yaml_add_pair(struct yaml_parser *p, struct pairs *to, const struct yaml *key, const struct yaml *value)
{
    if (!yaml_grow(p, &to->keys, &to->keys_cap, to->n, sizeof *to->keys) ||
        !yaml_grow(p, &to->values, &to->values_cap, to->n, sizeof *to->values))
        return false;
    to->keys[to->n] = *key;
    to->values[to->n++] = *value;
    return true;
}

static bool yaml_read_pair(struct yaml_parser *p, yaml_event_t *e, struct pairs *to)
{
    struct yaml key, value;
    if (!read_node(p, e, &key))
        return false;
    if (key.kind == YAML_LIST || key.kind == YAML_MAP)
        return fail_at(p, key.line, "a key must be a scalar, not a list or a mapping");
    key.kind = YAML_SCALAR;
    yaml_event_t next;
    if (!next_event(p, &next) || !read_node(p, &next, &value))
        return false;
    value.line = key.line; /* the line of the key, where a reader looks: a block's first item is below it */
    bool added;
    struct map_entry *seen = map_add(&to->lines, key.text, &added);
    if (!added)
        return err_set(p->err, ERR_BAD_DATA, "%s:%u: duplicate key \"%s\", first set in line %u",
                       p->file, key.line, key.text.p, (unsigned)seen->value.u);
    seen->value.u = key.line;
    if (key.quoted || !str_is(key.text, "<<"))
        return yaml_add_pair(p, to, &key, &value);
    to->merged = value;
    return true;
}

/* Adds the keys of `from` that are not set yet. */
static bool merge_map(struct yaml_parser *p, struct pairs *to, const struct yaml *from)
{
    if (from->kind != YAML_MAP)
        return fail_at(p, from->line, "<< requires a mapping or a list of mappings");
    for (size_t i = 0; i < from->n; i++) {
        bool added;
        map_add(&to->lines, from->keys[i].text, &added);
        if (added && !yaml_add_pair(p, to, &from->keys[i], &from->items[i]))
            return false;
    }
    return true;
}

static bool merge(struct yaml_parser *p, struct pairs *to)
{
    if (to->merged.kind == YAML_NULL)
        return true;
    if (to->merged.kind != YAML_LIST)
        return merge_map(p, to, &to->merged);
    for (size_t i = 0; i < to->merged.n; i++)
        if (!merge_map(p, to, &to->merged.items[i]))
            return false;
    return true;
}

static bool read_pairs(struct yaml_parser *p, struct pairs *to)
{
    for (;;) {
        yaml_event_t e;
        if (!next_event(p, &e))
            return false;
        if (e.type == YAML_MAPPING_END_EVENT)
            return merge(p, to);
        if (!yaml_read_pair(p, &e, to))
            return false;
    }
}

static bool read_map(struct yaml_parser *p, const yaml_event_t *begin, struct yaml *out)
{
    struct pairs pairs = {0};
    out->kind = YAML_MAP;
    bool ok = read_tag(p, begin->data.mapping_start.tag, out) && read_pairs(p, &pairs);
    map_free(&pairs.lines);
    out->keys = pairs.keys;
    out->items = pairs.values;
    out->n = pairs.n;
    return ok;
}

static bool read_alias(struct yaml_parser *p, const yaml_event_t *e, struct yaml *out)
{
    const char *name = (const char *)e->data.alias.anchor;
    const struct anchor *a = map_get(&p->anchors, str_of(name));
    if (a == NULL)
        return err_set(p->err, ERR_BAD_DATA, "%s:%u: undefined alias *%s", p->file, out->line, name);
    if (p->depth + a->height > DEPTH_MAX)
        return fail_limit(p, out->line, "nested too deeply", DEPTH_MAX);
    if (!count_nodes(p, out->line, a->weight))
        return false;
    *out = a->node;
    return true;
}

static unsigned height_of(const struct yaml *y)
{
    unsigned most = 0;
    for (size_t i = 0; i < y->n; i++) {
        unsigned h = height_of(&y->items[i]);
        most = h > most ? h : most;
    }
    return most + 1;
}

static bool yaml_add_anchor(struct yaml_parser *p, const yaml_char_t *name, const struct yaml *y, size_t weight)
{
    if (name == NULL)
        return true;
    struct str copy = arena_str(p->arena, str_of((const char *)name));
    struct anchor *a = ARENA_NEW(p->arena, struct anchor);
    if (copy.p == NULL || a == NULL)
        return yaml_fail_memory(p);
    *a = (struct anchor){*y, weight, height_of(y)};
    map_set(&p->anchors, copy, a);
    return true;
}

static bool read_kind(struct yaml_parser *p, const yaml_event_t *e, struct yaml *out)
{
    size_t before = p->nodes;
    if (e->type == YAML_ALIAS_EVENT)
        return read_alias(p, e, out);
    if (!count_nodes(p, out->line, 1))
        return false;
    if (e->type == YAML_SCALAR_EVENT)
        return read_scalar(p, e, out) && yaml_add_anchor(p, e->data.scalar.anchor, out, p->nodes - before);
    if (e->type == YAML_SEQUENCE_START_EVENT)
        return read_list(p, e, out) && yaml_add_anchor(p, e->data.sequence_start.anchor, out, p->nodes - before);
    return read_map(p, e, out) && yaml_add_anchor(p, e->data.mapping_start.anchor, out, p->nodes - before);
}

/* Builds the node that `e` begins; frees `e`. */
static bool read_node(struct yaml_parser *p, yaml_event_t *e, struct yaml *out)
{
    *out = (struct yaml){.kind = YAML_NULL, .line = yaml_mark_line(e->start_mark), .file = p->file};
    bool ok = p->depth < DEPTH_MAX || fail_limit(p, out->line, "nested too deeply", DEPTH_MAX);
    p->depth++;
    ok = ok && read_kind(p, e, out);
    p->depth--;
    yaml_event_delete(e);
    return ok;
}

/* Stream start, zero or one document, stream end. */
static bool read_stream(struct yaml_parser *p, struct yaml *out)
{
    yaml_event_t e;
    *out = (struct yaml){.kind = YAML_NULL, .line = 1, .file = p->file};
    if (!next_event(p, &e) || !next_event(p, &e))
        return false;
    if (e.type == YAML_STREAM_END_EVENT)
        return true;
    yaml_event_delete(&e);
    if (!next_event(p, &e) || !read_node(p, &e, out) || !next_event(p, &e) || !next_event(p, &e))
        return false;
    unsigned line = yaml_mark_line(e.start_mark);
    bool end = e.type == YAML_STREAM_END_EVENT;
    yaml_event_delete(&e);
    return end || fail_at(p, line, "a second document begins here; a file may contain one");
}

struct yaml *yaml_parse(struct arena *a, struct str text, const char *file, struct err *err)
{
    if (text.n > TEXT_MAX) {
        err_set(err, ERR_TOO_LARGE, "%s: the file has %zu bytes, more than the limit of %d bytes", file, text.n,
                (int)TEXT_MAX);
        return NULL;
    }
    struct yaml *root = ARENA_NEW(a, struct yaml);
    struct yaml_parser p = {.arena = a, .file = arena_z(a, str_of(file)), .text = text, .err = err};
    if (root == NULL || p.file == NULL || !yaml_parser_initialize(&p.events)) {
        err_set(err, ERR_LIMIT, "%s: cannot allocate memory to read the file", file);
        return NULL;
    }
    yaml_parser_set_input_string(&p.events, (const unsigned char *)(text.p ? text.p : ""), text.n);
    bool ok = read_stream(&p, root);
    yaml_parser_delete(&p.events);
    map_free(&p.anchors);
    return ok ? root : NULL;
}

const struct yaml *yaml_get(const struct yaml *map, const char *key)
{
    if (map == NULL || map->kind != YAML_MAP)
        return NULL;
    for (size_t i = 0; i < map->n; i++)
        if (str_is(map->keys[i].text, key))
            return &map->items[i];
    return NULL;
}

void yaml_put(struct arena *a, struct yaml *map, const char *key, const struct yaml *value)
{
    struct yaml *keys = arena_array(a, map->n + 1, sizeof *keys), *items = arena_array(a, map->n + 1, sizeof *items);
    for (size_t i = 0; i < map->n; i++) {
        keys[i] = map->keys[i];
        items[i] = map->items[i];
    }
    keys[map->n] = (struct yaml){.kind = YAML_SCALAR, .file = map->file, .line = map->line, .text = str_of(key)};
    items[map->n] = *value;
    map->kind = YAML_MAP;
    map->keys = keys;
    map->items = items;
    map->n++;
}
