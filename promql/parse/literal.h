// SPDX-License-Identifier: Apache-2.0
/* The values of literals: numbers, durations, strings. Pure but for the arena; any thread. */
#ifndef PROMQL_PARSE_LITERAL_H
#define PROMQL_PARSE_LITERAL_H

#include "base/arena.h"
#include "base/buf.h"

unsigned literal_digit(int32_t c); /* the value of a hexadecimal digit, 16 for any other character */

/* Decimal, 0x1f, 017 (octal), 1_000, 1e3, .5, Inf, NaN. False: `why` is the message of Go's strconv. */
bool literal_number(struct str text, double *v, const char **why) MUST_USE;

/* 1y2w3d4h5m6s7ms in seconds, each unit once and in this order. False: `why` is Prometheus' message. */
bool literal_duration(struct str text, double *seconds, struct buf *why) MUST_USE;

/* A string token including its quotes, validated by the lexer. The result may be a slice of `text`. */
struct str literal_string(struct arena *a, struct str text);

#endif
