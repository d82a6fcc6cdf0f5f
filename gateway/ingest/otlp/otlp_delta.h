// SPDX-License-Identifier: Apache-2.0
/* Sums of data points with delta temporality, per series, so that they can be stored as cumulative ones
 * (--enable-feature=otlp-deltatocumulative). Shared by the lanes: points of a series may come by any connection.
 *
 * A point is added once: one with the time of the last one is a request that was sent again, and gets the sum of then; an
 * older one is refused. What was added stays in the sum even if the sample was not stored. A series without points for
 * OTLP_DELTA_UNUSED is forgotten; new series, and points that make a sum longer, are refused while OTLP_DELTA_MEMORY is in
 * use.
 */
#ifndef GATEWAY_INGEST_OTLP_OTLP_DELTA_H
#define GATEWAY_INGEST_OTLP_OTLP_DELTA_H

#include "base/buf.h"
#include "base/list.h"

enum { OTLP_DELTA_MEMORY = 64 << 20, OTLP_DELTA_UNUSED = 5 * 60 * 1000 /* ms */ };

struct otlp_deltas;
struct otlp_deltas *otlp_deltas_new(void);
void otlp_deltas_free(struct otlp_deltas *d); /* NULL is allowed; no lane uses it any more */

struct otlp_delta_series {
    struct list node;      /* of its stripe, by last use */
    uint64_t id, shape;    /* shape: the caller's; sums of another one are replaced */
    int64_t start, t, used; /* ms: first start, time of the last point, monotonic time of it */
    int64_t t_before;      /* what t was before this point */
    struct buf sum;        /* otlp_delta_store */
};
enum otlp_delta { OTLP_DELTA_NEW, OTLP_DELTA_ADD, OTLP_DELTA_AGAIN, OTLP_DELTA_LATE, OTLP_DELTA_FULL };
/* Finds the series or creates it, and says what becomes of a point of these times (ms; start 0: unknown). Holds a lock until
 * otlp_delta_store; LATE and FULL: it holds none. NEW: `sum` is empty. */
enum otlp_delta otlp_delta_open(struct otlp_deltas *d, uint64_t id, int64_t start, int64_t t,
                                struct otlp_delta_series **series) MUST_USE;
/* Replaces the sum, and releases the lock. False: there is no memory for it, and the point was not added. */
bool otlp_delta_store(struct otlp_deltas *d, struct otlp_delta_series *s, uint64_t shape, struct str sum) MUST_USE;

#endif
