// SPDX-License-Identifier: Apache-2.0
/* late_sort, in three steps:
 *
 * 1. The tail is copied and sorted by a merge sort, which is stable in order of arrival. A descending tail, as from a
 *    backfill from new to old, is reversed instead.
 * 2. Copy and sorted items are merged from the end, in place.
 * 3. Of items with equal times the first is kept.
 *
 * Every function is inlined into one of two instances, for items of 16 and of 24 bytes.
 */
#include "writer/recent/late.h"

#include <string.h>

#define INLINED static inline __attribute__((always_inline))
enum { INSERTION_MAX = 16, STACK_BYTES = 2048 };

INLINED int64_t time_at(const char *items, uint32_t i, size_t size)
{
    int64_t t;
    memcpy(&t, items + i * size, sizeof t);
    return t;
}

INLINED void copy_item(char *to, uint32_t i, const char *from, uint32_t k, size_t size)
{
    memcpy(to + i * size, from + k * size, size);
}

INLINED uint32_t lower_bound_sized(const char *items, uint32_t n, size_t size, int64_t t)
{
    uint32_t from = 0, to = n;
    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        if (time_at(items, middle, size) < t)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

uint32_t late_lower_bound(const void *items, uint32_t n, size_t size, int64_t t)
{
    return size == 16 ? lower_bound_sized(items, n, 16, t) : lower_bound_sized(items, n, 24, t);
}

/* --- the tail ----------------------------------------------------------------------------------------------------- */

INLINED bool tail_descends(const char *items, uint32_t n, size_t size)
{
    for (uint32_t i = 1; i < n; i++)
        if (time_at(items, i - 1, size) <= time_at(items, i, size))
            return false;
    return true;
}

INLINED void reverse_copy(char *to, const char *from, uint32_t n, size_t size)
{
    for (uint32_t i = 0; i < n; i++)
        copy_item(to, i, from, n - 1 - i, size);
}

INLINED void sort_block(char *items, uint32_t n, size_t size)
{
    char item[24];
    for (uint32_t i = 1; i < n; i++) {
        uint32_t at = i;
        copy_item(item, 0, items, i, size);
        for (int64_t t = time_at(item, 0, size); at > 0 && time_at(items, at - 1, size) > t; at--)
            copy_item(items, at, items, at - 1, size);
        copy_item(items, at, item, 0, size);
    }
}

/* Merges from[0..middle) and from[middle..n) into to. */
INLINED void merge_blocks(char *to, const char *from, uint32_t middle, uint32_t n, size_t size)
{
    uint32_t i = 0, k = middle;
    for (uint32_t at = 0; at < n; at++)
        if (i < middle && (k == n || time_at(from, i, size) <= time_at(from, k, size)))
            copy_item(to, at, from, i++, size);
        else
            copy_item(to, at, from, k++, size);
}

/* Sorts `items`; `spare` has space for as many. */
INLINED void sort_tail(char *items, char *spare, uint32_t n, size_t size)
{
    for (uint32_t i = 0; i < n; i += INSERTION_MAX)
        sort_block(items + i * size, n - i < INSERTION_MAX ? n - i : INSERTION_MAX, size);
    char *from = items, *to = spare;
    for (uint64_t width = INSERTION_MAX; width < n; width *= 2) {
        for (uint64_t i = 0; i < n; i += 2 * width) {
            uint32_t whole = (uint32_t)(n - i < 2 * width ? n - i : 2 * width);
            merge_blocks(to + i * size, from + i * size, whole < width ? whole : (uint32_t)width, whole, size);
        }
        char *swap = from;
        from = to;
        to = swap;
    }
    if (from != items)
        memcpy(items, from, n * size);
}

/* --- merging ------------------------------------------------------------------------------------------------------ */

/* Of equal times the sorted item arrived first. Returns where the first item of the tail was placed. */
INLINED uint32_t merge_tail(char *items, uint32_t n_sorted, uint32_t n, const char *tail, size_t size)
{
    uint32_t i = n_sorted, k = n - n_sorted, at = n;
    while (k > 0) {
        if (i > 0 && time_at(items, i - 1, size) > time_at(tail, k - 1, size))
            copy_item(items, --at, items, --i, size);
        else
            copy_item(items, --at, tail, --k, size);
    }
    return at;
}

/* items[0..from) are unique. `spare` has space for the tail, the only source of duplicates. */
INLINED uint32_t drop_equal(char *items, uint32_t from, uint32_t n, char *spare, size_t size)
{
    uint32_t kept = from ? from : 1, dropped = 0;
    for (uint32_t i = kept; i < n; i++)
        if (time_at(items, i, size) == time_at(items, kept - 1, size))
            copy_item(spare, dropped++, items, i, size);
        else if (kept++ < i)
            copy_item(items, kept - 1, items, i, size);
    if (dropped > 0)
        memcpy(items + kept * size, spare, dropped * size);
    return kept;
}

INLINED uint32_t sort_sized(char *items, uint32_t n_sorted, uint32_t n, size_t size)
{
    char small[STACK_BYTES], *tail = small;
    uint32_t k = n - n_sorted;
    if (k == 0)
        return n;
    if (2 * k * size > sizeof small)
        tail = mem_alloc(2 * (size_t)k * size);
    char *spare = tail + k * size, *unsorted = items + n_sorted * size;
    if (tail_descends(unsorted, k, size)) {
        reverse_copy(tail, unsorted, k, size);
    } else {
        memcpy(tail, unsorted, k * size);
        sort_tail(tail, spare, k, size);
    }
    uint32_t from = merge_tail(items, n_sorted, n, tail, size), kept = drop_equal(items, from, n, spare, size);
    if (tail != small)
        mem_free(tail);
    return kept;
}

uint32_t late_sort(void *items, uint32_t n_sorted, uint32_t n, size_t size)
{
    return size == 16 ? sort_sized(items, n_sorted, n, 16) : sort_sized(items, n_sorted, n, 24);
}
