// SPDX-License-Identifier: Apache-2.0
#include "base/os/buf_spare.h"

enum { SPARE_BYTES = 32 << 20 /* together, at most */, KEEP_BYTES = 8 << 20, KEEP_MS = 1000 };

static void spare_free_all(struct buf_spare *s)
{
    for (size_t i = 0; i < BUF_SPARES; i++)
        buf_free(&s->kept[i]);
}

static void on_end(struct loop_timer *t) { spare_free_all(CONTAINER(t, struct buf_spare, end)); }

void buf_spare_init(struct buf_spare *s, struct loop *loop)
{
    *s = (struct buf_spare){.loop = loop, .end.run = on_end};
}

void buf_spare_free(struct buf_spare *s)
{
    loop_timer_stop(s->loop, &s->end);
    spare_free_all(s);
}

/* NULL: none is kept that has at most `most` bytes. */
static struct buf *largest_spare(struct buf_spare *s, size_t most)
{
    struct buf *found = NULL;
    for (size_t i = 0; i < BUF_SPARES; i++)
        if (s->kept[i].cap > (found ? found->cap : 0) && s->kept[i].cap <= most)
            found = &s->kept[i];
    return found;
}

struct buf buf_spare_take(struct buf_spare *s)
{
    struct buf *found = largest_spare(s, SIZE_MAX), b = {0};
    if (found) {
        b = *found;
        *found = (struct buf){0};
    }
    return b;
}

void buf_spare_grow(struct buf_spare *s, struct buf *b, size_t most)
{
    struct buf *found = largest_spare(s, most);
    if (found == NULL || found->cap <= b->cap)
        return;
    if (b->max > 0 && found->cap > b->max)
        buf_limit(found, b->max);
    size_t cap = found->cap;
    found->max = 0;
    if (cap <= b->cap || !budget_take(b->budget, cap - b->cap))
        return;
    if (b->n > 0)
        memcpy(found->p, b->p, b->n);
    mem_free(b->p);
    b->p = found->p;
    b->cap = cap;
    *found = (struct buf){0};
}

/* The place for memory of this size; NULL: what is kept is worth more. */
static struct buf *spare_place(struct buf_spare *s, size_t cap)
{
    struct buf *smallest = &s->kept[0];
    size_t sum = cap;
    for (size_t i = 0; i < BUF_SPARES; i++) {
        sum += s->kept[i].cap;
        if (s->kept[i].cap < smallest->cap)
            smallest = &s->kept[i];
    }
    return smallest->cap < cap && sum - smallest->cap <= SPARE_BYTES ? smallest : NULL;
}

void buf_spare_put(struct buf_spare *s, struct buf *b)
{
    struct buf *place = b->cap >= BUF_SPARE_MIN ? spare_place(s, b->cap) : NULL;
    if (place) {
        budget_give(b->budget, b->cap);
        buf_free(place);
        *place = (struct buf){.p = b->p, .cap = b->cap};
        b->p = NULL;
        b->cap = 0;
        loop_timer_in(s->loop, &s->end, KEEP_MS);
    }
    buf_free(b);
}

void buf_spare_put_or_release(struct buf_spare *s, struct mem_release *q, struct buf *b)
{
    if (b->cap > KEEP_BYTES)
        mem_release_buf(q, b);
    else
        buf_spare_put(s, b);
}

void buf_spare_save(struct buf_spare *s, struct buf *response)
{
    struct buf small = {0};
    if (response->cap < BUF_SPARE_MIN || response->n > response->cap / 4)
        return;
    buf_add_str(&small, buf_str(response));
    buf_charge_anyway(&small, response->budget);
    buf_spare_put(s, response);
    *response = small;
}
