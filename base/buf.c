// SPDX-License-Identifier: Apache-2.0
/* The byte buffer: capacity doubles up to the limit; see base/buf.h. */
#include "base/buf.h"

#include <stdio.h>

void buf_free(struct buf *b)
{
    mem_free(b->p);
    budget_give(b->budget, b->cap);
    b->p = NULL;
    b->n = b->cap = 0;
    b->over = b->starved = false;
}

bool buf_charge(struct buf *b, struct budget *budget)
{
    if (b->budget == budget)
        return true;
    if (!budget_take(budget, b->cap))
        return false;
    budget_give(b->budget, b->cap);
    b->budget = budget;
    return true;
}

void buf_charge_anyway(struct buf *b, struct budget *budget)
{
    budget_take_anyway(budget, b->cap);
    budget_give(b->budget, b->cap);
    b->budget = budget;
}

void buf_limit(struct buf *b, size_t max)
{
    b->max = max < b->n ? b->n : max;
    if (b->max == 0)
        b->max = 1;
    if (b->cap > b->max) {
        b->p = mem_realloc(b->p, b->max);
        budget_give(b->budget, b->cap - b->max);
        b->cap = b->max;
    }
}

/* Refuses growth to `cap`: because of the limit when cap is 0, else of the budget. */
static bool buf_refuse_growth(struct buf *b, size_t cap)
{
    b->over = true;
    b->starved = b->starved || cap > 0;
    return false;
}

/* The capacity that holds `need` bytes, or 0 when that exceeds the limit. */
static size_t next_cap(const struct buf *b, size_t more)
{
    size_t need;
    if (__builtin_add_overflow(b->n, more, &need) || (b->max && need > b->max))
        return 0;
    size_t cap = b->cap ? b->cap + b->cap / 2 : 64;
    if (cap < need)
        cap = need;
    if (b->max && cap > b->max)
        cap = b->max;
    return cap;
}

bool buf_grow(struct buf *b, size_t more)
{
    size_t cap = next_cap(b, more);
    if (cap == 0 || b->starved || !budget_take(b->budget, cap - b->cap))
        return buf_refuse_growth(b, cap);
    b->p = mem_realloc(b->p, cap);
    b->cap = cap;
    return true;
}

bool buf_try_reserve(struct buf *b, size_t more)
{
    if (b->cap - b->n >= more)
        return true;
    size_t cap = next_cap(b, more);
    if (cap == 0 || b->starved || !budget_take(b->budget, cap - b->cap))
        return buf_refuse_growth(b, cap);
    char *p = mem_try_realloc(b->p, cap);
    if (p == NULL) {
        budget_give(b->budget, cap - b->cap);
        b->over = true;
        return false;
    }
    b->p = p;
    b->cap = cap;
    return true;
}

void buf_vprintf(struct buf *b, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    size_t space = b->cap - b->n;
    int n = vsnprintf(space ? b->p + b->n : NULL, space, format, args);
    if (n >= 0 && (size_t)n < space)
        b->n += (size_t)n;
    else if (n >= 0 && buf_reserve(b, (size_t)n + 1)) {
        vsnprintf(b->p + b->n, (size_t)n + 1, format, again);
        b->n += (size_t)n;
    }
    va_end(again);
}

void buf_printf(struct buf *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    buf_vprintf(b, format, args);
    va_end(args);
}

void buf_drop_front(struct buf *b, size_t n)
{
    if (n >= b->n) {
        b->n = 0;
        return;
    }
    memmove(b->p, b->p + n, b->n - n);
    b->n -= n;
}

const char *buf_z(struct buf *b)
{
    if (!buf_reserve(b, 1))
        return "";
    b->p[b->n] = 0;
    return b->p;
}
