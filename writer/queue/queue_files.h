// SPDX-License-Identifier: Apache-2.0
/* Reads the files of a queue without opening the queue: nothing is created, changed or locked, so that a running program
 * may use the directory meanwhile. Also those of vmagent. */
#ifndef WRITER_QUEUE_QUEUE_FILES_H
#define WRITER_QUEUE_QUEUE_FILES_H

#include "writer/queue/segment.h"

/* One record; the pointers are valid during the visit. */
struct queue_file_record {
    const char *path;            /* of its file */
    uint64_t at;                 /* its offset in it */
    const struct record *record; /* of a foreign file samples, times and codec only with contents */
    const struct block *block;   /* NULL without contents */
    bool delivered;              /* before the position */
};
struct queue_files {
    bool foreign;                /* of vmagent */
    unsigned generations, shards; /* shards: of the newest generation */
    unsigned files;
    uint64_t corrupted_bytes;    /* skipped */
};
/* Whether a directory is a queue, by its names: has a generation, or is one of vmagent. */
bool queue_files_is_queue(const char *dir);
/* Visits all records: generations, their shards and their files in order. contents: bodies are read and checked, too.
 * visit may return false to end it. False with err: a directory or file cannot be read. */
bool queue_files_visit(const char *dir, bool contents, bool (*visit)(void *arg, const struct queue_file_record *r),
                       void *arg, struct queue_files *out, struct err *err) MUST_USE;

#endif
