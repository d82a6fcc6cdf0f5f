// SPDX-License-Identifier: Apache-2.0
/* Go's layouts: each element of the reference time stands for one of the time to read; other characters for themselves.
 * Source: https://pkg.go.dev/time#pkg-constants */
#include "gateway/ingest/csv_time.h"

#include "base/text/duration.h"
#include "base/text/num.h"

enum time_part {
    TIME_YEAR, TIME_YEAR_SHORT, TIME_MONTH, TIME_MONTH_NAME, TIME_MONTH_SHORT, TIME_DAY, TIME_WEEKDAY, TIME_WEEKDAY_SHORT,
    TIME_HOUR, TIME_HOUR_12, TIME_MINUTE, TIME_SECOND, TIME_FRACTION, TIME_PM, TIME_ZONE, TIME_ZONE_COLON, TIME_ZONE_Z,
    TIME_ZONE_NAME, TIME_YEAR_DAY
};
/* The first that matches counts: longer ones before their prefixes. */
static const struct time_element { const char *text; enum time_part part; unsigned least, most; } time_elements[] = {
    {"2006", TIME_YEAR, 4, 4}, {"January", TIME_MONTH_NAME, 0, 0}, {"Jan", TIME_MONTH_SHORT, 0, 0},
    {"Monday", TIME_WEEKDAY, 0, 0}, {"Mon", TIME_WEEKDAY_SHORT, 0, 0}, {"MST", TIME_ZONE_NAME, 0, 0},
    {"Z07:00", TIME_ZONE_Z, 0, 0}, {"-07:00", TIME_ZONE_COLON, 0, 0}, {"-0700", TIME_ZONE, 0, 0},
    {"002", TIME_YEAR_DAY, 3, 3}, {"01", TIME_MONTH, 2, 2}, {"02", TIME_DAY, 2, 2}, {"03", TIME_HOUR_12, 2, 2},
    {"04", TIME_MINUTE, 2, 2}, {"05", TIME_SECOND, 2, 2}, {"06", TIME_YEAR_SHORT, 2, 2}, {"15", TIME_HOUR, 2, 2},
    {"PM", TIME_PM, 0, 0}, {"pm", TIME_PM, 0, 0}, {"_2", TIME_DAY, 1, 2}, {"1", TIME_MONTH, 1, 2}, {"2", TIME_DAY, 1, 2},
    {"3", TIME_HOUR_12, 1, 2}, {"4", TIME_MINUTE, 1, 2}, {"5", TIME_SECOND, 1, 2},
};
static const char *const month_names[] = {"January", "February", "March", "April", "May", "June", "July", "August",
                                          "September", "October", "November", "December"};
static const char *const weekday_names[] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};

struct time_read {
    struct civil civil;
    int64_t ms, zone;          /* zone: seconds east of UTC */
    bool pm, has_pm;
    int year_day;              /* 0: not given */
};

static bool read_digits(struct str *text, unsigned least, unsigned most, int64_t *out)
{
    unsigned n = 0;
    for (*out = 0; n < most && n < text->n && text->p[n] >= '0' && text->p[n] <= '9'; n++)
        *out = *out * 10 + (text->p[n] - '0');
    *text = str_skip(*text, n);
    return n >= least;
}

static bool read_name(struct str *text, const char *const *names, size_t n, size_t shortened, int *out)
{
    for (size_t i = 0; i < n; i++) {
        struct str name = str_of(names[i]);
        name = shortened ? str_first(name, shortened) : name;
        if (!str_ieq(str_first(*text, name.n), name))
            continue;
        *text = str_skip(*text, name.n);
        *out = (int)i;
        return true;
    }
    return false;
}

static bool read_zone(struct str *text, bool colon, int64_t *zone)
{
    int64_t hours, minutes;
    bool west = text->n > 0 && text->p[0] == '-';
    if (text->n == 0 || (text->p[0] != '-' && text->p[0] != '+'))
        return false;
    *text = str_skip(*text, 1);
    if (!read_digits(text, 2, 2, &hours))
        return false;
    if (colon && (text->n == 0 || text->p[0] != ':'))
        return false;
    *text = str_skip(*text, colon);
    if (!read_digits(text, 2, 2, &minutes) || hours > 24 || minutes > 59)
        return false;
    *zone = (hours * 60 + minutes) * (west ? -60 : 60);
    return true;
}

/* .000 or ,999 behind the seconds; text without a layout for it may have a fraction, too, as in Go. */
static bool read_fraction(struct str *text, size_t digits, int64_t *ms)
{
    int64_t scale = 100, digit;
    size_t n = 0;
    if (text->n == 0 || (text->p[0] != '.' && text->p[0] != ','))
        return digits == 0;
    *text = str_skip(*text, 1);
    for (*ms = 0; read_digits(text, 1, 1, &digit); n++, scale /= 10)
        *ms += digit * scale;
    return n > 0 && (digits == 0 || n == digits);
}

static size_t layout_fraction(struct str layout, bool *optional)
{
    size_t n = 0;
    if (layout.n < 2 || (layout.p[0] != '.' && layout.p[0] != ',') || (layout.p[1] != '0' && layout.p[1] != '9'))
        return 0;
    while (1 + n < layout.n && layout.p[1 + n] == layout.p[1])
        n++;
    *optional = layout.p[1] == '9';
    return n;
}

static bool read_element(const struct time_element *e, struct str *text, struct time_read *t)
{
    struct civil *c = &t->civil;
    int64_t n = 0;
    int name = 0;
    if (e->most > 0) {
        if (e->text[0] == '_' && text->n > 0 && text->p[0] == ' ')
            *text = str_skip(*text, 1);
        if (!read_digits(text, e->least, e->most, &n))
            return false;
    }
    switch (e->part) {
    case TIME_YEAR: c->year = n; return true;
    case TIME_YEAR_SHORT: c->year = n + (n >= 69 ? 1900 : 2000); return true;
    case TIME_MONTH: c->month = (int)n; return n >= 1 && n <= 12;
    case TIME_MONTH_NAME: case TIME_MONTH_SHORT:
        if (!read_name(text, month_names, LEN(month_names), e->part == TIME_MONTH_SHORT ? 3 : 0, &name))
            return false;
        c->month = name + 1;
        return true;
    case TIME_WEEKDAY: return read_name(text, weekday_names, LEN(weekday_names), 0, &name);
    case TIME_WEEKDAY_SHORT: return read_name(text, weekday_names, LEN(weekday_names), 3, &name);
    case TIME_DAY: c->day = (int)n; return n >= 1 && n <= 31;
    case TIME_YEAR_DAY: t->year_day = (int)n; return n >= 1 && n <= 366;
    case TIME_HOUR: c->hour = (int)n; return n <= 23;
    case TIME_HOUR_12: c->hour = (int)n; return n <= 12;
    case TIME_MINUTE: c->minute = (int)n; return n <= 59;
    case TIME_SECOND: c->second = (int)n; return n <= 59;
    case TIME_PM: {
        static const char *const halves[] = {"AM", "PM"};
        t->has_pm = read_name(text, halves, 2, 0, &name);
        t->pm = name == 1;
        return t->has_pm;
    }
    case TIME_ZONE_Z:
        if (text->n > 0 && text->p[0] == 'Z') {
            *text = str_skip(*text, 1);
            return true;
        }
        return read_zone(text, true, &t->zone);
    case TIME_ZONE_COLON: return read_zone(text, true, &t->zone);
    case TIME_ZONE: return read_zone(text, false, &t->zone);
    case TIME_ZONE_NAME: { /* others cannot be told without a database of zones */
        static const char *const utc[] = {"UTC", "GMT"};
        return read_name(text, utc, 2, 0, &name);
    }
    case TIME_FRACTION: break;
    }
    return false;
}

static const struct time_element *element_at(struct str layout)
{
    for (size_t i = 0; i < LEN(time_elements); i++)
        if (str_starts(layout, str_of(time_elements[i].text)))
            return &time_elements[i];
    return NULL;
}

static bool read_layout(struct str layout, struct str text, struct time_read *t)
{
    while (layout.n > 0) {
        bool optional = false;
        size_t fraction = layout_fraction(layout, &optional);
        const struct time_element *e = fraction ? NULL : element_at(layout);
        if (fraction) {
            if (!read_fraction(&text, optional ? 0 : fraction, &t->ms))
                return false;
            layout = str_skip(layout, 1 + fraction);
        } else if (e) {
            if (!read_element(e, &text, t))
                return false;
            layout = str_skip(layout, strlen(e->text));
            if (e->part == TIME_SECOND && layout_fraction(layout, &optional) == 0 && !read_fraction(&text, 0, &t->ms))
                return false;
        } else {
            if (text.n == 0 || text.p[0] != layout.p[0])
                return false;
            layout = str_skip(layout, 1);
            text = str_skip(text, 1);
        }
    }
    return text.n == 0;
}

static bool csv_time_layout(struct str layout, struct str text, int64_t *ms)
{
    enum { DAY_SECONDS = 86400 };
    struct time_read t = {.civil = {.year = 0, .month = 1, .day = 1}};
    if (!read_layout(layout, text, &t) || civil_from_unix(civil_to_unix(t.civil)).day != t.civil.day) /* 30 February */
        return false;
    if (t.has_pm && t.civil.hour == 12)
        t.civil.hour = 0;
    t.civil.hour += t.pm ? 12 : 0;
    int64_t seconds = civil_to_unix(t.civil) + (t.year_day > 0 ? (t.year_day - 1) * DAY_SECONDS : 0) - t.zone;
    *ms = seconds * 1000 + t.ms;
    return true;
}

static const struct str custom = {"custom:", 7};

bool csv_time_known(struct str format)
{
    return str_is(format, "unix_s") || str_is(format, "unix_ms") || str_is(format, "unix_ns") || str_is(format, "rfc3339")
           || str_starts(format, custom);
}

bool csv_time(struct str format, struct str text, int64_t *ms)
{
    int64_t n;
    if (str_is(format, "rfc3339"))
        return str_find(text, 'T') < text.n && time_parse(text, ms);
    if (str_starts(format, custom))
        return csv_time_layout(str_skip(format, custom.n), text, ms);
    if (!num_parse_i64(text, &n))
        return false;
    if (str_is(format, "unix_s"))
        return !__builtin_mul_overflow(n, 1000, ms);
    *ms = str_is(format, "unix_ms") ? n : n / 1000000;
    return true;
}
