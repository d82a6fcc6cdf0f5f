// SPDX-License-Identifier: Apache-2.0
/* A client of etcd over its JSON gateway (POST /v3/..., https://etcd.io/docs/v3.5/dev-guide/api_grpc_gateway/): single
 * requests here, a copy of all keys with a prefix in etcd_mirror.h. Tested with etcd 3.4 and 3.5.
 *
 * Endpoints. A request goes to the endpoint that responded last; when that does not respond within the time, or with 502,
 * 503 or 504, to the next one, to each once. So a request may take effect twice: make it idempotent, or conditional.
 *
 * Authentication. With a user the client fetches a token before the first request, and again when etcd refuses it. TLS,
 * client certificates and headers are those of the profile.
 *
 * JSON. Numbers of 64 bits are strings, zero values are left out, keys and values are base64: etcd_u64() and etcd_bytes()
 * read them, etcd_put_u64() and etcd_put_bytes() write them.
 *
 * Threads: all functions and callbacks in the thread of the loop. Errors have no credentials.
 */
#ifndef BASE_ETCD_ETCD_H
#define BASE_ETCD_ETCD_H

#include "base/http/client.h"
#include "base/json/json_value.h"

enum {
    ETCD_TIMEOUT_MS = 5000,         /* of each endpoint */
    ETCD_RESPONSE_MAX = 64 << 20,
    ETCD_COMPACTED = 11, ETCD_UNAUTHENTICATED = 16, ETCD_NOT_FOUND = 5, ETCD_INVALID = 3 /* codes of gRPC */
};

struct etcd;
struct etcd_conf {
    const char *const *endpoints; size_t n_endpoints; /* http(s)://host:port; copied */
    struct client_profile *profile;  /* referenced; NULL: none */
    const char *username, *password; /* copied; NULL: no authentication */
    int64_t timeout_ms;              /* 0: ETCD_TIMEOUT_MS */
};
struct etcd *etcd_new(struct loop *loop, const struct etcd_conf *conf);
void etcd_free(struct etcd *e);      /* no request may be in progress, and no mirror exist */
struct loop *etcd_loop(const struct etcd *e);

struct etcd_response {
    const struct json_value *doc;    /* valid during the callback; NULL: err */
    int code;                        /* gRPC code of an error that etcd returned; 0: none */
    struct err err;
};
struct etcd_request {                /* zeroed; embed it; may be used again in and after `done` */
    void (*done)(struct etcd_request *r, const struct etcd_response *response);
    /* private: */
    struct etcd *etcd;
    struct client_call *call;
    const char *path;
    struct buf body;
    struct arena arena;
    struct json_value_reader reader;
    unsigned tried;                  /* endpoints without a response */
    size_t endpoint;                 /* that it was sent to last */
    bool reauthenticated, waits_for_token, running;
    bool no_json;                    /* the body of an error is none: a proxy's page */
    struct list node;                /* waiting for the token */
};
/* path: "/v3/kv/range", lives as long as the request; body: copied. */
void etcd_send(struct etcd *e, struct etcd_request *r, const char *path, struct str body);
void etcd_cancel(struct etcd_request *r); /* ends it without a callback, and releases it; fine when idle */
static inline bool etcd_request_runs(const struct etcd_request *r) { return r->running; }

/* ---- for watches (etcd_mirror.c): what etcd_send does itself ---- */

/* Appends the URL of the path at the current endpoint. */
void etcd_url(const struct etcd *e, const char *path, struct buf *out);
size_t etcd_endpoint(const struct etcd *e); /* the current one: its index */
void etcd_next_endpoint(struct etcd *e); /* the current one does not respond */
/* The header with the token; NULL: none is needed, or known yet. */
const char *etcd_authorization(const struct etcd *e);
struct client *etcd_client(const struct etcd *e);
struct client_profile *etcd_profile(const struct etcd *e);
/* "etcd http://127.0.0.1:2379", for errors. */
const char *etcd_name(const struct etcd *e);
void etcd_forget_token(struct etcd *e);  /* it was refused: the next request fetches another */

/* ---- JSON ---- */

uint64_t etcd_u64(const struct json_value *object, const char *key);  /* 0 when it is left out */
/* Appends the decoded bytes; false: not base64. Nothing when it is left out. */
bool etcd_bytes(const struct json_value *object, const char *key, struct buf *out) MUST_USE;
void etcd_put_u64(struct json_writer *w, const char *key, uint64_t value);
void etcd_put_bytes(struct json_writer *w, const char *key, struct str bytes);
/* "key" and "range_end" of all keys with a prefix. */
void etcd_put_prefix(struct json_writer *w, struct str prefix);
/* Reads the document of an error: {"error": "...", "code": 5}, or of a stream {"error": {"grpc_code": 5, "message": ...}}. */
int etcd_error(const struct json_value *doc, struct err *err);

#endif
