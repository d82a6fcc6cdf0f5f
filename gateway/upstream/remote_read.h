// SPDX-License-Identifier: Apache-2.0
/* Prometheus' remote_read, asked for SAMPLES. STREAMED_XOR_CHUNKS, the other response type, is not needed: a server
 * answers with the first type of the request that it knows, and all that serve remote_read (Prometheus, Mimir, Cortex)
 * know SAMPLES; VictoriaMetrics and Thanos do not serve it. The request is put together here; the answer is decoded by
 * remote_read_decoder_new (response.h). Source: https://prometheus.io/docs/prometheus/latest/querying/remote_read_api/
 */
#ifndef GATEWAY_UPSTREAM_REMOTE_READ_H
#define GATEWAY_UPSTREAM_REMOTE_READ_H

#include "model/source.h"

/* A Prometheus adds its external labels to what remote_read returns, where series do not have them of their own, and
 * drops matchers that equal one; its query API does neither, and is right. So that added labels can be told from a
 * series' own, the request has one query for each set of external labels that series can have of their own with the
 * external value: 2^n queries for n labels, nearly all of them over no series. Only the first
 * READ_EXACT labels are told apart so; later ones count as added. */
enum { READ_EXACT = 6 };

/* A ReadRequest, snappy-compressed, appended to out. Query i is for the series that have their own label k, with the
 * external value, exactly when bit k of i is set. */
void read_request(struct buf *out, const struct matcher *m, size_t n, struct labels external,
                  const struct select *sel);

#endif
