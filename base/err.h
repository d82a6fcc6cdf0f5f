// SPDX-License-Identifier: Apache-2.0
/* An error: its kind, and a sentence with the object, the value, the place and the remedy.
 *
 * A function that can fail returns false and fills the caller's struct err; on success it does not touch it. `text`
 * is for people ("config.yml:14: scrape_interval: \"10x\" is not a duration"). One table maps a kind to the HTTP
 * status and to the errorType of the Prometheus API.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include "base/mem.h"

#include <stdbool.h>

enum err_kind {
    ERR_NONE = 0,
    ERR_BAD_DATA,     /* invalid request, query or file: 400 bad_data */
    ERR_EXEC,         /* valid query that cannot be evaluated: 422 execution */
    ERR_LIMIT,        /* one of our limits (samples, memory, size): 422 execution */
    ERR_TIMEOUT,      /* a deadline passed: 503 timeout */
    ERR_CANCELED,     /* the client disconnected: 499 canceled */
    ERR_INTERNAL,     /* internal error: 500 internal */
    ERR_UNAVAILABLE,  /* not ready, or no server available: 503 unavailable */
    ERR_BAD_GATEWAY,  /* a downstream server returned an error or an invalid response: 502 bad_gateway */
    ERR_GATEWAY_TIME, /* a downstream server did not respond in time: 504 timeout */
    ERR_THROTTLED,    /* a peer throttles us: 429 too_many_requests */
    ERR_TOO_LARGE,    /* a body over its limit: 413 bad_data */
    ERR_NOT_FOUND,    /* 404 not_found */
    ERR_UNSUPPORTED,  /* 415 bad_data: content type or encoding */
    ERR_LOOP,         /* a query came back to its sender: 508 loop_detected */
    ERR_KINDS
};

struct err {
    enum err_kind kind;
    int retry_after; /* seconds, 0 = not set; for ERR_THROTTLED and ERR_UNAVAILABLE */
    char text[512];  /* NUL-terminated; a longer text is cut at a UTF-8 boundary */
};

/* Fills `e` and returns false, so that `return err_set(e, ...)` reads well. `e` may be NULL. */
bool err_set(struct err *e, enum err_kind kind, const char *format, ...) PRINTF(3, 4);

/* Prepends "text: " to the error, keeping its kind. Returns false. */
bool err_wrap(struct err *e, const char *format, ...) PRINTF(2, 3);

int err_http_status(enum err_kind kind);
const char *err_type(enum err_kind kind); /* errorType of the API, "" for ERR_NONE */

#endif
