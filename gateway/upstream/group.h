// SPDX-License-Identifier: Apache-2.0
/* A server group: replicas with one set of labels, and which questions concern it.
 *
 * The labels of a group are added to every series that its servers give (replacing one of the same name). A matcher
 * on one of them is answered here: it shuts the group out, or is taken away before the servers are asked. Targets of
 * one configured group that have labels of their own are shards, not replicas: each label set is a struct group, and
 * each must answer.
 */
#ifndef GATEWAY_UPSTREAM_GROUP_H
#define GATEWAY_UPSTREAM_GROUP_H

#include "gateway/coverage/coverage.h"
#include "gateway/merge/copies.h"
#include "gateway/merge/merge.h"
#include "gateway/upstream/server.h"

struct group {
    struct str name;
    struct labels labels;            /* added to series */
    struct server **servers; size_t n_servers;
    struct merge_rule rule;
    enum overlap overlap;
    enum read_mode read_mode;
    enum push_down push_down;
    bool ignore_error, downgrade_error;
    size_t position;                 /* in server_groups */
    bool recent;                     /* the recent store keeps what is written to it */
    bool one_writer;                 /* written_by: servers hold copies unless samples show otherwise */
    struct copies_memory *copies;    /* of the servers, and the recent store behind them */
    struct coverage *coverage;       /* of the servers, by their order; in coverages */
    struct coverage_registry *coverages;
};

/* Matchers for the servers, in the arena; false: no series of the group can match. */
bool group_route(const struct group *g, struct arena *a, const struct matcher *m, size_t n, const struct matcher **out,
                 size_t *n_out);
/* The labels of a series of this group, in the arena. `from` may be scratch memory. */
struct labels group_labels(const struct group *g, struct arena *a, struct labels from);

/* Groups of one configuration row, appended to *groups (mem_grow); servers too. All texts live in `a`, borrowed from
 * conf or new. */
struct group_list { struct group *items; size_t n, cap; };
bool groups_add(struct group_list *list, struct arena *a, const struct server_group_conf *conf, size_t position,
                const struct upstream_env *env, struct err *err) MUST_USE;
void groups_free(struct group_list *list);

#endif
