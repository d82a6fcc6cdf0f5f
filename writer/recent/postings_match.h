// SPDX-License-Identifier: Apache-2.0
/* Which series matchers select, told from postings alone: one bit for each id. Every value of a name is asked once,
 * and not every series; sets of series are united and intersected 64 at a time. Under the part's lock; the bits live
 * in the query's arena.
 */
#ifndef WRITER_RECENT_POSTINGS_MATCH_H
#define WRITER_RECENT_POSTINGS_MATCH_H

#include "model/matcher.h"
#include "writer/recent/index.h"

struct postings_match {
    uint64_t *bits; size_t n_ids;            /* NULL: all */
    const struct matcher **rest; size_t n_rest; /* each selected series must still be asked them: that is cheaper */
};
/* Called while the values of a name are asked, now and then: it may give up the lock for a moment, in which series may
 * come. False: there were changes of another kind, or no time is left; what is not yet told is left to `rest`. */
struct postings_pause { bool (*fn)(void *arg); void *arg; };

void postings_match_build(struct postings_match *s, const struct index *x, size_t n_ids, struct arena *a,
                          const struct matcher *m, size_t n, struct postings_pause pause);
/* The first selected id that is `id` or more; n_ids or more: there is none. */
size_t postings_match_next(const struct postings_match *s, size_t id);
bool postings_match_check(const struct postings_match *s, struct labels l); /* the rest */

#endif
