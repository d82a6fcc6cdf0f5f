// SPDX-License-Identifier: Apache-2.0
/* A growing byte buffer with an optional limit.
 *
 * A zeroed struct buf is a valid empty one without a limit (max 0 = none). buf_reserve and the appending functions
 * never fail for lack of memory. An append that would exceed `max` writes nothing and sets `over`, so a writer may
 * append freely and check once at the end. Use buf_try_reserve for sizes that a peer chooses. One thread at a time.
 *
 * A buffer with a `budget` charges its growth to it and returns the amount when freed; growth that the budget refuses
 * sets `over` and `starved`. Code that moves the bytes to another struct buf must move the budget too.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/budget.h"
#include "base/str.h"

#include <stdarg.h>

struct buf {
    char *p;       /* n <= cap; cap <= max when max > 0 */
    size_t n, cap;
    size_t max;    /* limit in bytes, 0 = none */
    bool over;     /* an append was refused since the last buf_clear */
    bool starved;  /* refused by the budget, which is not tried again until then */
    struct budget *budget; /* budget to which `cap` bytes are charged; NULL = none */
};

void buf_free(struct buf *b);                         /* frees the memory; keeps `max` */
void buf_limit(struct buf *b, size_t max);            /* sets max, but not below n or 1; frees capacity beyond it */
static inline void buf_clear(struct buf *b) { b->n = 0; b->over = b->starved = false; }
static inline struct str buf_str(const struct buf *b) { return (struct str){b->p, b->n}; }

bool buf_grow(struct buf *b, size_t more);            /* slow path of buf_reserve */
/* Makes capacity for `more` bytes after n; false (and sets over) when that would exceed max. */
static inline bool buf_reserve(struct buf *b, size_t more) { return b->cap - b->n >= more || buf_grow(b, more); }
bool buf_try_reserve(struct buf *b, size_t more) MUST_USE; /* also false when out of memory */
/* Charges the memory to another budget (NULL: to none); false, with nothing changed, when its rest is too small. */
bool buf_charge(struct buf *b, struct budget *budget) MUST_USE;
void buf_charge_anyway(struct buf *b, struct budget *budget); /* the same over the limit too */

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
void buf_drop_front(struct buf *b, size_t n);         /* removes the first n bytes, moving the rest down */
const char *buf_z(struct buf *b);                     /* the same bytes, NUL-terminated (the NUL is not counted in n) */

#endif
