// SPDX-License-Identifier: Apache-2.0
/* Collects warnings and infos of a query without duplicates. */
#include "model/notes.h"

#include "base/hash.h"

#include <stdarg.h>
#include <stdio.h>

enum { NOTE_MAX = 4096 /* bytes; a longer text is truncated */, FIRST_SLOTS = 16 };

/* The slot of the text, or the empty one where it belongs. */
static uint32_t *notes_slot_of(const struct note_list *list, struct str text)
{
    size_t mask = list->_n_slots - 1, i = hash_keyed(text.p, text.n) & mask;
    while (list->_slots[i] && !str_eq(list->items[list->_slots[i] - 1], text))
        i = (i + 1) & mask;
    return &list->_slots[i];
}

/* A server may send any number of different notes. False when the arena's budget is exceeded. */
static bool notes_grow(struct arena *a, struct note_list *list)
{
    struct note_list larger = *list;
    larger._n_slots = list->_n_slots ? list->_n_slots * 2 : FIRST_SLOTS;
    larger._slots = ARENA_ARRAY(a, uint32_t, larger._n_slots);
    if (larger._slots == NULL)
        return false;
    for (size_t i = 0; i < list->n; i++)
        *notes_slot_of(&larger, list->items[i]) = (uint32_t)i + 1;
    *list = larger;
    return true;
}

static void notes_list_add(struct arena *a, struct note_list *list, struct str text)
{
    if (2 * (list->n + 1) > list->_n_slots && !notes_grow(a, list))
        return;
    uint32_t *slot = notes_slot_of(list, text);
    if (*slot)
        return;
    arena_grow(a, &list->items, &list->_cap, list->n + 1, sizeof *list->items);
    struct str copy = arena_str(a, text);
    if (list->n == list->_cap || copy.p == NULL)
        return;
    list->items[list->n++] = copy;
    *slot = (uint32_t)list->n;
}

/* Formats on the stack: an arena whose budget is exceeded may not return. */
static void add_formatted(struct arena *a, struct note_list *list, const char *format, va_list args)
{
    char text[NOTE_MAX];
    int n = vsnprintf(text, sizeof text, format, args);
    notes_list_add(a, list, str_n(text, n < 0 ? 0 : n < NOTE_MAX ? (size_t)n : NOTE_MAX - 1));
}

void notes_warn(struct notes *n, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add_formatted(n->arena, &n->warnings, format, args);
    va_end(args);
}

void notes_info(struct notes *n, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add_formatted(n->arena, &n->infos, format, args);
    va_end(args);
}

void notes_replace(struct notes *n, struct note_list *list, struct str text, size_t same)
{
    for (size_t i = 0; i < list->n; i++) {
        if (!str_starts(list->items[i], str_first(text, same)))
            continue;
        if (!str_eq(list->items[i], text))
            list->items[i] = arena_str(n->arena, text);
        return;
    }
    notes_list_add(n->arena, list, text);
}
