// SPDX-License-Identifier: Apache-2.0
/* Makes one file of a configuration. The trees of its files are put together and written again, so that keys that are
 * ignored here, and defaults that depend on the dialect, stay as they were written; what flags add is written as the
 * sections that they fill. The flags that remain are a comment.
 */
#include "gateway/config/config_convert.h"
#include "gateway/config/config_instances.h"

#include "base/text/url.h"
#include "gateway/config/dialect.h"
#include "gateway/config/flags_table.h"
#include "gateway/config/web_conf.h"

/* ---- trees ---- */

void tree_append(struct arena *a, struct yaml *list, const struct yaml *more)
{
    if (more == NULL || more->kind != YAML_LIST)
        return;
    struct yaml *items = arena_array(a, list->n + more->n + 1, sizeof *items);
    for (size_t i = 0; i < list->n; i++)
        items[i] = list->items[i];
    for (size_t i = 0; i < more->n; i++)
        items[list->n + i] = more->items[i];
    *list = (struct yaml){.kind = YAML_LIST, .items = items, .n = list->n + more->n};
}

static void tree_append_item(struct arena *a, struct yaml *list, const struct yaml *item)
{
    struct yaml one = {.kind = YAML_LIST, .items = arena_array(a, 1, sizeof *item), .n = 1};
    one.items[0] = *item;
    tree_append(a, list, &one);
}

/* ---- paths ---- */

/* As the loader has it: relative ones start from the directory of their file. */
static struct yaml tree_absolute(struct arena *a, const struct yaml *path)
{
    struct yaml changed = *path;
    const char *slash = path->file ? strrchr(path->file, '/') : NULL;
    if (path->kind != YAML_SCALAR || path->text.n == 0 || path->text.p[0] == '/' || url_is_http(path->text))
        return changed;
    bool here = slash == NULL || url_is_http(str_of(path->file));
    struct str dir = here ? STR("") : str_n(path->file, (size_t)(slash - path->file) + 1);
    struct str joined = arena_printf(a, "%.*s%.*s", STR_ARG(dir), STR_ARG(path->text));
    char *absolute = conf_absolute_path(joined);
    changed.text = str_of(arena_z(a, str_of(absolute)));
    if (path->reference && str_ends(changed.text, path->text)) {
        struct str before = str_first(changed.text, changed.text.n - path->text.n);
        changed.reference = arena_z(a, arena_printf(a, "%.*s%s", STR_ARG(before), path->reference));
    } else {
        changed.reference = NULL;
    }
    mem_free(absolute);
    return changed;
}

static struct yaml tree_absolute_all(struct arena *a, const struct yaml *paths)
{
    struct yaml changed = *paths;
    if (paths->kind != YAML_LIST)
        return tree_absolute(a, paths);
    changed.items = arena_array(a, paths->n + 1, sizeof *changed.items);
    for (size_t i = 0; i < paths->n; i++)
        changed.items[i] = tree_absolute(a, &paths->items[i]);
    return changed;
}

/* {NAME: {files: [...]}} */
static struct yaml tree_header_files(struct arena *a, const struct yaml *headers)
{
    static const struct conf_row files[] = {{.type = CONF_FILES, .name = "files"}, {0}};
    static const struct conf_section section = {.rows = files};
    struct yaml changed = *headers;
    changed.items = arena_array(a, headers->n + 1, sizeof *changed.items);
    for (size_t i = 0; i < headers->n; i++)
        changed.items[i] = tree_with_paths(a, &section, &headers->items[i]);
    return changed;
}

static struct yaml tree_value_with_paths(struct arena *a, const struct conf_row *row, const struct yaml *value)
{
    switch (row->type) {
    case CONF_FILE:
    case CONF_FILES: return tree_absolute_all(a, value);
    case CONF_YAML: return tree_with_paths(a, &agent_global_section, value);
    case CONF_SECTION:
    case CONF_OPTIONAL:
    case CONF_SECTIONS: return tree_with_paths(a, row->section, value);
    default: break;
    }
    if (row->type == CONF_CUSTOM && row->form && strcmp(row->form, "file") == 0)
        return tree_absolute(a, value);
    return strcmp(row->name, "http_headers") == 0 ? tree_header_files(a, value) : *value;
}

struct yaml tree_with_paths(struct arena *a, const struct conf_section *s, const struct yaml *node)
{
    struct yaml changed = *node;
    changed.items = arena_array(a, node->n + 1, sizeof *changed.items);
    for (size_t i = 0; i < node->n; i++) {
        const struct conf_row *row = node->kind == YAML_MAP ? conf_find_row(s, node->keys[i].text) : NULL;
        changed.items[i] = node->kind == YAML_LIST ? tree_with_paths(a, s, &node->items[i])
                           : row ? tree_value_with_paths(a, row, &node->items[i]) : node->items[i];
    }
    return changed;
}

/* ---- destinations of flags ---- */

/* Rules of two files become one list. vmagent drops labels that begin with __ after each of them; the end of the list is
 * known by the dialect. */
static const char between_rules[] =
    "- {action: labeldrop, regex: '__(|[^n].*|n|n[^a].*|na|na[^m].*|nam|nam[^e].*|name|name[^_].*|name_|name_[^_].*|name__.+)'}\n";

/* `pipeline` with what flags add to it. */
static void convert_pipeline(struct arena *a, const struct config *c, bool drops_reserved, struct yaml *out)
{
    const struct yaml *own = yaml_get(yaml_get(c->document, "pipeline"), "relabel_configs"), *common = c->common_rules;
    struct yaml rules = {.kind = YAML_LIST};
    struct pipeline_conf p = c->pipeline;
    struct buf text = {0};
    struct err err;
    if (own && own->n > 0)
        rules = tree_with_paths(a, &relabel_section, own);
    if (rules.n > 0 && common && common->n > 0 && drops_reserved)
        tree_append(a, &rules, yaml_parse(a, STR(between_rules), "", &err));
    if (common && common->n > 0) {
        struct yaml more = tree_with_paths(a, &relabel_section, common);
        tree_append(a, &rules, &more);
    }
    p.relabel_configs = (struct conf_items){0};
    conf_write(a, &text, &pipeline_section, &p, 0);
    struct yaml *node = yaml_parse(a, buf_str(&text), "", &err), empty = {.kind = YAML_MAP};
    buf_free(&text);
    if (node == NULL || node->kind != YAML_MAP)
        node = &empty;
    if (rules.n > 0)
        yaml_put(a, node, "relabel_configs", &rules);
    if (node->n > 0)
        yaml_put(a, out, "pipeline", node);
}

static void convert_flag_destination(struct arena *a, const struct config *c, size_t i, struct yaml *destinations)
{
    struct destination_conf d = c->destinations[c->n_destinations - c->n_flag_destinations + i];
    const struct yaml *rules = c->url_rules[i];
    struct buf text = {0};
    struct err err;
    d.write_relabel_configs = (struct conf_items){0};
    conf_write(a, &text, &remote_write_section, &d, 0);
    struct yaml *node = yaml_parse(a, buf_str(&text), "", &err);
    buf_free(&text);
    if (node == NULL) /* out of memory */
        return;
    if (rules && rules->n > 0) {
        struct yaml changed = tree_with_paths(a, &relabel_section, rules);
        yaml_put(a, node, "write_relabel_configs", &changed);
    }
    tree_append_item(a, destinations, node);
}

/* ---- the file ---- */

/* The value of a list, or that of the key below a mapping. */
static const struct yaml *list_of(const struct yaml *node, const char *key)
{
    return node == NULL || node->kind == YAML_LIST ? node : yaml_get(node, key);
}

static bool is_converted(struct str key)
{
    static const char *const keys[] = {"scrape_configs", "scrape_config_files", "remote_write", "server_groups", "promxy",
                                       "promxy_server", "pipeline"};
    bool found = false;
    for (size_t i = 0; i < LEN(keys); i++)
        found = found || str_is(key, keys[i]);
    return found;
}

static void convert_list(struct arena *a, const struct conf_section *s, const struct yaml *list, struct yaml *to)
{
    if (list == NULL)
        return;
    struct yaml changed = tree_with_paths(a, s, list);
    tree_append(a, to, &changed);
}

static void convert_document(struct arena *a, const struct config *c, bool drops_reserved, struct yaml *out)
{
    const struct yaml *doc = c->document, *promxy = yaml_get(doc, "promxy"), *old = yaml_get(doc, "promxy_server");
    struct yaml jobs = {.kind = YAML_LIST}, destinations = jobs, groups = jobs;
    for (size_t i = 0; doc && i < doc->n; i++)
        if (!is_converted(doc->keys[i].text)) {
            const struct conf_row *row = conf_find_row(&file_section, doc->keys[i].text);
            struct yaml value = row ? tree_value_with_paths(a, row, &doc->items[i]) : doc->items[i];
            yaml_put(a, out, doc->keys[i].text.p, &value);
        }
    convert_pipeline(a, c, drops_reserved, out);
    convert_list(a, &scrape_job_section, yaml_get(doc, "scrape_configs"), &jobs);
    for (size_t i = 0; i < c->n_job_lists; i++)
        convert_list(a, &scrape_job_section, c->job_lists[i], &jobs);
    convert_list(a, &remote_write_section, yaml_get(doc, "remote_write"), &destinations);
    for (size_t i = 0; i < c->n_flag_destinations; i++)
        convert_flag_destination(a, c, i, &destinations);
    convert_list(a, &server_group_section, yaml_get(doc, "server_groups"), &groups);
    convert_list(a, &server_group_section, list_of(promxy, "server_groups"), &groups);
    convert_list(a, &server_group_section, list_of(old, "server_groups"), &groups);
    const struct { const char *key; const struct yaml *list; } lists[] = {
        {"scrape_configs", &jobs}, {"remote_write", &destinations}, {"server_groups", &groups}};
    for (size_t i = 0; i < LEN(lists); i++)
        if (lists[i].list->n > 0)
            yaml_put(a, out, lists[i].key, lists[i].list);
}

/* ---- flags ---- */

static void convert_add_word(struct buf *out, struct str word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=,@%+";
    bool quoted = word.n == 0;
    for (size_t i = 0; i < word.n; i++)
        quoted = quoted || word.p[i] == 0 || strchr(plain, word.p[i]) == NULL;
    buf_add_z(out, quoted ? "'" : "");
    for (size_t i = 0; i < word.n; i++)
        if (word.p[i] == '\'')
            buf_add_z(out, "'\\''");
        else
            buf_add_char(out, word.p[i] == '\n' || word.p[i] == '\r' ? ' ' : word.p[i]);
    buf_add_z(out, quoted ? "'" : "");
}

/* What is in the file now, or does not belong to a start. */
static bool flag_is_converted(const struct flag_row *row)
{
    static const char *const others[] = {"config.file", "dialect", "dryRun", "envflag.enable", "envflag.prefix",
                                         "config.expand-env", "check-reachability"};
    const size_t begin = offsetof(struct flags, remote_write), end = begin + sizeof(struct remote_write_flags);
    for (size_t i = 0; i < LEN(others); i++)
        if (strcmp(row->row.name, others[i]) == 0)
            return true;
    return row->row.offset >= begin && row->row.offset < end && row->row.offset != offsetof(struct flags, remote_write.show_url);
}

static void convert_flags(struct buf *out, const struct flags *f)
{
    buf_printf(out, "# Converted by sluice " VERSION ". Secrets are in the clear%s. Save it as sluice.yml, and start:\n"
                    "# sluice --config.file=sluice.yml --dialect=%s",
               dialects[f->dialect].environment ? ", but for environment variables of files" : "", dialects[f->dialect].name);
    for (size_t i = 0; i < n_flag_rows; i++) {
        if (!f->all[i].set || flag_is_converted(&flag_rows[i]))
            continue;
        struct buf word = {0};
        buf_printf(&word, "--%s=%.*s", flag_rows[i].row.name, STR_ARG(f->all[i].value));
        buf_add_char(out, ' ');
        convert_add_word(out, buf_str(&word));
        buf_free(&word);
    }
    buf_add_char(out, '\n');
    const struct str_list *ignored[] = {&f->ignored, &f->tuning};
    for (size_t k = 0; k < LEN(ignored); k++)
        for (size_t i = 0; i < ignored[k]->n; i++)
            buf_printf(out, "# Without effect: --%.*s\n", STR_ARG(ignored[k]->items[i]));
}

void config_convert(const struct config *c, const struct flags *f, struct buf *out)
{
    struct arena arena;
    struct yaml file = {.kind = YAML_MAP};
    arena_init(&arena, 0);
    convert_flags(out, f);
    convert_document(&arena, c, dialects[f->dialect].page.drops_reserved, &file);
    yaml_write(out, &file);
    arena_free(&arena);
}
