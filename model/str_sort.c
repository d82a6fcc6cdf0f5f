// SPDX-License-Identifier: Apache-2.0
/* Texts often differ in a few bytes behind a prefix that all have, such as host-. So:
 *
 * 1. The eight bytes behind the common prefix, as a number, are the key of a text; a shorter text has zeros.
 * 2. Keys are sorted byte by byte from the last (radix sort), but for bytes that are the same in all keys.
 * 3. Texts with equal keys are sorted in the same way by what follows these bytes: the texts of label sets differ in one
 *    label, then in another.
 *
 * Few texts are compared instead, and those that end within the key or have many parts in common.
 */
#include "model/str_sort.h"

#include <endian.h>

enum { KEY_BYTES = 8, BYTE_VALUES = 256, FEW_TEXTS = 48, DEEPEST = 32 };

struct text_sorting { struct query_work *work; struct arena *arena; struct sort_text *texts, *other; struct err *err; };

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

static struct str sort_text_from(const struct sort_text *t, size_t at) { return str_n(t->p + at, t->n - at); }

/* All have at least `at` bytes. */
static size_t texts_common(const struct sort_text *texts, size_t n, size_t at)
{
    size_t common = texts[0].n - at;
    for (size_t i = 1; i < n && common > 0; i++)
        common = str_common(str_n(texts[0].p + at, common), sort_text_from(&texts[i], at));
    return common;
}

/* The first eight bytes, with zeros behind the end, as a number: less in the order of the bytes. */
static uint64_t text_key(struct str text)
{
    uint64_t key = 0;
    if (text.n > 0)
        memcpy(&key, text.p, text.n < sizeof key ? text.n : sizeof key);
    return be64toh(key);
}

/* The bits in which keys differ. */
static uint64_t texts_make_keys(struct sort_text *texts, size_t n, size_t at)
{
    uint64_t differ = 0;
    for (size_t i = 0; i < n; i++) {
        texts[i]._key = text_key(sort_text_from(&texts[i], at));
        differ |= texts[i]._key ^ texts[0]._key;
    }
    return differ;
}

/* Moves the texts to `to` in the order of one byte of their keys. */
static void texts_move(const struct sort_text *from, struct sort_text *to, size_t n, unsigned shift)
{
    size_t places[BYTE_VALUES] = {0}, sum = 0;
    for (size_t i = 0; i < n; i++)
        places[from[i]._key >> shift & 0xff]++;
    for (unsigned v = 0; v < BYTE_VALUES; v++) {
        size_t here = places[v];
        places[v] = sum;
        sum += here;
    }
    for (size_t i = 0; i < n; i++)
        to[places[from[i]._key >> shift & 0xff]++] = from[i];
}

static int texts_compare(const void *a, const void *b)
{
    const struct sort_text *x = a, *y = b;
    if (x->_key != y->_key)
        return x->_key < y->_key ? -1 : 1;
    int order = str_cmp(str_n(x->p, x->n), str_n(y->p, y->n));
    return order ? order : (x->index > y->index) - (x->index < y->index);
}

static bool texts_sort_range(struct text_sorting *s, size_t first, size_t n, size_t at, unsigned depth);

/* Those with equal keys, which end at `at`. */
static bool texts_sort_equal(struct text_sorting *s, size_t first, size_t n, size_t at, unsigned depth)
{
    struct sort_text *texts = s->texts + first;
    for (size_t i = 0, end; i < n; i = end) {
        bool longer = texts[i].n > at;
        for (end = i + 1; end < n && texts[end]._key == texts[i]._key; end++)
            longer = longer && texts[end].n > at;
        if (end - i == 1)
            continue;
        if (longer ? !texts_sort_range(s, first + i, end - i, at, depth + 1)
                   : !query_sort(s->work, s->arena, texts + i, end - i, sizeof *texts, texts_compare, s->err))
            return false;
    }
    return true;
}

/* Of n texts whose first `at` bytes are the same. */
static bool texts_sort_range(struct text_sorting *s, size_t first, size_t n, size_t at, unsigned depth)
{
    struct sort_text *from = s->texts + first, *to = s->other + first;
    at += texts_common(from, n, at);
    uint64_t differ = texts_make_keys(from, n, at);
    if (n < FEW_TEXTS || depth == DEEPEST)
        return query_sort(s->work, s->arena, from, n, sizeof *from, texts_compare, s->err);
    for (unsigned shift = 0; shift < 8 * KEY_BYTES; shift += 8) {
        if ((differ >> shift & 0xff) == 0)
            continue;
        if (!query_charge(s->work, n, s->err))
            return false;
        texts_move(from, to, n, shift);
        struct sort_text *moved = to;
        to = from;
        from = moved;
    }
    if (from != s->texts + first)
        memcpy(to, from, n * sizeof *to);
    return texts_sort_equal(s, first, n, at + KEY_BYTES, depth);
}

bool sort_texts(struct query_work *w, struct arena *a, struct sort_text *texts, size_t n, struct err *err)
{
    struct text_sorting s = {w, a, texts, arena_alloc(a, n * sizeof *texts), err};
    return n < 2 || texts_sort_range(&s, 0, n, 0, 0);
}

static bool str_sort_texts(struct query_work *w, struct arena *a, struct str *items, size_t n, struct err *err)
{
    struct sort_text *texts = arena_alloc(a, n * sizeof *texts);
    for (size_t i = 0; i < n; i++)
        texts[i] = (struct sort_text){.p = items[i].p, .n = (uint32_t)items[i].n, .index = (uint32_t)i};
    if (!sort_texts(w, a, texts, n, err))
        return false;
    for (size_t i = 0; i < n; i++)
        items[i] = str_n(texts[i].p, texts[i].n);
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
    bool ok = str_sort_texts(w, a, items, n, err);
    arena_release(a, mark);
    return ok;
}
