// SPDX-License-Identifier: Apache-2.0
/* The result of the last load of the configuration, for /-/reload/status and metrics: errors of one that failed;
 * otherwise its warnings, and what it has changed. Any thread.
 */
#ifndef GATEWAY_SERVICES_RELOAD_REPORT_H
#define GATEWAY_SERVICES_RELOAD_REPORT_H

#include "gateway/config/config.h"

struct reload_message { enum reload_level { RELOAD_ERROR, RELOAD_WARNING, RELOAD_INFO } level; struct str text; };
struct reload_report { /* immutable */
    struct refs refs;
    bool ok;
    bool start;                   /* the program's start */
    int64_t began, ended;         /* Unix ms */
    uint64_t hash;                /* of the running configuration (config_hash) */
    struct reload_message *messages; size_t n; size_t _cap;
    struct arena _texts;
};
struct reload_report *reload_report_new(bool start, int64_t began);
void reload_report_add(struct reload_report *r, enum reload_level level, struct str text);
void reload_report_add_lines(struct reload_report *r, enum reload_level level, struct str lines);
void reload_report_add_warnings(struct reload_report *r, const struct flags *f, const struct config *c);
void reload_report_unref(struct reload_report *r);
const char *reload_level_name(enum reload_level level); /* "error" */

/* The last one, and counts of reloads. */
struct reload_history {
    struct mutex _lock;
    struct reload_report *_last;  /* NULL: none yet */
    _Atomic uint64_t done, failed; /* without the start */
};
void reload_history_init(struct reload_history *h);
void reload_history_free(struct reload_history *h);
void reload_history_put(struct reload_history *h, struct reload_report *r); /* ends it, and takes the reference */
struct reload_report *reload_history_last(struct reload_history *h); /* a reference, or NULL */

#endif
