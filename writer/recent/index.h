// SPDX-License-Identifier: Apache-2.0
/* Postings: the ids of the series that have a label with a value. Label names map to values, values to ids. Guarded by
 * the stripe's lock. */
#ifndef WRITER_RECENT_INDEX_H
#define WRITER_RECENT_INDEX_H

#include "base/map.h"
#include "model/labels.h"

enum { POSTING_INLINE = 2 };
struct posting { /* one allocation, since labels such as ids have many values with a single series */
    uint32_t n, cap;              /* ids; cap 0: they are in `inline_ids` */
    uint32_t gone;                /* of n: removed, but still listed */
    union { uint32_t *ids, inline_ids[POSTING_INLINE]; } at;
    uint32_t value_bytes; char value[];
};
struct name_postings { struct str name; struct map values; /* value -> struct posting */ };
struct index {
    struct map names;
    size_t bytes;
    size_t room;      /* ids that this step may still scan in order to delete removed ones */
    uint64_t emptied; /* total number of values deleted because no series had them */
};

void index_free(struct index *x);
void index_add(struct index *x, struct labels l, uint32_t id);
/* Deletes the id of a removed series from its postings, and values that no series has any more. From long postings it
 * is deleted later, together with others, so that the cost of a removal does not depend on the number of series:
 * `is_gone` returns whether to delete an id. `released` is called once per label, now or later; until the last call the
 * id is still listed and must not be reused. */
struct index_owner {
    bool (*is_gone)(const void *arg, uint32_t id);
    void (*released)(void *arg, uint32_t id);
    void *arg;
};
void index_remove(struct index *x, struct labels l, uint32_t id, const struct index_owner *o);
const struct name_postings *index_name(const struct index *x, struct str name); /* NULL: no series has it */
/* n of them, in any order */
static inline const uint32_t *posting_ids(const struct posting *p) { return p->cap ? p->at.ids : p->at.inline_ids; }

#endif
