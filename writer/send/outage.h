// SPDX-License-Identifier: Apache-2.0
/* The log's story of a destination that takes nothing: it begins, goes on (a line each minute), and ends.
 *
 * One story for a destination, not one for each lane: it begins with the first lane whose requests fail and ends when
 * the last one gets through again. Each lane in it has a timer for the time at which the next line is due, whenever its
 * next retry may be; the first one to get there writes the line. Any lane; the state is under the destination's lock.
 */
#ifndef WRITER_SEND_OUTAGE_H
#define WRITER_SEND_OUTAGE_H

#include <stdbool.h>
#include <stdint.h>

enum { OUTAGE_PERIOD = 60000 };
struct destination_lane;
struct loop_timer;
struct outage {
    unsigned lanes;        /* whose requests fail; 0 = there is no outage */
    int64_t since;         /* Unix ms */
    int64_t since_mono, logged_mono;
    int64_t period;        /* ms from line to line */
    int status;            /* of the last request that failed */
    char why[256];
};

void outage_failed(struct destination_lane *dl, int status, const char *why); /* a request is to be retried */
void outage_over(struct destination_lane *dl); /* a request got through */
void outage_forget(struct destination_lane *dl); /* the lane sends nothing more */
void outage_timer_run(struct loop_timer *timer); /* of dest_lane.outage */

#endif
