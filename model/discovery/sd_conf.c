// SPDX-License-Identifier: Apache-2.0
#include "model/discovery/sd_conf.h"

static const struct conf_row static_rows[] = {
    {CONF_ADDRESSES, "targets", offsetof(struct static_group, targets), .help = "Addresses, `host:port`"},
    {CONF_MAP, "labels", offsetof(struct static_group, labels), .help = "Labels of these targets"},
    {0}};
const struct conf_section static_group_section = {
    "static_config", sizeof(struct static_group), static_rows, NULL, "Targets with common labels"};

static const struct conf_row file_rows[] = {
    {CONF_FILES, "files", offsetof(struct file_sd, files), .required = true,
     .help = "JSON or YAML files; the last path element may contain `*`, `?` and `[]`"},
    {CONF_DURATION, "refresh_interval", offsetof(struct file_sd, refresh_interval),
     .help = "Maximum time between reads; changes are detected immediately with inotify. Default: 5m"},
    {0}};
const struct conf_section file_sd_section = {"file_sd_config", sizeof(struct file_sd), file_rows, NULL,
                                             "Files that list targets"};

bool sd_conf_has_key(struct str key) { return str_is(key, "file_sd_configs"); }

void sd_conf_finish(struct sd_conf *conf, int64_t file_interval)
{
    for (size_t i = 0; i < conf->file_sd_configs.n; i++) {
        struct file_sd *sd = (struct file_sd *)conf->file_sd_configs.items + i;
        if (sd->refresh_interval <= 0)
            sd->refresh_interval = file_interval > 0 ? file_interval : 5 * 60 * 1000;
    }
}

bool sd_conf_empty(const struct sd_conf *conf) { return conf->file_sd_configs.n == 0; }
