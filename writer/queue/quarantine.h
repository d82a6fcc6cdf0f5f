// SPDX-License-Identifier: Apache-2.0
/* Blocks that a destination rejects permanently, kept on disk for people to look at and to send again. The directory has
 * the layout of a queue (queue_dir.c) with one shard, beside the queue's and with its name and ".quarantine": `sluice
 * queue` lists, prints, deletes and sends its blocks. Nothing here reads it but to count.
 *
 * Over the limit the oldest blocks are deleted. Rejections are rare: a write lists the directory, which people may have
 * moved or deleted meanwhile, and syncs the file.
 */
#ifndef WRITER_QUEUE_QUARANTINE_H
#define WRITER_QUEUE_QUARANTINE_H

#include "base/os/loop.h"
#include "writer/queue/block.h"

#define QUARANTINE_SUFFIX ".quarantine"
struct quarantine {
    char *dir;
    struct loop *io;          /* of the thread that uses the files */
    atomic_ullong max_bytes;  /* 0: nothing is kept */
    atomic_ullong pending;    /* bytes of blocks that are not yet written */
    /* read by any thread */
    atomic_ullong bytes;      /* on disk, as of the last write */
    atomic_ullong blocks_kept, samples_kept, samples_lost; /* lost: could not be written, or deleted over the limit */
};

void quarantine_init(struct quarantine *z, const char *queue_dir, struct loop *io);
void quarantine_free(struct quarantine *z);
void quarantine_open(struct quarantine *z); /* the io thread: counts and logs what there is */
/* On the io thread, once a second: `sluice queue` may have taken it. */
void quarantine_check(struct quarantine *z);
/* Any lane: keeps the block; takes its own reference. False: the limit is 0. */
bool quarantine_add(struct quarantine *z, struct block *b);

#endif
