// SPDX-License-Identifier: Apache-2.0
/* Targets listed in files: JSON (a list of {"targets": [...], "labels": {...}}) or YAML with the same structure. A file
 * that cannot be read or parsed keeps its previous targets; a deleted file loses them. Main thread. */
#ifndef SCRAPER_DISCOVERY_FILE_SD_H
#define SCRAPER_DISCOVERY_FILE_SD_H

#include "base/telemetry/stats.h"
#include "scraper/discovery/sd_conf.h"

#define FILE_SD_STATS(X)                                                              \
    X(SD_READ_ERRORS, "prometheus_sd_file_read_errors_total", STATS_COUNTER,          \
      "Failed reads of file_sd_configs files")
enum file_sd_stat { FILE_SD_STATS(STATS_ID) };
extern struct stats_group file_sd_stats; /* registered by scrape_stats_register */

struct sd_stamp { uint64_t inode, size; int64_t changed_ns; };
struct sd_file {
    char *path;                  /* owned */
    struct sd_stamp stamp;
    struct arena arena;          /* the groups' */
    struct static_group *groups;
    size_t n;
    bool failing;                /* the last read failed */
    bool found;                  /* mark used by file_discovery_refresh */
};
struct file_discovery {          /* one file_sd_config; zeroed = nothing read yet */
    struct sd_file *files;
    size_t n, cap;
    /* Called with what is wrong, instead of logging and counting it; NULL: log and count. */
    void (*failed)(void *arg, const char *text);
    void *arg;
};
/* Checks all files; true when targets may have changed. Errors are logged. */
bool file_discovery_refresh(struct file_discovery *d, const struct file_sd *conf);
/* True if any existing file matches. */
bool file_discovery_matches(const struct file_discovery *d, struct str pattern);
void file_discovery_free(struct file_discovery *d);
/* Parses the text of one file. */
bool sd_file_parse(struct arena *a, const char *path, struct str text, struct static_group **groups, size_t *n,
                   struct err *err) MUST_USE;

#endif
