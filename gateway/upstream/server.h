// SPDX-License-Identifier: Apache-2.0
/* One downstream server: its URL, what kind of server it is, how it has been, and whether it should be asked at all.
 *
 * Shared by all query workers. What changes is atomic or under the server's mutex (the text of the last error); the
 * rest is immutable. Numbers survive as long as the server: a reload makes new ones.
 */
#ifndef GATEWAY_UPSTREAM_SERVER_H
#define GATEWAY_UPSTREAM_SERVER_H

#include "base/http/http_conf.h"
#include "base/os/thread.h"
#include "gateway/upstream/latency.h"
#include "gateway/upstream/upstream.h"

#include <stdatomic.h>

/* Failures in a row after which a server is left alone for a while when another one can answer. */
enum { SERVER_PATIENCE = 3, SERVER_PAUSE_MS = 1000, SERVER_LONGEST_PAUSE_MS = 30000 };
enum { SERVER_EXTERNAL_MS = 60000 }; /* a server may be reconfigured */

struct server {
    struct str group;              /* its name, for messages */
    struct str url;                /* scheme://host:port and path prefix, no slash at the end */
    struct str read_url;           /* of remote_read */
    struct str shown, shown_url;   /* scheme://host:port, for messages, and url, for pages; both without its login */
    struct str sent_url;           /* url and params: what a server may repeat */
    struct str params;             /* query_params as "?a=b", or empty */
    struct client_profile *profile;
    int64_t timeout, dial_timeout; /* ms; timeout 0: what is left of the query's */
    bool wants_read;               /* remote_read: true */
    uint32_t slot;                 /* which of a client's multis */
    uint64_t key;                  /* of its URL and what is sent with every request: the same over reloads */

    atomic_int kind;               /* enum server_kind; AUTO: not known yet */
    atomic_bool cannot_read;       /* remote_read was refused: it has none */
    atomic_uint failures_in_row;
    _Atomic int64_t paused_until;  /* clock_mono_ms */
    atomic_uint_fast64_t requests, failures, bytes, samples, nanoseconds;
    _Atomic int64_t last_ok_at, last_error_at; /* Unix ms */
    _Atomic int64_t failing_since; /* Unix ms of the first of these failures, which was logged; 0 = none */
    struct latency latency;
    struct mutex mutex;            /* for what follows */
    char last_error[256];
    struct buf external;           /* label bytes: what remote_read, and only that, adds to every series */
    int64_t external_until;        /* clock_mono_ms: from then on they are asked for again; 0 = never asked */
};

/* address: host:port. Texts go to the arena; url_prefix is the group's path_prefix. */
bool server_init(struct server *s, struct arena *a, const struct server_group_conf *conf, struct str scheme,
                 struct str address, struct str path_prefix, struct err *err) MUST_USE;
void server_free(struct server *s);

/* False while it is paused: then it is asked only when nobody else is there. One caller per pause gets true, to try. */
bool server_ready(struct server *s);
void server_succeeded(struct server *s, int64_t took_ms, uint64_t bytes);
/* reached: it answered, though with an error; it is not paused for that. */
void server_failed(struct server *s, bool reached, const char *why);
/* external_labels of the server, a copy in the arena. False: they must be asked for (/api/v1/status/config). */
bool server_external(struct server *s, struct arena *a, struct labels *out);
void server_set_external(struct server *s, struct labels labels);
/* Appends a text that the server sent, without the secrets that it repeats. */
void server_hide_secrets(const struct server *s, struct str text, struct buf *out);
void server_show(struct server *s, struct arena *a, struct server_status *out);
/* Unknown until the first request has ended; down while requests do not reach it. */
enum server_state { SERVER_UNKNOWN, SERVER_UP, SERVER_DOWN };
enum server_state server_state(struct server *s);
static inline enum server_kind server_kind(struct server *s) { return (enum server_kind)atomic_load(&s->kind); }
const char *server_kind_name(enum server_kind kind);

#endif
