// SPDX-License-Identifier: Apache-2.0
/* Pushed samples in formats other than remote write: the formats (ingest_format.h) share one path.
 *
 * A request is queued on the lane of its connection and processed there in slices: a part of its body is decompressed,
 * its complete lines are parsed, and their samples are stored as one batch of the lane's sink, until the body has ended.
 * Requests that wait take turns, batch by batch. The response is sent when the last batch is as durable as the
 * destinations require. Memory: one batch and one line, whatever the length of the body.
 */
#ifndef GATEWAY_INGEST_INGEST_H
#define GATEWAY_INGEST_INGEST_H

#include "base/telemetry/stats.h"
#include "gateway/http/http.h"

/* Routes with `finishes`, on the lane's thread. */
void api_import_prometheus(struct http_request *r);
void api_import_jsonl(struct http_request *r);
void api_import_csv(struct http_request *r);
void api_influx_write(struct http_request *r);
void api_otlp_write(struct http_request *r);
void api_otlp_write_prometheus(struct http_request *r); /* with the names of Prometheus */
void api_import_native(struct http_request *r);
void api_datadog_series_1(struct http_request *r);
void api_datadog_series_2(struct http_request *r);
void api_datadog_sketches(struct http_request *r);
/* Questions of clients before they write, in constant time. */
void api_influx_query(struct http_request *r);
void api_influx_health(struct http_request *r);
/* What agents of Datadog send besides metrics is accepted and dropped. */
void api_datadog_validate(struct http_request *r);
void api_datadog_check_run(struct http_request *r);
void api_datadog_dropped(struct http_request *r);

struct ingest_lane;
void ingest_lane_free(struct ingest_lane *l);   /* NULL is allowed */
void ingest_lane_cancel(struct ingest_lane *l); /* fails requests that are not yet stored; NULL is allowed */
extern struct stats_group ingest_stats;

#endif
