// SPDX-License-Identifier: Apache-2.0
/* Prints a configuration as YAML, and the rows as Markdown. What is shown on a page or in the log has its secrets masked:
 * the rows say which fields are secret. A file that is to be loaded again has them, and leaves out defaults.
 */
#include "base/conf/conf.h"

#include "base/text/num.h"
#include "base/text/duration.h"
#include "base/text/url.h"

static void conf_print_indent(struct buf *out, unsigned indent) { buf_printf(out, "%*s", (int)indent, ""); }

static void add_size(struct buf *out, int64_t bytes)
{
    static const char *const units[] = {"", "KiB", "MiB", "GiB", "TiB"};
    size_t unit = 0;
    while (unit + 1 < LEN(units) && bytes != 0 && bytes % 1024 == 0) {
        bytes /= 1024;
        unit++;
    }
    buf_add_i64(out, bytes);
    buf_add_z(out, units[unit]);
}

static void add_duration_or_auto(struct buf *out, int64_t ms)
{
    if (ms == CONF_AUTO)
        buf_add_z(out, "auto");
    else
        buf_add_duration(out, ms);
}

static void add_url(struct buf *out, struct str url, bool reveal)
{
    struct buf shown = {0};
    (reveal ? buf_add_str : url_redact)(&shown, url);
    yaml_write_scalar(out, buf_str(&shown));
    buf_free(&shown);
}

static void conf_print_path(struct buf *out, struct str path, bool reveal)
{
    struct buf shown = {0};
    (reveal ? buf_add_str : url_redact_path)(&shown, path);
    yaml_write_scalar(out, buf_str(&shown));
    buf_free(&shown);
}

static void print_secret(struct buf *out, struct str text, bool reveal)
{
    if (reveal || text.n == 0)
        yaml_write_scalar(out, text);
    else
        buf_add_z(out, "<secret>");
}

static void conf_print_scalar(struct buf *out, const struct conf_row *row, const void *field, bool reveal)
{
    const struct str *text = field;
    switch (row->type) {
    case CONF_SECRET: print_secret(out, *text, reveal); break;
    case CONF_URL: add_url(out, *text, reveal); break;
    case CONF_FILE: conf_print_path(out, *text, reveal); break;
    case CONF_BOOL: buf_add_z(out, *(const bool *)field ? "true" : "false"); break;
    case CONF_INT: buf_add_i64(out, *(const int64_t *)field); break;
    case CONF_FLOAT: buf_add_num(out, *(const double *)field); break;
    case CONF_DURATION: buf_add_duration(out, *(const int64_t *)field); break;
    case CONF_DURATION_AUTO: add_duration_or_auto(out, *(const int64_t *)field); break;
    case CONF_SIZE: add_size(out, *(const int64_t *)field); break;
    case CONF_ENUM: yaml_write_scalar(out, str_of(row->names[*(const int *)field])); break;
    default: yaml_write_scalar(out, *text);
    }
}

static void conf_print_list(struct buf *out, const struct str_list *list, unsigned indent)
{
    buf_add_z(out, list->n ? "\n" : " []\n");
    for (size_t i = 0; i < list->n; i++) {
        conf_print_indent(out, indent);
        buf_add_z(out, "- ");
        yaml_write_scalar(out, list->items[i]);
        buf_add_char(out, '\n');
    }
}

static void print_files(struct buf *out, const struct str_list *list, unsigned indent, bool reveal)
{
    buf_add_z(out, list->n ? "\n" : " []\n");
    for (size_t i = 0; i < list->n; i++) {
        conf_print_indent(out, indent);
        buf_add_z(out, "- ");
        conf_print_path(out, list->items[i], reveal);
        buf_add_char(out, '\n');
    }
}

static void print_addresses(struct buf *out, const struct str_list *list, unsigned indent)
{
    buf_add_z(out, list->n ? "\n" : " []\n");
    for (size_t i = 0; i < list->n; i++) {
        struct buf shown = {0};
        url_redact_address(&shown, list->items[i]);
        conf_print_indent(out, indent);
        buf_add_z(out, "- ");
        yaml_write_scalar(out, buf_str(&shown));
        buf_add_char(out, '\n');
        buf_free(&shown);
    }
}

/* The values are usually API keys. */
static void print_headers(struct buf *out, const struct str_list *list, unsigned indent)
{
    buf_add_z(out, list->n ? "\n" : " []\n");
    for (size_t i = 0; i < list->n; i++) {
        struct str name = str_first(list->items[i], str_find(list->items[i], ':'));
        struct buf line = {0};
        buf_printf(&line, "%.*s: <secret>", STR_ARG(name));
        conf_print_indent(out, indent);
        buf_add_z(out, "- ");
        yaml_write_scalar(out, buf_str(&line));
        buf_add_char(out, '\n');
        buf_free(&line);
    }
}

static void print_key(struct buf *out, struct str key, unsigned indent)
{
    conf_print_indent(out, indent);
    yaml_write_scalar(out, key);
    buf_add_char(out, ':');
}

/* Labels __param_NAME of targets become URL parameters. */
static bool is_secret_label(struct str name)
{
    struct str prefix = STR("__param_");
    return str_starts(name, prefix) && url_param_secret(str_skip(name, prefix.n));
}

static void print_map(struct buf *out, const struct str_map *map, unsigned indent, bool reveal)
{
    buf_add_z(out, map->n ? "\n" : " {}\n");
    for (size_t i = 0; i < map->n; i++) {
        print_key(out, map->keys[i], indent);
        buf_add_char(out, ' ');
        yaml_write_scalar(out, !reveal && is_secret_label(map->keys[i]) ? STR("<secret>") : map->values[i]);
        buf_add_char(out, '\n');
    }
}

/* URL parameters: masked by the rules for URLs. */
static void print_multimap(struct buf *out, const struct multimap *map, unsigned indent, bool reveal)
{
    buf_add_z(out, map->n ? "\n" : " {}\n");
    for (size_t i = 0; i < map->n; i++) {
        print_key(out, map->keys[i], indent);
        if (!reveal && url_param_secret(map->keys[i]))
            buf_add_z(out, " [<secret>]\n");
        else
            conf_print_list(out, &map->values[i], indent + 2);
    }
}

/* ---- sections ---- */

/* NULL: masked, with defaults. Otherwise in the clear, without them. */
struct conf_reveal { struct conf_context context; };

static void print_rows(struct buf *out, const struct conf_section *s, const void *value, unsigned indent,
                       struct conf_reveal *reveal);

/* An item is printed as a section indented by two columns; then its first column becomes the dash. */
static void print_sections(struct buf *out, const struct conf_section *s, const struct conf_items *items,
                           unsigned indent, struct conf_reveal *reveal)
{
    buf_add_z(out, items->n ? "\n" : " []\n");
    for (size_t i = 0; i < items->n; i++) {
        size_t at = out->n;
        print_rows(out, s, (const char *)items->items + i * s->size, indent + 2, reveal);
        if (out->n > at)
            out->p[at + indent] = '-';
    }
}

static void print_section(struct buf *out, const struct conf_section *s, const void *value, unsigned indent,
                          struct conf_reveal *reveal)
{
    buf_add_char(out, '\n');
    print_rows(out, s, value, indent, reveal);
}

static void print_field(struct buf *out, const struct conf_row *row, const void *field, unsigned indent,
                        struct conf_reveal *reveal)
{
    bool clear = reveal != NULL;
    void *optional;
    switch (row->type) {
    case CONF_STRINGS: conf_print_list(out, field, indent); break;
    case CONF_FILES: print_files(out, field, indent, clear); break;
    case CONF_ADDRESSES: (clear ? conf_print_list : print_addresses)(out, field, indent); break;
    case CONF_HEADERS: (clear ? conf_print_list : print_headers)(out, field, indent); break;
    case CONF_MAP: print_map(out, field, indent, clear); break;
    case CONF_MULTIMAP: print_multimap(out, field, indent, clear); break;
    case CONF_SECTION: print_section(out, row->section, field, indent, reveal); break;
    case CONF_OPTIONAL:
        memcpy(&optional, field, sizeof optional);
        print_section(out, row->section, optional, indent, reveal);
        break;
    case CONF_SECTIONS: print_sections(out, row->section, field, indent, reveal); break;
    case CONF_CUSTOM: row->print(out, field, indent); break;
    default:
        buf_add_char(out, ' ');
        conf_print_scalar(out, row, field, clear);
        buf_add_char(out, '\n');
    }
}

static bool is_printed(const struct conf_row *row, const void *field)
{
    static const void *const absent = NULL;
    if (row->type == CONF_DURATION)
        return *(const int64_t *)field >= 0;
    if (row->not_empty)
        return row->type == CONF_STRINGS ? ((const struct str_list *)field)->n > 0 : ((const struct str *)field)->n > 0;
    if (row->type == CONF_CUSTOM)
        return row->print != NULL;
    if (row->type == CONF_OPTIONAL)
        return memcmp(field, &absent, sizeof absent) != 0;
    return row->type != CONF_YAML && row->type != CONF_GUARD && row->type != CONF_LATER && row->type != CONF_ACCEPTED &&
           row->type != CONF_IGNORED;
}

static bool conf_has_default(const struct conf_row *row, const void *field, struct conf_reveal *reveal)
{
    union { struct str text; int64_t number; double real; int index; bool is; } preset = {.text = STR_NONE};
    struct err err;
    switch (row->type) {
    case CONF_STRINGS: case CONF_FILES: case CONF_ADDRESSES: case CONF_HEADERS:
        return row->preset == NULL && ((const struct str_list *)field)->n == 0;
    case CONF_MAP: return ((const struct str_map *)field)->n == 0;
    case CONF_MULTIMAP: return ((const struct multimap *)field)->n == 0;
    case CONF_SECTIONS: return ((const struct conf_items *)field)->n == 0;
    case CONF_SECTION: case CONF_OPTIONAL: case CONF_CUSTOM: return false;
    default: break;
    }
    if (row->preset && !conf_scalar(&reveal->context, row, str_of(row->preset), &preset, &err))
        return false;
    return conf_row_equal(row, field, &preset);
}

static void print_row(struct buf *out, const struct conf_row *row, const void *field, unsigned indent,
                      struct conf_reveal *reveal)
{
    size_t before = out->n, header;
    print_key(out, str_of(row->name), indent);
    header = out->n;
    print_field(out, row, field, indent + 2, reveal);
    struct str value = str_n(out->p + header, out->n - header);
    bool empty = row->type == CONF_SECTION ? value.n == 1 /* all its keys have their defaults */
                                           : row->type == CONF_CUSTOM && str_is(value, " {}\n");
    if (reveal && empty)
        out->n = before;
}

static void print_rows(struct buf *out, const struct conf_section *s, const void *value, unsigned indent,
                       struct conf_reveal *reveal)
{
    for (const struct conf_row *row = s->rows; row->type != CONF_END; row++) {
        const void *field = (const char *)value + row->offset;
        if (is_printed(row, field) && (reveal == NULL || !conf_has_default(row, field, reveal)))
            print_row(out, row, field, indent, reveal);
    }
}

void conf_print(struct buf *out, const struct conf_section *s, const void *value, unsigned indent)
{
    print_rows(out, s, value, indent, NULL);
}

void conf_print_row(struct buf *out, const struct conf_row *row, const void *field)
{
    if (is_printed(row, field))
        print_field(out, row, field, 2, NULL);
}

void conf_write(struct arena *a, struct buf *out, const struct conf_section *s, const void *value, unsigned indent)
{
    struct conf_reveal reveal = {{.arena = a}};
    print_rows(out, s, value, indent, &reveal);
}

static const char *const conf_type_names[] = {
    [CONF_STRING] = "string", [CONF_SECRET] = "secret", [CONF_URL] = "URL", [CONF_FILE] = "file", [CONF_BOOL] = "bool",
    [CONF_INT] = "whole number", [CONF_FLOAT] = "number", [CONF_DURATION] = "duration",
    [CONF_DURATION_AUTO] = "duration or `auto`", [CONF_SIZE] = "size",
    [CONF_STRINGS] = "list of strings", [CONF_ADDRESSES] = "list of addresses", [CONF_FILES] = "list of files",
    [CONF_HEADERS] = "list or mapping", [CONF_MAP] = "mapping",
    [CONF_MULTIMAP] = "mapping of lists", [CONF_CUSTOM] = "any", [CONF_YAML] = "any",
    [CONF_GUARD] = "any", [CONF_LATER] = "any", [CONF_ACCEPTED] = "any", [CONF_IGNORED] = "any"};

static void document_type(struct buf *out, const struct conf_row *row)
{
    if (row->type == CONF_ENUM)
        for (int i = 0; row->names[i]; i++)
            buf_printf(out, "%s`%s`", i ? ", " : "", row->names[i]);
    else if (row->type == CONF_SECTION || row->type == CONF_OPTIONAL)
        buf_printf(out, "[%s](#%s)", row->section->name, row->section->name);
    else if (row->type == CONF_SECTIONS)
        buf_printf(out, "list of [%s](#%s)", row->section->name, row->section->name);
    else
        buf_add_z(out, row->form ? row->form : conf_type_names[row->type]);
    if (row->max <= row->min)
        return;
    struct conf_row bound = {.type = row->type};
    bool open = row->max == INT64_MAX;
    buf_add_z(out, open ? ", at least " : ", ");
    conf_print_scalar(out, &bound, &row->min, false);
    if (open)
        return;
    buf_add_z(out, " to ");
    conf_print_scalar(out, &bound, &row->max, false);
}

/* A bar would end the table cell. */
static void document_text(struct buf *out, const char *text)
{
    for (; text && *text; text++) {
        if (*text == '|')
            buf_add_char(out, '\\');
        buf_add_char(out, *text);
    }
}

static void document_default(struct buf *out, const struct conf_row *row)
{
    if (row->required)
        buf_add_z(out, "required");
    else if (row->preset && row->preset[0]) {
        buf_add_char(out, '`');
        document_text(out, row->preset);
        buf_add_char(out, '`');
    }
}

void conf_document(struct buf *out, const struct conf_section *s)
{
    for (const struct conf_row *row = s->rows; row->type != CONF_END; row++) {
        buf_printf(out, "| `%s` | ", row->name);
        document_type(out, row);
        buf_add_z(out, " | ");
        document_default(out, row);
        buf_add_z(out, " | ");
        if (row->type == CONF_GUARD)
            buf_add_z(out, "Not supported yet, an error without `--accept-inert`: ");
        if (row->type == CONF_LATER)
            buf_add_z(out, "Not supported yet, a warning: ");
        if (row->type == CONF_ACCEPTED)
            buf_add_z(out, "Ignored with a warning: ");
        if (row->type == CONF_IGNORED)
            buf_add_z(out, "Ignored: ");
        document_text(out, row->help);
        if (row->alias)
            buf_printf(out, " (also `%s`)", row->alias);
        buf_add_z(out, " |\n");
    }
}
