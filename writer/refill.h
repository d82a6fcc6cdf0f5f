// SPDX-License-Identifier: Apache-2.0
/* Refills the recent store from a destination's queue on disk after a restart, so that undelivered samples can be
 * queried at once. Main, before any lane writes to either. */
#ifndef WRITER_REFILL_H
#define WRITER_REFILL_H

#include "writer/send/destination.h"
#include "writer/recent/recent.h"

/* interrupted: as of queue_walk */
void refill_recent(struct recent *r, const struct recent_conf *c, struct destination *d, int64_t now,
                   bool (*interrupted)(void));

#endif
