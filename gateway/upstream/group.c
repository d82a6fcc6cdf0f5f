// SPDX-License-Identifier: Apache-2.0
#include "gateway/upstream/group.h"

#include "gateway/upstream/stats.h"
#include "writer/writer.h"

bool group_route(const struct group *g, struct arena *a, const struct matcher *m, size_t n, const struct matcher **out,
                 size_t *n_out)
{
    return view_route(&g->view, a, m, n, out, n_out);
}

bool group_was_written(const struct group *g, struct group_window w, bool all)
{
    for (size_t i = 0; i < g->written_by.n; i++) {
        struct written has = g->backup.written(g->backup.arg, g->written_by.items[i], w.from, w.to);
        if (!has.backup || (all ? has.all : has.some))
            return true;
    }
    return false;
}

static bool group_backs_up_destination(const struct group *backup, struct str destination)
{
    for (size_t i = 0; i < backup->backup.of.n; i++)
        if (str_eq(backup->backup.of.items[i], destination))
            return true;
    return false;
}

bool group_backs_up(const struct group *backup, const struct group *g)
{
    bool backs_up = backup->backup.written != NULL && g->written_by.n > 0;
    for (size_t i = 0; i < g->written_by.n; i++)
        backs_up = backs_up && group_backs_up_destination(backup, g->written_by.items[i]);
    return backs_up;
}

bool group_replaces(const struct group *backup, const struct group *g, int64_t from, int64_t to)
{
    return group_backs_up(backup, g) && group_was_written(backup, (struct group_window){from, to}, true);
}

/* The value that the label has in all selected series; without a pointer: it is not known. */
static struct str group_fixed_value(const struct matcher *m, size_t n, struct str name)
{
    for (size_t i = 0; i < n; i++)
        if (m[i].type == MATCH_EQ && str_eq(m[i].name, name))
            return m[i].value.p ? m[i].value : STR("");
    return STR_NONE;
}

/* Whether series that were sent to the group's destinations can be selected. */
static bool group_shard_admits(const struct group_shard *s, const struct matcher *m, size_t n, int64_t from)
{
    enum { MOST_LABELS = 32 };
    struct str values[MOST_LABELS];
    struct str_list labels = s->placement && from >= s->since ? writer_placement_labels(s->placement) : (struct str_list){0};
    if (labels.n == 0 || labels.n > MOST_LABELS)
        return true;
    for (size_t i = 0; i < labels.n; i++) {
        values[i] = group_fixed_value(m, n, labels.items[i]);
        if (values[i].p == NULL)
            return true;
    }
    return (writer_placement_of(s->placement, values) & s->destinations) != 0;
}

/* The recent store may have values that no server has yet. */
const char *group_refusal(const struct group *g, struct group_reader by, const struct matcher *m, size_t n,
                          struct group_window *w)
{
    if (!group_times_clip(&g->times, by.now, w))
        return "it has no samples of these times (relative_time_range, absolute_time_range)";
    if (g->backup.written && !group_was_written(g, *w, false))
        return "its destinations were not written at these times (backup_of)";
    if (!group_shard_admits(&g->shard, m, n, w->from)) {
        stats_add(&upstream_stats, SHARDS_SKIPPED, 1);
        return "other destinations than its own get these series (shard)";
    }
    if (group_filter_admits(g->filter, m, n, !by.proxied && !g->recent))
        return NULL;
    stats_add(&upstream_stats, FILTERED, 1);
    return "it has no such values (label_filter)";
}

static bool group_is_limited(const struct group *g) { return group_times_limited(&g->times) || g->backup.written; }

bool groups_share_series(const struct group *a, const struct group *b)
{
    if (!group_is_limited(a) && !group_is_limited(b))
        return false;
    for (size_t i = 0; i < a->view.n; i++) {
        const struct view_label *x = &a->view.items[i], *y = view_find(&b->view, x->name);
        if (x->from == VIEW_CONSTANT && y && y->from == VIEW_CONSTANT && !str_eq(x->of, y->of))
            return false;
    }
    return true;
}

struct plan_turn group_turn(const struct group *g, unsigned turn)
{
    size_t n = 0;
    while (n < g->n_servers && g->servers[n]->near)
        n++;
    n = n > 0 ? n : g->n_servers;
    return g->rotates && n > 1 ? (struct plan_turn){turn % n, n} : (struct plan_turn){0};
}

bool group_clock_wrong(const struct group *g, size_t server)
{
    bool another = false;
    if (!server_clock_wrong(&g->servers[server]->health->clock) || g->one_writer)
        return false;
    for (size_t i = 0; i < g->n_servers; i++) {
        bool right = i != server && server_clock_right(&g->servers[i]->health->clock);
        if (right && copies_are_known(g->copies, i, server))
            return false;
        another = another || right;
    }
    return another;
}

enum group_failure group_failure(const struct group *g, const struct query_ctx *q)
{
    switch (q->partial) {
    case PARTIAL_ALLOWED: return g->failure == GROUP_REQUIRED ? GROUP_WARNED : g->failure;
    case PARTIAL_DENIED: return GROUP_REQUIRED;
    default: return g->failure;
    }
}
