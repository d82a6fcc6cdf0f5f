// SPDX-License-Identifier: Apache-2.0
/* Sorts in the same order as Go's sort.Sort and slices.SortFunc, so that equal elements appear in Prometheus' order.
 * Not stable, but deterministic, and safe with inconsistent orders (NaN less than NaN). Pure; any thread. */
#ifndef BASE_PDQSORT_H
#define BASE_PDQSORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef bool pdqsort_less_fn(const void *of, uint32_t x, uint32_t y);
void pdqsort(uint32_t *items, size_t n, pdqsort_less_fn *is_less, const void *of);

#endif
