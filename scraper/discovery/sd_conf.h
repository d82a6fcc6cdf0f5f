// SPDX-License-Identifier: Apache-2.0
/* Target groups and the configuration of service discovery, which produces them. */
#ifndef SCRAPER_DISCOVERY_SD_CONF_H
#define SCRAPER_DISCOVERY_SD_CONF_H

#include "base/conf/conf.h"

struct static_group { struct str_list targets; struct str_map labels; };
struct file_sd { struct str_list files; int64_t refresh_interval; /* ms */ };
extern const struct conf_section static_group_section, file_sd_section;

#endif
