// SPDX-License-Identifier: Apache-2.0
/* Converts values at steps, to which a server has applied its lookback, so that they can be used beside raw samples.
 * Results are in the arena. */
#ifndef GATEWAY_UPSTREAM_DECODE_STALENESS_H
#define GATEWAY_UPSTREAM_DECODE_STALENESS_H

#include "gateway/upstream/decode/response.h"

/* Ends values at their steps: adds a stale marker 1 ms after each value that has none at the next step, so that
 * lookback finds exactly these values. False: there are values at other times than the steps, or the query must end. */
bool staleness_end(struct response *a, const struct select *sel, struct err *err) MUST_USE;

/* Adds stale markers to raw samples that were returned without: if lookback finds a raw sample at a step at which the
 * server's own result (steps) has no value, there must be a marker in between. False: there are values in steps at
 * other times, or the query must end. */
bool staleness_mark(struct response *raw, const struct response *steps, const struct select *sel,
                    struct err *err) MUST_USE;

#endif
