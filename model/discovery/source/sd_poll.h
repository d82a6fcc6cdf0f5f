// SPDX-License-Identifier: Apache-2.0
/* Private to model/discovery/: a source that is read over the network, once an interval: a URL, a name of the DNS.
 *
 * A read that fails keeps the targets of the last one that succeeded, and is retried after a random time between half an
 * interval and a whole one. Errors are counted each time and logged when they begin or change. Nobody waits longer than
 * SD_POLL_LATE_MS for the end of a read. Changes are reported by part (groups/sd_parts.h).
 */
#ifndef MODEL_DISCOVERY_SD_POLL_H
#define MODEL_DISCOVERY_SD_POLL_H

#include "model/discovery/source/sd_source.h"
#include "model/discovery/groups/sd_parts.h"
#include "model/discovery/groups/sd_stats.h"

enum { SD_POLL_LATE_MS = 5000 };

struct sd_poll;
struct sd_poll_ops {
    void (*begin)(struct sd_poll *p); /* sd_poll_succeeded or sd_poll_failed follows, possibly within the call */
    void (*free)(struct sd_poll *p);  /* ends a read in progress and frees the kind's struct */
};
struct sd_poll {                 /* first member of the kind's struct */
    struct sd_source source;
    const struct sd_poll_ops *ops;
    struct sd_source_env env;    /* owner.name: owned */
    int64_t interval;            /* ms */
    enum sd_stat failures;
    struct sd_found found;       /* source: owned; without groups */
    struct sd_parts parts;
    char *shown;                 /* the source without secrets, for messages; owned */
    char *error;                 /* of the last read; NULL: it succeeded, or none has ended */
    struct loop_timer due, late;
    int64_t failing_since;       /* loop_mono of the first failure in a row; 0: none */
    bool reading, hangs, awaited, ended, has_news; /* ended: a read has, whichever way */
    bool drained;                /* all parts of the first list have been visited */
};
/* found.source, shown and source.key are copied; found.groups is NULL. */
void sd_poll_init(struct sd_poll *p, const struct sd_poll_ops *ops, const struct sd_source_env *env, int64_t interval,
                  enum sd_stat failures, const struct sd_found *found, const char *shown, struct str key);
void sd_poll_succeeded(struct sd_poll *p, struct sd_groups *groups); /* takes the reference; NULL: as before */
void sd_poll_failed(struct sd_poll *p, const char *why);

/* Shared with sd_follow.c, whose sources are read over the network, too. */
struct sd_found_visit { const struct sd_found *found; sd_visit_fn *visit; void *arg; };
void sd_found_visit_part(void *arg, const void *part, struct sd_groups *groups); /* sd_part_fn; arg: sd_found_visit */
/* Half of ms and a random part of the other half, so that sources that failed together are not retried together. Main
 * thread. */
int64_t sd_jitter(int64_t ms);
bool sd_failing_for_long(const struct loop *main, int64_t since); /* since: loop_mono; 0: not failing */
/* Appends why the source has no current targets: its last error, or that a read hangs or has not ended. */
void sd_explain_reads(struct buf *out, const char *shown, const char *error, bool hangs, bool ended);

#endif
