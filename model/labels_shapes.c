// SPDX-License-Identifier: Apache-2.0
/* Derives label sets from others. Unchanged pairs are copied as bytes. */
#include "model/labels.h"

/* The pairs of l that are in `names` (if `named`) or not in it. If they are contiguous, as they are without the metric's
 * name, the result is that part of l; otherwise it is a copy. */
static struct labels select_pairs(struct arena *a, struct labels l, const struct str *names, size_t n_names, bool named)
{
    struct labels out = {0};
    struct labels_iter it = labels_iter(l);
    const uint8_t *from = it.p;
    char *copy = NULL;
    size_t i = 0;
    for (struct label pair; (i < n_names || !named) && labels_next(&it, &pair); from = it.p) {
        int order = -1;
        while (i < n_names && (order = str_cmp(names[i], pair.name)) < 0)
            i++;
        bool found = i < n_names && order == 0;
        size_t n = (size_t)(it.p - from);
        if (found != named)
            continue;
        if (out.n > 0 && copy == NULL && from != out.p + out.n) {
            if ((copy = arena_bytes(a, l.n)) == NULL)
                return (struct labels){0};
            memcpy(copy, out.p, out.n);
            out.p = (const uint8_t *)copy;
        }
        if (out.n == 0)
            out.p = from;
        if (copy)
            memcpy(copy + out.n, from, n);
        out.n += (uint32_t)n;
        out.count++;
    }
    return out;
}

struct labels labels_keep(struct arena *a, struct labels l, const struct str *names, size_t n_names)
{
    return select_pairs(a, l, names, n_names, true);
}

struct labels labels_drop(struct arena *a, struct labels l, const struct str *names, size_t n_names)
{
    return select_pairs(a, l, names, n_names, false);
}

struct labels labels_with(struct arena *a, struct labels l, struct str name, struct str value)
{
    struct labels_iter it = labels_iter(l);
    const uint8_t *before = it.p, *after = it.p; /* the new pair replaces the bytes between them */
    int order = -1;
    for (struct label pair; labels_next(&it, &pair); before = after) {
        order = str_cmp(pair.name, name);
        if (order >= 0)
            break;
        after = it.p;
    }
    if (order == 0)
        after = it.p;
    size_t pair = value.n ? labels_pair_size(name, value) : 0;
    size_t head = (size_t)(before - l.p), tail = (size_t)(it.end - after), size = head + pair + tail;
    char *p = size ? arena_bytes(a, size) : NULL;
    if (p == NULL)
        return (struct labels){0};
    struct buf out = {.p = p, .cap = size};
    buf_add(&out, l.p, head);
    if (pair)
        labels_append(&out, name, value);
    buf_add(&out, after, tail);
    return (struct labels){(const uint8_t *)p, (uint32_t)size, l.count + (pair > 0) - (order == 0)};
}

struct labels labels_from(struct arena *a, const struct label *items, size_t n)
{
    struct labels_builder b = {0};
    for (size_t i = 0; i < n; i++)
        builder_set(&b, items[i].name, items[i].value);
    struct labels l = builder_labels(&b, a);
    builder_free(&b);
    return l;
}
