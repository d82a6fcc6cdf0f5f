// SPDX-License-Identifier: Apache-2.0
/* remote_read with response type STREAMED_XOR_CHUNKS: the chunks of the server's storage, in frames that are decoded as
 * they arrive. Private to decode/.
 */
#ifndef GATEWAY_UPSTREAM_DECODE_READ_STREAM_H
#define GATEWAY_UPSTREAM_DECODE_READ_STREAM_H

#include "gateway/upstream/decode/export_blocks.h"

/* max: bytes of a frame. *refusal: chunks of another encoding (native histograms), or that overlap. */
struct decoder *read_stream_decoder_new(struct response *a, size_t max, enum blocks_refusal *refusal);

#endif
