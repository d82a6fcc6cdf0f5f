// SPDX-License-Identifier: Apache-2.0
/* An HTTP client in a loop: libcurl's multi interface, wired to base/os/loop.c by socket and timer callbacks. libcurl
 * is spoken to in client.c and client_*.c only. A client belongs to its loop's thread.
 *
 * Many targets. curl's connection cache walks get long, so a client keeps several multis of at most about 300
 * connections each and sends a request to the multi of its `slot` (hash of the target); all sockets are in the
 * loop's one epoll. (Measured with 10,000 targets: one multi 500-1,100 us a scrape, several 49 us.) Easy handles
 * are pooled: max_inflight is the cap on requests running at once, others wait in line in order.
 *
 * Whom we talk to is a `struct client_profile` (credentials, TLS, proxy, headers): immutable, refcounted, made once per
 * configuration section. Files (bearer_token_file, ...) are re-read at most once a second.
 */
#ifndef BASE_HTTP_CLIENT_H
#define BASE_HTTP_CLIENT_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/os/loop.h"

struct client;
struct stats_group;
struct client_profile;
struct client_call; /* one request under way */

struct client_header_file { const char *name, *path; };
struct client_profile_conf { /* NUL-terminated strings or NULL; copied */
    const char *username, *username_file, *password, *password_file;
    const char *auth_type, *credentials, *credentials_file; /* Authorization: TYPE CREDENTIALS; "Bearer" by default */
    const char *ca, *ca_file, *cert, *cert_file, *key, *key_file, *server_name, *min_version;
    bool insecure_skip_verify;
    const char *proxy_url, *no_proxy;
    bool proxy_from_environment;
    bool no_follow_redirects;
    const char *const *headers; /* "Name: value", n_headers of them */
    size_t n_headers;
    const struct client_header_file *header_files; /* headers whose values stand in files, n_header_files of them */
    size_t n_header_files;
};
struct client_profile *client_profile_new(const struct client_profile_conf *c, struct err *err) MUST_USE;
struct client_profile *client_profile_ref(struct client_profile *p); /* any thread */
void client_profile_unref(struct client_profile *p);
/* Appends a text that came from outside, with <secret> in place of the credentials and header values of a profile (may
 * be NULL), the login of its proxy, and login and secret parameters of the request's URL. User names of basic_auth are
 * no secrets. Any thread; for errors, not for every response. */
void client_hide_secrets(struct client_profile *p, struct str url, struct str text, struct buf *out);
/* The same in place: a NUL-terminated text in `size` bytes. */
void client_hide_secrets_in(struct client_profile *p, struct str url, char *text, size_t size);

struct client_settings {
    unsigned max_inflight;      /* 0 = 64 */
    unsigned connections;       /* about how many servers it talks to; decides the number of multis. 0 = 100 */
    const char *user_agent;     /* NULL = "sluice/VERSION" */
    unsigned idle_seconds;      /* a connection unused for so long is closed, some seconds later. 0 = 120 */
    /* counts open connections in row connections_row, a gauge; NULL = they are not counted */
    const struct stats_group *stats;
    unsigned connections_row;
};
struct client *client_new(struct loop *loop, const struct client_settings *conf);
void client_free(struct client *c); /* cancels what is under way, without callbacks; not from a callback */

struct client_reply {
    int status;                /* in done: 0 when no whole answer came; then err says why (ERR_GATEWAY_TIME for a
                                  timeout, ERR_TOO_LARGE, what `data` said, else ERR_BAD_GATEWAY), naming method and
                                  URL */
    struct err err;
    struct str content_type, content_encoding;
    struct str retry_after;    /* header text, empty when absent */
    struct str location;       /* likewise, of a 3xx that was not followed: may hold secrets */
    bool sent;                 /* a part of the request at least has left: the server may have acted on it */
    int64_t start_mono, first_byte_ms, total_ms; /* from the moment the request left the waiting line */
    uint64_t body_bytes;       /* on the wire */
    uint64_t sent_bytes;       /* heads and bodies of the request, before TLS */
    bool dial_failed;          /* no connection: the host was not resolved, or refused it or did not answer */
    bool gunzip_failed;        /* the body could not be decompressed */
    bool reused;               /* the connection was kept from before */
};

struct client_request {
    const char *method;        /* GET POST PUT DELETE */
    const char *url;           /* copied */
    struct client_profile *profile; /* a reference is taken for the time of the call; NULL = defaults */
    const char *const *headers; size_t n_headers; /* "Name: value", copied */
    struct str body;           /* borrowed until done */
    uint32_t slot;             /* which multi: a hash of the target */
    int64_t timeout_ms;        /* whole request; 0 = none */
    int64_t connect_timeout_ms; /* 0 = 5 s */
    size_t max_body;           /* bytes of the (decoded) body; over it the call ends with ERR_TOO_LARGE. 0 = no limit */
    bool accept_gzip;          /* ask for gzip and decode it */
    bool status_only;          /* the status counts as soon as the response head is complete: a body that is longer than
                                  max_body, cut short or late is abandoned, and is no error */
    bool no_redirects;         /* whatever the profile says: a 3xx is the response */
    bool doubtful;             /* the peer did not respond last time: such requests take at most half of max_inflight and
                                  wait in a line of their own, so that they hold up each other only */
    /* data: a piece of the decoded body; false ends the call (err in *err, or ERR_CANCELED). status is already known
     * through *reply. done: exactly once, unless the call is cancelled; the call is gone when it returns. */
    bool (*data)(void *arg, const struct client_reply *reply, struct str piece, struct err *err);
    void (*done)(void *arg, const struct client_reply *reply);
    void *arg;
};
struct client_call *client_send(struct client *c, const struct client_request *req);
void client_cancel(struct client_call *call); /* no callback comes after it; allowed in callbacks */
size_t client_inflight(const struct client *c);
size_t client_waiting(const struct client *c);

#endif
