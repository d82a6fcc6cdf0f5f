// SPDX-License-Identifier: Apache-2.0
/* Log lines on stderr: logfmt (default) or JSON, one line an event, whole lines only, from any thread.
 *
 *   log_warn("scrape", "no answer", "target", url, "err", e.text)       component, message, then pairs of C strings
 *   time=2026-11-22T10:00:00.000Z level=warn component=scrape msg="no answer" target=... err=...
 *
 * The component and the message are constants, at least for a call site: they are not copied. A NULL value is
 * written as an empty one; a value over 4 KB is cut.
 *
 * Repetition. Lines of one call site are limited: the first 10 in a minute are printed, then one line a minute says how
 * many were left out. Counted in vm_log_messages_total{level}.
 *
 * Waiting. Before log_run and after log_stop a line is written by whoever logs it. While log_run runs, its thread writes,
 * and nobody else waits for stderr: up to 128 KiB of lines stand in memory when nothing reads it; what is logged
 * beyond that is dropped, counted in sluice_log_dropped_total, and reported in the log when it moves again.
 * Secrets are the caller's matter: URLs go through url_redact first.
 */
#ifndef BASE_TELEMETRY_LOG_H
#define BASE_TELEMETRY_LOG_H

#include "base/err.h"
#include "base/str.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_LEVELS };
enum log_format { LOG_LOGFMT, LOG_JSON };

void log_setup(enum log_level least, enum log_format format, int fd); /* fd 2 unless a test wants another */
/* debug info warn warning error, any case; fatal panic = error */
bool log_level_parse(struct str s, enum log_level *level) MUST_USE;

void log_run(void *arg); /* the body of the thread that writes; until log_stop. arg is not used */
/* Ends log_run when all is written, 2 s later at most. False: stderr takes nothing. The thread may then never end, so it
 * cannot be joined, and lines are dropped from now on. */
bool log_stop(void) MUST_USE;
uint64_t log_dropped(void); /* lines since the start that were not written though their level is */

struct log_site { /* one static per call site; private */
    int64_t window;              /* when its minute began */
    unsigned printed, left_out;
    enum log_level level;
    const char *component, *msg; /* of the lines left out */
    struct log_site *next;       /* sites with lines left out */
};
void log_write(struct log_site *site, enum log_level level, const char *component, const char *msg, ...)
    __attribute__((sentinel));

#define LOG_AT(level, ...)                                     \
    do {                                                       \
        static struct log_site log_site_;                      \
        log_write(&log_site_, (level), __VA_ARGS__, NULL);     \
    } while (0)
/* component, message, then pairs: key (const char *), value (const char *), ... */
#define log_debug(...) LOG_AT(LOG_DEBUG, __VA_ARGS__)
#define log_info(...)  LOG_AT(LOG_INFO, __VA_ARGS__)
#define log_warn(...)  LOG_AT(LOG_WARN, __VA_ARGS__)
#define log_error(...) LOG_AT(LOG_ERROR, __VA_ARGS__)

/* says what was left out in minutes that are over; each log_write does it, and main once a minute */
void log_sweep(void);
void log_set_clock(int64_t (*mono_ms)(void)); /* tests: what a minute is measured with; NULL = the real one */
const char *log_level_name(enum log_level level);
uint64_t log_count(enum log_level level); /* lines logged since start, printed or not */

#endif
