// SPDX-License-Identifier: Apache-2.0
/* Selects series by matchers from postings, one bit per series id. Matchers are evaluated per label value, not per
 * series; sets of series are combined 64 at a time. Under the stripe's lock; the bits are allocated in the query's
 * arena. */
#ifndef WRITER_RECENT_POSTINGS_MATCH_H
#define WRITER_RECENT_POSTINGS_MATCH_H

#include "model/matcher.h"
#include "writer/recent/index.h"

struct postings_match {
    uint64_t *bits; size_t n_ids;            /* NULL: all series */
    const struct matcher **remaining; size_t n_remaining; /* to be checked for each selected series, if that is cheaper */
};
/* Called regularly while the values of a name are evaluated. It may release the lock temporarily, during which series
 * may be added. False: other changes were made, or the time is up; matchers not yet evaluated are in `remaining`. */
struct postings_pause { bool (*fn)(void *arg); void *arg; };

void postings_match_build(struct postings_match *s, const struct index *x, size_t n_ids, struct arena *a,
                          const struct matcher *m, size_t n, struct postings_pause pause);
/* The first selected id >= `id`; n_ids or more: none. */
size_t postings_match_next(const struct postings_match *s, size_t id);
bool postings_match_check(const struct postings_match *s, struct labels l); /* checks the matchers in `remaining` */

#endif
