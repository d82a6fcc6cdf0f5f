// SPDX-License-Identifier: Apache-2.0
/* Postings: the ids of the series that have a label with a value. Label names map to values, values to ids. Guarded by
 * the stripe's lock. */
#ifndef WRITER_RECENT_INDEX_H
#define WRITER_RECENT_INDEX_H

#include "base/map.h"
#include "model/labels.h"

enum { POSTING_INLINE = 2 };
struct posting { /* one piece of memory: values of one series, such as ids, are many */
    uint32_t n, cap;              /* ids; cap 0: they are in `inline_ids` */
    uint32_t gone;                /* of n: removed, but not yet taken out */
    union { uint32_t *ids, inline_ids[POSTING_INLINE]; } at;
    uint32_t value_bytes; char value[];
};
struct name_postings { struct str name; struct map values; /* value -> struct posting */ };
struct index {
    struct map names;
    size_t bytes;
    size_t room;      /* ids that may still be looked at in this step, to take out removed ones */
    uint64_t emptied; /* values that nobody had any more, ever */
};

void index_free(struct index *x);
void index_add(struct index *x, struct labels l, uint32_t id);
/* Takes the id of a series that is gone out of its postings, and forgets values that nobody has any more. Out of a long
 * posting it is taken later, together with others, so that a removal costs the same however many series there are:
 * `is_gone` tells which. `released` is called once for each label, now or later; until the last time the id is listed
 * somewhere and must not be used again. */
struct index_owner {
    bool (*is_gone)(const void *arg, uint32_t id);
    void (*released)(void *arg, uint32_t id);
    void *arg;
};
void index_remove(struct index *x, struct labels l, uint32_t id, const struct index_owner *o);
const struct name_postings *index_name(const struct index *x, struct str name); /* NULL: nobody has it */
/* n of them, in any order */
static inline const uint32_t *posting_ids(const struct posting *p) { return p->cap ? p->at.ids : p->at.inline_ids; }

#endif
