// SPDX-License-Identifier: Apache-2.0
/* A server group: replicas with the same set of labels, and the routing of queries to it.
 *
 * The labels of a group are added to every series of its servers (replacing labels of the same name). A matcher on one
 * of them is evaluated here: it excludes the group, or is removed before the servers are queried. Targets of a
 * configured group with different labels are shards, not replicas: each label set is a struct group, and each must
 * respond.
 */
#ifndef GATEWAY_UPSTREAM_GROUP_H
#define GATEWAY_UPSTREAM_GROUP_H

#include "gateway/coverage/coverage.h"
#include "gateway/merge/copies.h"
#include "gateway/merge/merge.h"
#include "gateway/query/plan.h"
#include "gateway/upstream/group_filter.h"
#include "gateway/upstream/group_times.h"
#include "gateway/upstream/server.h"
#include "gateway/view/view.h"

/* The destinations that fill the group are backups (backup_of): it has samples of some times only. */
struct group_backup {
    struct written (*written)(void *arg, struct str destination, int64_t from, int64_t to); /* NULL: they are none */
    void *arg;
    struct str_list of;              /* the primaries */
};

/* The group has those series that were sent to its destinations, which labels of the series decide (shard). */
struct group_shard {
    const struct placement *placement; /* NULL: it may have any series */
    uint64_t destinations;           /* its bits */
    int64_t since;                   /* of samples from this time on, Unix ms */
};

/* What a query does without the group: fails, warns, or neither. */
enum group_failure { GROUP_REQUIRED, GROUP_WARNED, GROUP_IGNORED };

struct group {
    struct str name;
    struct labels labels;            /* added to series */
    struct label_view view;          /* how series are shown: with these labels, and relabeled */
    struct server **servers; size_t n_servers;
    struct str lacks;                /* why it has no servers; they are discovered */
    struct server_registry *registry;
    struct merge_rule rule;
    enum overlap overlap;
    enum read_mode read_mode;
    bool rotates;                    /* which server is preferred depends on the query */
    enum push_down push_down;
    struct group_times times;
    struct group_filter *filter;     /* NULL: none */
    bool aligned_ranges;             /* its servers evaluate ranges at multiples of the step only */
    enum group_failure failure;      /* as configured; group_failure() for a query */
    size_t position;                 /* in server_groups */
    bool recent;                     /* the recent store has the samples written to it */
    struct str_list written_by;      /* destinations that fill it */
    struct group_backup backup;
    struct group_shard shard;
    bool one_writer;                 /* written_by is set: servers have copies unless their samples differ */
    struct group_traffic *traffic;   /* counters */
    struct copies_memory *copies;    /* of the servers, followed by the recent store */
    struct coverage *coverage;       /* of the servers, by their order; in coverages */
    struct coverage_registry *coverages;
};

/* Matchers to send to the servers, in the arena; false: no series of the group can match. Where
 * view_routes_exactly is false, the caller filters the results by the original matchers. */
bool group_route(const struct group *g, struct arena *a, const struct matcher *m, size_t n, const struct matcher **out,
                 size_t *n_out);
/* The part of the window of samples that is read for these matchers. Nothing: why; NULL otherwise. */
struct group_reader { int64_t now; bool proxied; }; /* Unix ms; --proxy-headers: servers may have other data for it */
const char *group_refusal(const struct group *g, struct group_reader by, const struct matcher *m, size_t n,
                          struct group_window *w);
static inline bool group_admits(const struct group *g, struct group_reader by, const struct matcher *m, size_t n,
                                struct group_window *w)
{
    return group_refusal(g, by, m, n, w) == NULL;
}
/* Of a group with backup.written: whether any of its destinations was sent samples of the time; all: one of them
 * everything. */
bool group_was_written(const struct group *g, struct group_window w, bool all);
/* Whether `backup` is filled by backups of all destinations that fill the group. */
bool group_backs_up(const struct group *backup, const struct group *g);
/* Whether `backup` has all samples of the time that were, or will be, written to a group that does not respond. */
bool group_replaces(const struct group *backup, const struct group *g, int64_t from, int64_t to);
/* Whether they may have the same series at different times: one has a time range, or is filled by backups, and no label
 * tells them apart. */
bool groups_share_series(const struct group *a, const struct group *b);
/* Whether the clock of a server is wrong while another one's is right, and they do not have copies of one stream:
 * samples that it scraped have other times. It is queried only if no other server is left. */
bool group_clock_wrong(const struct group *g, size_t server);
/* The servers near this process, or all if none is, are preferred in turn. */
struct plan_turn group_turn(const struct group *g, unsigned turn);
/* Whether a server may be chosen to be read alone. */
static inline bool group_may_choose(const struct group *g, size_t server)
{
    return server_state(g->servers[server]) != SERVER_DOWN && !group_clock_wrong(g, server);
}
enum group_failure group_failure(const struct group *g, const struct query_ctx *q);

/* Appends the groups of one configured group, with their servers, to *groups (mem_grow). All texts are in `a` or
 * borrowed from conf. */
struct group_list { struct group *items; size_t n, cap; };
bool groups_add(struct group_list *list, struct arena *a, const struct server_group_conf *conf, size_t position,
                const struct upstream_env *env, struct err *err) MUST_USE;
void groups_free(struct group_list *list);

#endif
