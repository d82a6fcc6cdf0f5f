/* Postings: which series have a label with a value. Names, then values, then series ids. Guarded by its part's lock.
 */
#ifndef WRITER_RECENT_INDEX_H
#define WRITER_RECENT_INDEX_H

#include "base/map.h"
#include "model/matcher.h"

struct posting { struct str value; uint32_t *ids; size_t n, _cap; };
struct name_postings { struct str name; struct map values; /* value -> struct posting */ };
struct index { struct map names; size_t bytes; };

void index_free(struct index *x);
void index_add(struct index *x, struct labels l, uint32_t id);
/* Takes out ids that are gone, and values that nobody has any more. */
void index_prune(struct index *x, bool (*gone)(const void *arg, uint32_t id), const void *arg);
const struct posting *index_find(const struct index *x, struct str name, struct str value); /* NULL: nobody */
const struct name_postings *index_name(const struct index *x, struct str name);
/* Ids that can match: a superset by the most telling matcher, each once, in the arena. False: no matcher tells anything. */
bool index_candidates(const struct index *x, struct arena *a, const struct matcher *m, size_t n, const uint32_t **ids, size_t *n_ids);

#endif
