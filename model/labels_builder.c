// SPDX-License-Identifier: Apache-2.0
/* Changes labels: a small unsorted array, searched linearly (label sets have ten or twenty names), sorted when the
 * wire bytes are written. */
#include "model/labels.h"

#include <stdlib.h>

void builder_free(struct labels_builder *b)
{
    mem_free(b->slots);
    buf_free(&b->_text);
    b->slots = NULL;
    b->n = b->_cap = 0;
}

void builder_add(struct labels_builder *b, struct str name, struct str value)
{
    if (b->n == b->_cap)
        mem_grow(&b->slots, &b->_cap, b->n + 1, sizeof *b->slots);
    b->slots[b->n++] = (struct label_slot){{name, value}, value.n == 0};
}

void builder_start(struct labels_builder *b, struct labels from)
{
    b->n = 0;
    struct labels_iter it = labels_iter(from);
    for (struct label l; labels_next(&it, &l); )
        builder_add(b, l.name, l.value);
}

static struct label_slot *builder_find(const struct labels_builder *b, struct str name)
{
    for (size_t i = 0; i < b->n; i++)
        if (str_eq(b->slots[i].label.name, name))
            return &b->slots[i];
    return NULL;
}

struct str builder_get(const struct labels_builder *b, struct str name)
{
    const struct label_slot *slot = builder_find(b, name);
    return slot && !slot->deleted ? slot->label.value : STR_NONE;
}

void builder_set(struct labels_builder *b, struct str name, struct str value)
{
    struct label_slot *slot = builder_find(b, name);
    if (slot) {
        slot->label.value = value;
        slot->deleted = value.n == 0;
    } else if (value.n > 0) {
        builder_add(b, name, value);
    }
}

void builder_del(struct labels_builder *b, struct str name) { builder_set(b, name, STR_NONE); }

static int builder_compare_names(const void *a, const void *b)
{
    const struct label_slot *x = a, *y = b;
    return str_cmp(x->label.name, y->label.name);
}

/* Labels are usually sorted already, which takes one pass; a short list is sorted by insertion. */
static void builder_sort(struct labels_builder *b)
{
    enum { SHORT = 32 };
    if (b->n > SHORT) {
        qsort(b->slots, b->n, sizeof *b->slots, builder_compare_names);
        return;
    }
    for (size_t i = 1; i < b->n; i++) {
        struct label_slot slot = b->slots[i];
        size_t at = i;
        for (; at > 0 && builder_compare_names(&b->slots[at - 1], &slot) > 0; at--)
            b->slots[at] = b->slots[at - 1];
        b->slots[at] = slot;
    }
}

bool builder_duplicate(struct labels_builder *b, struct str *name)
{
    builder_sort(b);
    for (size_t i = 1; i < b->n; i++) {
        if (builder_compare_names(&b->slots[i - 1], &b->slots[i]) == 0) {
            *name = b->slots[i].label.name;
            return true;
        }
    }
    return false;
}

size_t builder_size(const struct labels_builder *b, size_t *count)
{
    size_t size = 0;
    *count = 0;
    for (size_t i = 0; i < b->n; i++) {
        if (!b->slots[i].deleted) {
            size += labels_pair_size(b->slots[i].label.name, b->slots[i].label.value);
            ++*count;
        }
    }
    return size;
}

struct labels builder_append(struct labels_builder *b, struct buf *out)
{
    builder_sort(b);
    size_t count, size = builder_size(b, &count), start = out->n;
    if (size == 0 || !buf_reserve(out, size))
        return (struct labels){0};
    for (size_t i = 0; i < b->n; i++)
        if (!b->slots[i].deleted)
            labels_append(out, b->slots[i].label.name, b->slots[i].label.value);
    return (struct labels){(const uint8_t *)out->p + start, (uint32_t)size, (uint32_t)count};
}

struct labels builder_labels(struct labels_builder *b, struct arena *a)
{
    size_t count, size = builder_size(b, &count);
    char *p = size ? arena_bytes(a, size) : NULL;
    struct buf out = {.p = p, .cap = size}; /* exact size: never grows */
    return p ? builder_append(b, &out) : (struct labels){0};
}
