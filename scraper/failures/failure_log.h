// SPDX-License-Identifier: Apache-2.0
/* Log lines about failing targets, limited per job.
 *
 * A target is logged when it begins to fail, fails for another reason, or is scraped again: up to three such lines a
 * job and minute. Further targets are counted; one line reports their number and most common error, some seconds after
 * the first of them and at the end of the minute. Lanes call only when the outcome of a target changes, not for each
 * scrape.
 */
#ifndef SCRAPER_FAILURE_LOG_H
#define SCRAPER_FAILURE_LOG_H

#include "base/err.h"
#include "base/str.h"
#include "base/os/thread.h"

enum {
    FAILURE_LOG_LINES = 3,         /* lines about single targets, per job and minute */
    FAILURE_LOG_FLUSH_MS = 3000,   /* interval of failure_log_flush */
    FAILURE_LOG_ERRORS = 8         /* different errors that are counted separately */
};
struct failure_log_tally { size_t targets; struct { char text[160]; size_t n; } errors[FAILURE_LOG_ERRORS]; };
struct failure_log {               /* one per job; zero it, then failure_log_init */
    struct mutex mutex;
    struct str job;                /* borrowed */
    int64_t window;                /* monotonic ms: start of the minute */
    unsigned lines;                /* lines about single targets in this minute */
    bool summarized;                     /* a summary was logged in this minute */
    struct failure_log_tally failing;
    size_t recovered;
};
void failure_log_init(struct failure_log *f, struct str job);
void failure_log_free(struct failure_log *f); /* logs what has been counted */

/* Any thread. Secrets in url are masked. now: monotonic ms. */
void failure_log_failing(struct failure_log *f, struct str url, const char *err, int64_t now);
void failure_log_recovered(struct failure_log *f, struct str url, int64_t failing_ms, int64_t now);
void failure_log_flush(struct failure_log *f, int64_t now); /* logs a summary when it is due */

#endif
