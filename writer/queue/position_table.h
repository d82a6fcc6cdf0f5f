// SPDX-License-Identifier: Apache-2.0
/* The delivery positions of all shards of a queue directory in shared memory, which survive the end of the process.
 *
 * A lane sets its position with one store as soon as it has read a response. The io thread writes the position file
 * (position.h) later, when it is scheduled and its disk responds; what a kill -9 lets it not write, the next run takes
 * from here. So it sends only blocks again whose response the last run has not seen.
 *
 * The table is a file in a memory file system: writing to it never waits for a disk. It is sluice-ID, in the first of
 * these directories that is one: $RUNTIME_DIRECTORY (of systemd), /dev/shm. The lock file of the queue directory names
 * the ID, which is random: a table is only ever applied to the directory that it was made for. What ends the memory file
 * system, a restart of the machine or of a container, costs the table; the position files count then.
 *
 *   0   8   magic "SLPT0001"
 *   8   8   ID
 *   64      slots of 320 bytes: in use (4), zero (4), number of the first block that is not delivered (8), device (8) and
 *           inode (8) of the shard's position file, path of the shard in the queue directory (288, ended by zero)
 *
 * Native byte order and no checksum: it is written and read on one machine, and a kill tears no store of a word.
 */
#ifndef WRITER_QUEUE_POSITION_TABLE_H
#define WRITER_QUEUE_POSITION_TABLE_H

#include "writer/queue/file_identity.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct position_table;
struct position_slot {
    atomic_uint used;
    uint32_t _zero;
    atomic_ullong done;
    uint64_t device, inode;
    char path[288];
};
/* A shard's place in the table; slot NULL = it has none. */
struct shared_position { struct position_table *table; struct position_slot *slot; };

/* NULL: there is no memory file system, or it is full. */
struct position_table *position_table_new(void);
uint64_t position_table_id(const struct position_table *t);
/* Deletes the file: the position files are up to date. The memory is freed when the last place is left. NULL is fine. */
void position_table_delete(struct position_table *t);
/* Writes the positions of an earlier run's table into the position files below `dir`, where they are ahead, and deletes it.
 * Nobody else uses the directory. A table that does not exist changes nothing. */
void position_table_restore(const char *dir, uint64_t id);

/* Any thread. Takes a place for the shard at `path` in the queue directory; without one (table NULL, all are taken, or the
 * path is too long) slot is NULL. */
struct shared_position shared_position_begin(struct position_table *t, const char *path, struct file_identity file,
                                             uint64_t done);
void shared_position_end(struct shared_position *p); /* no thread sets it any more */
void shared_position_moved(struct shared_position *p, struct file_identity file); /* another file is the position file */
/* The lane's. */
static inline void shared_position_set(const struct shared_position *p, uint64_t done)
{
    if (p->slot && done > atomic_load_explicit(&p->slot->done, memory_order_relaxed))
        atomic_store_explicit(&p->slot->done, done, memory_order_relaxed);
}

#endif
