// SPDX-License-Identifier: Apache-2.0
/* Log lines on stderr: logfmt (default) or JSON with the same fields, one complete line per event, from any thread.
 *
 *   log_warn("queue", "queue is almost full", "dir", dir, LOG_U64("free_bytes", n))   component, message, fields
 *   time=2026-11-22T10:00:00.000Z level=warn component=queue msg="queue is almost full" dir=/data free_bytes=4096
 *
 * A field is a key and a C string, or one of the LOG_ macros below; values are quoted where the format requires it. The
 * component and the message are constants of the call site: they are not copied. A NULL text is written as an empty one;
 * a text over 4 KB is truncated.
 *
 * Repetition. Each call site is limited: the first 10 lines in a minute are printed, then one line per minute reports
 * the number suppressed. vm_log_messages_total{level} counts all of them.
 *
 * Waiting. Before log_run and after log_stop, the logging thread writes its own lines. While log_run runs, its thread
 * writes, and no other thread waits for stderr: up to 128 KiB of lines are buffered while stderr is not read; further
 * lines are dropped, counted in sluice_log_dropped_total, and reported in the log when it is read again.
 * Secrets are the caller's responsibility: URLs go through url_redact first.
 */
#ifndef BASE_TELEMETRY_LOG_H
#define BASE_TELEMETRY_LOG_H

#include "base/err.h"
#include "base/str.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_LEVELS };
enum log_format { LOG_LOGFMT, LOG_JSON };

void log_setup(enum log_level min, enum log_format format, int fd); /* fd 2 except in tests */
/* debug info warn warning error, any case; fatal panic = error */
bool log_level_parse(struct str s, enum log_level *level) MUST_USE;

void log_run(void *arg); /* body of the writing thread; returns after log_stop. arg is not used */
/* Ends log_run when all lines are written, after 2 s at most. False: stderr is blocked. The thread may then never end,
 * so do not join it; further lines are dropped. */
bool log_stop(void) MUST_USE;
uint64_t log_dropped(void); /* lines since the start that should have been written, but were not */

struct log_site { /* one static per call site; private */
    int64_t window;              /* start of the current minute */
    unsigned printed, suppressed;
    enum log_level level;
    const char *component, *msg; /* of the suppressed lines */
    struct log_site *next;       /* list of sites with suppressed lines */
};
void log_write(struct log_site *site, enum log_level level, const char *component, const char *msg, ...)
    __attribute__((sentinel));

static inline struct str log_str_value(struct str s) { return s; } /* checks the type */
extern const char log_field_str[], log_field_u64[], log_field_i64[], log_field_bool[], log_field_ms[], log_field_time[];
#define LOG_STR(key, text)     log_field_str, (key), log_str_value(text)
#define LOG_U64(key, n)        log_field_u64, (key), (uint64_t)(n)   /* a number in JSON, as is LOG_I64 */
#define LOG_I64(key, n)        log_field_i64, (key), (int64_t)(n)
#define LOG_BOOL(key, b)       log_field_bool, (key), (int)(b)       /* true, false */
#define LOG_DURATION(key, ms)  log_field_ms, (key), (int64_t)(ms)    /* 1m30s */
#define LOG_TIME(key, unix_ms) log_field_time, (key), (int64_t)(unix_ms) /* 2026-11-22T10:00:00.000Z */

#define LOG_AT(level, ...)                                     \
    do {                                                       \
        static struct log_site log_site_;                      \
        log_write(&log_site_, (level), __VA_ARGS__, NULL);     \
    } while (0)
/* component, message, fields: "key", const char *, or a LOG_ macro */
#define log_debug(...) LOG_AT(LOG_DEBUG, __VA_ARGS__)
#define log_info(...)  LOG_AT(LOG_INFO, __VA_ARGS__)
#define log_warn(...)  LOG_AT(LOG_WARN, __VA_ARGS__)
#define log_error(...) LOG_AT(LOG_ERROR, __VA_ARGS__)

/* reports the lines suppressed in past minutes; called by each log_write, and by main once a minute */
void log_sweep(void);
void log_set_clock(int64_t (*mono_ms)(void)); /* tests: the clock that measures minutes; NULL = the real one */
const char *log_level_name(enum log_level level);
uint64_t log_count(enum log_level level); /* lines logged since start, printed or not */

#endif
