// SPDX-License-Identifier: Apache-2.0
/* Counters of the rules of a stage for /metrics, under vmagent's names and labels. Reference counted: they outlive
 * their stage, and a reload passes them on to equal rules. */
#ifndef WRITER_AGGREGATE_AGGREGATE_COUNTERS_H
#define WRITER_AGGREGATE_AGGREGATE_COUNTERS_H

#include "writer/aggregate/aggregate.h"

struct aggregate_counters; /* of one rule, on all lanes */
/* Of a lane, on its thread; the first call creates them. lane < AGGREGATE_MOST_LANES. */
struct aggregate_counts *aggregate_counters_lane(struct aggregate_counters *c, unsigned lane);

struct aggregate_report;
/* url: of the destination as it is shown, or `global`; dedup_url: the same in the counters of deduplication without
 * rules. Everything is borrowed for the call. */
struct aggregate_report *aggregate_report_new(struct str path, struct str url, struct str dedup_url,
                                              const struct aggregate_rule *const *rules, size_t n);
struct aggregate_report *aggregate_report_ref(struct aggregate_report *r);
void aggregate_report_unref(struct aggregate_report *r); /* any thread; NULL is fine */
/* Main, before a lane uses it: the counters of equal rules are those of `old`. */
void aggregate_report_adopt(struct aggregate_report *r, const struct aggregate_report *old);
struct aggregate_counters *aggregate_report_rule(const struct aggregate_report *r, size_t rule);
/* Any thread: writes the families of all reports. */
void aggregate_reports_collect(struct aggregate_report *const *reports, size_t n, struct stats_out *out);

#endif
