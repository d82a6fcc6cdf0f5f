/* Log lines on stderr: logfmt (default) or JSON, one line an event, whole lines only, from any thread.
 *
 *   log_warn("scrape", "target", url, "err", e.text)      component, then key/value pairs of C strings (LOG_END is added)
 *   time=2026-11-22T10:00:00.000Z level=warn component=scrape msg=... 
 * Repetition. Lines of one call site with the same component and message are limited: the first 10 in a minute are printed,
 * then one line a minute says how many were left out. Counted in sluice_log_messages_total{level}. Secrets are the
 * caller's matter: URLs go through url_redact first.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/err.h"
#include "base/str.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_LEVELS };
enum log_format { LOG_LOGFMT, LOG_JSON };

void log_setup(enum log_level least, enum log_format format, int fd); /* fd 2 unless a test wants another */
bool log_level_parse(struct str s, enum log_level *level) MUST_USE;   /* debug info warn warning error, any case; fatal panic = error */

struct log_site { int64_t window; unsigned printed, left_out; }; /* one static per call site; private */
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

uint64_t log_count(enum log_level level); /* lines logged since start, printed or not */

#endif
