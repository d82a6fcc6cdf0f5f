// SPDX-License-Identifier: Apache-2.0
/* What the formats of Graphite and OpenTSDB have in common: numbers and times as vmagent reads them. Pure. */
#ifndef GATEWAY_INGEST_LINES_LINE_NUMBER_H
#define GATEWAY_INGEST_LINES_LINE_NUMBER_H

#include "gateway/ingest/ingest_format.h"

enum { LINE_MAX_BYTES = 256 << 10 }; /* of Graphite and telnet: a longer line ends its connection */

/* A decimal number, inf or nan; not hexadecimal. */
bool line_number(struct str s, double *v) MUST_USE;
/* The time `t` in units of `unit` ms, rounded down to a multiple of `trim` ms; 0 is the time of arrival, in seconds. */
bool line_time(const struct ingest *in, double t, int64_t unit, int64_t trim, int64_t *out, struct err *err) MUST_USE;

#endif
