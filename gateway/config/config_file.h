// SPDX-License-Identifier: Apache-2.0
/* Private to gateway/config/: the file as parsed, before it is combined with the flags. */
#ifndef GATEWAY_CONFIG_CONFIG_FILE_H
#define GATEWAY_CONFIG_CONFIG_FILE_H

#include "gateway/config/config.h"

struct promxy_conf { struct conf_items server_groups; };
struct config_file {
    struct global_conf global;
    struct conf_items scrape_configs;      /* struct scrape_job */
    struct str_list scrape_config_files;
    struct conf_items remote_write;        /* struct destination_conf */
    struct conf_items server_groups;       /* struct server_group_conf */
    struct promxy_conf promxy, promxy_server;
    struct recent_conf *recent;
    struct sharding_conf *sharding;
    struct pipeline_conf pipeline;
    struct audit_conf *audit;
    struct cluster_conf *cluster;
    struct otlp_conf otlp;
    struct tls_server_conf *tls_server;
    struct metrics_conf *metrics;          /* of Grafana Agent; NULL: none */
};
extern const struct conf_section file_section;

struct later_key { struct str key, places; const char *file; }; /* CONF_LATER; places: FILE:LINE, LINE; file: the last */
struct loader {
    const struct flags *flags;
    struct config_reader *reader;          /* NULL: nobody watches the load */
    struct config *config;
    struct conf_context conf;
    struct config_file file;
    const struct yaml *document;
    struct err *err;
    struct later_key *later; size_t n_later, cap_later; /* each key once */
    bool broken;                           /* the document is invalid: what depends on it is not checked */
    size_t n_own_jobs, n_own_destinations; /* without those of stored instances, which are checked one by one */
    size_t cap_instances, cap_destinations;
    size_t cap_jobs, cap_warnings, cap_ignored, cap_sources, cap_job_lists;
};

/* A feature of Prometheus that --enable-feature names. */
static inline bool config_feature(const struct loader *l, const char *name)
{
    return str_list_has(&l->flags->enable_features, name);
}

/* ---- config_read.c ---- */

enum { CONFIG_FILE_MAX = 32 << 20 }; /* bytes of a file or URL */
enum config_read { CONFIG_READ_OK, CONFIG_READ_FAILED, CONFIG_READ_HANGS };
/* Reads a file or URL without which there is no configuration. */
bool config_read_file(struct loader *l, const char *path, struct buf *out) MUST_USE;
/* Likewise one that is watched otherwise: it is no source of the configuration. */
bool config_read_watched(struct loader *l, const char *path, struct buf *out) MUST_USE;
const char *config_shown_path(struct loader *l, const char *path); /* without the secrets of a URL */
/* The same for a file that a start can do without. HANGS, only during a start: it does not respond. */
enum config_read config_read_optional(struct loader *l, const char *path, struct buf *out) MUST_USE;
/* Files that match a pattern, in the arena. HANGS as above. */
enum config_read config_read_pattern(struct loader *l, const char *pattern, struct str_list *out) MUST_USE;

void config_forget_texts(struct config *c); /* of its sources */

/* ---- config_parse.c ---- */

/* Relative paths in it start from its directory from now on: the caller restores l->conf. */
const struct yaml *config_parse_yaml(struct loader *l, const char *path, struct str text);
/* key: the list may also be the value of this only key of a mapping; NULL: it may not. node may be NULL. */
bool config_parse_list(struct loader *l, const char *path, struct str text, const struct conf_section *section,
                       const char *key, struct conf_items *items, const struct yaml **node) MUST_USE;
/* Loads a YAML file that is a list of `section`. *hangs, only during a start: it does not respond; no items. *node: the
 * list. */
bool config_load_list(struct loader *l, const char *path, const struct conf_section *section,
                      struct conf_items *items, bool *hangs, const struct yaml **node) MUST_USE;

/* ---- config_flags.c ---- */

/* Sets a field to an item of a flag that is a list; an empty item leaves it. max 0: no maximum. */
bool config_flags_parse(struct loader *l, enum conf_type type, const char *flag, struct str text, int64_t min,
                        int64_t max, void *to) MUST_USE;
/* The parts of such an item, which are joined by `^^`; they point into it. */
struct str_list config_flags_split(struct loader *l, struct str text) MUST_USE;

/* ---- config_aggregation.c ---- */

/* -streamAggr.*, and the rules_file of sections of the file. */
bool config_load_aggregation(struct loader *l) MUST_USE;
/* -remoteWrite.streamAggr.* of the i-th URL. */
bool config_set_flag_aggregation(struct loader *l, size_t i, struct destination_conf *d) MUST_USE;

/* ---- config.c ---- */

/* Checks what start and reload will do with it, except sockets and queues: unique names, HTTP clients. Adds all
 * errors. */
bool config_check(struct loader *l) MUST_USE;
/* What it checks of one job, and of the i-th destination; the first error. */
bool config_check_job(const struct scrape_job *job, struct err *err) MUST_USE;
bool config_check_destination(struct loader *l, size_t i, struct err *err) MUST_USE;
/* Runs one step of loading; if it fails, its error is added to the others and loading continues. */
bool config_step(struct loader *l, bool (*step)(struct loader *l, void *arg), void *arg) MUST_USE;
/* Appends the flags' destinations to file.remote_write. */
bool config_add_destinations(struct loader *l) MUST_USE;
void config_warn(void *loader, const char *text); /* conf_context.warn */
bool config_has_destination(const struct config *c, struct str name); /* so far */
/* Makes space for one more element after n of an array in l->conf.arena. */
bool config_grow(struct loader *l, void *items, size_t *cap, size_t n, size_t size) MUST_USE;
bool config_memory_error(struct loader *l) MUST_USE; /* false, with the error that the arena is full */
/* Concatenates a and b. */
bool config_join(struct loader *l, struct conf_items a, struct conf_items b, size_t size,
                 struct conf_items *out) MUST_USE;

/* ---- config_jobs.c: steps of the load, in this order ---- */

void config_set_globals(struct loader *l);
bool config_set_cluster(struct loader *l, void *arg);
bool config_load_jobs(struct loader *l, void *arg);
bool config_add_job(struct loader *l, const struct yaml *node, struct scrape_job *job) MUST_USE; /* with the defaults */
/* config_instances.c */
bool config_append_destination(struct loader *l, const struct destination_conf *d) MUST_USE;

#endif
