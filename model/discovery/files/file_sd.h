// SPDX-License-Identifier: Apache-2.0
/* Targets listed in files: JSON (a list of {"targets": [...], "labels": {...}}) or YAML with the same structure. A file
 * that cannot be read or parsed keeps its previous targets; a deleted file loses them.
 *
 * Reading may hang, so it is done by a thread for files (file_reader.h); what it has read is immutable and is shared
 * with the control thread by reference.
 */
#ifndef MODEL_DISCOVERY_FILE_SD_H
#define MODEL_DISCOVERY_FILE_SD_H

#include "model/discovery/groups/sd_groups.h"

struct sd_stamp { uint64_t inode, size; int64_t changed_ns; };
struct sd_file {
    char *path;                  /* owned */
    struct sd_stamp stamp;
    struct sd_groups *groups;    /* a reference; NULL: never read successfully */
    bool failing;                /* the last read failed */
    int error;                   /* of opening it; 0: it was opened, or never tried */
};
struct sd_files { struct sd_file *items; size_t n; };
void sd_files_copy(struct sd_files *to, const struct sd_files *from); /* shares the groups */
void sd_files_free(struct sd_files *f);                               /* any thread */

/* The files of one pattern. One thread at a time. */
struct file_discovery {
    struct sd_owner owner;       /* set by the user, who keeps the texts */
    struct str pattern;          /* likewise; ends with a NUL */
    struct sd_files files;       /* zeroed = nothing read yet */
    bool unreadable;             /* the directory could not be read, which was reported */
    /* Called with what is wrong, instead of logging and counting it; NULL: log and count. */
    void (*failed)(void *arg, const char *text);
    /* Called before a file, or the directory (the pattern), is read; false ends the refresh. NULL: nothing. */
    bool (*reads)(void *arg, const char *path);
    void *arg;
};
/* Checks all files; true when targets may have changed. Errors are logged when they begin or change. */
bool file_discovery_refresh(struct file_discovery *d);
/* Parses a list of groups in JSON; `name` begins the errors. */
bool sd_json_parse(struct arena *a, const char *name, struct str text, struct static_group **groups, size_t *n,
                   struct err *err) MUST_USE;
/* Parses the text of one file. */
bool sd_file_parse(struct arena *a, const char *path, struct str text, struct static_group **groups, size_t *n,
                   struct err *err) MUST_USE;

#endif
