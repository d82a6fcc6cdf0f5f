// SPDX-License-Identifier: Apache-2.0
/* External labels belong to the first stage that changes labels: to the global chain if there is one. */
#include "writer/stages.h"

#include "base/hash.h"
#include "writer/pipeline/aggregate_stage.h"
#include "writer/pipeline/ha.h"
#include "writer/pipeline/label_stage.h"
#include "writer/pipeline/limits.h"
#include "writer/pipeline/rounding.h"
#include "writer/send/destination.h"
#include "writer/topology.h"

#include <stdio.h>

static void stages_add_labels(struct chain *c, const struct label_stage_conf *conf)
{
    if (label_stage_needed(conf))
        chain_add(c, label_stage_new(conf));
}

static void stages_add_limits(struct chain *c, const struct limits_conf *l)
{
    const int64_t series[SERIES_PERIODS] = {[SERIES_HOURLY] = l->max_hourly_series, [SERIES_DAILY] = l->max_daily_series};
    const struct label_limits labels = {(uint32_t)l->max_labels, (uint32_t)l->max_label_name_length,
                                        (uint32_t)l->max_label_value_length};
    if (labels.labels > 0 || labels.name_length > 0 || labels.value_length > 0)
        chain_add(c, label_limits_new(&labels));
    if (series[SERIES_HOURLY] != 0 || series[SERIES_DAILY] != 0)
        chain_add(c, series_limits_new(series));
}

static bool stages_has_limits(const struct limits_conf *l)
{
    return l->max_labels > 0 || l->max_label_name_length > 0 || l->max_label_value_length > 0 ||
           l->max_hourly_series != 0 || l->max_daily_series != 0;
}

/* ---- aggregation ------------------------------------------------------------------------------------------------- */

static bool stages_aggregated(const struct chain *before)
{
    for (size_t i = 0; before && i < before->n; i++)
        if (aggregate_stage_has_rules(before->stages[i]))
            return true;
    return false;
}

static void stages_add_aggregation(struct chain *c, const struct writer_plan *plan, struct aggregate_stage_conf conf,
                                   const struct chain *before)
{
    conf.state_dir = plan->state_dir;
    conf.state_left = plan->state_left;
    conf.interval = plan->flush_interval;
    if (aggregate_stage_needed(conf.conf) || stages_aggregated(before))
        chain_add(c, aggregate_stage_new(&conf));
}

/* The destination's, or that of the primary whose samples it gets. */
static uint64_t stages_place(const struct writer_plan *plan, size_t i)
{
    char *identity = destination_identity(&plan->destinations[topology_primary(plan, i)]);
    uint64_t place = hash_bytes(identity, strlen(identity));
    mem_free(identity);
    return place + (place == 0);
}

static void stages_add_own_aggregation(struct chain *c, const struct writer_plan *plan, size_t i,
                                       const struct chain *before)
{
    const struct destination_conf *d = &plan->destinations[i];
    char *name = writer_destination_name(d, i, plan->show_urls), dedup[32];
    snprintf(dedup, sizeof dedup, "dedup-%zu", i + 1);
    const struct aggregate_stage_conf conf = {.conf = d->aggregate, .place = stages_place(plan, i), .url = str_of(name),
                                              .dedup_url = str_of(dedup)};
    stages_add_aggregation(c, plan, conf, before);
    mem_free(name);
}

/* ---- chains ------------------------------------------------------------------------------------------------------ */

void stages_global(struct chain *c, const struct writer_plan *plan, const struct chain *before)
{
    static const struct pipeline_conf nothing = {0};
    const struct pipeline_conf *p = plan->pipeline ? plan->pipeline : &nothing;
    struct relabel_rules rules = relabel_rules(p->relabel_configs);
    bool aggregates = aggregate_stage_needed(p->aggregate);
    if (p->ha_dedup)
        chain_add(c, ha_stage_new(p->ha_dedup));
    if (relabel_any(rules) || plan->sharding || p->ha_dedup || stages_has_limits(&p->limits) || aggregates)
        stages_add_labels(c, &(struct label_stage_conf){.external = plan->external_labels, .rules = rules});
    stages_add_limits(c, &p->limits);
    stages_add_aggregation(c, plan, (struct aggregate_stage_conf){.conf = p->aggregate, .url = STR("global"),
                                                                  .dedup_url = STR("dedup-global")}, before);
}

void stages_of_destination(struct chain *c, const struct writer_plan *plan, size_t i, struct str_map external,
                           const struct chain *before)
{
    const struct destination_conf *d = &plan->destinations[i];
    struct label_stage_conf labels = {.external = external, .rules = relabel_rules(d->write_relabel_configs)};
    if (stages_has_limits(&d->limits) || aggregate_stage_needed(d->aggregate) || stages_aggregated(before)) {
        stages_add_labels(c, &labels);
        stages_add_limits(c, &d->limits);
        stages_add_own_aggregation(c, plan, i, before);
        labels = (struct label_stage_conf){0};
    }
    labels.extra = d->extra_labels;
    stages_add_labels(c, &labels);
    if (d->significant_figures > 0 || d->round_digits < ROUND_DIGITS_OFF)
        chain_add(c, rounding_stage_new((int)d->significant_figures, (int)d->round_digits));
}

void stages_of_all(struct chain *c, struct str_map external)
{
    stages_add_labels(c, &(struct label_stage_conf){.external = external});
}
