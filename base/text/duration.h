// SPDX-License-Identifier: Apache-2.0
/* Durations and points in time as text. All durations and times are milliseconds unless a name says otherwise. Pure.
 */
#ifndef BASE_TEXT_DURATION_H
#define BASE_TEXT_DURATION_H

#include "base/buf.h"

/* Prometheus' form: 1y2w3d4h5m6s7ms, each unit once, in this order, no fractions; "0" is zero. */
bool duration_parse(struct str s, int64_t *ms) MUST_USE;
/* Go's form too: 1.5h, 1h30m, 100ms, 10us, -2m, and the units d w y; a bare number counts seconds ("15", "0.5"). What
 * process flags and vmagent's files use. Below a millisecond is rounded down. */
bool duration_parse_loose(struct str s, int64_t *ms) MUST_USE;
void buf_add_duration(struct buf *b, int64_t ms); /* as Prometheus prints: 1h30m, 15s, 1d, 0s, 250ms, -5m */

/* Float seconds rounded to milliseconds; false when no int64_t holds them (NaN too). */
bool time_from_seconds(double seconds, int64_t *ms) MUST_USE;
/* An API time: float seconds (fraction rounded to ms; negative is fine) or RFC 3339 with up to nanoseconds. */
bool time_parse(struct str s, int64_t *ms) MUST_USE;
void buf_add_rfc3339(struct buf *b, int64_t ms);  /* UTC: 2026-01-02T03:04:05.678Z */
/* HTTP's own date (RFC 9110 5.6.7, IMF-fixdate only), or delta seconds, as Retry-After has: milliseconds from `now`. */
bool retry_after_parse(struct str s, int64_t now, int64_t *wait_ms) MUST_USE;

struct civil { int64_t year; int month, day, hour, minute, second, weekday /* 0 Sunday */, yday /* 1.. */; };
struct civil civil_from_unix(int64_t seconds); /* proleptic Gregorian, UTC */
int64_t civil_to_unix(struct civil c);         /* year, month, day, hour, minute, second are read */

int64_t clock_wall_ms(void);   /* Unix ms */
int64_t clock_mono_ms(void);
int64_t clock_mono_ns(void);
int64_t clock_cpu_ns(void);    /* of this thread */

#endif
