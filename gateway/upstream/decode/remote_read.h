// SPDX-License-Identifier: Apache-2.0
/* Prometheus' remote_read. Responses are of the type STREAMED_XOR_CHUNKS (read_stream.h), or of SAMPLES where the server
 * does not support that, or chunks are of an encoding that we do not decode (native histograms).
 * Source: https://prometheus.io/docs/prometheus/latest/querying/remote_read_api/
 */
#ifndef GATEWAY_UPSTREAM_DECODE_REMOTE_READ_H
#define GATEWAY_UPSTREAM_DECODE_REMOTE_READ_H

#include "gateway/upstream/decode/export_blocks.h"

/* Prometheus adds its external labels to series of remote_read that lack them, and drops equality matchers on them; its
 * query API does neither. To distinguish added labels from a series' own, the request has one query for each subset of
 * the external labels that series may have themselves with the same value: 2^n queries for n labels, nearly all of
 * which match no series. This is done for the first READ_EXACT labels; further ones are treated as added. */
enum { READ_EXACT = 6 };

/* Appends a ReadRequest, snappy-compressed, to out. Query i selects the series that have label k themselves, with the
 * external value, exactly if bit k of i is set. streams: STREAMED_XOR_CHUNKS is the preferred type. */
void read_request(struct buf *out, const struct matcher *m, size_t n, struct labels external,
                  const struct select *sel, bool streams);

/* For responses of both types. max: bytes of a frame, or of all samples decompressed. *refusal is set if the response
 * is to be requested again as SAMPLES. */
struct decoder *remote_read_decoder_new(struct response *a, size_t max, enum blocks_refusal *refusal);

#endif
