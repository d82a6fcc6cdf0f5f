// SPDX-License-Identifier: Apache-2.0
/* Configuration as tables of rows. One row says a key's name, type, default, bounds and meaning; from the rows come the
 * YAML parser, the defaults, the printed configuration (secrets masked), --help and the check of docs/configuration.md.
 *
 * A section is a C struct and its rows. Strings are struct str in the configuration's arena (NUL-terminated behind n).
 * Unknown keys, wrong types and bad values are errors "FILE:LINE: section.key: what" with the nearest known key. A key
 * whose value is null counts as absent. Nothing survives a failed load but what is in the arena.
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
    CONF_FILE,     /* struct str; a relative path starts from the file's folder; an unreadable one is a warning */
    CONF_BOOL,     /* bool */
    CONF_INT,      /* int64_t, min..max */
    CONF_FLOAT,    /* double */
    CONF_DURATION, /* int64_t ms, Prometheus form; conf_context.loose_durations allows Go's too */
    CONF_SIZE,     /* int64_t bytes: 10, 16MB, 1GiB */
    CONF_ENUM,     /* int; values in .names, NULL-terminated; stored as the index */
    CONF_STRINGS,  /* struct str_list; a single scalar counts as a list of one */
    CONF_ADDRESSES, /* the same: host:port or URLs, printed with passwords and secret parameters masked */
    CONF_FILES,    /* the same: glob patterns of paths as above; one without a match is a warning */
    CONF_HEADERS,  /* the same: "Name: value", printed without the value; a mapping of names to values is taken too */
    CONF_MAP,      /* struct str_map: string to string, in the file's order */
    CONF_MULTIMAP, /* struct multimap: string to list of strings (params) */
    CONF_SECTION,  /* a struct inside: .section; absent = its defaults */
    CONF_OPTIONAL, /* pointer to a struct (.section), NULL when absent */
    CONF_SECTIONS, /* struct conf_items: list of structs (.section) */
    CONF_CUSTOM,   /* .custom parses the node into the field */
    CONF_YAML,     /* const struct yaml *: kept as it is (parsed by somebody else), not printed */
    /* keys of the peers that do nothing here; no field */
    CONF_GUARD,    /* ignoring it would open a door, lose or duplicate data: an error unless --accept-inert names it */
    CONF_ACCEPTED, /* ignored: a warning at every load, an error with --strict */
    CONF_IGNORED,  /* ignored: it only tunes; a debug line */
};

struct str_list { struct str *items; size_t n; };
struct str_map { struct str *keys, *values; size_t n; };
struct multimap { struct str *keys; struct str_list *values; size_t n; };
struct conf_items { void *items; size_t n; }; /* n structs of the section's size, side by side */

/* All errors of a load, a line each. */
struct conf_errors { struct buf text; size_t n; };

struct conf_context {
    struct arena *arena;
    const char *file;        /* for messages */
    struct str dir;          /* folder that relative paths start from */
    bool loose_durations;    /* the vmagent dialect: 1.5h, bare seconds */
    bool xxhash_hashmod;     /* the vmagent dialect: hashmod by XXH64 instead of MD5 */
    bool lenient_keys;       /* unknown keys are warnings (promscrape.config.strictParse=false) */
    void (*warn)(void *arg, const char *text); /* FILE:LINE: ... ; each warning once per load */
    void *warn_arg;
    void (*ignored)(void *arg, const char *key); /* each CONF_ACCEPTED and accepted CONF_GUARD key; gets warn_arg */
    const struct str_list *accept_inert; /* names of CONF_GUARD keys, with or without their section, to go on without */
    bool strict;             /* ignored keys are errors */
    struct conf_errors *errors; /* where all errors of a load are collected; NULL: the first one ends it */
    void *user;              /* for custom parsers and checks */
};

struct conf_section;
struct conf_row {
    enum conf_type type;
    const char *name;
    size_t offset;
    const char *preset;              /* default as it would stand in the file; NULL = zero */
    const char *help;
    int64_t min, max;                /* INT, DURATION, SIZE: bounds when max > min */
    const char *const *names;        /* ENUM */
    const struct conf_section *section;
    bool (*custom)(struct conf_context *c, const struct yaml *node, void *field, struct err *err);
    /* for CUSTOM; NULL = not printed. Writes what follows `key:`: " value\n", or "\n" and lines that begin at
     * `indent`. */
    void (*print)(struct buf *out, const void *field, unsigned indent);
    const char *form;                /* CUSTOM: what the documentation says as its type; NULL = "any" */
    const char *alias;               /* another name of the key that is accepted silently */
    bool required;
};
struct conf_section {
    const char *name;                /* for messages and docs: "scrape_config" */
    size_t size;
    const struct conf_row *rows;     /* ends with CONF_END */
    /* after all rows, when the section stands in the file; may be NULL */
    bool (*check)(struct conf_context *c, const struct yaml *node, void *value, struct err *err);
    const char *help;
};

/* Fills `value` (section->size bytes) with defaults, then with the map `node` (NULL or YAML_NULL: defaults only). */
bool conf_load(struct conf_context *c, const struct conf_section *s, const struct yaml *node, void *value,
               struct err *err) MUST_USE;
bool conf_defaults(struct conf_context *c, const struct conf_section *s, void *value, struct err *err) MUST_USE;
/* Which rows did the file give? True when key `name` stands in the map. */
static inline bool conf_is_set(const struct yaml *node, const char *name)
{
    return node && yaml_get(node, name) != NULL;
}

/* YAML, secrets masked, all keys but durations < 0: not given */
void conf_print(struct buf *out, const struct conf_section *s, const void *value, unsigned indent);
/* One Markdown table row per conf_row: | `name` | type | default | meaning |. docs/configuration.md is checked
 * against it. */
void conf_document(struct buf *out, const struct conf_section *s);
/* Parses one scalar the way a row would; flags use it. The error names neither key nor place (err_wrap). */
bool conf_scalar(struct conf_context *c, const struct conf_row *row, struct str text, void *value,
                 struct err *err) MUST_USE;

/* After an error: true when the load goes on to find more. It is added unless a deeper call did, which is when there
 * were `before` errors before and are more now. */
bool conf_errors_continue(const struct conf_context *c, size_t before, const struct err *err) MUST_USE;
static inline size_t conf_error_count(const struct conf_context *c) { return c->errors ? c->errors->n : 0; }
/* Unless the same line is there already, of a flag that goes for several destinations. */
void conf_errors_add(struct conf_errors *e, const char *line);
/* The first one, and how many more there are. Returns false. */
bool conf_errors_first(const struct conf_errors *e, struct err *err);
/* Is `name`, of `section` (may be empty), among those that --accept-inert names? */
bool conf_accepts_inert(const struct str_list *names, const char *section, const char *name);

/* Warns "FILE:LINE: NAME: ..." when the file cannot be read, or when no file matches the pattern; both are shown as
 * absolute paths. `node` NULL: no place is shown. */
void conf_check_readable(struct conf_context *c, const struct yaml *node, const char *name, struct str path);
void conf_check_pattern(struct conf_context *c, const struct yaml *node, const char *name, struct str pattern);

/* "FILE:LINE: ..." for a node; returns false. */
bool conf_err(const struct yaml *node, struct err *err, const char *format, ...) PRINTF(3, 4);

#endif
