// SPDX-License-Identifier: Apache-2.0
/* Warnings and infos that travel beside an answer. Deduplicated by text, in order of arrival; the API shows at most ten
 * of each. One thread (the query's worker). Texts live in the arena.
 */
#ifndef MODEL_NOTES_H
#define MODEL_NOTES_H

#include "base/arena.h"

struct note_list {
    struct str *items;
    size_t n, _cap;
    uint32_t *_slots; /* where a text is among the items, plus one; found by its hash */
    size_t _n_slots;  /* a power of two, more than twice n; or 0 */
};
struct notes { struct arena *arena; struct note_list warnings, infos; };

void notes_warn(struct notes *n, const char *format, ...) PRINTF(2, 3);
void notes_info(struct notes *n, const char *format, ...) PRINTF(2, 3);
/* `text` takes the place of the note in `list` (one of n's) that begins with the same `same` bytes, if there is one. */
void notes_replace(struct notes *n, struct note_list *list, struct str text, size_t same);

#endif
