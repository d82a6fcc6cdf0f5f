// SPDX-License-Identifier: Apache-2.0
/* Durations and points in time as text. All values are milliseconds unless a name says otherwise. Pure. */
#ifndef BASE_TEXT_DURATION_H
#define BASE_TEXT_DURATION_H

#include "base/buf.h"

/* Prometheus' form: 1y2w3d4h5m6s7ms, each unit once, in this order, no fractions; "0" is zero. */
bool duration_parse(struct str s, int64_t *ms) MUST_USE;
/* Go's form too: 1.5h, 1h30m, 100ms, 10us, -2m, and the units d w y; a number without unit is seconds ("15", "0.5").
 * The form of process flags and of vmagent's files. Fractions of a millisecond are rounded down. */
bool duration_parse_loose(struct str s, int64_t *ms) MUST_USE;
void buf_add_duration(struct buf *b, int64_t ms); /* as Prometheus prints it: 1h30m, 15s, 1d, 0s, 250ms, -5m */
void buf_add_duration_go(struct buf *b, int64_t ms); /* as Go prints it: 1h30m0s, 15s, 1.5s, 250ms; not negative */

/* Float seconds rounded to milliseconds; false for NaN and out of range. */
bool time_from_seconds(double seconds, int64_t *ms) MUST_USE;
/* A time parameter of the API: float seconds (fraction rounded to ms; may be negative) or RFC 3339 with up to
 * nanoseconds. */
bool time_parse(struct str s, int64_t *ms) MUST_USE;
void buf_add_rfc3339(struct buf *b, int64_t ms);  /* UTC: 2026-01-02T03:04:05.678Z */
bool http_date_parse(struct str s, int64_t *ms) MUST_USE; /* RFC 9110 5.6.7, IMF-fixdate only */
/* Retry-After: an HTTP date or delta seconds. *wait_ms: milliseconds from `now`. */
bool retry_after_parse(struct str s, int64_t now, int64_t *wait_ms) MUST_USE;

struct civil { int64_t year; int month, day, hour, minute, second, weekday /* 0 Sunday */, yday /* 1.. */; };
struct civil civil_from_unix(int64_t seconds); /* proleptic Gregorian, UTC */
int64_t civil_to_unix(struct civil c);         /* reads year, month, day, hour, minute, second */

int64_t clock_wall_ms(void);   /* Unix ms */
int64_t clock_mono_ms(void);
int64_t clock_mono_ns(void);
/* For tests: from now on these three are this much later. Does not wake a thread that sleeps. */
void clock_advance(int64_t ms);
int64_t clock_cpu_ns(void);    /* CPU time of this thread */
int64_t clock_process_cpu_ns(void); /* of all threads */
struct timespec clock_mono_after(int64_t ms); /* the monotonic time in `ms`, for pthread_cond_timedwait */

#endif
