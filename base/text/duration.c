// SPDX-License-Identifier: Apache-2.0
/* Parses and prints durations and times; converts between Unix time and the calendar. */
#include "base/text/duration.h"
#include "base/text/num.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR, WEEK = 7 * DAY };
#define YEAR   ((int64_t)365 * DAY)
#define MOST   (INT64_MAX / 1000000) /* durations are nanoseconds in Go: about 292 years */
#define NS(ms) ((int64_t)(ms) * 1000000)

/* Durations. */

static const struct unit {
    const char *name;
    int64_t ms;
    bool whole; /* printed only when the remainder is 0 */
} units[] = {{"y", YEAR, true},    {"w", WEEK, true},    {"d", DAY, false}, {"h", HOUR, false},
             {"m", MINUTE, false}, {"s", SECOND, false}, {"ms", 1, false}};

static bool duration_is_digit(char c) { return (unsigned char)(c - '0') < 10; }

/* Consumes the leading digits; false when there are none or too many. */
static bool duration_cut_u64(struct str *s, uint64_t *v)
{
    size_t n = 0;
    while (n < s->n && duration_is_digit(s->p[n]))
        n++;
    bool good = num_parse_u64(str_first(*s, n), v);
    *s = str_skip(*s, n);
    return good;
}

/* Consumes the leading letters of a unit. */
static struct str duration_cut_unit(struct str *s)
{
    size_t n = 0;
    while (n < s->n && !duration_is_digit(s->p[n]) && s->p[n] != '.')
        n++;
    struct str letters = str_first(*s, n);
    *s = str_skip(*s, n);
    return letters;
}

bool duration_parse(struct str s, int64_t *ms)
{
    if (s.n == 0)
        return false;
    int64_t sum = 0;
    if (str_is(s, "0"))
        s = STR_NONE;
    for (size_t next = 0; s.n > 0; next++) {
        uint64_t n;
        int64_t part;
        if (!duration_cut_u64(&s, &n))
            return false;
        struct str name = duration_cut_unit(&s);
        while (next < LEN(units) && !str_is(name, units[next].name))
            next++;
        if (next == LEN(units) || __builtin_mul_overflow(n, units[next].ms, &part) ||
            __builtin_add_overflow(sum, part, &sum) || sum > MOST)
            return false;
    }
    *ms = sum;
    return true;
}

/* Nanoseconds of a unit, 0 for an unknown one. */
static int64_t loose_unit(struct str name)
{
    for (size_t i = 0; i < LEN(units); i++)
        if (str_is(name, units[i].name))
            return NS(units[i].ms);
    if (str_is(name, "us") || str_is(name, "\u00b5s") || str_is(name, "\u03bcs")) /* micro sign, Greek mu */
        return 1000;
    return str_is(name, "ns");
}

/* The digits after the point as billionths; further ones are dropped. */
static bool duration_cut_fraction(struct str *s, uint64_t *billionths)
{
    unsigned n = 0;
    *billionths = 0;
    for (; s->n > 0 && duration_is_digit(s->p[0]); *s = str_skip(*s, 1))
        if (n < 9) {
            *billionths = *billionths * 10 + (uint64_t)(s->p[0] - '0');
            n++;
        }
    bool some = n > 0;
    for (; n < 9; n++)
        *billionths *= 10;
    return some;
}

/* Consumes a leading "1.5", "1" or ".5". */
static bool duration_cut_decimal(struct str *s, uint64_t *whole, uint64_t *billionths)
{
    *whole = *billionths = 0;
    if (s->n == 0 || (s->p[0] != '.' && !duration_cut_u64(s, whole)))
        return false;
    if (s->n == 0 || s->p[0] != '.')
        return true;
    *s = str_skip(*s, 1);
    return duration_cut_fraction(s, billionths);
}

bool duration_parse_loose(struct str s, int64_t *ms)
{
    bool negative = s.n > 0 && s.p[0] == '-';
    if (s.n > 0 && (s.p[0] == '-' || s.p[0] == '+'))
        s = str_skip(s, 1);
    __int128 sum = 0;
    bool first = true;
    do {
        uint64_t whole, billionths;
        if (!duration_cut_decimal(&s, &whole, &billionths))
            return false;
        int64_t unit = s.n == 0 && first ? NS(SECOND) : loose_unit(duration_cut_unit(&s));
        sum += (__int128)whole * unit + (__int128)billionths * unit / 1000000000;
        if (unit == 0 || sum > INT64_MAX)
            return false;
        first = false;
    } while (s.n > 0);
    int64_t value = (int64_t)(sum / NS(1));
    *ms = negative ? -value : value;
    return true;
}

void buf_add_duration(struct buf *b, int64_t ms)
{
    uint64_t left = ms < 0 ? 0 - (uint64_t)ms : (uint64_t)ms;
    if (left == 0)
        buf_add_z(b, "0s");
    if (ms < 0)
        buf_add_char(b, '-');
    for (size_t i = 0; i < LEN(units); i++) {
        uint64_t unit = (uint64_t)units[i].ms;
        if (left < unit || (units[i].whole && left % unit != 0))
            continue;
        buf_add_u64(b, left / unit);
        buf_add_z(b, units[i].name);
        left %= unit;
    }
}

void buf_add_duration_go(struct buf *b, int64_t ms)
{
    if (ms > 0 && ms < SECOND) {
        buf_printf(b, "%dms", (int)ms);
        return;
    }
    if (ms >= HOUR)
        buf_printf(b, "%lldh", (long long)(ms / HOUR));
    if (ms >= MINUTE)
        buf_printf(b, "%dm", (int)(ms % HOUR / MINUTE));
    buf_add_num(b, (double)(ms % MINUTE) / SECOND);
    buf_add_char(b, 's');
}

/* The calendar. Days are counted in eras of 400 years that begin on 1 March, so that a leap day ends its year. */

enum { ERA_DAYS = 146097, EPOCH_DAYS = 719468 /* from 0000-03-01 to 1970-01-01 */ };

static int64_t days_from_civil(int64_t y, int month, int day)
{
    y -= month <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400, of_era = y - era * 400;
    int64_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return era * ERA_DAYS + of_era * 365 + of_era / 4 - of_era / 100 + of_year - EPOCH_DAYS;
}

int64_t civil_to_unix(struct civil c)
{
    return days_from_civil(c.year, c.month, c.day) * 86400 + c.hour * 3600 + c.minute * 60 + c.second;
}

struct civil civil_from_unix(int64_t seconds)
{
    int64_t days = seconds / 86400, left = seconds % 86400;
    if (left < 0) {
        days--;
        left += 86400;
    }
    int64_t z = days + EPOCH_DAYS, era = (z >= 0 ? z : z - (ERA_DAYS - 1)) / ERA_DAYS, of_era = z - era * ERA_DAYS;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / (ERA_DAYS - 1)) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100), m = (5 * of_year + 2) / 153;
    struct civil c = {.year = year + era * 400 + (m >= 10), .month = (int)(m < 10 ? m + 3 : m - 9)};
    c.day = (int)(of_year - (153 * m + 2) / 5) + 1;
    c.hour = (int)(left / 3600);
    c.minute = (int)(left / 60 % 60);
    c.second = (int)(left % 60);
    c.weekday = (int)((days % 7 + 11) % 7); /* 1970-01-01 was a Thursday */
    c.yday = (int)(days - days_from_civil(c.year, 1, 1)) + 1;
    return c;
}

static bool civil_valid(const struct civil *c)
{
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (c->month < 1 || c->month > 12 || c->hour > 23 || c->minute > 59 || c->second > 59)
        return false;
    bool leap = c->year % 4 == 0 && (c->year % 100 != 0 || c->year % 400 == 0);
    return c->day >= 1 && c->day <= lengths[c->month - 1] + (c->month == 2 && leap);
}

/* Consumes text by a pattern: D is a digit of the next number, any other character matches itself. A run of D fills
 * one field. */
static bool time_cut_pattern(struct str *s, const char *pattern, int *const fields[])
{
    size_t field = 0, i = 0;
    for (; pattern[i]; i++) {
        if (i >= s->n)
            return false;
        char c = s->p[i];
        if (pattern[i] != 'D') {
            if (c != pattern[i])
                return false;
            field += i > 0 && pattern[i - 1] == 'D';
            continue;
        }
        if (!duration_is_digit(c))
            return false;
        *fields[field] = *fields[field] * 10 + (c - '0');
    }
    *s = str_skip(*s, i);
    return true;
}

/* The zone: Z or +hh:mm, in seconds east. */
static bool parse_zone(struct str s, int64_t *east)
{
    int hours = 0, minutes = 0;
    *east = 0;
    if (str_is(s, "Z"))
        return true;
    bool west = s.n > 0 && s.p[0] == '-';
    int *const fields[] = {&hours, &minutes};
    if (!time_cut_pattern(&s, west ? "-DD:DD" : "+DD:DD", fields) || s.n > 0 || hours > 23 || minutes > 59)
        return false;
    *east = (hours * 3600 + minutes * 60) * (west ? -1 : 1);
    return true;
}

static bool parse_rfc3339(struct str s, int64_t *ms)
{
    struct civil c = {0};
    int year = 0;
    int *const fields[] = {&year, &c.month, &c.day, &c.hour, &c.minute, &c.second};
    if (!time_cut_pattern(&s, "DDDD-DD-DDTDD:DD:DD", fields))
        return false;
    c.year = year;
    uint64_t billionths = 0;
    if (s.n > 0 && (s.p[0] == '.' || s.p[0] == ',')) {
        s = str_skip(s, 1);
        if (!duration_cut_fraction(&s, &billionths))
            return false;
    }
    int64_t east;
    if (!parse_zone(s, &east) || !civil_valid(&c))
        return false;
    *ms = (civil_to_unix(c) - east) * 1000 + (int64_t)(billionths / 1000000);
    return true;
}

/* The times that Prometheus' own clients send as unlimited start and end: Go's minimum and maximum time, formatted. */
static bool parse_extreme(struct str s, int64_t *ms)
{
    static const int64_t to_year_one = 62135596801;
    if (str_is(s, "-292273086-05-16T16:47:06Z"))
        *ms = (INT64_MIN / 1000 + to_year_one) * 1000;
    else if (str_is(s, "292277025-08-18T07:12:54.999999999Z"))
        *ms = (INT64_MAX / 1000 - to_year_one) * 1000 + 999;
    else
        return false;
    return true;
}

bool time_from_seconds(double seconds, int64_t *ms)
{
    if (!(fabs(seconds) < (double)(INT64_MAX / 1000)))
        return false;
    double whole, fraction = modf(seconds, &whole);
    *ms = (int64_t)whole * 1000 + (int64_t)round(fraction * 1000);
    return true;
}

bool time_parse(struct str s, int64_t *ms)
{
    double v;
    if (num_parse(s, &v))
        return time_from_seconds(v, ms);
    return parse_rfc3339(s, ms) || parse_extreme(s, ms);
}

void buf_add_rfc3339(struct buf *b, int64_t ms)
{
    int64_t seconds = ms / 1000, rest = ms % 1000;
    if (rest < 0) {
        seconds--;
        rest += 1000;
    }
    struct civil c = civil_from_unix(seconds);
    buf_printf(b, "%04lld-%02d-%02dT%02d:%02d:%02d", (long long)c.year, c.month, c.day, c.hour, c.minute, c.second);
    if (rest > 0)
        buf_printf(b, ".%03d", (int)rest);
    buf_add_char(b, 'Z');
}

/* "Sun, 06 Nov 1994 08:49:37 GMT"; the weekday is ignored. */
bool http_date_parse(struct str s, int64_t *ms)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct civil c = {0};
    int year = 0;
    if (s.n != 29 || s.p[3] != ',' || s.p[4] != ' ')
        return false;
    struct str date = str_skip(s, 5), rest = str_skip(s, 11);
    const char *name = memmem(months, sizeof months - 1, s.p + 8, 3);
    if (name == NULL || (name - months) % 3 != 0)
        return false;
    c.month = (int)(name - months) / 3 + 1;
    int *const fields[] = {&year, &c.hour, &c.minute, &c.second};
    if (!time_cut_pattern(&date, "DD ", (int *const[]){&c.day}) ||
        !time_cut_pattern(&rest, " DDDD DD:DD:DD GMT", fields))
        return false;
    c.year = year;
    *ms = civil_to_unix(c) * 1000;
    return civil_valid(&c);
}

bool retry_after_parse(struct str s, int64_t now, int64_t *wait_ms)
{
    uint64_t seconds;
    int64_t at;
    if (s.n > 0 && duration_is_digit(s.p[0]) && num_parse_u64(s, &seconds)) {
        *wait_ms = seconds < (uint64_t)MOST / 1000 ? (int64_t)seconds * 1000 : MOST;
        return true;
    }
    if (!http_date_parse(s, &at))
        return false;
    *wait_ms = at > now ? at - now : 0;
    return true;
}

/* Clocks. */

static atomic_llong clock_advanced_ns;

void clock_advance(int64_t ms) { atomic_fetch_add_explicit(&clock_advanced_ns, ms * 1000000, memory_order_relaxed); }

static int64_t clock_ns(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t clock_later_ns(clockid_t id)
{
    return clock_ns(id) + atomic_load_explicit(&clock_advanced_ns, memory_order_relaxed);
}

int64_t clock_wall_ms(void) { return clock_later_ns(CLOCK_REALTIME) / 1000000; }
int64_t clock_mono_ms(void) { return clock_later_ns(CLOCK_MONOTONIC) / 1000000; }
int64_t clock_mono_ns(void) { return clock_later_ns(CLOCK_MONOTONIC); }

struct timespec clock_mono_after(int64_t ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += ms % 1000 * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    return t;
}

int64_t clock_cpu_ns(void) { return clock_ns(CLOCK_THREAD_CPUTIME_ID); }

int64_t clock_process_cpu_ns(void) { return clock_ns(CLOCK_PROCESS_CPUTIME_ID); }
