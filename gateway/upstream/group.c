// SPDX-License-Identifier: Apache-2.0
#include "gateway/upstream/group.h"

#include "gateway/upstream/stats.h"

bool group_route(const struct group *g, struct arena *a, const struct matcher *m, size_t n, const struct matcher **out,
                 size_t *n_out)
{
    return view_route(&g->view, a, m, n, out, n_out);
}

/* The recent store may have values that no server has yet. */
bool group_admits(const struct group *g, struct group_reader by, const struct matcher *m, size_t n, struct group_window *w)
{
    if (!group_times_clip(&g->times, by.now, w))
        return false;
    bool admits = group_filter_admits(g->filter, m, n, !by.proxied && !g->recent);
    stats_add(&upstream_stats, FILTERED, !admits);
    return admits;
}

bool groups_share_series(const struct group *a, const struct group *b)
{
    if (!group_times_limited(&a->times) && !group_times_limited(&b->times))
        return false;
    for (size_t i = 0; i < a->view.n; i++) {
        const struct view_label *x = &a->view.items[i], *y = view_find(&b->view, x->name);
        if (x->from == VIEW_CONSTANT && y && y->from == VIEW_CONSTANT && !str_eq(x->of, y->of))
            return false;
    }
    return true;
}

enum group_failure group_failure(const struct group *g, const struct query_ctx *q)
{
    switch (q->partial) {
    case PARTIAL_ALLOWED: return g->failure == GROUP_REQUIRED ? GROUP_WARNED : g->failure;
    case PARTIAL_DENIED: return GROUP_REQUIRED;
    default: return g->failure;
    }
}
