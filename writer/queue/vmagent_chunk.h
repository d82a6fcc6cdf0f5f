// SPDX-License-Identifier: Apache-2.0
/* Chunk files of vmagent's persistent queue, read like segments: each record is a block with a sequence number. Format:
 * vmagent_chunk.c. */
#ifndef WRITER_QUEUE_VMAGENT_CHUNK_H
#define WRITER_QUEUE_VMAGENT_CHUNK_H

#include "writer/queue/segment.h"

struct vmagent_chunk {
    int fd;
    uint64_t start; /* offset in the queue of its first byte, which is its name */
    uint64_t size;
};
/* As segment_next. The sequence number is the record's offset in the queue. With body NULL only the length is read; r
 * has samples, times and codec if the body was read. */
enum segment_step vmagent_chunk_next(const struct vmagent_chunk *c, struct packer *p, uint64_t *at, struct record *r,
                                     struct block **body, uint64_t *skipped);

#endif
