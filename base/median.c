// SPDX-License-Identifier: Apache-2.0
/* By quickselect, which partitions the items around a pivot until only the wanted one is left. */
#include "base/median.h"

int64_t upper_median(int64_t *items, size_t n)
{
    size_t first = 0, last = n - 1, wanted = n / 2;
    while (first < last) {
        int64_t pivot = items[first + (last - first) / 2];
        size_t i = first, k = last;
        for (;; i++, k--) {
            for (; items[i] < pivot; i++) {}
            for (; items[k] > pivot; k--) {}
            if (i >= k)
                break;
            int64_t swapped = items[i];
            items[i] = items[k];
            items[k] = swapped;
        }
        if (wanted <= k) /* items[first..k] <= pivot <= items[k + 1..last] */
            last = k;
        else
            first = k + 1;
    }
    return items[wanted];
}
