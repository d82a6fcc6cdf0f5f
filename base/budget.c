// SPDX-License-Identifier: Apache-2.0
/* A memory budget shared by threads: one atomic counter. */
#include "base/budget.h"

/* Adds first and subtracts on failure, so that two threads cannot both get the last bytes. */
bool budget_take(struct budget *b, size_t n)
{
    if (b == NULL)
        return true;
    size_t before = atomic_fetch_add_explicit(&b->used, n, memory_order_relaxed);
    if (b->max == 0 || (before <= b->max && n <= b->max - before))
        return true;
    atomic_fetch_sub_explicit(&b->used, n, memory_order_relaxed);
    atomic_fetch_add_explicit(&b->refused, 1, memory_order_relaxed);
    return false;
}

void budget_take_anyway(struct budget *b, size_t n)
{
    if (b)
        atomic_fetch_add_explicit(&b->used, n, memory_order_relaxed);
}

void budget_give(struct budget *b, size_t n)
{
    if (b)
        atomic_fetch_sub_explicit(&b->used, n, memory_order_relaxed);
}

size_t budget_left(struct budget *b)
{
    if (b == NULL || b->max == 0)
        return SIZE_MAX;
    size_t used = atomic_load_explicit(&b->used, memory_order_relaxed);
    return used < b->max ? b->max - used : 0;
}

bool budget_exceeded(struct budget *b)
{
    return b && b->max && atomic_load_explicit(&b->used, memory_order_relaxed) > b->max;
}
