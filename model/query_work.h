// SPDX-License-Identifier: Apache-2.0
/* Long work for a query: checks the query's deadline and cancellation regularly.
 *
 * A query ends within 100 ms of its deadline, so every loop whose length depends on data is charged: query_charge
 * counts units of a few nanoseconds and checks the clock about every third of a millisecond. On the query's thread.
 */
#ifndef MODEL_QUERY_WORK_H
#define MODEL_QUERY_WORK_H

#include "model/source.h"

/* What some steps cost: reading or hashing a label set or a text, writing one as JSON or text. A sample is one unit. */
enum { QUERY_CHARGE_LABELS = 32, QUERY_CHARGE_WRITE = 128 };
struct query_work {
    const struct query_ctx *q;   /* NULL: work without end */
    const char *where;           /* for the error: "query timed out in " where */
    int64_t _left;               /* units until the next check */
};
bool query_work_check(struct query_work *w, struct err *err); /* checks now */
/* `units` are about to be done. False: the query must end, err says why. */
static inline bool query_charge(struct query_work *w, uint64_t units, struct err *err)
{
    w->_left -= (int64_t)units;
    return w->_left >= 0 || query_work_check(w, err);
}

/* Error: --query.max-memory is used up. Returns false. */
static inline bool query_refuse_memory(struct err *err)
{
    return err_set(err, ERR_LIMIT, "the query exceeds its memory limit (--query.max-memory)");
}

typedef int query_compare(const void *a, const void *b);
/* Sorts n items of `size` bytes; takes a copy of them from the arena unless they are in order. False: the query must
 * end; the items are then in no order, and some may be duplicates. */
bool query_sort(struct query_work *w, struct arena *a, void *items, size_t n, size_t size, query_compare *compare,
                struct err *err) MUST_USE;

#endif
