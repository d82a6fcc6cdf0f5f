// SPDX-License-Identifier: Apache-2.0
/* Push requests: remote write 1.0. Each lane has separate buffers, used on its thread only. */
#ifndef GATEWAY_INGEST_WRITE_H
#define GATEWAY_INGEST_WRITE_H

#include "base/telemetry/stats.h"
#include "gateway/http/http.h"

/* Route with `finishes`: the response is sent when the samples are as durable as the destinations require. */
void api_write(struct http_request *r);
/* Remote write to the destinations of an instance of Grafana Agent, whose name is r->tail. */
void api_write_instance(struct http_request *r);
struct write_buffers;
void write_buffers_free(struct write_buffers *w);   /* NULL is allowed */
void write_buffers_cancel(struct write_buffers *w); /* fails large pushes that are still queued; NULL is allowed */
extern struct stats_group write_stats;

#endif
