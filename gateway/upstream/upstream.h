// SPDX-License-Identifier: Apache-2.0
/* The upstream: the servers that queries read from, in groups of replicas, and the recent store. As a struct source, it
 * merges samples of replicas and unites series of groups, as if a single Prometheus had all of them.
 *
 * One per configuration, immutable except health and statistics (atomics), reference counted. Called by query workers:
 * query_ctx.user is the struct worker, whose loop runs until the last response has arrived.
 */
#ifndef GATEWAY_UPSTREAM_UPSTREAM_H
#define GATEWAY_UPSTREAM_UPSTREAM_H

#include "base/http/http_conf.h"
#include "base/telemetry/stats.h"
#include "gateway/servers/server_kind.h"
#include "gateway/upstream/group_filter.h"
#include "gateway/upstream/group_times.h"
#include "model/discovery/discovery.h"
#include "model/source.h"

enum overlap { OVERLAP_NONE, OVERLAP_MERGE };
enum balance { BALANCE_FIRST, BALANCE_ROTATE };
enum read_mode { READ_MERGE, READ_HEDGE, READ_FIRST };
enum compression { COMPRESSION_AUTO, COMPRESSION_ON, COMPRESSION_OFF };
enum group_partial { GROUP_PARTIAL_AUTO, GROUP_PARTIAL_ON, GROUP_PARTIAL_OFF };
enum push_down { PUSH_VERIFIED, PUSH_TRUSTED, PUSH_OFF };

struct server_group_conf {             /* rows in upstream/group_conf.c; promxy's names */
    struct str name, scheme, path_prefix;
    struct str_map labels;
    struct conf_items static_configs;  /* struct group_static */
    struct sd_conf sd;                 /* discovery of further servers */
    struct conf_items relabel_configs; /* on the targets */
    int64_t anti_affinity;             /* ms, or CONF_AUTO */
    struct conf_items metrics_relabel_configs; /* struct view_rule */
    struct str_list inject_matchers;
    struct group_times times;
    struct label_filter_conf label_filter;
    bool align_query_range_with_step;
    bool anti_affinity_dynamic, prefer_max;
    bool remote_read; struct str remote_read_path;
    struct multimap query_params;
    struct http_headers group_http_headers;
    int64_t timeout;                   /* ms of one request; default from the query's timeout */
    bool ignore_error, downgrade_error;
    int partial_response;              /* enum group_partial: as downgrade_error, or what the process has set */
    int overlap, read_mode, balance, kind, push_down, compression;
    struct str_list coverage_by;       /* labels that identify the target of a series; empty: job, instance */
    bool trust_untargeted;
    struct str_list written_by;        /* names of the destinations that fill the group */
    struct group_client { struct http_conf http; int64_t dial_timeout; } client; /* promxy's http_client */
};
struct group_static { struct str_list targets; struct str zone; struct str_map labels; };
extern const struct conf_section server_group_section;
/* Its name, or "server_groups[N]"; may be in scratch. */
struct str server_group_name(const struct server_group_conf *conf, size_t position, struct buf *scratch);

/* What service discovery has found for a configured group. */
enum { GROUP_FOUND_MAX = 10000 };
struct group_discovered {
    struct sd_listing found;           /* zeroed: nothing yet */
    struct str problem;                /* of the discovery, for errors of a group without servers; empty: none */
};

struct upstream_backup { struct str name, of; }; /* destinations (backup_of) */
struct written;
struct placement;
struct upstream;
struct loop;
struct server_registry;
struct coverage_registry;
struct upstream_env {
    /* State that outlives an upstream; NULL: private ones, which end with it. */
    struct server_registry *registry;
    struct coverage_registry *coverage;
    /* One for each configured group, used by upstream_new only; NULL: nothing was discovered. */
    const struct group_discovered *discovered;
    bool partial_response;               /* groups are allowed to fail with a warning, unless they set it */
    struct str zone;                     /* of this process; its servers come first. Empty: none */
    size_t max_response;                 /* bytes of one downstream response; 0 = 1 GiB */
    /* The recent store, and the destination whose samples it stores ("" = all samples); NULL: disabled. get returns a
     * reference. */
    struct source *(*recent_get)(void *arg);
    void (*recent_put)(struct source *s);
    int64_t (*recent_from)(struct source *s);
    void *recent_arg;
    struct str recent_like;
    /* Destinations that have samples of some times only, used by upstream_new only, and which times (writer_written). */
    const struct upstream_backup *backups; size_t n_backups;
    struct written (*written)(void *arg, struct str destination, int64_t from, int64_t to);
    void *written_arg;
    /* Which destinations get a series (writer.h), and since when, Unix ms; NULL: each one, or it is not known. */
    struct placement *placement;
    int64_t placed_since;
    bool recent_alone;                 /* there are no groups: the recent store is the only source */
    /* A group whose relabeling drops all targets has no data, instead of being an error. (A group with service
     * discovery and without servers fails every query that reads it.) */
    bool empty_groups;
    void (*warn)(void *arg, const char *text); /* NULL: invalid targets that discovery has found are logged */
    void *warn_arg;
};
struct upstream *upstream_new(const struct server_group_conf *groups, size_t n, const struct upstream_env *env,
                              struct err *err) MUST_USE;
/* After a reload: copies from `previous` which pairs of remaining servers hold copies. Both may be in use. */
void upstream_adopt(struct upstream *u, struct upstream *previous);
/* Since when series are placed so; `now` if the previous upstream, which may be NULL, knows another placement. */
int64_t upstream_placed_since(const struct upstream *previous, const struct placement *placement, int64_t now);
bool upstream_lacks_servers(const struct upstream *u); /* a group has none */
struct upstream *upstream_ref(struct upstream *u);
void upstream_unref(struct upstream *u);
struct source *upstream_source(struct upstream *u); /* borrowed */

struct server_status {                 /* for /targets and metrics */
    struct str group, url;
    const char *state;                 /* "unknown" before the first request, "up", "down" */
    const char *breaker;               /* "closed", "half-open", "open" */
    struct str last_error; int64_t last_error_at, last_ok_at;
    uint64_t requests, failures, bytes, samples; double seconds;
    const char *kind;
};
void upstream_status(struct upstream *u, struct arena *a, struct server_status **out, size_t *n);
extern struct stats_group upstream_stats;                            /* registered by metrics_start */
void upstream_collect(struct upstream *u, struct stats_out *out);    /* metrics of each server */

#endif
