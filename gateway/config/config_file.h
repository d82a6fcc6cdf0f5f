// SPDX-License-Identifier: Apache-2.0
/* Inside gateway/config*.c only: the file as its rows say it, before it is put together with the flags.
 */
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
};
extern const struct conf_section file_section;

struct loader {
    const struct flags *flags;
    struct config *config;
    struct conf_context conf;
    struct config_file file;
    const struct yaml *document;
    struct err *err;
    bool broken;                           /* the document is: what depends on it is not looked at */
    size_t cap_jobs, cap_warnings, cap_ignored;
};

/* A YAML file that is a list of `section`, or a mapping with only `key` (NULL: no mapping) that has the list: its
 * items. `node`, when not NULL, gets the list itself. */
bool config_load_list(struct loader *l, const char *path, const struct conf_section *section, const char *key,
                      struct conf_items *items, const struct yaml **node) MUST_USE;
/* What the start does with it, short of sockets and queues: names that must differ, clients. Adds all errors. */
bool config_check(const struct config *c, struct conf_errors *errors) MUST_USE;
/* Runs one step of the load; when it fails its error is added to the others, and the load goes on. */
bool config_step(struct loader *l, bool (*step)(struct loader *l, void *arg), void *arg) MUST_USE;
/* Appends the flags' destinations to file.remote_write. */
bool config_add_destinations(struct loader *l) MUST_USE;
/* a, then b, as one. */
bool config_join(struct loader *l, struct conf_items a, struct conf_items b, size_t size,
                 struct conf_items *out) MUST_USE;

#endif
