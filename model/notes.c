#include "model/notes.h"

#include <stdarg.h>
#include <stdio.h>

enum { NOTE_MAX = 4096 }; /* bytes; what is longer is cut */

static void add(struct arena *a, struct note_list *list, struct str text)
{
    for (size_t i = 0; i < list->n; i++)
        if (str_eq(list->items[i], text))
            return;
    arena_grow(a, &list->items, &list->_cap, list->n + 1, sizeof *list->items);
    if (list->n < list->_cap)
        list->items[list->n++] = arena_str(a, text);
}

/* On the stack: an arena whose budget is spent may not return. */
static void add_formatted(struct arena *a, struct note_list *list, const char *format, va_list args)
{
    char text[NOTE_MAX];
    int n = vsnprintf(text, sizeof text, format, args);
    add(a, list, str_n(text, n < 0 ? 0 : n < NOTE_MAX ? (size_t)n : NOTE_MAX - 1));
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

void notes_merge(struct notes *to, const struct notes *from)
{
    for (size_t i = 0; i < from->warnings.n; i++)
        add(to->arena, &to->warnings, from->warnings.items[i]);
    for (size_t i = 0; i < from->infos.n; i++)
        add(to->arena, &to->infos, from->infos.items[i]);
}
