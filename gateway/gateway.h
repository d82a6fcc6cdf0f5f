// SPDX-License-Identifier: Apache-2.0
/* The running program: what main built, and what handlers need of it. One `gateway` a process.
 *
 * The configuration and what was made of it change with a reload: whoever needs them takes a reference of his own,
 * uses it, and gives it back; a query keeps the old ones until it is done.
 */
#ifndef GATEWAY_GATEWAY_H
#define GATEWAY_GATEWAY_H

#include "gateway/config/config.h"
#include "gateway/lane.h"

enum gateway_state { GATEWAY_STARTING, GATEWAY_READY, GATEWAY_STOPPING };

struct gateway {
    struct flags flags;            /* immutable once started, as all of this but what is said otherwise */
    struct loop *main;
    struct lane **lanes; unsigned n_lanes;
    struct http_limits http;       /* what clients may hold */
    struct budget queries;         /* arenas, decoders and rendered results of queries at work */
    struct writer *writer;
    struct scraper *scraper;
    int64_t started;               /* Unix ms */
    _Atomic int state;             /* enum gateway_state */
    _Atomic bool reload_ok;        /* how the last load of the configuration went */
    _Atomic int64_t reloaded_at;   /* Unix ms of the last good one */
    struct mutex _mutex;           /* guards the two below */
    struct config *_config;
    struct upstream *_upstream;
};
extern struct gateway gateway;

/* Any thread. References: config_unref, upstream_unref. */
struct config *gateway_config(void);
struct upstream *gateway_upstream(void);

/* Main: makes `c` (taken) the running configuration, all or nothing: on false the old one goes on. */
bool gateway_apply(struct config *c, struct err *err) MUST_USE;
/* Main: reads the file again and applies it. Logs how it went. */
bool gateway_reload(struct err *err);
/* Any lane: asks main to reload; done runs on that lane once the new configuration is in force (err NULL), or with
 * the reason why it is not. */
void gateway_request_reload(struct lane *lane, void (*done)(void *arg, const struct err *err), void *arg);
/* Any thread: asks main to end the program in good order. */
void gateway_request_quit(void);
void gateway_watch_config(void);   /* main: looks at the file every --promscrape.configCheckInterval */
void gateway_unwatch_config(void);
void gateway_release(void);        /* main, at the end: gives back the configuration */

#endif
