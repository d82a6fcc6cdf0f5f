// SPDX-License-Identifier: Apache-2.0
/* Two texts compared line by line. */
#ifndef GATEWAY_CLI_LINE_DIFF_H
#define GATEWAY_CLI_LINE_DIFF_H

#include "base/buf.h"

/* Appends the lines that differ: "  - ..." of a, "  + ..." of b, in their order. False: none does. */
bool line_diff(struct str a, struct str b, struct buf *out);

#endif
