// SPDX-License-Identifier: Apache-2.0
/* What clients notice of a stop, which takes these steps:
 *
 * 1. --http.shutdownDelay: everything is served, but health checks return 503 (services_leaving), so that load
 *    balancers use another server. A second signal or request ends it.
 * 2. From the stop on queries and pushes get 503, while scraper and writer end (main.c).
 * 3. Requests that handlers or workers still have, and responses that clients have not read, are waited for, at most
 *    until --http.maxGracefulShutdownDuration after step 2 began. Then they are canceled.
 */
#ifndef GATEWAY_DRAIN_H
#define GATEWAY_DRAIN_H

#include "gateway/services/services.h"

struct drain {
    struct services *services;
    void (*stop)(struct services *s);  /* step 2; any thread */
    void (*ended)(struct services *s); /* after step 3, on the control thread */
    struct loop_task begin;
    struct loop_timer delay, poll;
    int64_t until;                     /* of step 3, clock_mono_ms */
};
void drain_init(struct drain *d, struct services *s, void (*stop)(struct services *s), void (*ended)(struct services *s));
/* Any thread: a stop is requested: begins step 1, or calls `stop`. */
void drain_request(struct drain *d);
void drain_note_stop(struct drain *d);   /* control thread: step 2 has begun */
void drain_requests(struct drain *d);    /* control thread: begins step 3 */
/* Longest duration of step 1 that is left to a signal now, ms. */
int64_t drain_delay(const struct drain *d);
void drain_free(struct drain *d);        /* control thread */

#endif
