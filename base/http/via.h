// SPDX-License-Identifier: Apache-2.0
/* Keeps queries from going in circles. A server group may point at a sluice, also at the one that it belongs to; such a
 * query would ask itself until all workers wait for each other. (writer/send/origins.h does the same for remote write,
 * with the same header.)
 *
 * Every process has a random id. Requests to servers of groups carry the ids of the sluices that the query has passed
 * through, in the header X-Sluice-Via ("id, id, ..."), each adding its own. A query that carries the id of the sluice
 * which receives it, or VIA_MAX of them, is answered at once with 508. A proxy between two sluices that drops the
 * header hides the circle; then the query's timeout ends it.
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
/* "X-Sluice-Via: ..." for the requests that answer it, in the arena. */
const char *via_line(struct arena *a, struct str via, const char *id);

#endif
