// SPDX-License-Identifier: Apache-2.0
/* A sink that writes down what it is given, one line a sample: `m{a="b"} 1 @1000`, stale markers as `m stale @1000`,
 * exemplars as `m{a="b"} exemplar @900`;
 * and jobs loaded from YAML, as the program loads them. For the tests of the scraper. */
#ifndef TESTS_RECORDING_SINK_H
#define TESTS_RECORDING_SINK_H

#include "base/protobuf.h"
#include "base/text/num.h"
#include "model/histogram/histogram.h"
#include "model/remote_write.h"
#include "model/sink.h"
#include "scraper/scraper.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

struct recorder {
    struct sink sink;
    struct buf lines;      /* committed */
    struct buf batch;      /* since begin */
    size_t samples, exemplars, batches, metadata;
    uint64_t source;       /* of the last batch */
    bool open, busy;       /* busy: refuses every batch */
};

static inline enum sink_status recorder_begin(struct sink *s, const struct sink_batch *b)
{
    struct recorder *r = (struct recorder *)s;
    assert_false(r->open);
    assert_true(b->source != 0);
    if (r->busy)
        return SINK_BUSY;
    r->open = true;
    r->source = b->source;
    return SINK_OK;
}

/* `h{} histogram COUNT HINT @1000`, with `since 900` if it has a start time */
static inline void recorder_histogram(struct recorder *r, struct labels labels, struct str message)
{
    enum { FIELD_START = 17 };
    struct arena arena = {0};
    struct histogram h;
    struct err err;
    struct pb_field f;
    int64_t t;
    const uint8_t *p = (const uint8_t *)message.p, *end = p + message.n;
    assert_true(histogram_decode_strict(&arena, p, message.n, &t, &h, &err));
    labels_print(&r->batch, labels);
    buf_printf(&r->batch, " histogram %g %d @%lld", h.count, (int)h.hint, (long long)t);
    while (pb_next(&p, end, &f))
        if (f.number == FIELD_START)
            buf_printf(&r->batch, " since %lld", (long long)f.value);
    buf_add_char(&r->batch, '\n');
    arena_free(&arena);
}

static inline void recorder_series(struct sink *s, const struct series_in *in)
{
    struct recorder *r = (struct recorder *)s;
    struct labels checked;
    assert_true(r->open);
    assert_true(labels_check(in->labels.p, in->labels.n, &checked));
    assert_int_equal(checked.count, in->labels.count);
    for (size_t i = 0; i < in->n_samples; i++) {
        labels_print(&r->batch, in->labels);
        buf_add_char(&r->batch, ' ');
        if (is_stale(in->samples[i].v))
            buf_add_z(&r->batch, "stale");
        else
            buf_add_num(&r->batch, in->samples[i].v);
        buf_printf(&r->batch, " @%lld", (long long)in->samples[i].t);
        if (in->starts && in->starts[i])
            buf_printf(&r->batch, " since %lld", (long long)in->starts[i]);
        buf_add_char(&r->batch, '\n');
        r->samples++;
    }
    for (size_t i = 0; i < in->n_hists; i++)
        recorder_histogram(r, in->labels, in->hists[i]);
    for (size_t i = 0; i < in->n_exemplars; i++) {
        labels_print(&r->batch, in->labels);
        buf_printf(&r->batch, " exemplar @%lld\n", (long long)rw_exemplar_time(in->exemplars[i]));
        r->exemplars++;
    }
}

static inline void recorder_metadata(struct sink *s, const struct metadata *m)
{
    struct recorder *r = (struct recorder *)s;
    assert_true(r->open);
    buf_printf(&r->batch, "# %.*s %s %.*s\n", STR_ARG(m->family), metric_type_name(m->type), STR_ARG(m->help));
    r->metadata++;
}

static inline void recorder_commit(struct sink *s, void (*done)(void *, bool), void *arg)
{
    struct recorder *r = (struct recorder *)s;
    assert_true(r->open);
    buf_add_str(&r->lines, buf_str(&r->batch));
    buf_clear(&r->batch);
    r->batches++;
    r->open = false;
    if (done)
        done(arg, true);
}

static inline void recorder_abort(struct sink *s)
{
    struct recorder *r = (struct recorder *)s;
    buf_clear(&r->batch);
    r->open = false;
}

static const struct sink_ops recorder_ops = {recorder_begin, recorder_series, recorder_metadata, recorder_commit,
                                             recorder_abort};

static inline void recorder_init(struct recorder *r) { *r = (struct recorder){.sink.ops = &recorder_ops}; }
static inline void recorder_forget(struct recorder *r)
{
    buf_clear(&r->lines);
    r->samples = r->exemplars = r->batches = r->metadata = 0;
}
static inline void recorder_free(struct recorder *r)
{
    buf_free(&r->lines);
    buf_free(&r->batch);
}

/* How many lines are exactly this one? */
static inline size_t recorder_count(const struct recorder *r, const char *line)
{
    struct str rest = buf_str(&r->lines), one;
    size_t n = 0;
    while (rest.p && str_cut(&rest, '\n', &one))
        n += str_is(one, line);
    return n;
}
static inline size_t recorder_containing(const struct recorder *r, const char *part)
{
    struct str rest = buf_str(&r->lines), one;
    size_t n = 0;
    while (rest.p && str_cut(&rest, '\n', &one))
        n += one.n > 0 && str_find_str(one, str_of(part)) < one.n;
    return n;
}
#define assert_lines(r, line, n)                                                                       \
    do {                                                                                               \
        if (recorder_count((r), (line)) != (size_t)(n))                                                \
            fail_msg("`%s` stands %zu times in:\n%s", (line), recorder_count((r), (line)), buf_z(&(r)->lines)); \
    } while (0)
#define assert_line(r, line) assert_lines(r, line, 1)

/* ---- jobs from YAML ---- */

static const struct scrape_globals prometheus_globals = {
    .scrape_interval = 60000, .scrape_timeout = 10000, .honor_timestamps = true, .broken_lines_fail = true,
    .targets_kept = {.dropped_max = 10000}};

static inline bool load_job(struct arena *a, const char *text, const struct scrape_globals *g, struct scrape_job *job,
                            struct err *err)
{
    struct yaml *y = yaml_parse(a, str_of(text), "test.yml", err);
    struct conf_context c = {.arena = a, .file = "test.yml"};
    return y && conf_load(&c, &scrape_job_section, y, job, err) && scrape_job_finish(&c, y, job, g, err);
}

static inline void must_load_job(struct arena *a, const char *text, struct scrape_job *job)
{
    struct err err = {0};
    if (!load_job(a, text, &prometheus_globals, job, &err))
        fail_msg("%s", err.text);
}

#endif
