// SPDX-License-Identifier: Apache-2.0
/* The time that a group has samples of: relative_time_range and absolute_time_range.
 *
 * A request whose samples all lie outside of the time is not sent. One that overlaps it is sent as it is, or, with
 * `truncate`, reads no samples outside: the group's value is that of its samples within. Groups whose times are limited
 * may have the same series, which are united: one storage for the newest samples, and another for older ones.
 *
 * Times are Unix ms, both ends included; INT64_MIN and INT64_MAX: no end. Pure; any thread.
 */
#ifndef GATEWAY_UPSTREAM_GROUP_TIMES_H
#define GATEWAY_UPSTREAM_GROUP_TIMES_H

#include "base/conf/conf.h"

struct time_end { bool set; int64_t ms; };
struct time_range { struct time_end start, end; bool truncate; }; /* relative: to now */
struct group_times { struct time_range relative, absolute; };
extern const struct conf_section relative_time_range_section, absolute_time_range_section;

struct group_window { int64_t from, to; };
static inline bool group_times_limited(const struct group_times *t)
{
    return t->relative.start.set || t->relative.end.set || t->absolute.start.set || t->absolute.end.set;
}
/* The part of the window that may be read. False: nothing of it. */
bool group_times_clip(const struct group_times *t, int64_t now, struct group_window *w);
/* The time outside of which no samples are read; from INT64_MIN to INT64_MAX without truncate. */
struct group_window group_times_truncated(const struct group_times *t, int64_t now);

#endif
