// SPDX-License-Identifier: Apache-2.0
/* Which of the expressions that a server evaluated are checked (gateway/background/push_checks.h), and those that it was
 * found to compute otherwise than we do. State of a server, in its struct server_health; any thread. */
#ifndef GATEWAY_SERVERS_PUSH_SAMPLES_H
#define GATEWAY_SERVERS_PUSH_SAMPLES_H

#include "base/arena.h"
#include "base/buf.h"

#include <stdatomic.h>

enum {
    PUSH_SAMPLED = 997,             /* one of so many is checked; prime: all of a fixed cycle get their turn */
    PUSH_SAMPLE_TEXT = 64 << 10,    /* bytes of an expression at most */
    PUSH_DISPROVED = 3              /* so many wrong expressions: nothing is pushed to this version */
};

struct push_sample {
    struct str text;                /* of the expression, with the server's labels */
    int64_t start, step; uint32_t n; /* ms; its grid */
    int64_t lookback;               /* ms */
};
struct push_samples {               /* zeroed: none */
    atomic_uint_fast64_t n_evaluated;
    atomic_bool waits;              /* a sample waits to be taken */
    struct buf text; struct push_sample sample; /* the latter's text is unset; under the mutex of server_health */
    /* Hashes of expressions, and the version of the server to which they apply. */
    _Atomic uint64_t disproved[PUSH_DISPROVED]; atomic_uint n_disproved, version;
};

struct server_health;
/* The server has evaluated it: keeps it if it is the one of so many. Results that depend on the order of series are not
 * compared, nor those that may be nothing but rounding errors: differences, and deviations of equal values. */
void push_sample_offer(struct server_health *h, const struct push_sample *s);
/* The sample that waits, in the arena. */
bool push_sample_take(struct server_health *h, struct arena *a, struct push_sample *out);
/* It computes this expression otherwise, which holds until its version is another one. */
void push_disprove(struct server_health *h, struct str text);
bool push_is_disproved(const struct server_health *h, struct str text);

#endif
