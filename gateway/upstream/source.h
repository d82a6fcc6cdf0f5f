// SPDX-License-Identifier: Apache-2.0
/* State shared by upstream.c and its sources: server groups (source.c), and the recent store alone (source_local.c). */
#ifndef GATEWAY_UPSTREAM_SOURCE_H
#define GATEWAY_UPSTREAM_SOURCE_H

#include "base/refs.h"
#include "gateway/upstream/group_query.h"

struct upstream {
    struct source source;
    struct refs refs;
    struct arena arena;          /* texts of the groups */
    struct group_list groups;
    struct upstream_env env;
    struct server_registry *own_registry; /* NULL: env has one */
    struct coverage_registry *own_coverage;
};
static inline struct upstream *upstream_of(struct source *s) { return CONTAINER(s, struct upstream, source); }
extern const struct source_ops upstream_source_ops, upstream_local_ops;

/* A reference to the recent store, or none. */
struct recent_link source_use_recent(struct upstream *u);
void source_put_recent(struct upstream *u, struct recent_link link);

#endif
