// SPDX-License-Identifier: Apache-2.0
/* Values of a label often differ in a few bytes behind a prefix that all have, such as host-. So:
 *
 * 1. The eight bytes behind the common prefix, as a number, are the key of a text; a shorter text has zeros.
 * 2. Keys are sorted byte by byte from the last (radix sort); a byte that is the same in all keys takes no time.
 * 3. Texts with equal keys are compared.
 */
#include "model/str_sort.h"

#include <endian.h>

enum { KEY_BYTES = 8, BYTE_VALUES = 256 };
struct str_key { uint64_t key; struct str text; };

static bool strs_are_sorted(struct query_work *w, const struct str *items, size_t n, bool *sorted, struct err *err)
{
    *sorted = true;
    for (size_t i = 1; *sorted && i < n; i++) {
        if (!query_charge(w, 1 + items[i].n / KEY_BYTES, err))
            return false;
        *sorted = str_cmp(items[i - 1], items[i]) <= 0;
    }
    return true;
}

static size_t strs_common(const struct str *items, size_t n)
{
    size_t common = items[0].n;
    for (size_t i = 1; i < n && common > 0; i++)
        common = str_common(str_first(items[0], common), items[i]);
    return common;
}

uint64_t str_sort_key(struct str text)
{
    uint64_t key = 0;
    if (text.n > 0)
        memcpy(&key, text.p, text.n < sizeof key ? text.n : sizeof key);
    return be64toh(key);
}

/* Moves the keys to `to` in the order of one byte; false: it is the same in all, and they stay. */
static bool str_keys_move(const struct str_key *from, struct str_key *to, size_t n, unsigned shift)
{
    size_t places[BYTE_VALUES] = {0}, sum = 0;
    for (size_t i = 0; i < n; i++)
        places[from[i].key >> shift & 0xff]++;
    if (places[from[0].key >> shift & 0xff] == n)
        return false;
    for (unsigned v = 0; v < BYTE_VALUES; v++) {
        size_t here = places[v];
        places[v] = sum;
        sum += here;
    }
    for (size_t i = 0; i < n; i++)
        to[places[from[i].key >> shift & 0xff]++] = from[i];
    return true;
}

static int str_keys_compare(const void *a, const void *b)
{
    return str_cmp(((const struct str_key *)a)->text, ((const struct str_key *)b)->text);
}

static bool str_sort_equal(struct query_work *w, struct arena *a, struct str_key *keys, size_t n, struct err *err)
{
    for (size_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && keys[end].key == keys[i].key; )
            end++;
        if (end - i > 1 && !query_sort(w, a, keys + i, end - i, sizeof *keys, str_keys_compare, err))
            return false;
    }
    return true;
}

static bool str_sort_keys(struct query_work *w, struct arena *a, struct str *items, size_t n, struct err *err)
{
    struct str_key *keys = arena_alloc(a, n * sizeof *keys), *other = arena_alloc(a, n * sizeof *other);
    size_t common = strs_common(items, n);
    for (size_t i = 0; i < n; i++)
        keys[i] = (struct str_key){str_sort_key(str_skip(items[i], common)), items[i]};
    for (unsigned byte = 0; byte < KEY_BYTES; byte++) {
        if (!query_charge(w, n, err))
            return false;
        if (!str_keys_move(keys, other, n, 8 * byte))
            continue;
        struct str_key *moved = other;
        other = keys;
        keys = moved;
    }
    if (!str_sort_equal(w, a, keys, n, err))
        return false;
    for (size_t i = 0; i < n; i++)
        items[i] = keys[i].text;
    return true;
}

bool str_sort(struct query_work *w, struct arena *a, struct str *items, size_t n, struct err *err)
{
    bool sorted;
    if (!strs_are_sorted(w, items, n, &sorted, err))
        return false;
    if (sorted)
        return true;
    struct arena_mark mark = arena_mark(a);
    bool ok = str_sort_keys(w, a, items, n, err);
    arena_release(a, mark);
    return ok;
}
