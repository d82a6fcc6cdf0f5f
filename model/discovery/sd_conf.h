// SPDX-License-Identifier: Apache-2.0
/* Target groups and the configuration of service discovery, which produces them. */
#ifndef MODEL_DISCOVERY_SD_CONF_H
#define MODEL_DISCOVERY_SD_CONF_H

#include "base/conf/conf.h"
#include "base/http/http_conf.h"

struct static_group { struct str_list targets; struct str_map labels; };
struct file_sd { struct str_list files; int64_t refresh_interval; /* ms */ };
struct http_sd { struct str url; int64_t refresh_interval; struct http_conf http; };
struct dns_sd { struct str_list names; int type; int64_t port, refresh_interval; }; /* type: enum dns_type */
extern const struct conf_section static_group_section, file_sd_section, http_sd_section, dns_sd_section;
extern const char *const dns_sd_types[]; /* by enum dns_type */

/* Rows to include in the section of a job or group: SD_CONF_ROWS(struct scrape_job, sd, "Targets"). */
struct sd_conf {
    struct conf_items file_sd_configs; /* struct file_sd */
    struct conf_items http_sd_configs; /* struct http_sd */
    struct conf_items dns_sd_configs;  /* struct dns_sd */
};
#define SD_CONF_ROWS(type, field, what)                                                                            \
    {CONF_SECTIONS, "file_sd_configs", offsetof(type, field.file_sd_configs), .section = &file_sd_section,         \
     .help = what " listed in files"},                                                                             \
    {CONF_SECTIONS, "http_sd_configs", offsetof(type, field.http_sd_configs), .section = &http_sd_section,         \
     .help = what " listed by URLs"},                                                                              \
    {CONF_SECTIONS, "dns_sd_configs", offsetof(type, field.dns_sd_configs), .section = &dns_sd_section,            \
     .help = what " that DNS records name"}
/* Whether `key` is one of these rows. */
bool sd_conf_has_key(struct str key);
struct sd_intervals { int64_t file, http, dns; }; /* ms; 0: Prometheus' */
void sd_conf_finish(struct sd_conf *conf, const struct sd_intervals *defaults); /* of refresh_interval */
bool sd_conf_empty(const struct sd_conf *conf);

/* Whose targets are discovered, for log lines: "job", its name. */
struct sd_owner { const char *kind; struct str name; };

#endif
