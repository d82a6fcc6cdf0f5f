// SPDX-License-Identifier: Apache-2.0
/* Prometheus' remote_read, asked for SAMPLES. The request is put together here; the answer is decoded by
 * read_answer_new (answer.h). Source: https://prometheus.io/docs/prometheus/latest/querying/remote_read_api/
 */
#ifndef GATEWAY_UPSTREAM_REMOTE_READ_H
#define GATEWAY_UPSTREAM_REMOTE_READ_H

#include "model/source.h"

/* A ReadRequest with one query, snappy-packed, appended to out. */
void read_request(struct buf *out, const struct matcher *m, size_t n, const struct select *sel);

#endif
