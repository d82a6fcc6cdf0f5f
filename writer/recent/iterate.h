// SPDX-License-Identifier: Apache-2.0
/* Iteration over the series of a stripe that matchers select, in slices, between which the lane can take the lock.
 * Query workers. */
#ifndef WRITER_RECENT_ITERATE_H
#define WRITER_RECENT_ITERATE_H

#include "model/source.h"
#include "writer/recent/stripe.h"

/* Called under the lock; may allocate in the query's arena. False: stop. */
typedef bool visit_fn(struct recent_series *s, void *arg);
struct series_visit {
    visit_fn *visit;
    /* NULL, or brings what `visit` will read of the series, beyond its struct, into the CPU's cache */
    void (*prefetch)(const struct recent_series *s);
    void *arg;
};
/* False: the query must end; err is set. */
bool stripe_visit(struct stripe *p, struct query_ctx *q, const struct matcher *m, size_t n,
                  const struct series_visit *visit, struct err *err) MUST_USE;

/* Values of a label, or label names if `name` is empty, of the series that `counts` accepts: read from the index, so
 * that the cost is one series per value, or none if all series have samples in the window. `found` may be called with
 * duplicates. *complete false: series were removed while the lock was released; the caller must visit all series. */
struct index_visit {
    visit_fn *counts;                          /* accepts each series that has a sample in the window */
    struct time_span window;
    void (*found)(struct str text, void *arg); /* under the lock */
    void *arg;
};
bool stripe_visit_index(struct stripe *p, struct query_ctx *q, struct str name, const struct index_visit *visit,
                        bool *complete, struct err *err) MUST_USE;

/* recent.c's source operations: select in snapshot.c, the others in label_query.c. */
bool recent_select(struct source *s, struct query_ctx *q, const struct select *sel, size_t n, struct series_set *out,
                   struct err *err);
bool recent_label_names(struct source *s, struct query_ctx *q, const struct series_query *sq, struct str_set *out,
                        struct err *err);
bool recent_label_values(struct source *s, struct query_ctx *q, struct str name, const struct series_query *sq,
                         struct str_set *out, struct err *err);
bool recent_series(struct source *s, struct query_ctx *q, const struct series_query *sq, struct labels_set *out,
                   struct err *err);
bool recent_metadata(struct source *s, struct query_ctx *q, struct str metric, size_t limit, struct metadata_set *out,
                     struct err *err);
bool recent_exemplars(struct source *s, struct query_ctx *q, const struct series_query *sq, struct exemplar_set *out,
                      struct err *err);

#endif
