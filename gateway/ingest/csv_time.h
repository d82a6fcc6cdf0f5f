// SPDX-License-Identifier: Apache-2.0
/* Times in CSV: unix_s, unix_ms, unix_ns, rfc3339, or custom:LAYOUT, where the layout is written as in Go: the time
 * 2006-01-02 15:04:05.000 -0700 in the format wanted. Pure; any thread. */
#ifndef GATEWAY_INGEST_CSV_TIME_H
#define GATEWAY_INGEST_CSV_TIME_H

#include "base/str.h"

bool csv_time_known(struct str format);
bool csv_time(struct str format, struct str text, int64_t *ms) MUST_USE;

#endif
