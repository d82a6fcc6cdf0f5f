// SPDX-License-Identifier: Apache-2.0
/* Formats lines in one buffer under a mutex and hands them to log_writer.c, which writes them. A call site that exceeds
 * its limit is put on a list; when its minute is over, the next line or log_sweep reports how many were suppressed.
 */
#include "base/telemetry/log.h"

#include "base/buf.h"
#include "base/json/json_write.h"
#include "base/telemetry/log_writer.h"
#include "base/text/duration.h"

#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

enum { MINUTE = 60000, PER_MINUTE = 10, VALUE_MAX = 4096, LINE_BYTES = 20 * 6 * VALUE_MAX /* all bytes escaped */ };
enum { STOP_MS = 2000, CRASH_MS = 200 };

static const char *const names[LOG_LEVELS] = {"debug", "info", "warn", "error"};
static atomic_uint_fast64_t counts[LOG_LEVELS];
static atomic_int min_level = LOG_INFO;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* guards what follows, and the sites */
static enum log_format line_format = LOG_LOGFMT;
static struct buf line = {.max = LINE_BYTES};
static struct log_site *suppressed_sites; /* sites with suppressed lines */
static int64_t (*mono_ms)(void) = clock_mono_ms;

void log_setup(enum log_level min, enum log_format format, int fd)
{
    pthread_mutex_lock(&mutex);
    atomic_store(&min_level, min);
    line_format = format;
    log_writer_set_fd(fd);
    pthread_mutex_unlock(&mutex);
}

void log_set_clock(int64_t (*mono)(void))
{
    pthread_mutex_lock(&mutex);
    mono_ms = mono ? mono : clock_mono_ms;
    pthread_mutex_unlock(&mutex);
}

bool log_level_parse(struct str s, enum log_level *level)
{
    static const struct {
        const char *name;
        enum log_level level;
    } known[] = {{"trace", LOG_DEBUG}, {"debug", LOG_DEBUG}, {"info", LOG_INFO},   {"warn", LOG_WARN},
                 {"warning", LOG_WARN}, {"error", LOG_ERROR}, {"fatal", LOG_ERROR}, {"panic", LOG_ERROR}};
    for (size_t i = 0; i < LEN(known); i++)
        if (str_ieq(s, str_of(known[i].name))) {
            *level = known[i].level;
            return true;
        }
    return false;
}

const char *log_level_name(enum log_level level) { return names[level]; }
uint64_t log_count(enum log_level level) { return atomic_load_explicit(&counts[level], memory_order_relaxed); }
uint64_t log_dropped(void) { return log_writer_dropped(); }

/* ---- one line ---- */

static bool log_needs_no_quotes(struct str s) /* needs no quotes in logfmt */
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] <= ' ' || (unsigned char)s.p[i] >= 0x7f || s.p[i] == '"' || s.p[i] == '='
            || s.p[i] == '\\')
            return false;
    return s.n > 0;
}

static void log_add_key(struct buf *to, const char *key)
{
    if (line_format == LOG_JSON)
        buf_printf(to, "%c\"%s\":", to->n ? ',' : '{', key);
    else
        buf_printf(to, "%s%s=", to->n ? " " : "", key);
}

static void log_add_text(struct buf *to, const char *key, struct str v)
{
    bool quote = line_format == LOG_JSON || !log_needs_no_quotes(v);
    log_add_key(to, key);
    if (quote)
        buf_add_char(to, '"');
    if (quote)
        json_escape(to, str_first(v, VALUE_MAX));
    else
        buf_add_str(to, str_first(v, VALUE_MAX));
    if (v.n > VALUE_MAX)
        buf_add_z(to, "...");
    if (quote)
        buf_add_char(to, '"');
}

static void log_add_pair(struct buf *to, const char *key, const char *value) { log_add_text(to, key, str_of(value)); }

/* A value that both formats write without quotes. */
static void log_add_plain(struct buf *to, const char *key, const char *format, ...) PRINTF(3, 4);
static void log_add_plain(struct buf *to, const char *key, const char *format, ...)
{
    char text[32];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    log_add_key(to, key);
    buf_add_z(to, text);
}

/* Adds a duration or a time. */
static void log_add_clock(struct buf *to, const char *key, int64_t ms, void (*print)(struct buf *out, int64_t ms))
{
    char text[64];
    struct buf value = {.p = text, .cap = sizeof text, .max = sizeof text};
    print(&value, ms);
    log_add_text(to, key, buf_str(&value));
}

const char log_field_str[] = "str", log_field_u64[] = "u64", log_field_i64[] = "i64", log_field_bool[] = "bool",
           log_field_ms[] = "ms", log_field_time[] = "time";

/* Each field is a key and a text, or one of the above, a key and a value of that type. */
static void log_add_fields(struct buf *to, va_list args)
{
    for (const char *type; (type = va_arg(args, const char *)) != NULL;) {
        const char *key = type;
        if (type == log_field_str) {
            key = va_arg(args, const char *);
            log_add_text(to, key, va_arg(args, struct str));
        } else if (type == log_field_u64) {
            key = va_arg(args, const char *);
            log_add_plain(to, key, "%llu", (unsigned long long)va_arg(args, uint64_t));
        } else if (type == log_field_i64) {
            key = va_arg(args, const char *);
            log_add_plain(to, key, "%lld", (long long)va_arg(args, int64_t));
        } else if (type == log_field_bool) {
            key = va_arg(args, const char *);
            log_add_plain(to, key, "%s", va_arg(args, int) ? "true" : "false");
        } else if (type == log_field_ms || type == log_field_time) {
            key = va_arg(args, const char *);
            log_add_clock(to, key, va_arg(args, int64_t), type == log_field_ms ? buf_add_duration : buf_add_rfc3339);
        } else {
            log_add_pair(to, key, va_arg(args, const char *));
        }
    }
}

static void begin_line(struct buf *to, enum log_level level, const char *component, const char *msg)
{
    buf_clear(to);
    log_add_clock(to, "time", clock_wall_ms(), buf_add_rfc3339);
    log_add_pair(to, "level", names[level]);
    log_add_pair(to, "component", component);
    log_add_pair(to, "msg", msg);
}

static void end_line(struct buf *to) { buf_add_z(to, line_format == LOG_JSON ? "}\n" : "\n"); }

static void log_write_line(void)
{
    end_line(&line);
    if (!line.over)
        log_writer_put(buf_str(&line));
}

/* ---- the thread that writes ---- */

static void log_report_dropped(uint64_t lines, struct buf *out)
{
    char msg[64];
    snprintf(msg, sizeof msg, "%llu log lines dropped", (unsigned long long)lines);
    pthread_mutex_lock(&mutex);
    begin_line(out, LOG_WARN, "log", msg);
    log_add_pair(out, "cause", "stderr could not be written in time");
    end_line(out);
    pthread_mutex_unlock(&mutex);
}

/* On a crash, waits until the last lines are written: they most likely tell its cause. */
static void log_on_crash(int signo)
{
    log_writer_await(CRASH_MS);
    raise(signo); /* SA_RESETHAND has removed the handler */
}

/* Keeps the handlers of a sanitizer. */
static void log_watch_crashes(void)
{
    static const int crashes[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    struct sigaction ours = {.sa_handler = log_on_crash, .sa_flags = SA_RESETHAND | SA_NODEFER}, old;
    for (size_t i = 0; i < LEN(crashes); i++)
        if (sigaction(crashes[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL)
            sigaction(crashes[i], &ours, NULL);
}

void log_run(void *arg UNUSED)
{
    log_watch_crashes();
    log_writer_run(log_report_dropped);
}

bool log_stop(void) { return log_writer_stop(STOP_MS); }

/* ---- repetition ---- */

static void log_suppressed(struct log_site *site)
{
    begin_line(&line, site->level, site->component, site->msg);
    log_add_plain(&line, "suppressed", "%u", site->suppressed);
    log_write_line();
    site->suppressed = 0;
}

static void sweep(int64_t now)
{
    for (struct log_site **at = &suppressed_sites; *at;) {
        struct log_site *site = *at;
        if (now - site->window < MINUTE) {
            at = &site->next;
            continue;
        }
        *at = site->next;
        log_suppressed(site);
    }
}

/* Whether the line may be printed; if not, it is counted. */
static bool admit(struct log_site *site, int64_t now)
{
    if (site->printed == 0 || now - site->window >= MINUTE) {
        site->window = now;
        site->printed = 0;
    }
    if (site->printed < PER_MINUTE) {
        site->printed++;
        return true;
    }
    if (site->suppressed++ == 0) {
        site->next = suppressed_sites;
        suppressed_sites = site;
    }
    return false;
}

void log_sweep(void)
{
    pthread_mutex_lock(&mutex);
    sweep(mono_ms());
    pthread_mutex_unlock(&mutex);
}

void log_write(struct log_site *site, enum log_level level, const char *component, const char *msg, ...)
{
    atomic_fetch_add_explicit(&counts[level], 1, memory_order_relaxed);
    if ((int)level < atomic_load_explicit(&min_level, memory_order_relaxed))
        return;
    va_list args;
    va_start(args, msg);
    pthread_mutex_lock(&mutex);
    int64_t now = mono_ms();
    sweep(now);
    site->level = level;
    site->component = component;
    site->msg = msg;
    if (admit(site, now)) {
        begin_line(&line, level, component, msg);
        log_add_fields(&line, args);
        log_write_line();
    }
    pthread_mutex_unlock(&mutex);
    va_end(args);
}
