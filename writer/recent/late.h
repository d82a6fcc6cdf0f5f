// SPDX-License-Identifier: Apache-2.0
/* A list that is filled out of order and read in order: items that begin with their time. items[0..n_sorted) ascend,
 * one item for each time; behind them is a tail in the order of arrival, which late_sort merges in. Whoever adds
 * decides when: a tail of an eighth of the list makes adding n items cost O(n log n), whatever their order.
 */
#ifndef WRITER_RECENT_LATE_H
#define WRITER_RECENT_LATE_H

#include "base/mem.h"

#include <stdbool.h>
#include <stdint.h>

enum { LATE_TAIL = 1024 /* items that a tail may have anyway */, LATE_SHARE = 8 };

/* Should a list of this shape be sorted while more items may follow? */
static inline bool late_tail_full(uint32_t n, uint32_t n_sorted)
{
    return n - n_sorted > LATE_TAIL && n - n_sorted > n_sorted / LATE_SHARE;
}
/* And when its series' message ends? Short lists always, so that they are exact. */
static inline bool late_tail_due(uint32_t n, uint32_t n_sorted) { return n - n_sorted > n_sorted / LATE_SHARE; }

/* The first of the n sorted items that is not older than t. size: 16 or 24, of an item. */
uint32_t late_lower_bound(const void *items, uint32_t n, size_t size, int64_t t);
/* Sorts all n items. Of several with one time the one that arrived first stays; the others are moved behind the
 * returned number of items, for the caller to free. */
uint32_t late_sort(void *items, uint32_t n_sorted, uint32_t n, size_t size);

#endif
