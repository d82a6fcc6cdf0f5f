// SPDX-License-Identifier: Apache-2.0
/* Pattern-defeating quicksort (Orson Peters, https://arxiv.org/abs/2106.05123) with the constants of Go's library:
 * insertion sort for short ranges, partial insertion sort for ranges that look sorted, otherwise partitioning around
 * the median of three or nine. After bad partitions a range is shuffled, and after too many heap-sorted. The order of
 * equal elements depends on every step, so each is reproduced exactly.
 */
#include "base/pdqsort.h"

enum { INSERTION = 12, NINTHER = 50, SHIFTING = 50, SHIFTS = 5, ALL_SWAPPED = 12 };

struct sorting { uint32_t *items; pdqsort_less_fn *less; const void *of; };
enum input_order { ORDER_RISING, ORDER_FALLING, ORDER_MIXED };

static bool less(const struct sorting *s, size_t i, size_t j) { return s->less(s->of, s->items[i], s->items[j]); }

static void pdqsort_swap(const struct sorting *s, size_t i, size_t j)
{
    uint32_t item = s->items[i];
    s->items[i] = s->items[j];
    s->items[j] = item;
}

/* All ranges below are [a, b). */
static void insertion_sort(const struct sorting *s, size_t a, size_t b)
{
    for (size_t i = a + 1; i < b; i++)
        for (size_t j = i; j > a && less(s, j, j - 1); j--)
            pdqsort_swap(s, j, j - 1);
}

static void pdqsort_sift_down(const struct sorting *s, size_t first, size_t root, size_t n)
{
    for (size_t child; (child = 2 * root + 1) < n; root = child) {
        if (child + 1 < n && less(s, first + child, first + child + 1))
            child++;
        if (!less(s, first + root, first + child))
            return;
        pdqsort_swap(s, first + root, first + child);
    }
}

static void heap_sort(const struct sorting *s, size_t a, size_t b)
{
    size_t n = b - a;
    for (size_t i = (n - 1) / 2 + 1; i-- > 0;)
        pdqsort_sift_down(s, a, i, n);
    for (size_t i = n; i-- > 0;) {
        pdqsort_swap(s, a, a + i);
        pdqsort_sift_down(s, a, 0, i);
    }
}

static unsigned bits(size_t n) { return 64 - (unsigned)__builtin_clzll(n); }

/* Swaps three elements in the middle with others chosen by xorshift, which depends only on the length. */
static void break_patterns(const struct sorting *s, size_t a, size_t b)
{
    uint64_t chance = b - a, mask = (UINT64_C(1) << bits(b - a)) - 1;
    size_t middle = a + (b - a) / 4 * 2 - 1;
    for (size_t i = 0; i < 3; i++) {
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        size_t other = chance & mask;
        pdqsort_swap(s, middle + i, a + (other >= b - a ? other - (b - a) : other));
    }
}

static void order_two(const struct sorting *s, size_t *x, size_t *y, int *swaps)
{
    if (!less(s, *y, *x))
        return;
    size_t t = *x;
    *x = *y;
    *y = t;
    ++*swaps;
}

static size_t median(const struct sorting *s, size_t x, size_t y, size_t z, int *swaps)
{
    order_two(s, &x, &y, swaps);
    order_two(s, &y, &z, swaps);
    order_two(s, &x, &y, swaps);
    return y;
}

static size_t choose_pivot(const struct sorting *s, size_t a, size_t b, enum input_order *order)
{
    size_t quarter = (b - a) / 4, x = a + quarter, y = a + quarter * 2, z = a + quarter * 3;
    int swaps = 0;
    if (b - a >= NINTHER) {
        x = median(s, x - 1, x, x + 1, &swaps);
        y = median(s, y - 1, y, y + 1, &swaps);
        z = median(s, z - 1, z, z + 1, &swaps);
    }
    y = median(s, x, y, z, &swaps);
    *order = swaps == 0 ? ORDER_RISING : swaps == ALL_SWAPPED ? ORDER_FALLING : ORDER_MIXED;
    return y;
}

static void reverse(const struct sorting *s, size_t a, size_t b)
{
    for (size_t i = a, j = b - 1; i < j; i++, j--)
        pdqsort_swap(s, i, j);
}

/* True when the range is sorted after shifting a few elements. */
static bool nearly_sorted(const struct sorting *s, size_t a, size_t b)
{
    size_t i = a + 1;
    for (int shifts = 0; shifts < SHIFTS; shifts++) {
        while (i < b && !less(s, i, i - 1))
            i++;
        if (i == b)
            return true;
        if (b - a < SHIFTING)
            return false;
        pdqsort_swap(s, i, i - 1);
        if (i - a >= 2)
            for (size_t j = i - 1; j >= 1 && less(s, j, j - 1); j--)
                pdqsort_swap(s, j, j - 1);
        if (b - i >= 2)
            for (size_t j = i + 1; j < b && less(s, j, j - 1); j++)
                pdqsort_swap(s, j, j - 1);
    }
    return false;
}

/* Moves elements less than the pivot before its final position, which is returned. *was: nothing had to move. */
static size_t pdqsort_partition(const struct sorting *s, size_t a, size_t b, size_t pivot, bool *was)
{
    size_t i = a + 1, j = b - 1;
    pdqsort_swap(s, a, pivot);
    for (*was = true;; *was = false) {
        while (i <= j && less(s, i, a))
            i++;
        while (i <= j && !less(s, j, a))
            j--;
        if (i > j)
            break;
        pdqsort_swap(s, i++, j--);
    }
    pdqsort_swap(s, j, a);
    return j;
}

/* Moves elements equal to the pivot, the minimum of the range, to the front; returns the start of the rest. */
static size_t divide_equal(const struct sorting *s, size_t a, size_t b, size_t pivot)
{
    size_t i = a + 1, j = b - 1;
    pdqsort_swap(s, a, pivot);
    for (;;) {
        while (i <= j && !less(s, a, i))
            i++;
        while (i <= j && less(s, a, j))
            j--;
        if (i > j)
            return i;
        pdqsort_swap(s, i++, j--);
    }
}

/* Recurses into the shorter part. limit: bad partitions allowed before heap sort. */
static void pdqsort_range(const struct sorting *s, size_t a, size_t b, unsigned limit)
{
    bool balanced = true, divided = true;
    while (b - a > INSERTION && limit > 0) {
        size_t n = b - a;
        enum input_order order;
        if (!balanced) {
            break_patterns(s, a, b);
            limit--;
        }
        size_t pivot = choose_pivot(s, a, b, &order);
        if (order == ORDER_FALLING) {
            reverse(s, a, b);
            pivot = b - 1 - (pivot - a);
            order = ORDER_RISING;
        }
        if (balanced && divided && order == ORDER_RISING && nearly_sorted(s, a, b))
            return;
        if (a > 0 && !less(s, a - 1, pivot)) {
            a = divide_equal(s, a, b, pivot);
            continue;
        }
        size_t middle = pdqsort_partition(s, a, b, pivot, &divided);
        if (middle - a < b - middle) {
            balanced = middle - a >= n / 8;
            pdqsort_range(s, a, middle, limit);
            a = middle + 1;
        } else {
            balanced = b - middle >= n / 8;
            pdqsort_range(s, middle + 1, b, limit);
            b = middle;
        }
    }
    if (b - a > INSERTION)
        heap_sort(s, a, b);
    else
        insertion_sort(s, a, b);
}

void pdqsort(uint32_t *items, size_t n, pdqsort_less_fn *is_less, const void *of)
{
    struct sorting s = {items, is_less, of};
    if (n > 1)
        pdqsort_range(&s, 0, n, bits(n));
}
