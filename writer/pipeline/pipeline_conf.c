// SPDX-License-Identifier: Apache-2.0
/* `pipeline`: what is done to all series, whatever their destination. */
#include "writer/writer.h"

#define LIMITS(field) offsetof(struct limits_conf, field)
static const struct conf_row limits_rows[] = {
    {CONF_INT, "max_labels", LIMITS(max_labels), .preset = "0", .min = 0, .max = UINT32_MAX,
     .help = "Series with more labels are dropped; 0 = no limit"},
    {CONF_INT, "max_label_name_length", LIMITS(max_label_name_length), .preset = "0", .min = 0, .max = UINT32_MAX,
     .help = "Series with a longer label name, in bytes, are dropped; 0 = no limit"},
    {CONF_INT, "max_label_value_length", LIMITS(max_label_value_length), .preset = "0", .min = 0, .max = UINT32_MAX,
     .help = "Series with a longer label value, in bytes, are dropped; 0 = no limit"},
    {CONF_INT, "max_hourly_series", LIMITS(max_hourly_series), .preset = "0", .min = -1, .max = INT32_MAX,
     .help = "Maximum number of different series in an hour; further ones are dropped; -1 = they are counted only, 0 = no limit"},
    {CONF_INT, "max_daily_series", LIMITS(max_daily_series), .preset = "0", .min = -1, .max = INT32_MAX,
     .help = "The same in 24 hours"},
    {0}};
const struct conf_section limits_section = {"limits", sizeof(struct limits_conf), limits_rows, NULL, "Limits of series"};

#define HA(field) offsetof(struct ha_conf, field)
static const struct conf_row ha_rows[] = {
    {CONF_STRING, "cluster_label", HA(cluster_label), .preset = "cluster", .help = "Label that replicas have in common"},
    {CONF_STRING, "replica_label", HA(replica_label), .preset = "__replica__",
     .help = "Label that tells replicas apart; it is removed"},
    {CONF_DURATION, "failover_timeout", HA(failover_timeout), .preset = "30s", .min = 1, .max = 86400000,
     .help = "Another replica is elected when no sample of the elected one has arrived for this long"},
    {CONF_DURATION, "update_timeout", HA(update_timeout), .preset = "1s", .min = 0, .max = 86400000,
     .help = "How exactly the time of the elected replica's last sample is known; must be less than `failover_timeout`"},
    {CONF_INT, "max_clusters", HA(max_clusters), .preset = "100", .min = 1, .max = 1000000,
     .help = "Maximum number of clusters; series of further ones are dropped. A cluster counts until 30 minutes after "
             "its last sample"},
    {0}};
static bool ha_check(struct conf_context *c UNUSED, const struct yaml *node, void *value, struct err *err)
{
    const struct ha_conf *h = value;
    return h->update_timeout < h->failover_timeout ||
           conf_err(node, err, "ha_dedup: update_timeout must be less than failover_timeout");
}
static const struct conf_section ha_section = {"ha_dedup", sizeof(struct ha_conf), ha_rows, ha_check,
                                               "Deduplication of what replicas push, as Mimir's HA tracker"};

#define PIPELINE(field) offsetof(struct pipeline_conf, field)
static const struct conf_row pipeline_rows[] = {
    {CONF_OPTIONAL, "ha_dedup", PIPELINE(ha_dedup), .section = &ha_section,
     .help = "Passes the samples of one replica of each cluster, before everything else; off by default"},
    {CONF_SECTIONS, "relabel_configs", PIPELINE(relabel_configs), .section = &relabel_section,
     .help = "Relabeling rules applied to every series, before `shard` and before `write_relabel_configs` of destinations"},
    {CONF_SECTION, "limits", PIPELINE(limits), .section = &limits_section,
     .help = "Limits of series, after `relabel_configs`"},
    {CONF_OPTIONAL, "stream_aggregation", PIPELINE(aggregate), .section = &aggregate_section,
     .help = "[Aggregation and deduplication](stream-aggregation.md) of all samples, after `limits`; off by default"},
    {0}};

const struct conf_section pipeline_section = {"pipeline", sizeof(struct pipeline_conf), pipeline_rows, NULL,
                                              "What is done to all series before they are distributed over destinations"};
