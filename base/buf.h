// SPDX-License-Identifier: Apache-2.0
/* Bytes that we own, growing up to a limit.
 *
 * A zeroed struct buf is a valid empty one without a limit (max 0 = none). buf_reserve and the appending functions
 * never fail for want of memory; when an append would pass `max` the bytes are not written and `over` is set, so that
 * a writer may append freely and look once at the end. buf_try_reserve is for sizes that a peer names. One thread at a
 * time.
 *
 * A buffer with a `budget` takes from it what it grows by, and gives it back when it is freed; growth that the budget
 * refuses sets `over` and `starved`. Whoever moves the bytes to another struct buf moves the budget along.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/budget.h"
#include "base/str.h"

#include <stdarg.h>

struct buf {
    char *p;       /* n <= cap; cap <= max when max > 0 */
    size_t n, cap;
    size_t max;    /* most bytes it may hold, 0 = no limit */
    bool over;     /* an append was refused since the last buf_clear */
    bool starved;  /* by the budget, which is not asked again until then */
    struct budget *budget; /* where `cap` bytes are counted; NULL = nowhere */
};

void buf_free(struct buf *b);                         /* gives the memory back; `max` stays */
void buf_limit(struct buf *b, size_t max);            /* sets max, but not below n or 1; gives back what is beyond */
static inline void buf_clear(struct buf *b) { b->n = 0; b->over = b->starved = false; }
static inline struct str buf_str(const struct buf *b) { return (struct str){b->p, b->n}; }

bool buf_grow(struct buf *b, size_t more);            /* slow path of buf_reserve */
/* Room for `more` bytes behind n; false (and over set) when that would pass max. */
static inline bool buf_reserve(struct buf *b, size_t more) { return b->cap - b->n >= more || buf_grow(b, more); }
bool buf_try_reserve(struct buf *b, size_t more) MUST_USE; /* also false when memory cannot be had */
/* Counts the memory in another budget (NULL: in none); false, and nothing changed, when that has not as much left. */
bool buf_charge(struct buf *b, struct budget *budget) MUST_USE;
void buf_charge_anyway(struct buf *b, struct budget *budget);

static inline void buf_add(struct buf *b, const void *p, size_t n)
{
    if (n > 0 && buf_reserve(b, n)) {
        memcpy(b->p + b->n, p, n);
        b->n += n;
    }
}
static inline void buf_add_str(struct buf *b, struct str s) { buf_add(b, s.p, s.n); }
static inline void buf_add_char(struct buf *b, char c)
{
    if (buf_reserve(b, 1))
        b->p[b->n++] = c;
}
static inline void buf_add_z(struct buf *b, const char *z) { buf_add(b, z, strlen(z)); }
void buf_printf(struct buf *b, const char *format, ...) PRINTF(2, 3);
void buf_vprintf(struct buf *b, const char *format, va_list args) PRINTF(2, 0);
void buf_drop_front(struct buf *b, size_t n);         /* forgets the first n bytes, moving the rest down */
const char *buf_z(struct buf *b);                     /* the same bytes with a NUL behind them (not counted in n) */

#endif
