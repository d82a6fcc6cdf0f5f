// SPDX-License-Identifier: Apache-2.0
/* A downstream server of a configuration: its URL, its request settings, and whether it is queried or paused.
 *
 * Immutable, and shared by all query workers. Its health and counters are in the registry (gateway/servers/registry.h):
 * they survive reloads and are shared by servers of the configuration with the same key.
 */
#ifndef GATEWAY_UPSTREAM_SERVER_H
#define GATEWAY_UPSTREAM_SERVER_H

#include "base/http/http_conf.h"
#include "gateway/servers/registry.h"
#include "gateway/upstream/upstream.h"

enum { SERVER_EXTERNAL_MS = 60000, SERVER_BLOCKS_MS = 300000 }; /* a server may be reconfigured */
enum { SERVER_LOOKBACK_MS = 600000 };
enum { SERVER_WASTEFUL_MS = 60000 }; /* blocks of the newest samples are short */

struct server {
    struct str group;              /* its name, for messages */
    bool near;                     /* in the zone of this process */
    struct str url;                /* scheme://host:port and path prefix, no slash at the end */
    struct str read_url;           /* of remote_read */
    struct str shown, shown_url;   /* scheme://host:port, for messages, and url, for pages; both without its login */
    struct str sent_url;           /* url and params: what a server may repeat */
    struct str params;             /* query_params as "?a=b", or empty */
    struct client_profile *profile;
    int64_t timeout, dial_timeout; /* ms; timeout 0: what is left of the query's */
    bool wants_read;               /* remote_read: true */
    bool wants_gzip;               /* of responses */
    bool kind_configured;          /* kind is not auto */
    uint32_t slot;                 /* which of a client's multis */
    uint64_t key;                  /* of the URL and everything sent with each request: stable over reloads */
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

/* False while its breaker is not closed: it is then queried only if no other server is left. */
static inline bool server_ready(const struct server *s) { return breaker_closed(&s->health->breaker); }
/* The same, and those of these kinds of requests (bits by enum latency_call) are closed, too. */
bool server_serves(const struct server *s, unsigned calls);
/* Its last check, or one of these kinds of requests, had no response: requests wait no longer than for the next one. */
bool server_hangs(const struct server *s, unsigned calls);
/* The breaker of a kind of requests; SERVER_ITSELF: of all. */
enum { SERVER_ITSELF = LATENCY_CALLS };
static inline struct breaker *server_breaker(const struct server *s, unsigned call)
{
    return call == SERVER_ITSELF ? &s->health->breaker : &s->health->calls[call];
}
void server_asked(struct server *s); /* a request is being sent */
void server_succeeded(struct server *s, int64_t took_ms, uint64_t bytes);
/* damaged: the response was invalid; the network worked. A server that responded with an error is not paused. */
void server_failed(struct server *s, const struct client_reply *reply, bool damaged, const char *why);
/* Measures the server's clock by a response, as soon as it is complete. */
void server_note_clock(struct server *s, const struct client_reply *reply);
/* A check of a kind of requests failed (server_check.h): opens its breaker. late: there was no response. */
void server_check_failed(struct server *s, unsigned call, bool late, const char *why);
/* The state to show: of its breaker, or of the one of a kind of requests that is worse. */
enum breaker_state server_breaker_state(const struct server *s);
/* It responded with 508: queries to it return to this process (base/http/via.h). */
void server_log_loop(const struct server *s);
/* external_labels of the server, a copy in the arena. False: they must be requested (/api/v1/status/config). */
bool server_external(struct server *s, struct arena *a, struct labels *out);
void server_set_external(struct server *s, struct labels labels);
/* Remembers for ten minutes that the results for a metric, or an expression with several, have native histograms, so
 * that they are not requested as JSON first. */
void server_saw_histograms(const struct server *s, struct str text);
bool server_has_histograms(const struct server *s, struct str text);
/* Likewise, that it rejected an expression with this function. */
void server_rejected_function(const struct server *s, const char *name);
bool server_rejects_function(const struct server *s, const char *name);
/* Whether VictoriaMetrics' native export of a window (ms) is what its JSON export is, at less cost. UNKNOWN: its flags
 * must be requested. */
enum server_blocks { BLOCKS_UNKNOWN, BLOCKS_WHOLE, BLOCKS_REFUSED };
enum server_blocks server_blocks(const struct server *s, int64_t window);
void server_set_blocks(struct server *s, enum server_blocks blocks);
void server_set_wasteful(struct server *s, int64_t window); /* it was not, for this window */
/* Of Prometheus 2: how far instant selectors look back, ms; 0: its flags do not show it. False: they must be requested. */
bool server_lookback(const struct server *s, int64_t *ms);
void server_set_lookback(struct server *s, int64_t ms, bool histograms);
/* Whether that server may have native histograms, which it computes with as if they were floats: until its flags show that
 * it has none. */
bool server_may_have_histograms(const struct server *s);
/* Prefixes an error with the server and its group. */
void server_blame(const struct server *s, struct err *err);
void server_show(struct server *s, struct arena *a, struct server_status *out);
/* Unknown until a request has ended, a query's or a probe's (probe.h); down while requests do not reach it. */
enum server_state { SERVER_UNKNOWN, SERVER_UP, SERVER_DOWN };
enum server_state server_state(struct server *s);
static inline enum server_kind server_kind(const struct server *s)
{
    return (enum server_kind)atomic_load(&s->health->kind);
}
static inline unsigned server_version(const struct server *s) { return atomic_load(&s->health->version); }
const char *server_kind_name(enum server_kind kind);

#endif
