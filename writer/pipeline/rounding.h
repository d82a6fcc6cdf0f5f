// SPDX-License-Identifier: Apache-2.0
/* The stage that rounds values, the last of a stream: to significant figures, then to digits behind the decimal point. Stale
 * markers and native histograms stay as they are. */
#ifndef WRITER_PIPELINE_ROUNDING_H
#define WRITER_PIPELINE_ROUNDING_H

#include "writer/pipeline/stage.h"

enum { ROUND_DIGITS_OFF = 100 };
/* figures 0 and digits ROUND_DIGITS_OFF: that kind of rounding is off. */
struct stage *rounding_stage_new(int figures, int digits);

#endif
