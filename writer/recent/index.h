// SPDX-License-Identifier: Apache-2.0
/* Postings: which series have a label with a value. Names, then values, then series ids. Guarded by its part's lock.
 */
#ifndef WRITER_RECENT_INDEX_H
#define WRITER_RECENT_INDEX_H

#include "base/map.h"
#include "model/labels.h"

enum { POSTING_FEW = 2 };
struct posting { /* one piece of memory: values of one series, such as ids, are many */
    uint32_t n, cap;              /* ids; cap 0: they are in `few` */
    union { uint32_t *ids, few[POSTING_FEW]; } at;
    uint32_t value_bytes; char value[];
};
struct name_postings { struct str name; struct map values; /* value -> struct posting */ };
struct index { struct map names; size_t bytes; };

void index_free(struct index *x);
void index_add(struct index *x, struct labels l, uint32_t id);
/* Takes out ids that are gone, and values that nobody has any more. */
typedef bool index_removed_fn(const void *arg, uint32_t id);
void index_prune(struct index *x, index_removed_fn *gone, const void *arg);
const struct name_postings *index_name(const struct index *x, struct str name); /* NULL: nobody has it */
/* n of them, in any order */
static inline const uint32_t *posting_ids(const struct posting *p) { return p->cap ? p->at.ids : p->at.few; }

#endif
