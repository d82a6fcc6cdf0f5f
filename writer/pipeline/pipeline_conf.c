// SPDX-License-Identifier: Apache-2.0
/* `pipeline`: what is done to all series, whatever their destination. */
#include "writer/writer.h"

#define PIPELINE(field) offsetof(struct pipeline_conf, field)
static const struct conf_row pipeline_rows[] = {
    {CONF_SECTIONS, "relabel_configs", PIPELINE(relabel_configs), .section = &relabel_section,
     .help = "Relabeling rules applied to every series, before `shard` and before `write_relabel_configs` of destinations"},
    {0}};

const struct conf_section pipeline_section = {"pipeline", sizeof(struct pipeline_conf), pipeline_rows, NULL,
                                              "What is done to all series before they are distributed over destinations"};
