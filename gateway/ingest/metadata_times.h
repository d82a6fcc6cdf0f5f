// SPDX-License-Identifier: Apache-2.0
/* When metadata of pushed series was passed on last: remote write 2.0 has it with each series, and destinations need it
 * now and then. A table of hashes with one place for each: metadata that takes another's place is passed on once more
 * than necessary. One thread. */
#ifndef GATEWAY_INGEST_METADATA_TIMES_H
#define GATEWAY_INGEST_METADATA_TIMES_H

#include "model/metadata.h"

struct metadata_times;
struct metadata_times *metadata_times_new(void); /* 64 KiB; free with mem_free */
void metadata_times_clear(struct metadata_times *t);
/* Whether it is due at `now` (mono ms): not passed on in the last 10 minutes. Then it counts as passed on. */
bool metadata_times_due(struct metadata_times *t, const struct metadata *m, int64_t now);

#endif
