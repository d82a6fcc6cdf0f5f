// SPDX-License-Identifier: Apache-2.0
/* Detects remote write loops. A destination may be another sluice, also one that sends back to this one; its samples
 * would go round forever, multiplied at each turn.
 *
 * Every process has a random id of 16 hexadecimal digits. A remote write request carries, in the header X-Sluice-Via
 * ("id, id, ..."), the id of its sender, then those of the processes from which samples have passed to the same
 * destination within the last minute. A sluice that finds its own id there refuses the request with 508. Only samples
 * that a destination's relabel rules let through count, so that two sluices may send each other what they scraped
 * themselves. At most ORIGINS_MAX ids are remembered per destination, the newest.
 */
#ifndef WRITER_SEND_ORIGINS_H
#define WRITER_SEND_ORIGINS_H

#include "base/buf.h"

enum { ORIGINS_MAX = 64, ORIGIN_MS = 60 * 1000 };

struct origins { struct { uint64_t id; int64_t seen; } items[ORIGINS_MAX]; unsigned n; }; /* the caller locks it */
/* Samples that carried this header arrived at `now`, ms. Items that are no ids are skipped. */
void origins_note(struct origins *o, struct str via, int64_t now);
/* "X-Sluice-Via: id, ..." for a request to the destination; id: this process's. */
void origins_header(const struct origins *o, const char *id, int64_t now, struct buf *out);

#endif
