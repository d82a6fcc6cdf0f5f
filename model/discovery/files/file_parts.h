// SPDX-License-Identifier: Apache-2.0
/* Private to model/discovery/: the targets of files by part (groups/sd_parts.h), so that a changed file costs what has
 * changed in it. Main thread. */
#ifndef MODEL_DISCOVERY_FILES_FILE_PARTS_H
#define MODEL_DISCOVERY_FILES_FILE_PARTS_H

#include "base/list.h"
#include "model/discovery/files/file_sd.h"
#include "model/discovery/source/sd_source.h"

struct file_parts {
    struct map files;            /* of one file each, by path; one that has gone until that was visited */
    struct list changed;         /* of the same */
};
void file_parts_init(struct file_parts *p);
void file_parts_free(struct file_parts *p);
/* The files as read last; cheap if they are the same. */
void file_parts_set(struct file_parts *p, const struct sd_files *files);
static inline bool file_parts_changed(const struct file_parts *p) { return !list_empty(&p->changed); }
/* All parts of the files that are not in `seen`, which has their paths then. None counts as changed afterwards. */
void file_parts_visit(struct file_parts *p, const struct sd_files *files, struct map *seen, sd_visit_fn *visit,
                      void *arg);
/* Changed ones, at least one, until clock_mono_ns() reaches `until`. */
void file_parts_visit_changed(struct file_parts *p, int64_t until, sd_visit_fn *visit, void *arg);
void file_parts_settle(struct file_parts *p); /* as if all had been visited */

#endif
