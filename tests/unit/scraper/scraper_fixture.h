// SPDX-License-Identifier: Apache-2.0
/* For tests of the whole scraper: a small HTTP server in a thread, a clock that the test moves, a sink that records. */
#ifndef TESTS_UNIT_SCRAPER_FIXTURE_H
#define TESTS_UNIT_SCRAPER_FIXTURE_H

#include "base/os/thread.h"
#include "base/text/duration.h"
#include "scraper/scraper.h"

#include "recording_sink.h"
#include "tests/unit/http_server.h"

#include <string.h>
#include <unistd.h>

/* ---- the scraper on one loop ---- */

struct scraper_fixture {
    struct http_server server;
    int64_t ms;               /* the clock */
    int64_t wall_offset;      /* of the wall clock from it */
    struct loop *loop;
    struct recorder sink;
    struct scraper *scraper;
    unsigned applied, released;
    bool stopped;
};

static inline int64_t clock_of(void *arg) { return ((struct scraper_fixture *)arg)->ms; }
static inline int64_t wall_of(void *arg)
{
    const struct scraper_fixture *f = arg;
    return f->ms + f->wall_offset;
}
static inline void advance_clock(struct scraper_fixture *f, int64_t ms) { f->ms += ms; }

static inline void fixture_open_with(struct scraper_fixture *f, unsigned max_inflight)
{
    *f = (struct scraper_fixture){.ms = 1000000};
    http_server_start(&f->server, NULL, NULL);
    f->loop = loop_new();
    loop_set_clock(f->loop, (struct loop_clock){wall_of, clock_of, f});
    recorder_init(&f->sink);
    struct sink *sink = &f->sink.sink;
    struct scraper_env env = {.main = f->loop, .lanes = (struct loop *[]){f->loop}, .n_lanes = 1, .sinks = &sink,
                              .max_inflight = max_inflight};
    f->scraper = scraper_new(&env);
}

static inline void fixture_open(struct scraper_fixture *f) { fixture_open_with(f, 0); }

static inline void turns(struct scraper_fixture *f, int n)
{
    while (n-- > 0)
        loop_turn(f->loop, 0);
}

static inline void stopped(void *arg) { ((struct scraper_fixture *)arg)->stopped = true; }

static inline void fixture_close(struct scraper_fixture *f)
{
    if (!f->stopped)
        scraper_stop(f->scraper, stopped, f);
    for (int i = 0; i < 100 && !f->stopped; i++)
        loop_turn(f->loop, 0);
    assert_true(f->stopped);
    scraper_free(f->scraper);
    turns(f, 3);
    assert_int_equal(f->released, f->applied);
    loop_free(f->loop);
    recorder_free(&f->sink);
    http_server_stop(&f->server);
}

struct config { struct arena arena; struct scraper_fixture *fixture; };

static inline void release(void *arg)
{
    struct config *c = arg;
    c->fixture->released++;
    arena_free(&c->arena);
    mem_free(c);
}

/* Applies one job; %d in the text is the server's port, as often as it stands there (twice at most). */
static inline bool apply_without_turns(struct scraper_fixture *f, const char *format, struct err *err)
{
    struct config *c = mem_zalloc(sizeof *c);
    c->fixture = f;
    struct buf text = {0};
    struct str rest = str_of(format), part;
    for (int i = 0; str_cut(&rest, '%', &part); i++) {
        if (i > 0)
            buf_printf(&text, "%d", f->server.port);
        buf_add_str(&text, part);
    }
    struct scrape_job *job = ARENA_NEW(&c->arena, struct scrape_job);
    must_load_job(&c->arena, buf_z(&text), job);
    buf_free(&text);
    bool ok = scraper_apply(f->scraper, job, 1, &prometheus_globals, release, c, err);
    if (!ok) {
        f->released--; /* by us */
        release(c);
    }
    f->applied += ok;
    return ok;
}

static inline bool apply(struct scraper_fixture *f, const char *format, struct err *err)
{
    bool ok = apply_without_turns(f, format, err);
    turns(f, 3);
    return ok;
}

static inline void must_apply(struct scraper_fixture *f, const char *format)
{
    struct err err;
    if (!apply(f, format, &err))
        fail_msg("%s", err.text);
}

/* ---- the state of targets ---- */

static inline void must_read_targets(struct scraper *s, struct loop *loop, struct arena *a, struct scraper_targets *out)
{
    struct err err;
    if (!scraper_targets(s, &(struct scraper_read){.loop = loop}, a, out, &err))
        fail_msg("%s", err.text);
}

struct metadata_seen { size_t n; enum metric_type type; /* of the last one */ };
static inline bool note_metadata(void *arg, const struct target_metadata *m, struct err *err UNUSED)
{
    struct metadata_seen *seen = arg;
    seen->n++;
    seen->type = m->metadata.type;
    return true;
}

static inline struct metadata_seen must_read_metadata(struct scraper *s, struct loop *loop, struct str metric)
{
    struct err err;
    struct metadata_seen seen = {0};
    struct metadata_visit visit = {.metric = metric, .visit = note_metadata, .arg = &seen};
    if (!scraper_metadata(s, &(struct scraper_read){.loop = loop}, &visit, &err))
        fail_msg("%s", err.text);
    return seen;
}

#endif
