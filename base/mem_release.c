// SPDX-License-Identifier: Apache-2.0
/* A list of blocks; each node is stored at the beginning of its block. malloc maps a large block separately, and
 * realloc shrinks the mapping at its end (mremap), which keeps the node. */
#include "base/mem_release.h"

enum {
    AT_ONCE = 1 << 20,  /* blocks up to this size are freed when they are added */
    SLICE = 8 << 20,
};

struct released_block { struct released_block *next; size_t bytes; };

void mem_release_add(struct mem_release *q, void *p, size_t bytes)
{
    if (bytes <= AT_ONCE) {
        mem_free(p);
        return;
    }
    struct released_block *b = p;
    *b = (struct released_block){q->first, bytes};
    q->first = b;
}

void mem_release_buf(struct mem_release *q, struct buf *b)
{
    budget_give(b->budget, b->cap);
    mem_release_add(q, b->p, b->cap);
    b->p = NULL;
    b->n = b->cap = 0;
    b->over = b->starved = false;
}

void mem_release_items(struct mem_release *q, void *items, size_t *cap, size_t size, size_t keep)
{
    if (*cap <= keep)
        return;
    void *p;
    memcpy(&p, items, sizeof p); /* as in mem_grow */
    mem_release_add(q, p, *cap * size);
    p = NULL;
    memcpy(items, &p, sizeof p);
    *cap = 0;
}

bool mem_release_some(struct mem_release *q)
{
    struct released_block *b = q->first;
    if (b == NULL)
        return false;
    if (b->bytes <= SLICE) {
        q->first = b->next;
        mem_free(b);
    } else {
        b->bytes -= SLICE;
        q->first = mem_realloc(b, b->bytes);
    }
    return q->first != NULL;
}

void mem_release_all(struct mem_release *q)
{
    while (mem_release_some(q)) {
    }
}
