// SPDX-License-Identifier: Apache-2.0
#include "base/telemetry/log.h"

#include "base/buf.h"
#include "base/json/json_write.h"
#include "base/text/duration.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

enum { MINUTE = 60000, PER_MINUTE = 10, VALUE_MAX = 4096, LINE_BYTES = 20 * 6 * VALUE_MAX /* all bytes escaped */ };

static const char *const names[LOG_LEVELS] = {"debug", "info", "warn", "error"};
static atomic_uint_fast64_t counts[LOG_LEVELS];
static atomic_int least_level = LOG_INFO;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* guards what follows, and the sites */
static enum log_format line_format = LOG_LOGFMT;
static int line_fd = 2;
static struct buf line = {.max = LINE_BYTES};
static struct log_site *silenced; /* sites with lines left out */
static int64_t (*mono_ms)(void) = clock_mono_ms;

void log_setup(enum log_level least, enum log_format format, int fd)
{
    pthread_mutex_lock(&mutex);
    atomic_store(&least_level, least);
    line_format = format;
    line_fd = fd;
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

/* ---- one line ---- */

static bool log_needs_no_quotes(struct str s) /* needs no quotes in logfmt */
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] <= ' ' || (unsigned char)s.p[i] >= 0x7f || s.p[i] == '"' || s.p[i] == '='
            || s.p[i] == '\\')
            return false;
    return s.n > 0;
}

static void log_add_pair(const char *key, const char *value)
{
    struct str v = str_of(value);
    bool quote = line_format == LOG_JSON || !log_needs_no_quotes(v);
    if (line_format == LOG_JSON)
        buf_printf(&line, "%c\"%s\":", line.n ? ',' : '{', key);
    else
        buf_printf(&line, "%s%s=", line.n ? " " : "", key);
    if (quote)
        buf_add_char(&line, '"');
    if (quote)
        json_escape(&line, str_first(v, VALUE_MAX));
    else
        buf_add_str(&line, str_first(v, VALUE_MAX));
    if (v.n > VALUE_MAX)
        buf_add_z(&line, "...");
    if (quote)
        buf_add_char(&line, '"');
}

static void begin_line(enum log_level level, const char *component, const char *msg)
{
    char text[64];
    struct buf time = {.p = text, .cap = sizeof text, .max = sizeof text};
    buf_add_rfc3339(&time, clock_wall_ms());
    buf_clear(&line);
    log_add_pair("time", buf_z(&time));
    log_add_pair("level", names[level]);
    log_add_pair("component", component);
    log_add_pair("msg", msg);
}

/* One write a line, so that lines of several processes on one pipe do not mix; a log that cannot be written is lost. */
static void log_write_line(void)
{
    buf_add_z(&line, line_format == LOG_JSON ? "}\n" : "\n");
    if (line.over)
        return;
    for (size_t at = 0; at < line.n;) {
        ssize_t n = write(line_fd, line.p + at, line.n - at);
        if (n < 0 && errno != EINTR)
            return;
        at += n > 0 ? (size_t)n : 0;
    }
}

/* ---- repetition ---- */

static void log_suppressed(struct log_site *site)
{
    char n[16];
    snprintf(n, sizeof n, "%u", site->left_out);
    begin_line(site->level, site->component, site->msg);
    log_add_pair("left_out", n);
    log_write_line();
    site->left_out = 0;
}

static void sweep(int64_t now)
{
    for (struct log_site **at = &silenced; *at;) {
        struct log_site *site = *at;
        if (now - site->window < MINUTE) {
            at = &site->next;
            continue;
        }
        *at = site->next;
        log_suppressed(site);
    }
}

/* May this line be printed? If not it is remembered. */
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
    if (site->left_out++ == 0) {
        site->next = silenced;
        silenced = site;
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
    if ((int)level < atomic_load_explicit(&least_level, memory_order_relaxed))
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
        begin_line(level, component, msg);
        for (const char *key; (key = va_arg(args, const char *)) != NULL;)
            log_add_pair(key, va_arg(args, const char *));
        log_write_line();
    }
    pthread_mutex_unlock(&mutex);
    va_end(args);
}
