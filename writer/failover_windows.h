// SPDX-License-Identifier: Apache-2.0
/* The times of which a backup has samples: windows, ascending, without overlap, at most FAILOVER_WINDOWS. Over the limit
 * the two with the shortest time between them become one, so that none is lost. Unix ms, both ends included. Pure.
 *
 * A window begins with the oldest sample that was sent, and may lack others from then on: the primary had them. All
 * samples of its time `full` were sent.
 *
 * As a file (QUEUEDIR/NAME-HASH.failover), text: a line "sluice failover 1", for each window a line "FROM TO FULL_FROM
 * FULL_TO" ("open" for the ends of the last one while the backup is in use; 0 -1: nothing is full), and a line "sum HEX",
 * XXH3-64 of the lines before. */
#ifndef WRITER_FAILOVER_WINDOWS_H
#define WRITER_FAILOVER_WINDOWS_H

#include "base/buf.h"

enum { FAILOVER_WINDOWS = 256, FAILOVER_FILE_BYTES = 64 << 10 };
#define FAILOVER_OPEN INT64_MAX /* `to` of the window that has not ended */
struct failover_window { int64_t from, to, full_from, full_to; }; /* full_from > full_to: nothing is full */
#define FAILOVER_NOT_FULL 0, -1
struct failover_windows { struct failover_window items[FAILOVER_WINDOWS + 1]; unsigned n; };

/* Joins what it overlaps. Of two full times that do not meet, the later one remains. */
void failover_windows_add(struct failover_windows *w, struct failover_window added);
/* The last one, if it has not ended, or NULL. */
struct failover_window *failover_windows_open(struct failover_windows *w);
bool failover_windows_overlap(const struct failover_windows *w, int64_t from, int64_t to);
bool failover_windows_contain(const struct failover_windows *w, int64_t from, int64_t to); /* within one window */
bool failover_windows_full(const struct failover_windows *w, int64_t from, int64_t to);    /* all samples were sent */

void failover_windows_print(struct buf *out, const struct failover_windows *w);
/* False: the text is not valid. Then everything up to now is one window. */
bool failover_windows_parse(struct failover_windows *w, struct str text, int64_t now) MUST_USE;

#endif
