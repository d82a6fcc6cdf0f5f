// SPDX-License-Identifier: Apache-2.0
/* The delivery position of a queue shard: the file `position` in the shard's directory. The io thread's.
 *
 * Two slots of 24 bytes, written in turn: "SLP1", 4 bytes zero, the sequence number of the first block that is not
 * delivered, XXH3-64 of these 16 bytes; little endian. The larger valid one counts, so that a torn write costs no more
 * than one step back. The file gets its full size when it is created: later writes need no disk space.
 */
#ifndef WRITER_QUEUE_POSITION_H
#define WRITER_QUEUE_POSITION_H

#include "base/err.h"
#include "writer/queue/file_identity.h"

#include <stdint.h>

struct position {
    int fd;        /* -1 = not open */
    struct file_identity file;
    unsigned slot; /* the next one to write */
};
/* done: the position read, 0 for a new file. */
bool position_open(struct position *p, const char *dir, uint64_t *done, struct err *err) MUST_USE;
/* The position in the file, which is not changed; 0 = none. */
uint64_t position_read(const char *dir);
void position_close(struct position *p);
bool position_write(struct position *p, uint64_t done) MUST_USE; /* false with errno */

#endif
