// SPDX-License-Identifier: Apache-2.0
/* Limits of series, as vmagent has them: a stage that drops series with too many or too long labels, and one that admits
 * only so many different series an hour and a day.
 *
 * The series that were seen are in Bloom filters of the size that they need, 2 bytes a series, shared by all lanes without
 * locks: less than one new series in 200 is taken for a known one, as in vmagent. A lane touches one cache line a sample.
 * When its time is over, an empty set replaces it; the old one is freed one period later, when no lane reads it.
 */
#ifndef WRITER_PIPELINE_LIMITS_H
#define WRITER_PIPELINE_LIMITS_H

#include "writer/pipeline/stage.h"

struct label_limits { uint32_t labels, name_length, value_length; }; /* 0 = none */
struct stage *label_limits_new(const struct label_limits *limits);

enum series_period { SERIES_HOURLY, SERIES_DAILY, SERIES_PERIODS };
/* Of each period: the number of series; 0 = none, -1 = they are counted only. */
struct stage *series_limits_new(const int64_t max[SERIES_PERIODS]);

struct series_limits; /* the state that lanes share, reference counted */
struct series_limits *series_limits_of(const struct stage *s); /* a reference; NULL: it is another stage */
void series_limits_unref(struct series_limits *l);
/* Any thread. False: that period has no limit. */
bool series_limits_read(struct series_limits *l, enum series_period period, uint64_t *max, uint64_t *current);

extern struct stats_group limit_stats;

#endif
