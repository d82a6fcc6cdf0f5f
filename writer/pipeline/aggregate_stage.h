// SPDX-License-Identifier: Apache-2.0
/* The stage of stream aggregation and deduplication (writer/pipeline/stage.h), of all series or of those of a
 * destination.
 *
 * A series that a rule matches is absorbed, unless `keep_input` is set; one that no rule matches goes on, unless
 * `drop_input` is set. What goes on is deduplicated, if an interval is set: absorbed, and emitted at the end of the
 * interval. Results of rules are emitted without deduplication, as in vmagent. Native histograms and exemplars go on,
 * except those of series that drop_input drops, and exemplars of series that are absorbed.
 *
 * The global stage passes batches that have a route: their results would lack it.
 *
 * Each group of series is owned by one lane, so that a result is exact: samples for the groups of others are sent
 * there, as they came. What a batch adds is set aside until it is committed.
 *
 * Reload. The stage is known by its place only. Rules that the new configuration has likewise keep their state and what
 * they have sent. Others end when no lane sends samples for them any more: with flush_on_shutdown their results are
 * emitted, and so are samples that wait for the end of a deduplication interval. When the section is removed, a stage
 * without rules remains in the next topology, in which the others end.
 *
 * Restart. The state is kept on disk (aggregate_checkpoint.h). */
#ifndef WRITER_PIPELINE_AGGREGATE_STAGE_H
#define WRITER_PIPELINE_AGGREGATE_STAGE_H

#include "writer/aggregate/aggregate_counters.h"
#include "writer/pipeline/aggregate_checkpoint.h"
#include "writer/pipeline/stage.h"

struct aggregate_stage_conf {
    const struct aggregate_conf *conf;   /* NULL: without rules; lives as long as the topology */
    uint64_t place;                      /* of the chain: a hash of the destination's identity; 0: the global one */
    struct str url, dedup_url;           /* for metrics */
    const char *state_dir;               /* of checkpoints; NULL: none are written */
    bool state_left;                     /* those of the process before are read */
    int64_t interval;                    /* of checkpoints, ms */
};
/* True: the section does something. */
bool aggregate_stage_needed(const struct aggregate_conf *conf);
struct stage *aggregate_stage_new(const struct aggregate_stage_conf *conf);
bool aggregate_stage_has_rules(const struct stage *s); /* false: it is another stage, or remains without rules */
/* A reference; NULL: it has no rules. */
struct aggregate_report *aggregate_stage_report(const struct stage *s);

#endif
