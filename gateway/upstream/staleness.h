// SPDX-License-Identifier: Apache-2.0
/* Values at steps, which a server has already looked back for, made fit to stand beside raw samples. Results in the
 * arena. */
#ifndef GATEWAY_UPSTREAM_STALENESS_H
#define GATEWAY_UPSTREAM_STALENESS_H

#include "gateway/upstream/response.h"

/* A value that ends at its step: a stale marker 1 ms behind each value that the next step lacks. Looking back over
 * the result finds at every step what was there, and nothing else. False: there are values at other times than the
 * steps, or the query must end. */
bool staleness_end(struct response *a, const struct select *sel, struct err *err) MUST_USE;

/* Puts stale markers into raw samples that came without: where a raw sample should be seen at a step and the server's
 * own answer (steps) has none, a marker must lie between the two. False: the query must end. */
bool staleness_mark(struct response *raw, const struct response *steps, const struct select *sel,
                    struct err *err) MUST_USE;

#endif
