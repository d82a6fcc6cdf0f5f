// SPDX-License-Identifier: Apache-2.0
/* Date functions of values (or of the step itself), always in UTC. Days are converted to dates by arithmetic on the
 * 400-year cycle of the Gregorian calendar, counted from 1 March 0000 so that the leap day is the last day of its
 * year.
 */
#include "promql/functions/functions_internal.h"

struct date { int64_t year; int month, day, day_of_year, day_of_week; int64_t second_of_day; };

static bool is_leap(int64_t year) { return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0; }

static int days_in(const struct date *d)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return days[d->month - 1] + (d->month == 2 && is_leap(d->year));
}

/* Seconds are relative to 1 March of the year -292277022400, as in Go: earlier times wrap around to the far end. */
static struct date date_of(int64_t seconds)
{
    enum { DAY = 86400, CYCLE = 146097, TO_1970 = 719468, CYCLES = 730692556 }; /* CYCLE: days in 400 years;
        TO_1970: from 1 March 0000 to 1 January 1970; CYCLES: from the first year to 0000 */
    uint64_t since_first = (uint64_t)seconds + ((uint64_t)CYCLES * CYCLE + TO_1970) * DAY;
    int64_t days = (int64_t)(since_first / DAY), cycle = days / CYCLE, in_cycle = days % CYCLE;
    int64_t year = (in_cycle - in_cycle / 1460 + in_cycle / 36524 - in_cycle / 146096) / 365;
    int64_t day = in_cycle - (365 * year + year / 4 - year / 100); /* since 1 March */
    int month = (int)((5 * day + 2) / 153);                        /* 0 = March */
    struct date d = {.second_of_day = (int64_t)(since_first % DAY)};
    d.day = (int)(day - (153 * month + 2) / 5) + 1;
    d.month = month < 10 ? month + 3 : month - 9;
    d.year = year + (cycle - CYCLES) * 400 + (d.month <= 2);
    d.day_of_year = (int)(d.month <= 2 ? day - 305 : day + 60 + is_leap(d.year));
    d.day_of_week = (int)((days + 3) % 7); /* the first 1 March is a Wednesday, as every 400 years */
    return d;
}

typedef double date_fn(const struct date *d);
static double minute(const struct date *d) { return (double)(d->second_of_day / 60 % 60); }
static double hour(const struct date *d) { return (double)(d->second_of_day / 3600); }
static double day_of_week(const struct date *d) { return d->day_of_week; }
static double day_of_month(const struct date *d) { return d->day; }
static double day_of_year(const struct date *d) { return d->day_of_year; }
static double days_in_month(const struct date *d) { return days_in(d); }
static double month(const struct date *d) { return d->month; }
static double year(const struct date *d) { return (double)d->year; }

/* Values beyond the range of seconds become the earliest second. */
static int64_t round_to_seconds(double v)
{
    static const double limit = 9223372036854775808.0; /* 2^63 */
    return v > -limit && v < limit ? (int64_t)v : INT64_MIN;
}

static void dates_of_steps(struct eval *ev, struct value *out, date_fn *fn)
{
    struct row *row = value_add_row(ev, out, (struct labels){0});
    for (uint32_t i = 0; i < ev->grid.n; i++) {
        eval_charge(ev, 4);
        struct date d = date_of(grid_time(&ev->grid, i) / 1000);
        row_set(row, i, fn(&d));
    }
}

static void dates(struct eval *ev, const struct call *c, struct value *out, date_fn *fn)
{
    if (c->n_args == 0) {
        dates_of_steps(ev, out, fn);
        return;
    }
    fn_reuse_rows(out, &c->args[0]);
    for (size_t r = 0; r < out->n; r++) {
        struct row *row = &out->rows[r];
        for (uint32_t i = 0; i < ev->grid.n; i++) {
            eval_charge(ev, 4);
            struct date d = date_of(round_to_seconds(row->v[i]));
            if (row_hist(row, i))
                row_clear(row, i);
            else if (!is_absent(row->v[i]))
                row->v[i] = fn(&d);
        }
        row_drop_name(ev, row);
    }
}

#define DATE(name) \
    static void name##_rows(struct eval *ev, const struct call *c, struct value *out) { dates(ev, c, out, name); } \
    const struct function_impl fn_##name = {.rows = name##_rows}
DATE(minute);
DATE(hour);
DATE(day_of_week);
DATE(day_of_month);
DATE(day_of_year);
DATE(days_in_month);
DATE(month);
DATE(year);

static void time_rows(struct eval *ev, const struct call *c, struct value *out)
{
    (void)c;
    out->scalar = eval_column(ev);
    for (uint32_t i = 0; i < ev->grid.n; i++)
        out->scalar[i] = (double)grid_time(&ev->grid, i) / 1000;
}

/* For anything but a plain selector the time is that of the step. */
static void timestamp_rows(struct eval *ev, const struct call *c, struct value *out)
{
    fn_reuse_rows(out, &c->args[0]);
    for (size_t r = 0; r < out->n; r++) {
        struct row *row = &out->rows[r];
        for (uint32_t i = 0; i < ev->grid.n; i++)
            if (!is_absent(row->v[i]))
                row_set(row, i, (double)grid_time(&ev->grid, i) / 1000);
        row_drop_name(ev, row);
    }
}

/* Samples have no start timestamps here; Prometheus returns the same when the feature is off. */
static void start_timestamp_rows(struct eval *ev, const struct call *c, struct value *out)
{
    (void)ev;
    (void)c;
    out->n = 0;
}

const struct function_impl fn_time = {.rows = time_rows};
const struct function_impl fn_timestamp = {.rows = timestamp_rows};
const struct function_impl fn_start_timestamp = {.rows = start_timestamp_rows};
