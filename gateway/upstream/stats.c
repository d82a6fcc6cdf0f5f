// SPDX-License-Identifier: Apache-2.0
/* Metrics of server groups. */
#include "gateway/upstream/stats.h"
#include "base/text/duration.h"
#include "base/text/num.h"
#include "gateway/coverage/coverage_intake.h"
#include "gateway/upstream/source.h"

struct stats_group upstream_stats = STATS_GROUP(UPSTREAM_STATS);

enum which {
    REQUESTS, FAILURES, BYTES, SAMPLES, SECONDS, UP, HEDGES, HUNG, BREAKER, IN_FLIGHT, CLOCK, TARGETS, GAPS, DISTRUSTED,
};

static double value(struct server *s, enum which which)
{
    switch (which) {
    case REQUESTS: return (double)atomic_load(&s->traffic->requests);
    case FAILURES: return (double)atomic_load(&s->traffic->failures);
    case BYTES: return (double)atomic_load(&s->traffic->bytes);
    case SAMPLES: return (double)atomic_load(&s->traffic->samples);
    case SECONDS: return (double)atomic_load(&s->traffic->nanoseconds) / 1e9;
    case UP: return server_state(s) == SERVER_UP;
    case HEDGES: return (double)atomic_load(&s->traffic->hedges);
    case HUNG: return (double)atomic_load(&s->traffic->hung);
    case IN_FLIGHT: return atomic_load(&s->traffic->in_flight);
    case CLOCK: return (double)atomic_load(&s->health->clock.off) / 1e3;
    case BREAKER: return server_breaker_state(s);
    default: return 0;
    }
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

/* Values of each server, in one family. */
static void collect_latency(struct upstream *u, struct stats_out *o, const char *name, enum stats_kind kind,
                            const char *help, void (*collect)(struct latency *l, struct stats_out *o,
                                                              struct stats_label *labels, unsigned n))
{
    stats_family(o, name, kind, help);
    for (size_t g = 0; g < u->groups.n; g++)
        for (size_t i = 0; i < u->groups.items[g].n_servers; i++) {
            struct server *s = u->groups.items[g].servers[i];
            struct stats_label labels[4] = {{"group", s->group}, {"url", s->shown_url}};
            if (s->shows_traffic)
                collect(&s->traffic->latency, o, labels, 2);
        }
}

/* --- of groups; shards of a group share the counters --- */

enum group_which {
    GROUP_MISSED, GROUP_FILLED, GROUP_DISAGREED, GROUP_FAILED, GROUP_PARTIAL, GROUP_FETCHES, GROUP_SD_FAILING
};
static const struct { const char *name, *help; } group_families[] = {
    [GROUP_MISSED] = {"sluice_upstream_replicas_missed_total", "Replicas that failed while another one responded"},
    [GROUP_FILLED] = {"sluice_upstream_samples_filled_total",
                      "Samples filled from another replica, because the base of a series lacked them"},
    [GROUP_DISAGREED] = {"sluice_upstream_samples_disagreed_total",
                         "Samples of copies with equal times and different values"},
    [GROUP_FAILED] = {"sluice_upstream_groups_failed_total", "Queries that a group failed to serve"},
    [GROUP_PARTIAL] = {"sluice_upstream_partial_results_total",
                       "Selectors and lists without a group that failed and was allowed to fail"},
    [GROUP_FETCHES] = {"sluice_upstream_fetches_total",
                       "Sub-expressions (pushed) and selectors (raw) that a group was queried for"},
    [GROUP_SD_FAILING] = {"sluice_upstream_sd_failing",
                          "Sources of a group's service discovery that fail or do not respond; their previous servers "
                          "are kept"}};

static double group_value(const struct group_traffic *t, enum group_which which)
{
    switch (which) {
    case GROUP_MISSED: return (double)atomic_load(&t->missed);
    case GROUP_FILLED: return (double)atomic_load(&t->filled);
    case GROUP_DISAGREED: return (double)atomic_load(&t->disagreed);
    case GROUP_FAILED: return (double)atomic_load(&t->failed);
    case GROUP_SD_FAILING: return (double)atomic_load(&t->sd_failing);
    default: return (double)atomic_load(&t->partial);
    }
}

static void collect_groups(struct upstream *u, struct stats_out *o, enum group_which which)
{
    const char *name = group_families[which].name;
    stats_family(o, name, which == GROUP_SD_FAILING ? STATS_GAUGE : STATS_COUNTER, group_families[which].help);
    for (size_t g = 0; g < u->groups.n; g++) {
        const struct group *group = &u->groups.items[g];
        struct stats_label labels[] = {{"group", group->name}, {"kind", STR("pushed")}};
        if (g > 0 && group[-1].traffic == group->traffic)
            continue;
        if (which != GROUP_FETCHES) {
            stats_value(o, name, labels, 1, group_value(group->traffic, which));
            continue;
        }
        stats_value(o, name, labels, 2, (double)atomic_load(&group->traffic->pushed));
        labels[1].value = STR("raw");
        stats_value(o, name, labels, 2, (double)atomic_load(&group->traffic->raw));
    }
}

/* With promxy's names, and the additional label group. */
static void collect_promxy(struct upstream *u, struct stats_out *o)
{
    stats_family(o, latency_family, STATS_SUMMARY, "Completed requests to servers of groups, by call");
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
        servers += group->n_servers; /* groups of one configured group are adjacent */
        if (g + 1 < u->groups.n && u->groups.items[g + 1].position == group->position)
            continue;
        ordinal[num_format_i64(ordinal, (int64_t)group->position)] = 0;
        const struct stats_label labels[] = {{"ordinal", str_of(ordinal)}, {"name", group->name}};
        stats_value(o, "server_group_targets", labels, LEN(labels), (double)servers);
        servers = 0;
    }
}

/* --- coverage, of groups with several servers --- */

static double coverage_of_replica(const struct coverage_replica_status *r, enum which which)
{
    return which == TARGETS ? r->targets : which == GAPS ? r->gaps : r->distrusted;
}

static void collect_coverage_replicas(struct upstream *u, const struct coverage_status *all, struct stats_out *o,
                                      const char *name, const char *help, enum which which)
{
    stats_family(o, name, STATS_GAUGE, help);
    for (size_t g = 0; g < u->groups.n; g++)
        for (size_t i = 0; i < u->groups.items[g].n_servers; i++) {
            const struct server *s = u->groups.items[g].servers[i];
            const struct stats_label labels[] = {{"group", s->group}, {"url", s->shown_url}};
            if (s->shows_traffic && u->groups.items[g].n_servers > 1)
                stats_value(o, name, labels, LEN(labels), coverage_of_replica(&all[g].replicas[i], which));
        }
}

static double coverage_of_group(const struct coverage_status *s, enum which which)
{
    switch (which) {
    case BYTES: return (double)s->bytes;
    case REQUESTS: return (double)s->readings;
    case FAILURES: return (double)s->failed;
    default: return s->known_from <= s->known_to ? (double)(clock_wall_ms() - s->known_to) / 1000 : 0;
    }
}

/* Shards of a group are combined: sums, or the largest age. */
static void collect_coverage_groups(struct upstream *u, const struct coverage_status *all, struct stats_out *o,
                                    const char *name, enum stats_kind kind, const char *help, enum which which)
{
    bool any = false;
    double v = 0;
    stats_family(o, name, kind, help);
    for (size_t g = 0; g < u->groups.n; g++) {
        const struct group *group = &u->groups.items[g];
        double own = coverage_of_group(&all[g], which);
        v = which == SECONDS ? (own > v ? own : v) : v + own;
        any = any || group->n_servers > 1;
        if (g + 1 < u->groups.n && u->groups.items[g + 1].position == group->position)
            continue;
        if (any)
            stats_value(o, name, &(struct stats_label){"group", group->name}, 1, v);
        any = false;
        v = 0;
    }
}

static void collect_coverage(struct upstream *u, struct stats_out *o)
{
    struct arena a;
    arena_init(&a, 0);
    struct coverage_status *all = ARENA_ARRAY(&a, struct coverage_status, u->groups.n);
    for (size_t g = 0; g < u->groups.n; g++)
        coverage_show(u->groups.items[g].coverage, &a, 0, &all[g]);
    collect_coverage_replicas(u, all, o, "sluice_upstream_coverage_targets",
                              "Targets that a server has scraped until now, by its `up` series", TARGETS);
    collect_coverage_replicas(u, all, o, "sluice_upstream_coverage_gaps",
                              "Known gaps of a server's targets: scrapes that other servers of the group have", GAPS);
    collect_coverage_replicas(u, all, o, "sluice_upstream_coverage_distrusted",
                              "Targets of which a server has fewer samples than its scrapes explain, by a count in the "
                              "last hour", DISTRUSTED);
    collect_coverage_groups(u, all, o, "sluice_upstream_coverage_age_seconds", STATS_GAUGE,
                            "Time since the servers' `up` series were last read", SECONDS);
    collect_coverage_groups(u, all, o, "sluice_upstream_coverage_bytes", STATS_GAUGE,
                            "Bytes of memory for the coverage of targets, gaps and metrics", BYTES);
    collect_coverage_groups(u, all, o, "sluice_upstream_coverage_readings_total", STATS_COUNTER,
                            "Requests to all servers of a group for its coverage", REQUESTS);
    collect_coverage_groups(u, all, o, "sluice_upstream_coverage_failed_readings_total", STATS_COUNTER,
                            "Requests for the coverage that failed", FAILURES);
    arena_free(&a);
}

void upstream_collect(struct upstream *u, struct stats_out *o)
{
    collect_promxy(u, o);
    collect_coverage(u, o);
    for (size_t i = 0; i < LEN(group_families); i++)
        collect_groups(u, o, (enum group_which)i);
    collect_latency(u, o, latency_codes_family, STATS_COUNTER, "Completed requests by call and HTTP status",
                    latency_collect_codes);
    collect_latency(u, o, latency_histogram_family, STATS_HISTOGRAM, "Duration of completed requests",
                    latency_collect_histogram);
    upstream_collect_family(u, o, "sluice_upstream_requests_in_flight", STATS_GAUGE,
                            "Requests of queries to a server that have not ended", IN_FLIGHT);
    upstream_collect_family(u, o, "sluice_upstream_requests_total", STATS_COUNTER, "Requests to a server of a group",
                            REQUESTS);
    upstream_collect_family(u, o, "sluice_upstream_failures_total", STATS_COUNTER, "Requests that failed", FAILURES);
    upstream_collect_family(u, o, "sluice_upstream_received_bytes_total", STATS_COUNTER,
                            "Compressed bytes of responses", BYTES);
    upstream_collect_family(u, o, "sluice_upstream_samples_total", STATS_COUNTER, "Samples read", SAMPLES);
    upstream_collect_family(u, o, "sluice_upstream_request_seconds_total", STATS_COUNTER,
                            "Time spent in requests that got a response", SECONDS);
    upstream_collect_family(u, o, "sluice_upstream_up", STATS_GAUGE,
                            "1 if the last request reached the server, 0 if not; absent before the first query or "
                            "probe", UP);
    upstream_collect_family(u, o, "sluice_upstream_hedges_total", STATS_COUNTER,
                            "Requests sent to another server because this one was late", HEDGES);
    upstream_collect_family(u, o, "sluice_upstream_hung_total", STATS_COUNTER,
                            "Canceled requests to a server that hangs, as a check has shown", HUNG);
    upstream_collect_family(u, o, "sluice_upstream_breaker_state", STATS_GAUGE,
                            "Circuit breaker of the server, or of the kind of requests that is worst: 0 closed, 1 "
                            "half-open, 2 open: not queried if others are left", BREAKER);
    upstream_collect_family(u, o, "sluice_upstream_clock_offset_seconds", STATS_GAUGE,
                            "How far the server's clock is ahead of this host's, at least, by the Date of its "
                            "responses", CLOCK);
}
