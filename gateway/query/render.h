// SPDX-License-Identifier: Apache-2.0
/* Results as the API's JSON. */
#ifndef GATEWAY_QUERY_RENDER_H
#define GATEWAY_QUERY_RENDER_H

#include "base/json/json_write.h"
#include "promql/promql.h"

/* Called after each series, may empty the output; false: the rendering ends. */
struct render_flush { bool (*fn)(void *arg, struct err *err); void *arg; };
/* Writes {"resultType":"matrix","result":[...]} without the closing brace, so that stats can follow. `flush` may be
 * NULL. False with an error: the deadline passed or the client disconnected, and the output is incomplete. */
bool render_result(struct json_writer *w, const struct promql_result *result, const struct query_ctx *q,
                   const struct render_flush *flush, struct err *err) MUST_USE;

void render_labels(struct json_writer *w, struct labels l); /* {"__name__":"up","job":"x"} */

/* "stats":{...}. queued_ns: from the request's arrival to the beginning of the evaluation. */
struct render_grid { int64_t start, step; }; /* of a range query, ms */
void render_stats(struct json_writer *w, const struct promql_stats *stats, int64_t queued_ns, struct render_grid grid);

#endif
