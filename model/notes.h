// SPDX-License-Identifier: Apache-2.0
/* Warnings and infos returned with a query result. Deduplicated by text, in order of arrival; the API returns at most
 * ten of each. One thread (the query's worker). Texts are in the arena. */
#ifndef MODEL_NOTES_H
#define MODEL_NOTES_H

#include "base/arena.h"

struct note_list {
    struct str *items;
    size_t n, _cap;
    uint32_t *_slots; /* hash table: index of a text in items, plus one */
    size_t _n_slots;  /* a power of two, more than twice n; or 0 */
};
struct notes {
    struct arena *arena;
    struct note_list warnings, infos;
    bool partial; /* the result lacks what a source that failed may have */
};

void notes_warn(struct notes *n, const char *format, ...) PRINTF(2, 3);
void notes_info(struct notes *n, const char *format, ...) PRINTF(2, 3);
/* `text` replaces the note in `list` (one of n's) that shares its first `same` bytes, if there is one. */
void notes_replace(struct notes *n, struct note_list *list, struct str text, size_t same);

#endif
