// SPDX-License-Identifier: Apache-2.0
/* Signatures of AWS, version 4, in the Authorization header. Pure; any thread. */
#ifndef BASE_AWS_SIGV4_H
#define BASE_AWS_SIGV4_H

#include "base/buf.h"

#include <stdint.h>

/* Of a request to `url`, which must be valid: appends the header lines with the signature, X-Amz-Date,
 * X-Amz-Content-Sha256, X-Amz-Security-Token (if the session token is not empty) and Host, and a line feed each. host: of a
 * request that has a Host header already, its value, which is signed instead of the URL's and not appended; else empty. */
struct sigv4_key { struct str region, service, access_key, secret_key, session_token; };
void sigv4_add_lines(const struct sigv4_key *key, struct str method, struct str url, struct str host, struct str body,
                     int64_t now, struct buf *out);

/* The parts of it. */
struct sigv4_header { struct str name, value; };
enum { SIGV4_HEADERS = 8 };
struct sigv4_request {
    struct str method, path, query; /* as they are sent, the query without "?" */
    const struct sigv4_header *headers; size_t n_headers; /* that are signed, in any order; at most SIGV4_HEADERS */
    struct str body;
};
/* Appends the value of the Authorization header. `now` is Unix time in seconds, as in the header X-Amz-Date. */
void sigv4_authorization(const struct sigv4_key *key, const struct sigv4_request *request, int64_t now,
                         struct buf *out);
void sigv4_add_date(struct buf *out, int64_t now);            /* value of X-Amz-Date: 20150830T123600Z */
void sigv4_add_body_hash(struct buf *out, struct str body);   /* value of X-Amz-Content-Sha256 */

#endif
