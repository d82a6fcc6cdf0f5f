// SPDX-License-Identifier: Apache-2.0
/* The stage that changes labels: external labels where absent, then relabel rules, then extra labels, which override. Each
 * part may be empty. The rules run once per series: each lane caches their results, also over a reload that does not
 * change the stage. */
#ifndef WRITER_PIPELINE_LABEL_STAGE_H
#define WRITER_PIPELINE_LABEL_STAGE_H

#include "model/relabel.h"
#include "writer/pipeline/stage.h"

struct label_stage_conf {
    struct str_map external;
    struct relabel_rules rules;
    struct str_map extra;
};
/* The configuration's memory must live as long as the stage. */
struct stage *label_stage_new(const struct label_stage_conf *conf);
/* False: the stage would change nothing. */
bool label_stage_needed(const struct label_stage_conf *conf);

#endif
