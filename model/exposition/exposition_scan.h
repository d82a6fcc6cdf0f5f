// SPDX-License-Identifier: Apache-2.0
/* Scans the contents of the braces of a series, one piece per call. Shared by exposition.c, which validates a line,
 * and exposition_labels.c, which needs the pieces. Pure. */
#ifndef MODEL_EXPOSITION_SCAN_H
#define MODEL_EXPOSITION_SCAN_H

#include "base/str.h"

enum scan { SCAN_LABEL, SCAN_METRIC /* a quoted metric name, in piece.name */, SCAN_CLOSE, SCAN_BAD };
struct scan_piece {
    struct str name, value; /* without quotes, still escaped */
    const char *expected;   /* BAD: what was expected at *p */
};
/* Reads the piece at *p and moves *p after it and after a comma that follows. BAD: *p is the position of the error. */
/* any: unquoted names may contain any bytes but delimiters. */
enum scan exposition_scan(const char **p, const char *end, bool any, struct scan_piece *piece);

/* p itself when there is no name */
enum name_kind { NAME_METRIC, NAME_LABEL, NAME_ANY_METRIC, NAME_ANY_LABEL };
const char *exposition_name_end(const char *p, const char *end, enum name_kind kind);
/* p is after the opening quote; returns the closing one or NULL */
const char *exposition_quote_end(const char *p, const char *end);

static inline const char *exposition_blanks_end(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    return p;
}

#endif
