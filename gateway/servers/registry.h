// SPDX-License-Identifier: Apache-2.0
/* What the process knows about its downstream servers, beyond the life of one configuration.
 *
 * A reload builds every server of the configuration anew (gateway/upstream/server.h). Two things outlive it:
 *
 *   health    is found out: kind, pauses, last error, external labels. It belongs to the URL and the client settings
 *             that a server is asked with, so that another login or proxy starts again as unknown.
 *   traffic   is counted: what /metrics shows under the labels group and url, and nothing else tells apart. Its
 *             counters never go backwards while the process runs.
 *
 * Entries are counted by the servers that use them. An unused one stays for a server that comes back; of each sort the
 * SERVERS_UNUSED that were given back last are kept. A removed server shows no metrics, and one that returns goes on.
 *
 * Any thread; the contents are atomic or under the entry's mutex. The registry must outlive every entry's users.
 */
#ifndef GATEWAY_SERVERS_REGISTRY_H
#define GATEWAY_SERVERS_REGISTRY_H

#include "base/buf.h"
#include "base/os/thread.h"
#include "gateway/servers/latency.h"

#include <stdatomic.h>

enum { SERVERS_UNUSED = 1024 };

struct server_health {
    atomic_int kind;               /* enum server_kind; AUTO: not known yet */
    atomic_uint version;           /* of Prometheus, by SERVER_VERSION (server.h); 0 = not known yet */
    atomic_bool cannot_read;       /* remote_read was refused: it has none */
    _Atomic int64_t asked_at;      /* clock_mono_ms when a request was last sent; 0 = never */
    atomic_bool answered;          /* a request has ended, whichever way */
    atomic_uint failures_in_row;
    _Atomic int64_t paused_until;  /* clock_mono_ms */
    _Atomic int64_t last_ok_at, last_error_at; /* Unix ms */
    _Atomic int64_t failing_since; /* Unix ms of the first of these failures, which was logged; 0 = none */
    struct mutex mutex;            /* for what follows */
    char last_error[256];
    struct buf external;           /* label bytes: what remote_read, and only that, adds to every series */
    int64_t external_until;        /* clock_mono_ms: from then on they are asked for again; 0 = never asked */
};

struct server_traffic {
    atomic_uint_fast64_t requests, failures, bytes, samples, nanoseconds;
    struct latency latency;
};

struct server_registry;
struct server_registry *server_registry_new(void);
void server_registry_free(struct server_registry *r); /* every entry has been given back */

/* The entry of this key, a new zeroed one where there was none; give it back with the _put of its sort. The key is
 * copied. */
struct server_health *server_health_get(struct server_registry *r, struct str key);
void server_health_put(struct server_registry *r, struct server_health *health);
struct server_traffic *server_traffic_get(struct server_registry *r, struct str group, struct str url);
void server_traffic_put(struct server_registry *r, struct server_traffic *traffic);

#endif
