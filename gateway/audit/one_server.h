// SPDX-License-Identifier: Apache-2.0
/* One server of a group as a source: what it has, without the other servers, the recent store and the limits of time of a
 * backup. Part of one query: in its arena, with a reference to the upstream that the query holds. */
#ifndef GATEWAY_AUDIT_ONE_SERVER_H
#define GATEWAY_AUDIT_ONE_SERVER_H

#include "gateway/upstream/source.h"

struct one_server { struct upstream upstream; struct group group; };
struct source *one_server_source(struct one_server *o, const struct upstream *of, const struct group *g, size_t server);

#endif
