// SPDX-License-Identifier: Apache-2.0
/* Pushes: remote write 1.0. Each lane has buffers of its own; on its thread. */
#ifndef GATEWAY_INGEST_WRITE_H
#define GATEWAY_INGEST_WRITE_H

#include "base/telemetry/stats.h"
#include "gateway/http/http.h"

/* Route with `finishes`: the response is sent when the batch is as safe as the destinations' durability asks. */
void api_write(struct http_request *r);
struct write_buffers;
void write_buffers_free(struct write_buffers *w);   /* NULL is fine */
void write_buffers_cancel(struct write_buffers *w); /* refuses large pushes that are still queued; NULL is fine */
extern struct stats_group write_stats;

#endif
