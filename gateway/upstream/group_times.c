// SPDX-License-Identifier: Apache-2.0
#include "gateway/upstream/group_times.h"

#include "base/text/duration.h"

/* --- keys --------------------------------------------------------------------------------------------------------- */

static bool read_time_of_day(struct conf_context *c UNUSED, const struct yaml *node, void *field, struct err *err)
{
    struct time_end *end = field;
    end->set = true;
    return (node->kind == YAML_SCALAR && time_parse(node->text, &end->ms)) ||
           conf_err(node, err, "absolute_time_range: expected a time such as 2026-01-02T15:04:05Z");
}

static bool read_time_from_now(struct conf_context *c UNUSED, const struct yaml *node, void *field, struct err *err)
{
    struct time_end *end = field;
    end->set = true;
    return (node->kind == YAML_SCALAR && duration_parse_loose(node->text, &end->ms)) ||
           conf_err(node, err, "relative_time_range: expected a duration from now, negative for the past, such as -3h");
}

static void print_time_end(struct buf *out, const struct time_end *end, void (*add)(struct buf *out, int64_t ms))
{
    buf_add_char(out, ' ');
    if (end->set)
        add(out, end->ms);
    else
        buf_add_z(out, "null");
    buf_add_char(out, '\n');
}

static void print_time_of_day(struct buf *out, const void *field, unsigned indent UNUSED)
{
    print_time_end(out, field, buf_add_rfc3339);
}

static void print_time_from_now(struct buf *out, const void *field, unsigned indent UNUSED)
{
    print_time_end(out, field, buf_add_duration);
}

static bool group_times_check(struct conf_context *c UNUSED, const struct yaml *node, void *value, struct err *err)
{
    const struct time_range *r = value;
    return !r->start.set || !r->end.set || r->start.ms <= r->end.ms ||
           conf_err(node, err, "time range: the end is before the start");
}

#define RANGE(field) offsetof(struct time_range, field)
#define TRUNCATE_ROW                                                                                                  \
    {CONF_BOOL, "truncate", RANGE(truncate),                                                                          \
     .help = "Read no samples outside of the range; otherwise a request that overlaps it is sent as it is"}

static const struct conf_row relative_rows[] = {
    {CONF_CUSTOM, "start", RANGE(start), .custom = read_time_from_now, .print = print_time_from_now, .form = "duration",
     .help = "From now, negative for the past: `-3h`"},
    {CONF_CUSTOM, "end", RANGE(end), .custom = read_time_from_now, .print = print_time_from_now, .form = "duration",
     .help = "From now, likewise"},
    TRUNCATE_ROW,
    {0}};
const struct conf_section relative_time_range_section = {
    "relative_time_range", sizeof(struct time_range), relative_rows, group_times_check,
    "The time that a group has samples of; no end if one is missing"};

static const struct conf_row absolute_rows[] = {
    {CONF_CUSTOM, "start", RANGE(start), .custom = read_time_of_day, .print = print_time_of_day, .form = "time",
     .help = "`2026-01-02T15:04:05Z`"},
    {CONF_CUSTOM, "end", RANGE(end), .custom = read_time_of_day, .print = print_time_of_day, .form = "time",
     .help = "Likewise"},
    TRUNCATE_ROW,
    {0}};
const struct conf_section absolute_time_range_section = {
    "absolute_time_range", sizeof(struct time_range), absolute_rows, group_times_check,
    "The time that a group has samples of; no end if one is missing"};

/* --- windows ------------------------------------------------------------------------------------------------------ */

static struct group_window time_range_window(const struct time_range *r, int64_t now)
{
    return (struct group_window){r->start.set ? now + r->start.ms : INT64_MIN, r->end.set ? now + r->end.ms : INT64_MAX};
}

static void window_cut(struct group_window *w, struct group_window by)
{
    w->from = w->from > by.from ? w->from : by.from;
    w->to = w->to < by.to ? w->to : by.to;
}

bool group_times_clip(const struct group_times *t, int64_t now, struct group_window *w)
{
    struct group_window all = *w;
    window_cut(&all, time_range_window(&t->relative, now));
    window_cut(&all, time_range_window(&t->absolute, 0));
    if (all.from > all.to)
        return false;
    window_cut(w, group_times_truncated(t, now));
    return true;
}

struct group_window group_times_truncated(const struct group_times *t, int64_t now)
{
    struct group_window w = {INT64_MIN, INT64_MAX};
    if (t->relative.truncate)
        window_cut(&w, time_range_window(&t->relative, now));
    if (t->absolute.truncate)
        window_cut(&w, time_range_window(&t->absolute, 0));
    return w;
}
