// SPDX-License-Identifier: Apache-2.0
/* How far a shard of the queue is delivered, on disk: the file `position` in its folder. The io thread's.
 *
 * Two slots of 24 bytes, written in turn: "SLP1", 4 bytes zero, the sequence number before which everything is done,
 * XXH3-64 of these 16 bytes; little endian. The larger of the good ones counts, so a torn write costs no more than
 * one step back. The file gets its full size when it is created, so that writing it needs no disk space later.
 */
#ifndef WRITER_QUEUE_POSITION_H
#define WRITER_QUEUE_POSITION_H

#include "base/err.h"

#include <stdint.h>

struct position {
    int fd;        /* -1 = not open */
    unsigned slot; /* to be written next */
};
/* done: 0 for a new file. */
bool position_open(struct position *p, const char *dir, uint64_t *done, struct err *err) MUST_USE;
void position_close(struct position *p);
bool position_write(struct position *p, uint64_t done) MUST_USE; /* false with errno */

#endif
