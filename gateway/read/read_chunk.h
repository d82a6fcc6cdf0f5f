// SPDX-License-Identifier: Apache-2.0
/* Samples as chunks of Prometheus' TSDB, the form in which remote_read streams them. Pure; any thread. */
#ifndef GATEWAY_READ_READ_CHUNK_H
#define GATEWAY_READ_READ_CHUNK_H

#include "base/buf.h"
#include "model/series.h"

enum { READ_CHUNK_SAMPLES = 120 /* as in Prometheus */ };
enum read_chunk_encoding { READ_CHUNK_XOR = 1, READ_CHUNK_FLOAT_HISTOGRAM = 3 };

/* Appends a chunk of n samples, 1 to 65,535, ascending in time. */
void read_chunk_xor(struct buf *out, const struct sample *samples, size_t n);
/* Appends a chunk of one histogram. */
void read_chunk_histogram(struct buf *out, const struct hist_sample *sample);

#endif
