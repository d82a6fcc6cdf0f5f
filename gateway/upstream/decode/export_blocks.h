// SPDX-License-Identifier: Apache-2.0
/* VictoriaMetrics' native export: the blocks of its storage, without its deduplication.
 *
 * The JSON export (export_decoder_new) has the same samples, deduplicated; for windows of many samples it takes ten
 * times as long. Whether the server deduplicates is one of its metrics.
 */
#ifndef GATEWAY_UPSTREAM_EXPORT_BLOCKS_H
#define GATEWAY_UPSTREAM_EXPORT_BLOCKS_H

#include "gateway/upstream/decode/response.h"

/* Why the response failed through no fault of the server, and the JSON export is to be requested instead. */
enum blocks_refusal { BLOCKS_WANTED, BLOCKS_WASTEFUL, BLOCKS_NOT_UNDERSTOOD };
/* For /api/v1/export/native. */
struct decoder *blocks_decoder_new(struct response *a, enum blocks_refusal *refusal);

/* For /metrics of VictoriaMetrics: *whole is set if its flags show that it returns all stored samples:
 * dedup.minScrapeInterval is known and 0, downsampling.period unknown or empty. */
struct decoder *flags_decoder_new(bool *whole);

#endif
