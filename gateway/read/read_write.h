// SPDX-License-Identifier: Apache-2.0
/* Responses of remote_read, in the two forms that Prometheus defines:
 *
 *   SAMPLES               one ReadResponse { repeated QueryResult { repeated TimeSeries } }, compressed with snappy
 *   STREAMED_XOR_CHUNKS   frames: length as a varint, CRC-32C in 4 bytes (big-endian), ChunkedReadResponse {
 *                         repeated ChunkedSeries chunked_series = 1; int64 query_index = 2 }, each with one series or,
 *                         if that has more than 1 MiB of chunks, a part of it
 *
 * Series are sorted by labels, as clients that merge them require. External labels are added to series that lack them.
 */
#ifndef GATEWAY_READ_READ_WRITE_H
#define GATEWAY_READ_READ_WRITE_H

#include "gateway/read/read_query.h"
#include "model/query_work.h"

struct read_writer {
    struct query_ctx *q;
    struct query_work *work;
    struct labels external;      /* added to every series that has no label of the name */
    uint64_t max_samples;        /* of SAMPLES; 0 = no limit */
    size_t max_bytes;            /* of intermediate buffers; 0 = no limit */
    struct buf *out;
    /* The frames so far are complete, and may be sent and cleared: called after each series. False: the query must
     * end. NULL: they stay in `out`. */
    bool (*flush)(void *arg, struct err *err);
    void *arg;
};
/* sets: of the queries, in order. False: the query must end, or a limit was reached. */
bool read_write_samples(struct read_writer *w, struct series_set *sets, size_t n, struct err *err) MUST_USE;
bool read_write_chunks(struct read_writer *w, struct series_set *sets, size_t n, struct err *err) MUST_USE;

#endif
