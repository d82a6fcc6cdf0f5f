// SPDX-License-Identifier: Apache-2.0
/* Queue directories whose destination is not configured any more: nothing sends or deletes what is in them, so they are
 * on /metrics and in the log. Main; orphans_collect: any thread, under the writer's lock.
 */
#ifndef WRITER_ORPHANS_H
#define WRITER_ORPHANS_H

#include "base/telemetry/stats.h"

enum { ORPHANS_PERIOD = 60000, ORPHANS_POLL = 20 }; /* ms between looks, as they may be deleted; until one is done */

struct writer;
struct orphan { char *dir; uint64_t bytes; }; /* name within the folder of all queues; bytes of its segments */
struct orphan_list { struct orphan *items; size_t n, _cap; };

/* Looks for them, again while there are any, and puts what it finds in w->orphans a little later. The first look also
 * logs them. */
void orphans_find(struct writer *w);
void orphans_stop(struct writer *w);
void orphans_collect(struct writer *w, struct stats_out *out);

#endif
