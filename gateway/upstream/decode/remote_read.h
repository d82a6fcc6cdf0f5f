// SPDX-License-Identifier: Apache-2.0
/* Prometheus' remote_read with response type SAMPLES. The other type, STREAMED_XOR_CHUNKS, is not needed: a server uses
 * the first requested type that it supports, and all that serve remote_read to us (Prometheus, Mimir, Cortex) support
 * SAMPLES; VictoriaMetrics and Thanos do not serve it. Requests are encoded here, responses are decoded by
 * remote_read_decoder_new (response.h). Source: https://prometheus.io/docs/prometheus/latest/querying/remote_read_api/
 */
#ifndef GATEWAY_UPSTREAM_DECODE_REMOTE_READ_H
#define GATEWAY_UPSTREAM_DECODE_REMOTE_READ_H

#include "model/source.h"

/* Prometheus adds its external labels to series of remote_read that lack them, and drops equality matchers on them; its
 * query API does neither. To distinguish added labels from a series' own, the request has one query for each subset of
 * the external labels that series may have themselves with the same value: 2^n queries for n labels, nearly all of
 * which match no series. This is done for the first READ_EXACT labels; further ones are treated as added. */
enum { READ_EXACT = 6 };

/* Appends a ReadRequest, snappy-compressed, to out. Query i selects the series that have label k themselves, with the
 * external value, exactly if bit k of i is set. */
void read_request(struct buf *out, const struct matcher *m, size_t n, struct labels external,
                  const struct select *sel);

#endif
