// SPDX-License-Identifier: Apache-2.0
/* External labels belong to the first stage that changes labels: to the global chain if there is one. */
#include "writer/stages.h"

#include "writer/pipeline/label_stage.h"
#include "writer/pipeline/rounding.h"

static void stages_add_labels(struct chain *c, const struct label_stage_conf *conf)
{
    if (label_stage_needed(conf))
        chain_add(c, label_stage_new(conf));
}

void stages_global(struct chain *c, const struct writer_plan *plan)
{
    struct relabel_rules rules = plan->pipeline ? relabel_rules(plan->pipeline->relabel_configs) : (struct relabel_rules){0};
    if (relabel_any(rules) || plan->sharding)
        stages_add_labels(c, &(struct label_stage_conf){.external = plan->external_labels, .rules = rules});
}

void stages_of_destination(struct chain *c, const struct destination_conf *d, struct str_map external)
{
    stages_add_labels(c, &(struct label_stage_conf){
        .external = external, .rules = relabel_rules(d->write_relabel_configs), .extra = d->extra_labels});
    if (d->significant_figures > 0 || d->round_digits < ROUND_DIGITS_OFF)
        chain_add(c, rounding_stage_new((int)d->significant_figures, (int)d->round_digits));
}
