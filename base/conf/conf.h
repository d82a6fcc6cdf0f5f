// SPDX-License-Identifier: Apache-2.0
/* Configuration as tables of rows. A row defines a key's name, type, default, bounds and meaning. The YAML parser,
 * the defaults, the printed configuration (secrets masked), --help and the check of docs/configuration.md are all
 * derived from the rows.
 *
 * A section is a C struct and its rows. Strings are struct str in the configuration's arena, followed by a NUL.
 * Unknown keys, wrong types and invalid values are errors "FILE:LINE: section.key: what" that suggest the nearest
 * known key. A key whose value is null counts as absent. After a failed load everything allocated is in the arena.
 *
 *   struct global { int64_t scrape_interval; struct str_list rule_files; };
 *   static const struct conf_row global_rows[] = {
 *       {CONF_DURATION, "scrape_interval", offsetof(struct global, scrape_interval), .preset = "1m",
 *        .help = "How often ..."},
 *       {0}};
 *   const struct conf_section global_section = {"global", sizeof(struct global), global_rows};
 */
#ifndef BASE_CONF_CONF_H
#define BASE_CONF_CONF_H

#include "base/conf/yaml.h"

enum conf_type {
    CONF_END = 0,
    CONF_STRING,   /* struct str */
    CONF_SECRET,   /* struct str, printed as <secret> */
    CONF_URL,      /* struct str; printed with its password masked */
    CONF_FILE,     /* struct str; relative to the directory of the file, or an http(s) URL; an unreadable one is a warning,
                    * a URL is not checked */
    CONF_BOOL,     /* bool */
    CONF_INT,      /* int64_t, min..max */
    CONF_FLOAT,    /* double */
    CONF_DURATION, /* int64_t ms, Prometheus form; conf_context.loose_durations allows Go's too */
    CONF_DURATION_AUTO, /* the same, or `auto`, which is CONF_AUTO */
    CONF_SIZE,     /* int64_t bytes: 10, 16MB, 1GiB */
    CONF_ENUM,     /* int; values in .names, NULL-terminated; stored as the index */
    CONF_STRINGS,  /* struct str_list; a single scalar counts as a list of one */
    CONF_ADDRESSES, /* the same: host:port or URLs, printed with passwords and secret parameters masked */
    CONF_FILES,    /* the same: glob patterns of paths as above; one without a match is a warning */
    CONF_HEADERS, /* the same: "Name: value", printed without the value; a mapping of names to values is accepted too */
    CONF_MAP,      /* struct str_map: string to string, in the file's order */
    CONF_MULTIMAP, /* struct multimap: string to list of strings (params) */
    CONF_SECTION,  /* an embedded struct: .section; absent = its defaults */
    CONF_OPTIONAL, /* pointer to a struct (.section), NULL when absent */
    CONF_SECTIONS, /* struct conf_items: list of structs (.section) */
    CONF_CUSTOM,   /* .custom parses the node into the field */
    CONF_YAML,     /* const struct yaml *: unparsed, for another parser; not printed */
    /* keys of Prometheus and vmagent without effect here; no field */
    /* ignoring it would weaken security, lose or duplicate data: an error unless accepted by --accept-inert */
    CONF_GUARD,
    CONF_LATER,    /* a source of targets that is not supported yet: all are reported together, an error with --strict */
    CONF_ACCEPTED, /* ignored: a warning at every load, an error with --strict */
    CONF_IGNORED,  /* ignored: only tunes performance; a debug line */
};
enum { CONF_AUTO = -1 };

struct str_list { struct str *items; size_t n; };
static inline bool str_list_has(const struct str_list *list, const char *text)
{
    for (size_t i = 0; i < list->n; i++)
        if (str_is(list->items[i], text))
            return true;
    return false;
}
bool str_list_equal(struct str_list a, struct str_list b); /* in the same order */
struct str_map { struct str *keys, *values; size_t n; };
bool str_map_equal(const struct str_map *a, const struct str_map *b); /* likewise */
struct multimap { struct str *keys; struct str_list *values; size_t n; };
struct conf_items { void *items; size_t n; }; /* n adjacent structs of the section's size */

/* All errors of a load, one per line. */
struct conf_errors { struct buf text; size_t n; };

struct conf_context {
    struct arena *arena;
    const char *file;        /* for messages */
    struct str dir;          /* directory for relative paths */
    bool loose_durations;    /* the vmagent dialect: 1.5h, seconds without unit */
    bool vmagent_relabeling; /* the vmagent dialect: hashmod by XXH64 instead of MD5, {{label}} in replacement */
    bool lenient_keys;       /* unknown keys are warnings (promscrape.config.strictParse=false) */
    void (*warn)(void *arg, const char *text); /* FILE:LINE: ... ; each warning once per load */
    void *warn_arg;
    void (*ignored)(void *arg, const char *key); /* each CONF_ACCEPTED, CONF_LATER and accepted CONF_GUARD key; gets warn_arg */
    void (*later)(void *arg, const struct yaml *node, const char *key); /* each CONF_LATER key; gets warn_arg */
    const struct str_list *accept_inert; /* CONF_GUARD keys to ignore, with or without their section */
    bool strict;             /* ignored keys are errors */
    struct conf_errors *errors; /* collects all errors of a load; NULL: the first error ends it */
    void *user;              /* for custom parsers and checks */
};

struct conf_section;
struct conf_row {
    enum conf_type type;
    const char *name;
    size_t offset;
    const char *preset;              /* default, as it would be written in the file; NULL = zero */
    const char *help;
    int64_t min, max;                /* INT, DURATION, SIZE: bounds when max > min */
    const char *const *names;        /* ENUM */
    const struct conf_section *section;
    bool (*custom)(struct conf_context *c, const struct yaml *node, void *field, struct err *err);
    /* CUSTOM; NULL = not printed. Writes the text after `key:`: " value\n", or "\n" and lines indented by `indent`. */
    void (*print)(struct buf *out, const void *field, unsigned indent);
    bool (*equal)(const void *a, const void *b); /* for conf_equal; NULL: equal if print writes the same */
    const char *form;                /* CUSTOM: the type in the documentation; NULL = "any" */
    const char *alias;               /* another accepted name of the key */
    bool required;
    bool not_empty;                  /* STRING, STRINGS: an empty one is an error, and not printed */
};
struct conf_section {
    const char *name;                /* for messages and docs: "scrape_config" */
    size_t size;
    const struct conf_row *rows;     /* ends with CONF_END */
    /* runs after all rows when the section is present in the file; may be NULL */
    bool (*check)(struct conf_context *c, const struct yaml *node, void *value, struct err *err);
    const char *help;
};

/* Fills `value` (section->size bytes) with defaults, then with the mapping `node` (NULL or YAML_NULL: defaults only).
 */
bool conf_load(struct conf_context *c, const struct conf_section *s, const struct yaml *node, void *value,
               struct err *err) MUST_USE;
bool conf_defaults(struct conf_context *c, const struct conf_section *s, void *value, struct err *err) MUST_USE;
/* The row of a key by its name or alias; NULL: there is none. */
const struct conf_row *conf_find_row(const struct conf_section *s, struct str key);
/* Whether the file sets key `name`. */
static inline bool conf_is_set(const struct yaml *node, const char *name)
{
    return node && yaml_get(node, name) != NULL;
}

/* Writes YAML with secrets masked: all keys but durations < 0, which mean "not set". */
void conf_print(struct buf *out, const struct conf_section *s, const void *value, unsigned indent);
/* Writes YAML that loads to the same value: secrets in the clear, without keys that have their defaults. What a custom row
 * prints is masked as conf_print does. */
void conf_write(struct arena *a, struct buf *out, const struct conf_section *s, const void *value, unsigned indent);
/* Reports each key whose values differ, secrets included: its path (global.scrape_interval, scrape_configs[node].scheme)
 * and both values as conf_print shows them; empty for items of lists that are in one of the two only. */
typedef void conf_difference(void *arg, const char *path, struct str a, struct str b);
void conf_diff(const struct conf_section *s, const void *a, const void *b, conf_difference *report, void *arg);
/* True if all keys have the same values, secrets included. */
bool conf_equal(const struct conf_section *s, const void *a, const void *b);
bool conf_row_equal(const struct conf_row *row, const void *a, const void *b); /* of one key */
void conf_print_row(struct buf *out, const struct conf_row *row, const void *field); /* one key, masked; empty: not shown */
/* Writes one Markdown table row per conf_row: | `name` | type | default | meaning |. docs/configuration.md is checked
 * against it. */
void conf_document(struct buf *out, const struct conf_section *s);
/* Parses one scalar as a row would; used for flags. The error contains neither key nor position (err_wrap). */
/* .custom and .print of a row for a file that is written: as CONF_FILE, but it need not exist. The field is a struct str. */
bool conf_read_output_file(struct conf_context *c, const struct yaml *node, void *field, struct err *err);
void conf_print_output_file(struct buf *out, const void *field, unsigned indent);

bool conf_scalar(struct conf_context *c, const struct conf_row *row, struct str text, void *value,
                 struct err *err) MUST_USE;

/* After an error: true when the load continues to find more errors. Records the error unless a deeper call did, that
 * is, unless the number of errors grew beyond `before`. */
bool conf_errors_continue(const struct conf_context *c, size_t before, const struct err *err) MUST_USE;
static inline size_t conf_error_count(const struct conf_context *c) { return c->errors ? c->errors->n : 0; }
/* Adds the line unless it is a duplicate, as of a flag that applies to several destinations. */
void conf_errors_add(struct conf_errors *e, const char *line);
/* Sets err to the first error and the number of further ones. Returns false. */
bool conf_errors_first(const struct conf_errors *e, struct err *err);
/* Whether --accept-inert lists `name` of `section` (may be empty). */
bool conf_accepts_inert(const struct str_list *names, const char *section, const char *name);

/* Warns "FILE:LINE: NAME: ..." when the file cannot be read, or when no file matches the pattern; both are shown as
 * absolute paths. With `node` NULL the position is omitted. They wait at most 0.5 s: a file system that does not respond
 * is warned of, and no further file is checked until it does. */
void conf_check_readable(struct conf_context *c, const struct yaml *node, const char *name, struct str path);
void conf_check_pattern(struct conf_context *c, const struct yaml *node, const char *name, struct str pattern);
/* Prepends the working directory to a relative path; mem_free. */
char *conf_absolute_path(struct str path);

/* Error: two items of `list` have the same `key`. With node NULL the position is omitted. Returns false. */
bool conf_duplicate(const struct yaml *node, const char *list, const char *key, struct str value, struct err *err);
/* Sets "FILE:LINE: ..." for a node; returns false. */
bool conf_err(const struct yaml *node, struct err *err, const char *format, ...) PRINTF(3, 4);

#endif
