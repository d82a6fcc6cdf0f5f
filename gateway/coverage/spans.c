// SPDX-License-Identifier: Apache-2.0
#include "gateway/coverage/spans.h"

#include <stdlib.h>
#include <string.h>

uint32_t spans_find(const struct span_list *l, int64_t t)
{
    uint32_t low = 0, high = l->n;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (l->items[middle].to < t)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void spans_add(struct span_list *l, struct coverage_span s)
{
    uint32_t first = spans_find(l, s.from - 1), end = first;
    for (; end < l->n && l->items[end].from <= s.to + 1; end++) {
        s.from = l->items[end].from < s.from ? l->items[end].from : s.from;
        s.to = l->items[end].to > s.to ? l->items[end].to : s.to;
    }
    if (end == first) {
        size_t cap = l->cap;
        mem_grow(&l->items, &cap, l->n + 1, sizeof *l->items);
        l->cap = (uint32_t)cap;
    }
    memmove(&l->items[first + 1], &l->items[end], (l->n - end) * sizeof *l->items);
    l->items[first] = s;
    l->n = l->n - (end - first) + 1;
}

void spans_cut_before(struct span_list *l, int64_t t)
{
    uint32_t first = spans_find(l, t);
    if (first > 0)
        memmove(l->items, l->items + first, (l->n - first) * sizeof *l->items);
    l->n -= first;
    if (l->n > 0 && l->items[0].from < t)
        l->items[0].from = t;
}

void spans_cut_after(struct span_list *l, int64_t t)
{
    while (l->n > 0 && l->items[l->n - 1].from > t)
        l->n--;
    if (l->n > 0 && l->items[l->n - 1].to > t)
        l->items[l->n - 1].to = t;
}

void spans_free(struct span_list *l)
{
    mem_free(l->items);
    *l = (struct span_list){0};
}

static int spans_compare(const void *a, const void *b)
{
    const struct coverage_span *x = a, *y = b;
    return x->from < y->from ? -1 : x->from > y->from;
}

size_t spans_join(struct coverage_span *items, size_t n)
{
    size_t kept = 0;
    if (n > 1)
        qsort(items, n, sizeof *items, spans_compare);
    for (size_t i = 0; i < n; i++) {
        if (kept == 0 || items[i].from > items[kept - 1].to + 1)
            items[kept++] = items[i];
        else if (items[i].to > items[kept - 1].to)
            items[kept - 1].to = items[i].to;
    }
    return kept;
}

/* The smallest distance up to which neighbours must be joined so that at most `most` spans are left, by bisection. */
static int64_t spans_distance(const struct coverage_span *items, size_t n, size_t most)
{
    int64_t low = 0, high = items[n - 1].to - items[0].from;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        size_t left = 1;
        for (size_t i = 1; i < n; i++)
            left += items[i].from - items[i - 1].to > middle;
        if (left > most)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

size_t spans_limit(struct coverage_span *items, size_t n, size_t most)
{
    size_t kept = 1;
    if (n <= most)
        return n;
    int64_t near = spans_distance(items, n, most);
    for (size_t i = 1; i < n; i++) {
        if (items[i].from - items[kept - 1].to > near)
            items[kept++] = items[i];
        else
            items[kept - 1].to = items[i].to;
    }
    return kept;
}
