// SPDX-License-Identifier: Apache-2.0
/* Takes over persistent queues of vmagent: their files become a generation of a destination's queue. Uses the disk. */
#ifndef WRITER_QUEUE_VMAGENT_QUEUE_H
#define WRITER_QUEUE_VMAGENT_QUEUE_H

#include "base/err.h"
#include "base/str.h"

#include <stdint.h>

#define VMAGENT_QUEUES "persistent-queue" /* the directory of all of them */
struct vmagent_queues {
    const char *dir; /* VMAGENT_QUEUES in vmagent's -remoteWrite.tmpDataPath; NULL = none are looked for */
    uint64_t hash;   /* of the destination's URL, vmagent_queue_hash() */
};
uint64_t vmagent_queue_hash(struct str url); /* of what is before query and fragment */
/* Whether a name is that of a queue, N_HASH, and its hash. */
bool vmagent_queue_name(const char *name, uint64_t *hash);
/* The path of a queue of this hash, which the caller frees; NULL: none. */
char *vmagent_queue_find(const struct vmagent_queues *q);
/* Where vmagent's reader is, in bytes; 0 if it is unknown, with err. */
bool vmagent_reader_offset(const char *from, uint64_t *offset, struct err *err) MUST_USE;
/* Whether a name is that of a chunk file, and its number. */
bool vmagent_chunk_name(const char *name, uint64_t *start);
/* Moves its chunk files into the shard's directory, which exists, and writes the position there. False: it is in use, or
 * incomplete; what is left is found again. */
bool vmagent_queue_adopt(const char *from, const char *shard_dir, struct err *err) MUST_USE;

#endif
