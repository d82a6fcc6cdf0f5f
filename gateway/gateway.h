/* The running program: what main built, and what handlers need of it. One `gateway` a process.
 *
 * The configuration and what was made of it change with a reload: whoever needs them takes a reference of his own, uses it, and
 * gives it back; a query keeps the old ones until it is done.
 */
#ifndef GATEWAY_GATEWAY_H
#define GATEWAY_GATEWAY_H

#include "gateway/config.h"
#include "gateway/lane.h"

enum gateway_state { GATEWAY_STARTING, GATEWAY_READY, GATEWAY_STOPPING };

struct gateway {
    struct flags flags;            /* immutable once started, as all of this but what is said otherwise */
    struct loop *main;
    struct lane **lanes; unsigned n_lanes;
    struct writer *writer;
    struct scraper *scraper;
    int64_t started;               /* Unix ms */
    _Atomic int state;             /* enum gateway_state */
    _Atomic bool reload_ok;        /* how the last load of the configuration went, and when (Unix ms) */
    _Atomic int64_t reloaded_at;   /* the last good one */
    struct mutex _mutex;           /* guards the two below */
    struct config *_config;
    struct upstream *_upstream;
};
extern struct gateway gateway;

/* Any thread. References: config_unref, upstream_unref. */
struct config *gateway_config(void);
struct upstream *gateway_upstream(void);

/* Main: loads the file and applies it, all or nothing: on false the old configuration goes on. */
bool gateway_load(struct err *err) MUST_USE;
/* Any lane: asks main to reload, or to end the program; done runs on that lane, err is NULL when it went well. */
void gateway_ask_reload(struct lane *lane, void (*done)(void *arg, const struct err *err), void *arg);
void gateway_ask_quit(void);

#endif
