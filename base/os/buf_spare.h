// SPDX-License-Identifier: Apache-2.0
/* Reuses the memory of large bodies and responses for the next ones, since faulting in fresh memory costs more than
 * filling it. It is freed after a second in which no memory was added. No budget counts it while it is kept. One loop's
 * thread.
 */
#ifndef BASE_OS_BUF_SPARE_H
#define BASE_OS_BUF_SPARE_H

#include "base/mem_release.h"
#include "base/os/loop.h"

enum { BUF_SPARES = 4, BUF_SPARE_MIN = 256 << 10 /* bytes: smaller memory is cheap (mallopt in gateway/main.c) */ };
struct buf_spare { struct buf kept[BUF_SPARES]; struct loop *loop; struct loop_timer end; };

void buf_spare_init(struct buf_spare *s, struct loop *loop);
void buf_spare_free(struct buf_spare *s);
struct buf buf_spare_take(struct buf_spare *s);         /* the largest one, empty, owned by the caller */
/* Moves the contents of a growing buffer to larger kept memory of at most `most` bytes, if there is any. */
void buf_spare_grow(struct buf_spare *s, struct buf *b, size_t most);
void buf_spare_put(struct buf_spare *s, struct buf *b); /* keeps or frees b's memory; b is as after buf_free */
/* The same, but more than 8 MiB are returned to the system in slices. */
void buf_spare_put_or_release(struct buf_spare *s, struct mem_release *q, struct buf *b);
/* Moves a small response out of a large buffer, so that it does not use that memory while it is sent. */
void buf_spare_save(struct buf_spare *s, struct buf *response);

#endif
