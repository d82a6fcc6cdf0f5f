// SPDX-License-Identifier: Apache-2.0
/* An arena: memory with a budget that is freed all at once.
 *
 * A query, a scrape and a configuration each own one; nothing in it is freed alone. Memory is allocated in blocks
 * that grow from 4 KB to 1 MB, and a reset keeps them for reuse. An allocation over the budget calls `on_full`, which
 * must not return (an evaluator sets it to a longjmp to the one place where the query ends); without `on_full`,
 * arena_alloc returns NULL. The same happens when the `budget` that arenas share (arena_charge) is exhausted; an arena
 * without its own limit (`max` 0) then allocates anyway, and its owner checks arena_over. Memory that was reset
 * is poisoned under AddressSanitizer. One thread at a time.
 *
 * arena_alloc returns memory aligned to 16 bytes, not zeroed; arena_bytes returns unaligned bytes from a separate
 * block, so that strings need no padding.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/budget.h"
#include "base/err.h"
#include "base/str.h"

#include <stdarg.h>

struct arena_block;
/* Large blocks released by an arena, kept for the next one: fresh memory costs a page fault for every 4 KiB. Owned by
 * one thread. */
struct arena_spare {
    struct arena_block *blocks; unsigned n, most; /* 1 MiB each */
    bool made; /* if there are none, an arena that needs them allocates blocks that can be kept later */
};
void arena_spare_free(struct arena_spare *s);
void arena_spare_move(struct arena_spare *from, struct arena_spare *to); /* as many as `to` may have */

struct arena {
    struct arena_block *_aligned, *_bytes; /* blocks in use, newest first */
    size_t used;                           /* bytes allocated from the system */
    size_t max;                            /* budget in bytes, 0 = none */
    size_t peak;
    struct budget *budget;                 /* shared budget to which `used` is charged; NULL = none */
    struct arena *parent;                  /* its limits apply, and its `used` includes this one's; NULL: none */
    bool starved;                          /* the last failure was caused by the shared budget */
    void (*on_full)(struct arena *a, size_t wanted, void *arg); /* must not return; NULL: allocation returns NULL */
    void *on_full_arg;
    struct arena_end *_ends;
    struct arena_spare *spare; /* pool of large blocks; NULL: the system */
    size_t fail_after; /* tests: the k-th allocation from now fails as if the budget were reached; 0 = off */
};

void arena_init(struct arena *a, size_t max);
void arena_free(struct arena *a);  /* returns everything to the system; the arena can be used again */

/* Empties an arena that is filled again and again, without arena_at_end: the newest blocks, the largest, are kept. */
void arena_reset(struct arena *a);

/* An arena whose memory counts as its parent's: limits, budget, spare blocks and on_full are the parent's. arena_free
 * returns its memory early; otherwise it is freed with the parent, or when that is released to an earlier mark. The
 * struct must live as long. A child has no children. False: the parent is full. */
bool arena_child_init(struct arena *child, struct arena *parent) MUST_USE;

/* Charges the arena's memory to a budget until arena_free. False when the budget's rest is too small. */
bool arena_charge(struct arena *a, struct budget *budget) MUST_USE;
/* Sets `err` to the reason why the arena, limited to `max` bytes, failed: the query's limit, or the limit of all
 * queries. */
void arena_full_error(const struct arena *a, size_t max, struct err *err);
/* on_full may longjmp out of the caller, which must not happen under a lock. Until the limit is restored the arena
 * allocates anyway; its owner checks arena_over with saved.max. */
struct arena_limits { size_t max; void (*on_full)(struct arena *a, size_t wanted, void *arg); };
struct arena_limits arena_suspend_limit(struct arena *a);
void arena_restore_limit(struct arena *a, struct arena_limits saved);
/* whether more is used than `max` (0 = no limit) or the shared budget allow */
bool arena_over(const struct arena *a, size_t max);

void *arena_alloc(struct arena *a, size_t n);
void *arena_zalloc(struct arena *a, size_t n);
char *arena_bytes(struct arena *a, size_t n);
struct str arena_str(struct arena *a, struct str s);        /* a copy */
char *arena_z(struct arena *a, struct str s);               /* a NUL-terminated copy */
struct str arena_printf(struct arena *a, const char *format, ...) PRINTF(2, 3);

#define ARENA_NEW(a, type)      ((type *)arena_zalloc((a), sizeof(type)))
#define ARENA_ARRAY(a, type, n) ((type *)arena_array((a), (n), sizeof(type)))
/* zeroed; a product that overflows counts as over the budget */
void *arena_array(struct arena *a, size_t count, size_t size);

/* Grows an array in the arena to at least `need` elements, doubling its capacity, and copies the old elements. The
 * old memory is reclaimed only when the arena ends; the last allocation is extended in place. items is a T **. */
void arena_grow(struct arena *a, void *items, size_t *cap, size_t need, size_t size);

/* Calls fn(arg) when the arena is freed, or released to a mark made earlier: for resources outside the arena, such as
 * a compiled regular expression. Callbacks run in reverse order of registration. When the budget is reached fn runs
 * at once, then on_full, or without one the call returns false. */
bool arena_at_end(struct arena *a, void (*fn)(void *arg), void *arg) MUST_USE;

/* A position to which later allocations can be released. Marks nest. */
struct arena_mark { struct arena_block *aligned, *bytes; size_t aligned_n, bytes_n; struct arena_end *ends; };
struct arena_mark arena_mark(struct arena *a);
void arena_release(struct arena *a, struct arena_mark mark);

#endif
