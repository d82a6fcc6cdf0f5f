// SPDX-License-Identifier: Apache-2.0
/* Which stages a configuration makes, in the order of vmagent (writer/pipeline/stage.h). */
#ifndef WRITER_STAGES_H
#define WRITER_STAGES_H

#include "writer/pipeline/chain.h"
#include "writer/writer.h"

/* before: the chain at this place in the topology before, or NULL: a stage whose bytes may be under way remains,
 * although the configuration does not have it any more. */
/* The stages before the placement; none if nothing needs them there. */
void stages_global(struct chain *c, const struct writer_plan *plan, const struct chain *before);
/* Those of the destination with this number. external: the labels that no earlier stage has added. */
void stages_of_destination(struct chain *c, const struct writer_plan *plan, size_t i, struct str_map external,
                           const struct chain *before);
/* Those of a stream that has all series. */
void stages_of_all(struct chain *c, struct str_map external);

#endif
