// SPDX-License-Identifier: Apache-2.0
/* Orphaned queue directories: their destination is no longer configured, so that nothing sends or deletes their
 * contents. They are reported in /metrics and in the log. Main; orphans_collect: any thread, under the writer's
 * lock. */
#ifndef WRITER_ORPHANS_H
#define WRITER_ORPHANS_H

#include "base/telemetry/stats.h"

/* ms between scans while there are orphans; ms between checks of a running scan */
enum { ORPHANS_PERIOD = 60000, ORPHANS_POLL = 20 };

struct writer;
struct orphan { char *dir; uint64_t bytes; }; /* dir: name within the queue directory; bytes: size of its segments */
struct orphan_list { struct orphan *items; size_t n, _cap; };

/* Starts a scan, repeated while there are orphans; the result is stored in w->orphans. The first scan also logs
 * them. */
void orphans_find(struct writer *w);
void orphans_stop(struct writer *w);
void orphans_collect(struct writer *w, struct stats_out *out);

#endif
