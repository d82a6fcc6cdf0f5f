// SPDX-License-Identifier: Apache-2.0
/* The median of integers, such as distances of samples. Pure; any thread. */
#ifndef BASE_MEDIAN_H
#define BASE_MEDIAN_H

#include <stddef.h>
#include <stdint.h>

/* items[n / 2] as if sorted: the upper median. Reorders the items; n > 0. */
int64_t upper_median(int64_t *items, size_t n);

#endif
