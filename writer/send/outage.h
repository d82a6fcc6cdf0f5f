// SPDX-License-Identifier: Apache-2.0
/* Log lines about a failing destination: one when requests begin to fail, one a minute while they do, one at the end.
 *
 * An outage belongs to the destination, not to a lane: it begins with the first lane whose requests fail and ends when
 * the last such lane succeeds. Each failing lane has a timer for the next line, independent of its retries; the first
 * to fire writes the line. Any lane; the state is under the destination's lock.
 */
#ifndef WRITER_SEND_OUTAGE_H
#define WRITER_SEND_OUTAGE_H

#include <stdbool.h>
#include <stdint.h>

enum { OUTAGE_PERIOD = 60000 };
struct destination_lane;
struct loop_timer;
struct outage {
    unsigned lanes;        /* number of lanes whose requests fail; 0 = no outage */
    int64_t since;         /* Unix ms */
    int64_t since_mono, logged_mono;
    int64_t period;        /* ms between log lines */
    int status;            /* of the last failed request */
    char why[256];
};

void outage_failed(struct destination_lane *dl, int status, const char *why); /* a request failed and will be retried */
void outage_over(struct destination_lane *dl); /* a request succeeded */
void outage_leave(struct destination_lane *dl); /* the lane has nothing left to send, or leaves the destination */
void outage_timer_run(struct loop_timer *timer); /* of destination_lane.outage */

#endif
