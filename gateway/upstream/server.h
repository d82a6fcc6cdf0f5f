// SPDX-License-Identifier: Apache-2.0
/* One downstream server of one configuration: its URL, how it is asked, and whether it should be asked at all.
 *
 * Immutable, and shared by all query workers. What is found out about the server and what is counted for it lies in the
 * registry (gateway/servers/registry.h), survives reloads, and is shared with other servers of the configuration that
 * are the same one.
 */
#ifndef GATEWAY_UPSTREAM_SERVER_H
#define GATEWAY_UPSTREAM_SERVER_H

#include "base/http/http_conf.h"
#include "gateway/servers/registry.h"
#include "gateway/upstream/upstream.h"

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
    bool kind_configured;          /* kind is not auto */
    uint32_t slot;                 /* which of a client's multis */
    uint64_t key;                  /* of its URL and what is sent with every request: the same over reloads */
    struct server_registry *registry;
    struct server_health *health;
    struct server_traffic *traffic;
    bool shows_traffic;            /* the first of a configuration's servers that share these counters */
};

/* address: host:port. Texts go to the arena; url_prefix is the group's path_prefix. */
bool server_init(struct server *s, struct arena *a, const struct server_group_conf *conf,
                 struct server_registry *registry, struct str scheme, struct str address, struct str path_prefix,
                 struct err *err) MUST_USE;
void server_free(struct server *s);

/* False while it is paused: then it is asked only when nobody else is there. One caller per pause gets true, to try. */
bool server_ready(struct server *s);
void server_asked(struct server *s); /* a request is being sent */
void server_succeeded(struct server *s, int64_t took_ms, uint64_t bytes);
/* reached: it answered, though with an error; it is not paused for that. */
void server_failed(struct server *s, bool reached, const char *why);
/* It answered 508: a query to it comes back here (base/http/via.h). */
void server_log_loop(const struct server *s);
/* external_labels of the server, a copy in the arena. False: they must be asked for (/api/v1/status/config). */
bool server_external(struct server *s, struct arena *a, struct labels *out);
void server_set_external(struct server *s, struct labels labels);
/* Appends a text that the server sent, without the secrets that it repeats. */
void server_hide_secrets(const struct server *s, struct str text, struct buf *out);
void server_show(struct server *s, struct arena *a, struct server_status *out);
/* Unknown until a request has ended, a query's or a probe's (probe.h); down while requests do not reach it. */
enum server_state { SERVER_UNKNOWN, SERVER_UP, SERVER_DOWN };
enum server_state server_state(struct server *s);
static inline enum server_kind server_kind(const struct server *s)
{
    return (enum server_kind)atomic_load(&s->health->kind);
}
/* A version as one number. SERVER_VERSION_NONE: the server does not tell, or is none of Prometheus' own releases. */
#define SERVER_VERSION(major, minor, patch) ((unsigned)(major) << 20 | (unsigned)(minor) << 10 | (unsigned)(patch))
#define SERVER_VERSION_NONE 1u
static inline unsigned server_version(const struct server *s) { return atomic_load(&s->health->version); }
const char *server_kind_name(enum server_kind kind);

#endif
