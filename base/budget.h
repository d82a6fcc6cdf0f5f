// SPDX-License-Identifier: Apache-2.0
/* Bytes that several threads share: each takes from the budget before it allocates, and gives back what it frees.
 *
 * A budget bounds the sum of what many requests hold, where the limits of buffers and arenas bound each of them. Any
 * thread; no locks. A zeroed budget without `max` only counts.
 */
#ifndef BASE_BUDGET_H
#define BASE_BUDGET_H

#include "base/mem.h"

#include <stdatomic.h>
#include <stdbool.h>

struct budget {
    size_t max;            /* bytes, 0 = no limit; set before other threads see it */
    atomic_size_t used;    /* may exceed max by what budget_take_anyway took */
    atomic_size_t refused; /* requests of budget_take */
};
/* All or nothing: false when less than n bytes are left. A NULL budget has no limit. */
bool budget_take(struct budget *b, size_t n) MUST_USE;
void budget_take_anyway(struct budget *b, size_t n); /* for what cannot be refused any more */
void budget_give(struct budget *b, size_t n);
size_t budget_left(struct budget *b);                /* now; SIZE_MAX without a limit */
bool budget_exceeded(struct budget *b);

#endif
