// SPDX-License-Identifier: Apache-2.0
/* For tests of the whole scraper: a small HTTP server in a thread, a clock that the test moves, a sink that records. */
#ifndef TESTS_UNIT_SCRAPER_WORLD_H
#define TESTS_UNIT_SCRAPER_WORLD_H

#include "base/os/thread.h"
#include "base/text/duration.h"
#include "scraper/scraper.h"

#include "recording_sink.h"
#include "tests/unit/http_server.h"

#include <string.h>
#include <unistd.h>

/* ---- the scraper on one loop ---- */

struct world {
    struct http_server server;
    int64_t ms;               /* the clock */
    int64_t wall_offset;      /* of the wall clock from it */
    struct loop *loop;
    struct recorder sink;
    struct scraper *scraper;
    unsigned applied, released;
    bool stopped;
};

static inline int64_t clock_of(void *arg) { return ((struct world *)arg)->ms; }
static inline int64_t wall_of(void *arg) { return ((struct world *)arg)->ms + ((struct world *)arg)->wall_offset; }

static inline void world_open_with(struct world *w, unsigned max_inflight)
{
    *w = (struct world){.ms = 1000000};
    http_server_start(&w->server, NULL, NULL);
    w->loop = loop_new();
    loop_set_clock(w->loop, (struct loop_clock){wall_of, clock_of, w});
    recorder_init(&w->sink);
    struct sink *sink = &w->sink.sink;
    struct scraper_env env = {.main = w->loop, .lanes = (struct loop *[]){w->loop}, .n_lanes = 1, .sinks = &sink,
                              .max_inflight = max_inflight};
    w->scraper = scraper_new(&env);
}

static inline void world_open(struct world *w) { world_open_with(w, 0); }

static inline void turns(struct world *w, int n)
{
    while (n-- > 0)
        loop_turn(w->loop, 0);
}

static inline void stopped(void *arg) { ((struct world *)arg)->stopped = true; }

static inline void world_close(struct world *w)
{
    scraper_stop(w->scraper, stopped, w);
    for (int i = 0; i < 100 && !w->stopped; i++)
        loop_turn(w->loop, 0);
    assert_true(w->stopped);
    scraper_free(w->scraper);
    turns(w, 3);
    assert_int_equal(w->released, w->applied);
    loop_free(w->loop);
    recorder_free(&w->sink);
    http_server_stop(&w->server);
}

struct config { struct arena arena; struct world *world; };

static inline void release(void *arg)
{
    struct config *c = arg;
    c->world->released++;
    arena_free(&c->arena);
    mem_free(c);
}

/* Applies one job; %d in the text is the server's port, as often as it stands there (twice at most). */
static inline bool apply(struct world *w, const char *format, struct err *err)
{
    struct config *c = mem_zalloc(sizeof *c);
    c->world = w;
    struct buf text = {0};
    struct str rest = str_of(format), part;
    for (int i = 0; str_cut(&rest, '%', &part); i++) {
        if (i > 0)
            buf_printf(&text, "%d", w->server.port);
        buf_add_str(&text, part);
    }
    struct scrape_job *job = ARENA_NEW(&c->arena, struct scrape_job);
    must_load_job(&c->arena, buf_z(&text), job);
    buf_free(&text);
    bool ok = scraper_apply(w->scraper, job, 1, &prometheus_globals, release, c, err);
    if (!ok) {
        w->released--; /* by us */
        release(c);
    }
    w->applied += ok;
    turns(w, 3);
    return ok;
}

static inline void must_apply(struct world *w, const char *format)
{
    struct err err;
    if (!apply(w, format, &err))
        fail_msg("%s", err.text);
}

#endif
