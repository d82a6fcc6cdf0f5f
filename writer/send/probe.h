// SPDX-License-Identifier: Apache-2.0
/* The circuit breaker of a destination: while its requests fail, one lane at a time retries for all of them, with a
 * growing delay, and the others wait. When a retry succeeds all lanes continue. The turn goes round among the lanes, so
 * that a block that the destination always fails on holds up no other lane.
 *
 * A lane calls these for itself; what the lanes share is under the destination's lock. Nothing here is on the path of a
 * block while the destination works.
 */
#ifndef WRITER_SEND_PROBE_H
#define WRITER_SEND_PROBE_H

#include <stdbool.h>
#include <stdint.h>

struct destination_lane;
struct probe {
    unsigned lanes;   /* that wait; 0: the destination works */
    unsigned turn;    /* index of the lane that retries for all of them */
    bool armed;       /* it has, or gets, a timer for that; else its request is in flight */
    int64_t backoff;  /* ms, before the last retry */
};

/* A request of this lane failed and is retried; wait_ms: that the response demands, 0 = the backoff. */
void probe_failed(struct destination_lane *dl, int64_t wait_ms);
void probe_begun(struct destination_lane *dl);     /* its timer has fired: it retries now */
void probe_succeeded(struct destination_lane *dl); /* all lanes continue; this one does so itself */
void probe_left(struct destination_lane *dl);      /* the lane has nothing left to send, or leaves the destination */

#endif
