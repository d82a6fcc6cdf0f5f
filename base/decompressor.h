// SPDX-License-Identifier: Apache-2.0
/* Decompression in steps of bounded size: for bodies that are processed while they arrive, and for long ones on a thread
 * that may not be occupied for long. base/compress.h has the codecs over complete buffers. One thread at a time.
 */
#ifndef BASE_DECOMPRESSOR_H
#define BASE_DECOMPRESSOR_H

#include "base/compress.h"

struct decompressor;
/* max: limit of a snappy block, which has to be decompressed at once; other codecs have none here. NULL: no memory. */
struct decompressor *decompressor_new(enum codec c, size_t max);
void decompressor_free(struct decompressor *d); /* NULL is allowed */
size_t decompressor_memory(const struct decompressor *d); /* bytes at present: for zstd up to 8 MiB, as its data says */
/* Takes bytes from the front of *in, and appends at most `room` (of snappy: `max`) bytes to `out`. `last`: nothing follows
 * *in, so that an incomplete stream is an error once *in is empty. *done: the stream is complete, and all is appended. */
bool decompressor_step(struct decompressor *d, struct str *in, bool last, size_t room, struct buf *out, bool *done,
                       struct err *err) MUST_USE;

#endif
