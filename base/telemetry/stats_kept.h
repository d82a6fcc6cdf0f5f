// SPDX-License-Identifier: Apache-2.0
/* Counters of objects that a reload has removed (destinations, jobs), by their name on /metrics, so that a series
 * continues where it was if the object returns.
 *
 * One row of n numbers per name, of the STATS_KEPT_MAX names removed last. Guarded by a lock that its owner holds.
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
