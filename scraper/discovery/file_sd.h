// SPDX-License-Identifier: Apache-2.0
/* Targets listed in files: JSON (a list of {"targets": [...], "labels": {...}}) or the same as YAML. A file that
 * cannot be read or is wrong keeps the targets that it had last; one that is gone loses them. The main thread's.
 */
#ifndef SCRAPER_DISCOVERY_FILE_SD_H
#define SCRAPER_DISCOVERY_FILE_SD_H

#include "scraper/scraper.h"

struct sd_stamp { uint64_t inode, size; int64_t changed_ns; };
struct sd_file {
    char *path;                  /* owned */
    struct sd_stamp stamp;
    struct arena arena;          /* the groups' */
    struct static_group *groups;
    size_t n;
    bool failing;                /* the last try to read it failed */
    bool there;                  /* mark while looking what is gone */
};
struct file_discovery {          /* one file_sd_config; zeroed = nothing read yet */
    struct sd_file *files;
    size_t n, cap;
};
/* Looks at all files again; true when any target may have changed. Log lines tell what is wrong. */
bool file_discovery_refresh(struct file_discovery *d, const struct file_sd *conf);
bool file_discovery_matches(const struct file_discovery *d, struct str pattern); /* any file that is there? */
void file_discovery_free(struct file_discovery *d);
/* Reads one file. */
bool sd_file_parse(struct arena *a, const char *path, struct str text, struct static_group **groups, size_t *n,
                   struct err *err) MUST_USE;

#endif
