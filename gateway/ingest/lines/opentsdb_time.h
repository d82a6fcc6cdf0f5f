// SPDX-License-Identifier: Apache-2.0
/* Times of OpenTSDB, in both of its protocols. */
#ifndef GATEWAY_INGEST_LINES_OPENTSDB_TIME_H
#define GATEWAY_INGEST_LINES_OPENTSDB_TIME_H

#include "gateway/ingest/lines/line_number.h"

/* Seconds, or milliseconds if they are negative or 2^32 at least. vmagent rounds to multiples of more than a second only. */
static inline bool opentsdb_time(const struct ingest *in, double t, int64_t trim, int64_t *out, struct err *err)
{
    bool seconds = t >= 0 && t < 4294967296.0;
    return line_time(in, t, seconds ? 1000 : 1, trim > 1000 ? trim : 1, out, err);
}

#endif
