// SPDX-License-Identifier: Apache-2.0
/* What the readers of remote write 1.0 (remote_write_walk.c) and 2.0 (write2/write2_walk.c) share: both fill struct
 * rw_walk. Functions that return false have set w->err: the body is invalid. */
#ifndef MODEL_REMOTE_WRITE_INTERNAL_H
#define MODEL_REMOTE_WRITE_INTERNAL_H

#include "model/remote_write.h"

bool rw_walk_corrupted(struct rw_walk *w, const uint8_t *at, const char *what); /* false; `at` is in the body */
void rw_walk_begin_series(struct rw_walk *w, struct str series);
bool rw_walk_add_sample(struct rw_walk *w, struct str bytes); /* a Sample message */
bool rw_walk_add_hist(struct rw_walk *w, struct str bytes);   /* a Histogram message */
bool rw_walk_set_metadata(struct rw_walk *w, struct str bytes); /* w->metadata, from a MetricMetadata message of 1.0 */
/* The series' labels are invalid, and why; true, since the body is valid. */
bool rw_walk_reject(struct rw_walk *w, const char *reason);
bool rw_walk_build_labels(struct rw_walk *w); /* sets w->labels from w->_builder, or rejects them; true */

#endif
