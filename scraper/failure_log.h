// SPDX-License-Identifier: Apache-2.0
/* What the log tells of failing targets: a line when a target begins to fail, or fails for another reason, and one when
 * it is scraped again. A job has three such lines a minute; the targets of the other lines are counted, and one line
 * tells their number and their most common error, some seconds after the first of them and at the end of the minute.
 *
 * Lanes call only when the outcome of a target changes, never for each scrape.
 */
#ifndef SCRAPER_FAILURE_LOG_H
#define SCRAPER_FAILURE_LOG_H

#include "base/err.h"
#include "base/str.h"
#include "base/os/thread.h"

enum {
    FAILURE_LOG_LINES = 3,         /* of single targets, a job and minute */
    FAILURE_LOG_FLUSH_MS = 3000,   /* how often failure_log_flush is called */
    FAILURE_LOG_ERRORS = 8         /* different errors that are told apart */
};
struct failure_log_tally { size_t targets; struct { char text[160]; size_t n; } errors[FAILURE_LOG_ERRORS]; };
struct failure_log {               /* one a job; zeroed, then failure_log_init */
    struct mutex mutex;
    struct str job;                /* borrowed */
    int64_t window;                /* monotonic ms: begin of the minute */
    unsigned lines;                /* of single targets in it */
    bool told;                     /* a summary, in it */
    struct failure_log_tally failing;
    size_t recovered;
};
void failure_log_init(struct failure_log *f, struct str job);
void failure_log_free(struct failure_log *f); /* tells what is not told yet */

/* Any thread. url may have secrets, which are masked. now: monotonic ms. */
void failure_log_failing(struct failure_log *f, struct str url, const char *err, int64_t now);
void failure_log_recovered(struct failure_log *f, struct str url, int64_t failing_ms, int64_t now);
void failure_log_flush(struct failure_log *f, int64_t now); /* tells what has been counted, when it is time */

#endif
