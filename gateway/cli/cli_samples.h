// SPDX-License-Identifier: Apache-2.0
/* A source that reads a file of samples, for `sluice promql eval`: lines of the text exposition format with timestamps
 * (Unix milliseconds), in any order. Of duplicate samples (same series and timestamp) the last line is used. All memory
 * is in the arena.
 */
#ifndef GATEWAY_CLI_CLI_SAMPLES_H
#define GATEWAY_CLI_CLI_SAMPLES_H

#include "model/source.h"

/* NULL: an invalid line, which err contains. *newest: time of the newest sample; unchanged if there is none. */
struct source *cli_samples(struct arena *a, struct str text, int64_t *newest, struct err *err) MUST_USE;

#endif
