// SPDX-License-Identifier: Apache-2.0
/* Counters of things that a reload removed (destinations, jobs), by the name under which /metrics showed them, for when
 * they come back: a series that returns goes on where it was.
 *
 * One row of n numbers for each name. Of names that do not come back the STATS_KEPT_MAX that were kept last stay. No
 * thread of its own: its owner's lock guards it.
 */
#ifndef BASE_TELEMETRY_STATS_KEPT_H
#define BASE_TELEMETRY_STATS_KEPT_H

#include "base/list.h"
#include "base/map.h"

enum { STATS_KEPT_MAX = 1024 };

struct stats_kept { struct map rows; struct list oldest; size_t n; };
void stats_kept_init(struct stats_kept *k, size_t n);
void stats_kept_free(struct stats_kept *k);
void stats_keep(struct stats_kept *k, struct str name, const double *values); /* instead of what was kept before */
/* The row is no longer kept; zeros when there is none. */
void stats_kept_take(struct stats_kept *k, struct str name, double *values);

#endif
