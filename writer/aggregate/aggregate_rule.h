// SPDX-License-Identifier: Apache-2.0
/* A rule of stream aggregation as configured: which series it takes, how it groups them, how often and what it writes.
 * Keys, defaults, names of results and checks are those of vmagent's stream aggregation files:
 * https://docs.victoriametrics.com/victoriametrics/stream-aggregation/configuration/
 *
 * Rules live in the arena of their configuration, are immutable once loaded, and are shared by threads. Durations and times
 * are milliseconds. */
#ifndef WRITER_AGGREGATE_AGGREGATE_RULE_H
#define WRITER_AGGREGATE_AGGREGATE_RULE_H

#include "writer/writer.h"

/* What an output writes. The order is that of the table in aggregate_rule.c. */
enum aggregate_kind {
    AGGREGATE_AVG, AGGREGATE_COUNT_SAMPLES, AGGREGATE_COUNT_SERIES, AGGREGATE_HISTOGRAM_BUCKET, AGGREGATE_INCREASE,
    AGGREGATE_INCREASE_PROMETHEUS, AGGREGATE_LAST, AGGREGATE_MAX, AGGREGATE_MIN, AGGREGATE_QUANTILES, AGGREGATE_RATE_AVG,
    AGGREGATE_RATE_SUM, AGGREGATE_STDDEV, AGGREGATE_STDVAR, AGGREGATE_SUM_SAMPLES, AGGREGATE_SUM_SAMPLES_TOTAL, AGGREGATE_TOTAL,
    AGGREGATE_TOTAL_PROMETHEUS, AGGREGATE_UNIQUE_SAMPLES, AGGREGATE_KINDS
};
/* What has to be kept for an output: bits of aggregate_rule.needs. The number of samples is always kept. */
enum aggregate_need {
    AGGREGATE_NEEDS_SUM = 1, AGGREGATE_NEEDS_MIN = 2, AGGREGATE_NEEDS_MAX = 4, AGGREGATE_NEEDS_LAST = 8,
    AGGREGATE_NEEDS_VARIANCE = 16, AGGREGATE_NEEDS_INCREASE = 32 /* first samples count */,
    AGGREGATE_NEEDS_INCREASE_KNOWN = 64 /* they do not */, AGGREGATE_NEEDS_RATE = 128, AGGREGATE_NEEDS_SERIES = 256,
    AGGREGATE_NEEDS_VALUES = 512 /* the set of values */, AGGREGATE_NEEDS_RESERVOIR = 1024, AGGREGATE_NEEDS_BUCKETS = 2048,
    AGGREGATE_NEEDS_TOTAL = 4096, AGGREGATE_NEEDS_TOTAL_KNOWN = 8192, AGGREGATE_NEEDS_SUM_TOTAL = 16384,
    /* of which these follow each input series */
    AGGREGATE_NEEDS_COUNTERS = AGGREGATE_NEEDS_INCREASE | AGGREGATE_NEEDS_INCREASE_KNOWN | AGGREGATE_NEEDS_RATE
};
struct aggregate_output {
    enum aggregate_kind kind;
    struct str text;         /* as configured: quantiles(0.5, 0.9) */
    const double *phis; size_t n_phis;
    struct str *phi_texts;   /* values of the label `quantile` */
};

enum aggregate_rule_set {
    AGGREGATE_SETS_OLD = 1, AGGREGATE_SETS_WINDOWS = 2, AGGREGATE_SETS_FIRST = 4, AGGREGATE_SETS_DROP = 8
};
struct aggregate_rule {
    struct str name;
    struct str_list match_texts;
    struct label_filters *match;     /* NULL: all series */
    struct str interval_text;        /* as configured: a part of the results' names */
    int64_t interval;
    struct str dedup_text, staleness_text, ignore_first_sample_text;
    int64_t dedup_interval;          /* 0 = no deduplication */
    int64_t staleness;               /* how long a series is remembered without samples */
    int64_t ignore_first_sample;     /* how long after the start first samples of counters do not count */
    int64_t ignore_first_intervals;
    bool no_align_flush, flush_on_shutdown, keep_metric_names, ignore_old_samples, enable_windows;
    struct str_list by, without;     /* ascending, without duplicates; by includes __name__ if it is not empty */
    struct str_list drop_input_labels; /* ascending */
    struct conf_items input_relabel, output_relabel; /* struct relabel_rule */
    struct str_list output_texts;
    struct aggregate_output *outputs; size_t n_outputs;
    unsigned needs;                  /* enum aggregate_need */
    struct str suffix;               /* of results' names, before the output: `:1m_by_job_` */
    uint64_t identity;               /* hash of all that determines the state: equal rules keep it over a reload */
    unsigned set;                    /* which keys the rule has: enum aggregate_rule_set */
    bool passes;                     /* no outputs: writes what deduplication leaves (aggregate_dedup_rule) */
};

/* One rule: struct aggregate_rule, which is complete after aggregate_rules_resolve(). */
extern const struct conf_section aggregate_rule_section;
/* Applies the settings for all rules to those that have no key of their own, and checks what depends on both. node: the list of
 * rules, for messages. */
bool aggregate_rules_resolve(struct conf_context *c, const struct yaml *node, const struct aggregate_conf *conf,
                             struct err *err) MUST_USE;
bool aggregate_sort_names(struct arena *a, struct str_list *names) MUST_USE; /* and removes duplicates; false: the arena is full */
/* A rule that only deduplicates all series: in each interval the newest sample of each is kept and written as it is. */
struct aggregate_rule aggregate_dedup_rule(const struct aggregate_conf *conf);
/* Writes the outputs that exist, for messages and documentation: avg, count_samples, ... */
void aggregate_list_outputs(struct buf *out);
const char *aggregate_kind_name(enum aggregate_kind kind); /* also the end of the result's name */
bool aggregate_kind_follows_counters(enum aggregate_kind kind);

#endif
