// SPDX-License-Identifier: Apache-2.0
/* A file of samples as a source, for `sluice promql eval`: text exposition lines with timestamps (Unix milliseconds),
 * in any order. Everything lives in the arena. Of two samples of a series at one time the later line counts.
 */
#ifndef GATEWAY_CLI_CLI_SAMPLES_H
#define GATEWAY_CLI_CLI_SAMPLES_H

#include "model/source.h"

/* NULL and err with the line. *newest: the newest sample's time; unchanged when there is none. */
struct source *cli_samples(struct arena *a, struct str text, int64_t *newest, struct err *err) MUST_USE;

#endif
