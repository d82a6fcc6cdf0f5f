// SPDX-License-Identifier: Apache-2.0
/* State of downstream servers that outlives a configuration.
 *
 * A reload creates new servers for the whole configuration (gateway/upstream/server.h). Two kinds of state are kept:
 *
 *   health    kind, pauses, last error, external labels. Keyed by URL and client settings, so that a server with
 *             another login or proxy starts as unknown.
 *   group     counters of a group, keyed by its name
 *   traffic   counters, exposed on /metrics with the labels group and url, which are the key. They never go backwards
 *             while the process runs.
 *
 * Entries are reference counted by servers. Unused ones are kept for servers that return, the SERVERS_UNUSED most
 * recently used ones of each kind. A removed server exposes no metrics; one that returns continues its counters.
 *
 * Any thread; the contents are atomic or under the entry's mutex. The registry must outlive all users of entries.
 */
#ifndef GATEWAY_SERVERS_REGISTRY_H
#define GATEWAY_SERVERS_REGISTRY_H

#include "base/buf.h"
#include "base/list.h"
#include "base/os/thread.h"
#include "gateway/servers/breaker.h"
#include "gateway/servers/latency.h"
#include "gateway/servers/push_samples.h"
#include "gateway/servers/server_clock.h"

#include <stdatomic.h>

enum { SERVERS_UNUSED = 1024 };

enum { SERVER_TEXTS = 64 };

struct server_health {
    atomic_int kind;               /* enum server_kind; AUTO: unknown */
    atomic_uint version;           /* of Prometheus, by SERVER_VERSION (server_kind.h); 0 = unknown */
    _Atomic int64_t lookback;      /* of Prometheus 2, by its flags, ms; 0 = not shown */
    _Atomic int64_t lookback_until; /* clock_mono_ms: when to request it again; 0 = never requested */
    atomic_bool histograms;        /* of Prometheus 2: native histograms are enabled, or may be */
    atomic_bool cannot_read;       /* the server does not support remote_read */
    atomic_int blocks;             /* of VictoriaMetrics: enum server_blocks */
    _Atomic int64_t blocks_until;  /* clock_mono_ms: when to request that again */
    _Atomic int64_t wasteful_window, wasteful_until; /* ms: of windows up to this, most of a block is not needed;
                                                      * clock_mono_ms: until then */
    _Atomic int64_t asked_at;      /* clock_mono_ms when a request was last sent; 0 = never */
    /* What was requested in vain: metrics and expressions whose JSON has native histograms, functions that the server does
     * not have. A slot each, by hash. */
    struct { _Atomic uint64_t text; _Atomic int64_t until; /* clock_mono_ms */ } useless[SERVER_TEXTS];
    struct push_samples pushed;    /* expressions that it evaluated */
    atomic_bool answered;          /* a request has ended, whichever way */
    struct server_clock clock;
    struct breaker breaker;
    struct breaker calls[LATENCY_CALLS]; /* of one kind of request, while the server responds to others */
    _Atomic int64_t last_ok_at, last_error_at; /* Unix ms */
    _Atomic int64_t failing_since; /* Unix ms of the first of these failures, which was logged; 0 = none */
    struct mutex mutex;            /* for what follows */
    struct list flights;           /* requests that equal ones may join (gateway/upstream/flight.h) */
    char last_error[256];
    struct buf external;           /* label bytes: labels that only remote_read adds to every series */
    int64_t external_until;        /* clock_mono_ms: when to request them again; 0 = never requested */
};

struct server_traffic {
    atomic_uint_fast64_t requests, failures, bytes, samples, nanoseconds;
    atomic_uint_fast64_t hedges;   /* requests to another server because this one was late */
    atomic_uint_fast64_t hung;     /* requests given up because a check showed that the server hangs */
    atomic_uint in_flight;         /* requests */
    _Atomic int64_t fastest_ms;    /* the shortest request that succeeded, plus 1; 0 = none has */
    struct latency latency;
};

struct group_traffic {
    atomic_uint_fast64_t pushed, raw;  /* sub-expressions and selectors that its servers were queried for */
    atomic_uint_fast64_t missed;       /* replicas that failed while another one responded */
    atomic_uint_fast64_t filled;       /* samples from another replica than the base of a series */
    atomic_uint_fast64_t disagreed;    /* samples of copies with equal times and different values */
    atomic_uint_fast64_t failed;       /* queries that the group failed to serve */
    atomic_uint_fast64_t partial;      /* results without the group */
    atomic_uint sd_failing;            /* sources of its service discovery that fail now */
};

struct server_registry;
struct server_registry *server_registry_new(void);
void server_registry_free(struct server_registry *r); /* after all entries are released */

/* The entry of this key, created zeroed if there is none; release it with the _put of its kind. The key is copied. */
struct server_health *server_health_get(struct server_registry *r, struct str key);
void server_health_put(struct server_registry *r, struct server_health *health);
struct server_traffic *server_traffic_get(struct server_registry *r, struct str group, struct str url);
void server_traffic_put(struct server_registry *r, struct server_traffic *traffic);
struct group_traffic *group_traffic_get(struct server_registry *r, struct str group);
void group_traffic_put(struct server_registry *r, struct group_traffic *traffic);

#endif
