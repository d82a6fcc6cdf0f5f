// SPDX-License-Identifier: Apache-2.0
/* Detects loops of queries. A server group may point at a sluice, even at the one that it belongs to; such a query
 * would repeat itself until all workers wait for each other. (writer/send/origins.h does the same for remote write,
 * with the same header.)
 *
 * Every process has a random id. Requests to servers of groups have the header X-Sluice-Via ("id, id, ...") with the
 * ids of the sluices that the query has passed through; each appends its own. A query with the id of the receiving
 * sluice, or with VIA_MAX ids, is refused with 508. A proxy between two sluices that drops the header hides the loop,
 * which then ends by the query's timeout.
 */
#ifndef BASE_HTTP_VIA_H
#define BASE_HTTP_VIA_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

#define VIA_HEADER "X-Sluice-Via"
enum { VIA_MAX = 8, VIA_ID_SIZE = 17 };

void via_make_id(char id[VIA_ID_SIZE]);
bool via_has(struct str via, const char *id);
/* via: the header of a request, empty when it has none. False, with ERR_LOOP: the query must end here. */
bool via_check(struct str via, const char *id, struct err *err) MUST_USE;
/* "X-Sluice-Via: ..." for the requests of the query, in the arena. */
const char *via_line(struct arena *a, struct str via, const char *id);

#endif
