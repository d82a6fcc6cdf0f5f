// SPDX-License-Identifier: Apache-2.0
/* An HTTP client in a loop. A client belongs to its loop's thread.
 *
 * Two ways. A request over http:// without a proxy is made over a connection of our own (client_plain.h). libcurl's
 * multi interface, connected to base/os/loop.c by socket and timer callbacks, makes all others: TLS, proxies, logins in
 * URLs, and redirects that are followed, for which the request begins again. Only client.c and client_*.c include
 * libcurl.
 *
 * Many targets by libcurl. curl's connection cache is walked linearly, so a client keeps several multis of at most about
 * 300 connections each and sends a request through the multi of its `slot` (hash of the target); all sockets are in the
 * loop's epoll. (Measured with 10,000 targets: 500-1,100 us per scrape with one multi, 49 us with several.) Easy
 * handles are pooled: max_inflight limits concurrent requests, further ones are queued in order.
 *
 * Credentials, TLS, proxy and headers are a `struct client_profile`: immutable, refcounted, made once per
 * configuration section. Its files (bearer_token_file, ca_file, ...) are checked once a second by other threads
 * (base/os/watched_file.h): a request uses the content read last, and fails while there is none.
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
struct client_call; /* a request in progress */

struct client_oauth2;
struct client_sigv4;
struct client_header_file { const char *name, *path; };
struct client_profile_conf { /* NUL-terminated strings or NULL; copied */
    const char *username, *username_file, *password, *password_file;
    const char *auth_type, *credentials, *credentials_file; /* Authorization: TYPE CREDENTIALS; "Bearer" by default */
    const char *ca, *ca_file, *cert, *cert_file, *key, *key_file, *server_name, *min_version, *max_version;
    bool insecure_skip_verify;
    const char *proxy_url, *no_proxy;
    bool proxy_from_environment;
    bool no_follow_redirects;
    const char *const *headers; /* "Name: value", n_headers of them */
    size_t n_headers;
    const struct client_header_file *header_files; /* headers with values in files, n_header_files of them */
    size_t n_header_files;
    const char *const *proxy_headers; /* sent to the proxy only, n_proxy_headers of them */
    size_t n_proxy_headers;
    /* Credentials (but for tokens), headers and TLS of the connection to the proxy; NULL: those of proxy_url, and
     * curl's defaults. A login in proxy_url wins over other credentials. server_name is not supported. */
    const struct client_profile_conf *proxy;
    const struct client_oauth2 *oauth2; /* NULL: none */
    const struct client_sigv4 *sigv4;   /* likewise */
};
struct client_oauth2_param { const char *name, *value; };
enum client_oauth2_style { /* how a token is requested, and with what */
    OAUTH2_SECRET,       /* the secret, in a login or the form */
    OAUTH2_AZURE_SECRET, /* the secret, in the form */
    OAUTH2_AZURE_TOKEN,  /* the content of client_secret_file, which is a token of another issuer */
    OAUTH2_AZURE_CERTIFICATE, /* an assertion that the key of the certificate in client_secret_file signs */
    OAUTH2_AZURE_MACHINE, /* GET token_url with `header`: the machine's identity */
    OAUTH2_JWT,          /* an assertion that is signed with client_secret, an RSA key (RFC 7523) */
    OAUTH2_GOOGLE_FILE,  /* as client_secret_file says, a JSON file of Google */
    OAUTH2_GOOGLE_MACHINE /* as OAUTH2_AZURE_MACHINE */
};
struct client_oauth2 { /* Authorization by a token (oauth2.h) */
    enum client_oauth2_style style;
    const char *header;
    const char *client_id, *client_secret, *client_secret_file, *token_url;
    const char *const *scopes;
    size_t n_scopes;
    const struct client_oauth2_param *params; /* more parameters of the request for a token */
    size_t n_params;
    struct client_assertion {                 /* of OAUTH2_JWT; NULL: the client, token_url, none */
        const char *issuer, *audience, *key_id;
        unsigned bits;                        /* of the hash: 256, 384, 512 */
        const struct client_oauth2_param *claims; /* which may replace others */
        size_t n_claims;
    } assertion;
    struct client_certificate {               /* of OAUTH2_AZURE_CERTIFICATE */
        const char *key_file, *password;      /* NULL: in the file; none */
        bool with_chain;
    } certificate;
    struct client_profile_conf http;          /* of that request */
};
struct client_sigv4 { /* signatures of AWS (aws_credentials.h) */
    const char *region, *access_key, *secret_key, *profile, *role_arn, *external_id, *service, *sts_endpoint;
    bool fips_sts;
};
bool client_profile_check(const struct client_profile_conf *c, struct err *err) MUST_USE; /* whether it is valid */
struct client_profile *client_profile_new(const struct client_profile_conf *c, struct err *err) MUST_USE;
struct client_profile *client_profile_ref(struct client_profile *p); /* any thread */
void client_profile_unref(struct client_profile *p);
/* Equal for profiles with equal settings, of files their paths; for this process only. */
uint64_t client_profile_hash(const struct client_profile *p);
/* Whether its requests have this header: a configured one, or credentials. */
bool client_profile_sends(const struct client_profile *p, struct str name);
/* Appends text received from a peer with <secret> in place of: the credentials and header values of the profile (may
 * be NULL), the login of its proxy, and the login and secret parameters of the request's URL. User names of
 * basic_auth are not secret. Any thread; for errors, too slow for every response. */
void client_hide_secrets(struct client_profile *p, struct str url, struct str text, struct buf *out);
/* The same in place, for a NUL-terminated text in `size` bytes. */
void client_hide_secrets_in(struct client_profile *p, struct str url, char *text, size_t size);

struct client_settings {
    unsigned max_inflight;      /* 0 = 64 */
    unsigned connections;       /* approximate number of servers; determines the number of multis. 0 = 100 */
    const char *user_agent;     /* NULL = "sluice/VERSION" */
    unsigned idle_seconds;      /* closes a connection idle for this long, with a delay of some seconds. 0 = 120 */
    unsigned max_idle;          /* beyond it the longest idle connection is closed; 0 = `connections` and some more */
    bool by_libcurl;            /* all requests; the tests run both ways */
    /* gauge of open connections: row connections_row of this group; NULL = not counted */
    const struct stats_group *stats;
    unsigned connections_row;
};
struct client *client_new(struct loop *loop, const struct client_settings *conf);
void client_free(struct client *c); /* cancels all requests without callbacks; not from a callback */

struct client_reply {
    /* in done: 0 when no complete response arrived; err then says why (ERR_GATEWAY_TIME for a timeout, ERR_TOO_LARGE,
     * the error of `data`, else ERR_BAD_GATEWAY), with method and URL */
    int status;
    struct err err;
    struct str content_type, content_encoding;
    struct str retry_after;    /* header value, empty when absent */
    struct str location;       /* likewise, of a 3xx that was not followed: may contain secrets */
    int64_t date;              /* Date, Unix ms; not above 0: it has none, or a cache sent it (Age) */
    bool server_hostname;      /* has X-Server-Hostname, as all responses of VictoriaMetrics */
    /* X-Prometheus-Remote-Write-*-Written: whether there is any; samples and native histograms together */
    bool has_written; uint64_t written;
    uint64_t list_index;       /* X-Consul-Index or X-Nomad-Index; 0: none */
    bool sent;                 /* at least a part of the request was sent: the server may have acted on it */
    int64_t start_mono, first_byte_ms, total_ms; /* since the request left the client's queue */
    uint64_t body_bytes;       /* on the wire */
    uint64_t sent_bytes;       /* request heads and bodies, before TLS */
    bool dial_failed;          /* no connection: DNS failed, refused, or connect timeout */
    bool gunzip_failed;        /* the body could not be decompressed */
    bool reused;               /* an existing connection was reused */
};

enum { CLIENT_SOCKET_MAX = 107 }; /* bytes of the path of a Unix socket */
struct client_request {
    const char *method;        /* GET POST PUT DELETE */
    const char *url;           /* copied */
    const char *host;          /* value of the Host header, copied; NULL: that of the URL */
    const char *socket;        /* path of the Unix socket to connect to instead of the URL's host, copied; NULL: none */
    struct client_profile *profile; /* referenced during the call; NULL = defaults */
    const char *const *headers; size_t n_headers; /* "Name: value", copied */
    struct str body;           /* borrowed until done */
    uint32_t slot;             /* selects the multi: a hash of the target */
    int64_t timeout_ms;        /* complete request; 0 = none */
    int64_t connect_timeout_ms; /* 0 = 5 s */
    size_t max_body; /* limit of the decoded body in bytes; beyond it the call ends with ERR_TOO_LARGE. 0 = no limit */
    bool accept_gzip;          /* send Accept-Encoding: gzip and decode the response */
    /* the status counts as soon as the response head is complete: a body that is longer than max_body, truncated or
     * late is abandoned without an error */
    bool status_only;
    bool close;                /* ends the connection after the response, and tells the server so */
    bool no_redirects;         /* overrides the profile: a 3xx is the response */
    bool keep_method;          /* follows only redirects that keep method and body: 307 and 308 */
    /* the peer did not respond last time: such requests use at most half of max_inflight and have a queue of their
     * own, so that they delay only each other */
    bool doubtful;
    /* head (may be NULL): the head of a response that is no redirect is complete; *reply has the status. It may cancel no
     * call: for responses without an end, whose body may be empty for long. */
    void (*head)(void *arg, const struct client_reply *reply);
    /* data: a part of the decoded body; false ends the call (err in *err, or ERR_CANCELED). *reply already has the
     * status. done: called exactly once, unless the call is canceled; the call is freed when it returns. */
    bool (*data)(void *arg, const struct client_reply *reply, struct str piece, struct err *err);
    void (*done)(void *arg, const struct client_reply *reply);
    void *arg;
};
struct client_call *client_send(struct client *c, const struct client_request *req);
/* Of a call in progress: whether the head of the response has arrived, and the bytes of the body on the wire. */
struct client_progress { bool has_head; uint64_t body_bytes; };
struct client_progress client_progress(const struct client_call *call);
/* A call in progress: stops reading its connection, or goes on; `data` may still be called with what has been read. */
void client_pause(struct client_call *call, bool pause);
void client_cancel(struct client_call *call); /* no callback follows; allowed in callbacks */
/* Called when one of those who send requests to the server of `url` sends no more of them: closes the connection to it
 * that has been idle for longest. Not from a callback. */
void client_leave_server(struct client *c, const char *url, uint32_t slot);
size_t client_inflight(const struct client *c);
size_t client_waiting(const struct client *c);

#endif
