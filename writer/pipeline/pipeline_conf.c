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

#define PIPELINE(field) offsetof(struct pipeline_conf, field)
static const struct conf_row pipeline_rows[] = {
    {CONF_SECTIONS, "relabel_configs", PIPELINE(relabel_configs), .section = &relabel_section,
     .help = "Relabeling rules applied to every series, before `shard` and before `write_relabel_configs` of destinations"},
    {CONF_SECTION, "limits", PIPELINE(limits), .section = &limits_section,
     .help = "Limits of series, after `relabel_configs`"},
    {0}};

const struct conf_section pipeline_section = {"pipeline", sizeof(struct pipeline_conf), pipeline_rows, NULL,
                                              "What is done to all series before they are distributed over destinations"};
