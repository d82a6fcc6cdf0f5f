// SPDX-License-Identifier: Apache-2.0
/* A list of timestamped items that is filled out of order and read in order. items[0..n_sorted) are ascending and
 * unique in time; they are followed by a tail in order of arrival, which late_sort merges in. The writer decides
 * when: sorting once the tail is an eighth of the list makes adding n items cost O(n log n), in any order of arrival.
 */
#ifndef WRITER_RECENT_LATE_H
#define WRITER_RECENT_LATE_H

#include "base/mem.h"

#include <stdbool.h>
#include <stdint.h>

enum { LATE_TAIL = 1024 /* tail size that is always allowed */, LATE_SHARE = 8 };

/* True if a list of this shape should be sorted although more items may follow. */
static inline bool late_tail_full(uint32_t n, uint32_t n_sorted)
{
    return n - n_sorted > LATE_TAIL && n - n_sorted > n_sorted / LATE_SHARE;
}
/* The same at the end of a series' message. Short lists are always sorted, so that they are exact. */
static inline bool late_tail_due(uint32_t n, uint32_t n_sorted) { return n - n_sorted > n_sorted / LATE_SHARE; }

/* The first of the n sorted items that is not older than t. size: of an item, 16 or 24. */
uint32_t late_lower_bound(const void *items, uint32_t n, size_t size, int64_t t);
/* Sorts all n items. Of items with equal times the first to arrive is kept; the others are moved behind the returned
 * number of items, for the caller to free. */
uint32_t late_sort(void *items, uint32_t n_sorted, uint32_t n, size_t size);

#endif
