// SPDX-License-Identifier: Apache-2.0
/* One error: what kind it is, and a sentence that names the thing, the value, the place and what to do.
 *
 * A function that can fail returns false and fills the caller's struct err; on success it leaves it alone. `text` is
 * for people ("config.yml:14: scrape_interval: \"10x\" is not a duration"). One table maps a kind to the HTTP status
 * and to the errorType of the Prometheus API.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include "base/mem.h"

#include <stdbool.h>

enum err_kind {
    ERR_NONE = 0,
    ERR_BAD_DATA,     /* the request, the query or a file is wrong: 400 bad_data */
    ERR_EXEC,         /* the query is right but cannot be evaluated: 422 execution */
    ERR_LIMIT,        /* a limit of ours (samples, memory, size): 422 execution */
    ERR_TIMEOUT,      /* a deadline passed: 503 timeout */
    ERR_CANCELED,     /* the client left: 499 canceled */
    ERR_INTERNAL,     /* our fault: 500 internal */
    ERR_UNAVAILABLE,  /* not ready, or nobody to ask: 503 unavailable */
    ERR_BAD_GATEWAY,  /* a downstream server answered with nonsense or an error: 502 bad_gateway */
    ERR_GATEWAY_TIME, /* a downstream server did not answer in time: 504 timeout */
    ERR_THROTTLED,    /* somebody asks us to slow down: 429 too_many_requests */
    ERR_TOO_LARGE,    /* a body over its limit: 413 bad_data */
    ERR_NOT_FOUND,    /* 404 not_found */
    ERR_UNSUPPORTED,  /* 415 bad_data: content type or encoding */
    ERR_KINDS
};

struct err {
    enum err_kind kind;
    int retry_after; /* seconds, 0 = not said; for ERR_THROTTLED and ERR_UNAVAILABLE */
    char text[512];  /* always ends in NUL; a longer text is cut at a UTF-8 border */
};

/* Fills `e` and returns false, so that `return err_set(e, ...)` reads well. `e` may be NULL. */
bool err_set(struct err *e, enum err_kind kind, const char *format, ...) PRINTF(3, 4);

/* Puts "text: " before what is there, keeping the kind. Returns false. */
bool err_wrap(struct err *e, const char *format, ...) PRINTF(2, 3);

int err_http_status(enum err_kind kind);
const char *err_type(enum err_kind kind); /* errorType of the API, "" for ERR_NONE */

#endif
