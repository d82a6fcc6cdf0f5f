// SPDX-License-Identifier: Apache-2.0
/* The query log, as Prometheus' query_log_file: a JSON object for each query and range query that was evaluated,
 * written by a separate thread (base/os/line_file.h). Beside Prometheus' fields `queryID`, and `requestID` and
 * `traceparent` of the request, if it has them. */
#ifndef GATEWAY_API_QUERY_LOG_H
#define GATEWAY_API_QUERY_LOG_H

#include "gateway/api/call.h"

/* stats NULL: the query failed with c->err. */
void query_log_write(struct api_call *c, const struct query_params *params, const struct promql_stats *stats,
                     int64_t queued_ns);

#endif
