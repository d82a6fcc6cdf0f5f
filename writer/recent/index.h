// SPDX-License-Identifier: Apache-2.0
/* Postings: the ids of the series that have a label with a value. Label names map to values, values to ids. Guarded by
 * the stripe's lock. */
#ifndef WRITER_RECENT_INDEX_H
#define WRITER_RECENT_INDEX_H

#include "base/map.h"
#include "model/labels.h"

enum { POSTING_FEW = 2 };
struct posting { /* one allocation: values with a single series, such as ids, are numerous */
    uint32_t n, cap;              /* number of ids; cap 0: they are in `few` */
    union { uint32_t *ids, few[POSTING_FEW]; } at;
    uint32_t value_bytes; char value[];
};
struct name_postings { struct str name; struct map values; /* value -> struct posting */ };
struct index { struct map names; size_t bytes; };

void index_free(struct index *x);
void index_add(struct index *x, struct labels l, uint32_t id);
/* Removes ids of dropped series, and values without series. */
typedef bool index_removed_fn(const void *arg, uint32_t id);
void index_prune(struct index *x, index_removed_fn *gone, const void *arg);
const struct name_postings *index_name(const struct index *x, struct str name); /* NULL: no series has it */
/* n ids, in any order */
static inline const uint32_t *posting_ids(const struct posting *p) { return p->cap ? p->at.ids : p->at.few; }

#endif
