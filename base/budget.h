// SPDX-License-Identifier: Apache-2.0
/* A memory budget shared by several threads: memory is charged before it is allocated, and returned when it is freed.
 *
 * A budget limits the sum over many requests, while the limits of buffers and arenas apply to each of them. Any
 * thread; no locks. A zeroed budget without `max` only counts.
 */
#ifndef BASE_BUDGET_H
#define BASE_BUDGET_H

#include "base/mem.h"

#include <stdatomic.h>
#include <stdbool.h>

struct budget {
    size_t max;            /* bytes, 0 = no limit; set before other threads see it */
    atomic_size_t used;    /* may exceed max through budget_take_anyway */
    atomic_size_t refused; /* failed calls of budget_take */
};
/* All or nothing: false when less than n bytes are left. A NULL budget has no limit. */
bool budget_take(struct budget *b, size_t n) MUST_USE;
void budget_take_anyway(struct budget *b, size_t n); /* for allocations that cannot fail any more */
void budget_give(struct budget *b, size_t n);
size_t budget_left(struct budget *b);                /* at this moment; SIZE_MAX without a limit */
bool budget_exceeded(struct budget *b);

#endif
