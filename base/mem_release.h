// SPDX-License-Identifier: Apache-2.0
/* Returns large blocks of memory to the system in slices: the kernel takes about 1 ms for each 16 MiB, in which a lane
 * would not serve others. Small blocks are freed at once. The owner's thread only. */
#ifndef BASE_MEM_RELEASE_H
#define BASE_MEM_RELEASE_H

#include "base/buf.h"

#include <stdbool.h>

struct mem_release { struct released_block *first; }; /* zeroed: nothing to release */

/* Takes a block of this size; NULL is fine. */
void mem_release_add(struct mem_release *q, void *p, size_t bytes);
void mem_release_buf(struct mem_release *q, struct buf *b); /* its memory; *b is empty afterwards, as by buf_free */
/* Takes the array of a T *, *cap items of `size` bytes, if it has more than `keep`; items: T **. It is then empty. */
void mem_release_items(struct mem_release *q, void *items, size_t *cap, size_t size, size_t keep);
/* Releases some megabytes, for less than 1 ms; true while there is more. */
bool mem_release_some(struct mem_release *q);
void mem_release_all(struct mem_release *q);

#endif
