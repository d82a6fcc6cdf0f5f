// SPDX-License-Identifier: Apache-2.0
/* The parts of the program as handlers see them: flags, configuration, writer, scraper, upstream, lanes. main() creates
 * the only instance; requests (http_request.services), workers and collectors have a pointer to it. There is no global
 * one.
 *
 * Fields are set before lanes serve requests and are immutable then, unless stated otherwise. writer and scraper are
 * set before the first configuration is applied: they may be used once services_config() returns one.
 *
 * Configuration and upstream change with a reload: services_config() and services_upstream() return a reference, to be
 * released after use; a query keeps its references until it ends. Reloads run on the control thread.
 */
#ifndef GATEWAY_SERVICES_SERVICES_H
#define GATEWAY_SERVICES_SERVICES_H

#include "base/http/via.h"
#include "base/os/buf_spare.h"
#include "base/os/loop.h"
#include "base/os/thread.h"
#include "gateway/config/config.h"
#include "gateway/http/http.h"
#include "gateway/query/active.h"
#include "gateway/query/service.h"
#include "gateway/services/reload_report.h"

enum services_state { SERVICES_STARTING, SERVICES_READY, SERVICES_STOPPING };

struct workers;
struct write_buffers;
struct ingest_lane;
struct lines_lane;
struct lane_services { /* of one lane; used on its thread only */
    struct loop *loop;
    struct sink *sink;
    struct buf_spare spare;        /* memory of large bodies, decompressed */
    struct write_buffers *write;   /* gateway/ingest/write.h; created at the first push */
    struct ingest_lane *ingest;    /* gateway/ingest/ingest.h; likewise */
    struct lines_lane *lines;      /* gateway/ingest/lines/lines.h; likewise */
};

struct config_load;
struct ingest_rate;
struct otlp_deltas;
struct group_discovery;
struct kube_watches;
struct instance_store;
struct agent_ring;
struct services {
    struct flags flags;
    struct loop *control;          /* loop of the control thread */
    struct lane_services *lanes; unsigned n_lanes;
    struct workers *workers;       /* gateway/query/worker.h */
    struct http_limits http;       /* limits of clients */
    struct listener *listeners; size_t n_listeners; /* of the non-empty listen addresses, in their order */
    struct access_watch *access_watch; /* control thread */
    struct budget queries;         /* memory of running queries: arenas, decoders, rendered results */
    struct budget reports;         /* memory of pages and reports about all targets */
    struct line_file *access_log, *query_log; /* NULL: none (base/os/line_file.h) */
    struct active_queries active;  /* the running queries themselves */
    struct writer *writer;
    struct scraper *scraper;
    struct server_registry *servers; /* what is known and counted of downstream servers, over reloads */
    struct server_prober *prober;  /* control thread */
    struct breaker_checks *breaker_checks; /* control thread */
    struct group_discovery *group_discovery; /* control thread */
    struct kube_watches *kube_watches; /* control thread: of jobs and groups (model/discovery/discovery.h) */
    struct coverage_registry *coverage; /* which replicas are complete, over reloads */
    struct coverage_reader *coverage_reader; /* control thread */
    struct filter_sync *filter_sync; /* control thread */
    struct ingest_rate *ingest_rate; /* gateway/ingest/ingest_rate.h; NULL: no limit */
    struct otlp_deltas *otlp_deltas; /* gateway/ingest/otlp/otlp_delta.h; NULL: deltas are not summed up */
    struct audits *audits;         /* control thread; metrics: any */
    struct push_checks *push_checks; /* control thread */
    struct cluster *cluster;       /* control thread; status and metrics: any; NULL: none. Set with the first configuration */
    struct instance_store *instances; /* control thread; sets: any; NULL: none are read from etcd. Set likewise */
    struct loop_timer instances_due; /* control thread */
    struct agent_ring *agent_ring; /* control thread; NULL likewise */
    struct config *_instances_config; /* the one that both were made from */
    struct config *_cluster_config; /* the one that it was made from */
    int64_t started;               /* Unix ms */
    char id[VIA_ID_SIZE];          /* of this process, for base/http/via.h */
    _Atomic int state;             /* enum services_state */
    _Atomic bool leaving;          /* a stop was requested: health checks return 503 */
    _Atomic bool reload_ok;        /* result of the last load of the configuration */
    _Atomic int64_t reloaded_at;   /* Unix ms of the last successful one */
    _Atomic int64_t reload_failed_at; /* of the last one that failed */
    struct reload_history reloads;
    void (*request_quit)(struct services *s); /* any thread: stops the program in order, after --http.shutdownDelay */
    struct config_load *_load;     /* control thread: reloads (load.c) */
    /* The configuration has a reference in both, each with a lock, so that no lane waits for a worker that holds one. */
    struct mutex _mutex;           /* of workers and main: guards the two below */
    struct config *_config;
    struct upstream *_upstream;
    struct mutex _lane_mutex;      /* of lanes and main: guards the one below */
    struct config *_lane_config;
};
void services_init(struct services *s); /* after `control` is set */
void services_free(struct services *s); /* control thread, when no request is left: releases the configuration */

/* Any thread; NULL until the first configuration is applied. Release: config_unref, upstream_unref. */
struct config *services_config(struct services *s);
struct config *services_config_on_lane(struct services *s); /* the same, on a lane's thread */
struct upstream *services_upstream(struct services *s);
/* What queries read from under configuration `c` and upstream `u`, which outlive it. */
struct query_service services_query_service(const struct services *s, const struct config *c, struct upstream *u);
void services_note_load(struct services *s, bool ok); /* any thread: the result of a load of the configuration */
static inline bool services_ready(const struct services *s) { return atomic_load(&s->state) == SERVICES_READY; }
static inline bool services_leaving(const struct services *s) { return atomic_load(&s->leaving); }

/* ---- reload.c ---- */

/* Control thread: applies `c`, whose reference it takes, all or nothing: on false the previous configuration keeps
 * running. */
bool services_apply(struct services *s, struct config *c, struct err *err) MUST_USE;
/* Control thread: applies the destinations of the running configuration again, as writer_env.apply_again requests. */
void services_reopen(void *services);

/* Control thread: the target files of jobs and server groups have been read once, or do not respond. */
bool services_discovery_ready(const struct services *s);
void services_stop_discovery(struct services *s); /* control thread: server groups remain as they are from now on */

/* ---- join.c ---- */

/* Control thread: makes this process a member of the configuration's cluster. A reload cannot change which. */
/* Of struct scraper_env. */
void services_expect_target(void *services, const struct cluster_view *view, size_t from, int64_t time, uint64_t id);
bool services_join_cluster(struct services *s, struct config *c, struct err *err) MUST_USE;
void services_check_cluster(const struct services *s, const struct config *c); /* warns of what needs a restart */
/* `next` is called when the others scrape this member's targets, and when its key is gone; at once without a cluster. */
void services_leave_cluster(struct services *s, void (*next)(void *services));
void services_end_cluster(struct services *s, void (*next)(void *services));
void services_free_cluster(struct services *s);

/* ---- instances.c ---- */

/* Control thread: reads the instances of the configuration's scraping service. A reload cannot turn it on or off. */
bool services_follow_instances(struct services *s, struct config *c, struct err *err) MUST_USE;
bool services_have_instances(const struct services *s); /* control thread: the running configuration has them */
bool services_agents_gone(const struct services *s);    /* control thread: no Grafana Agent scrapes them */
void services_reload_instances(struct services *s);     /* control thread: with the files as last loaded (load.c) */
struct instance_set *services_instances(const struct services *s); /* any thread: a reference; NULL: none were read */
void services_check_instances(const struct services *s, const struct config *c); /* warns of what needs a restart */
void services_free_instances(struct services *s);

/* ---- load.c ---- */

/* Control thread: reloads the file without waiting: a separate thread loads it, then the control thread applies it and
 * logs the result. */
void services_reload(struct services *s);
/* Any thread: requests a reload from the control thread; done runs in `loop` once all lanes use the new configuration
 * (err NULL), or with the error. */
void services_request_reload(struct services *s, struct loop *loop, void (*done)(void *arg, const struct err *err),
                             void *arg);
/* Control thread, once a configuration runs: checks its files and URLs every --promscrape.configCheckInterval and reloads
 * when one has changed. */
void services_watch_config(struct services *s);
void services_report_start(struct services *s, const struct config *c); /* control thread: the first one was applied */
void services_stop_reloads(struct services *s); /* control thread: requests get an error from now on */
/* Control thread, before services_free. False: a file system hangs, and a thread may still read `s`: nothing of it may
 * be freed, and the process must exit. */
bool services_end_reloads(struct services *s) MUST_USE;

#endif
