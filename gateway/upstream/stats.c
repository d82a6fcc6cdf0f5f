// SPDX-License-Identifier: Apache-2.0
/* What server groups tell on /metrics. */
#include "gateway/upstream/stats.h"
#include "base/text/num.h"
#include "gateway/upstream/source.h"

struct stats_group upstream_stats = STATS_GROUP(UPSTREAM_STATS);

enum which { REQUESTS, FAILURES, BYTES, SAMPLES, SECONDS, UP };

static double value(struct server *s, enum which which)
{
    switch (which) {
    case REQUESTS: return (double)atomic_load(&s->traffic->requests);
    case FAILURES: return (double)atomic_load(&s->traffic->failures);
    case BYTES: return (double)atomic_load(&s->traffic->bytes);
    case SAMPLES: return (double)atomic_load(&s->traffic->samples);
    case SECONDS: return (double)atomic_load(&s->traffic->nanoseconds) / 1e9;
    case UP: return server_state(s) == SERVER_UP;
    }
    return 0;
}

static void upstream_collect_family(struct upstream *u, struct stats_out *o, const char *name, enum stats_kind kind,
                                    const char *help, enum which which)
{
    stats_family(o, name, kind, help);
    for (size_t g = 0; g < u->groups.n; g++)
        for (size_t i = 0; i < u->groups.items[g].n_servers; i++) {
            struct server *s = u->groups.items[g].servers[i];
            const struct stats_label labels[] = {{"group", s->group}, {"url", s->shown_url}};
            if (s->shows_traffic && (which != UP || server_state(s) != SERVER_UNKNOWN))
                stats_value(o, name, labels, LEN(labels), value(s, which));
        }
}

/* Under promxy's names, with the group besides. */
static void collect_promxy(struct upstream *u, struct stats_out *o)
{
    stats_family(o, latency_family, STATS_SUMMARY, "Requests to servers of groups that ended, by call");
    for (size_t g = 0; g < u->groups.n; g++)
        for (size_t i = 0; i < u->groups.items[g].n_servers; i++) {
            struct server *s = u->groups.items[g].servers[i];
            struct str host = str_skip(s->shown, str_find_str(s->shown, STR("://")) + 3);
            struct stats_label labels[4] = {{"group", s->group}, {"host", host}};
            if (s->shows_traffic)
                latency_collect(&s->traffic->latency, o, labels, 2);
        }
    stats_family(o, "server_group_targets", STATS_GAUGE, "Servers of a group");
    for (size_t g = 0, servers = 0; g < u->groups.n; g++) {
        const struct group *group = &u->groups.items[g];
        char ordinal[24] = "";
        servers += group->n_servers; /* groups of one entry of the list stand together */
        if (g + 1 < u->groups.n && u->groups.items[g + 1].position == group->position)
            continue;
        ordinal[num_format_i64(ordinal, (int64_t)group->position)] = 0;
        const struct stats_label labels[] = {{"ordinal", str_of(ordinal)}, {"name", group->name}};
        stats_value(o, "server_group_targets", labels, LEN(labels), (double)servers);
        servers = 0;
    }
}

void upstream_collect(struct upstream *u, struct stats_out *o)
{
    collect_promxy(u, o);
    upstream_collect_family(u, o, "sluice_upstream_requests_total", STATS_COUNTER, "Requests to a server of a group",
                            REQUESTS);
    upstream_collect_family(u, o, "sluice_upstream_failures_total", STATS_COUNTER, "Requests that failed", FAILURES);
    upstream_collect_family(u, o, "sluice_upstream_received_bytes_total", STATS_COUNTER, "Bytes of answers on the wire",
                            BYTES);
    upstream_collect_family(u, o, "sluice_upstream_samples_total", STATS_COUNTER, "Samples read", SAMPLES);
    upstream_collect_family(u, o, "sluice_upstream_request_seconds_total", STATS_COUNTER,
                            "Time spent in requests that were answered", SECONDS);
    upstream_collect_family(u, o, "sluice_upstream_up", STATS_GAUGE,
                            "1 when the last request reached the server, 0 when it did not; absent until a query or a probe asked it", UP);
}
