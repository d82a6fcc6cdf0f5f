// SPDX-License-Identifier: Apache-2.0
/* Requests of Prometheus' remote_read, decoded (the encoder, for servers that we read from, is in
 * gateway/upstream/decode/remote_read.h):
 *
 *   ReadRequest  { repeated Query queries = 1; repeated ResponseType accepted_response_types = 2 }
 *   Query        { start = 1; end = 2; repeated Matcher matchers = 3; Hints hints = 4 }
 *
 * Untrusted; errors are ERR_BAD_DATA. Everything is in the arena.
 */
#ifndef GATEWAY_READ_READ_QUERY_H
#define GATEWAY_READ_READ_QUERY_H

#include "model/source.h"

enum { READ_QUERIES_MAX = 1024, READ_BODY_MAX = 32 << 20 /* decompressed */ };
enum read_form { READ_SAMPLES, READ_CHUNKS };
struct read_query {
    int64_t start, end;              /* ms, inclusive */
    struct matcher *matchers; size_t n_matchers;
    bool has_hints;
    int64_t hint_start, hint_end, step, range; /* of hints; 0 = absent */
    struct str func;                 /* "series": labels without samples */
};
struct read_call {
    struct read_query *queries; size_t n;
    enum read_form form;             /* the first of the accepted ones that is known; SAMPLES if none is named */
};
/* body: snappy-compressed. An arena with a limit has on_full; nothing leaks when that leaves by longjmp. */
bool read_call_decode(struct arena *a, struct str body, struct read_call *out, struct err *err) MUST_USE;

#endif
