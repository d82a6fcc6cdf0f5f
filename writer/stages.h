// SPDX-License-Identifier: Apache-2.0
/* Which stages a configuration makes, in the order of vmagent (writer/pipeline/stage.h). */
#ifndef WRITER_STAGES_H
#define WRITER_STAGES_H

#include "writer/pipeline/chain.h"
#include "writer/writer.h"

/* The stages before the placement; none if nothing needs them there. */
void stages_global(struct chain *c, const struct writer_plan *plan);
/* Those of a destination. external: the labels that no earlier stage has added. */
void stages_of_destination(struct chain *c, const struct destination_conf *d, struct str_map external);

#endif
