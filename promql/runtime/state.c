// SPDX-License-Identifier: Apache-2.0
/* The state of a query that is being evaluated: how it ends (errors, deadline), what it must give back then, and the
 * samples that it holds and has read. */
#include "promql/runtime/runtime.h"

#include <stdio.h>

void eval_stop(struct eval *ev) { longjmp(ev->stop, 1); }

void eval_fail(struct eval *ev, enum err_kind kind, const char *format, ...)
{
    char text[sizeof ev->err->text];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    err_set(ev->err, kind, "%s", text);
    eval_stop(ev);
}

void eval_check(struct eval *ev)
{
    if (!query_work_check(&ev->work, ev->err))
        eval_stop(ev);
}

void eval_on_end(struct eval *ev, void (*fn)(void *arg), void *arg)
{
    struct eval_end *end = ARENA_NEW(ev->arena, struct eval_end);
    *end = (struct eval_end){fn, arg, ev->ends};
    ev->ends = end;
}

static void free_buf(void *buf) { buf_free(buf); }

struct buf *eval_buf(struct eval *ev)
{
    struct buf *b = ARENA_NEW(ev->arena, struct buf);
    eval_on_end(ev, free_buf, b);
    return b;
}

void eval_hold(struct eval *ev, uint64_t samples)
{
    ev->live += samples;
    if (ev->live > ev->stats.peak_samples)
        ev->stats.peak_samples = ev->live;
    if (ev->live > ev->max_samples)
        eval_fail(ev, ERR_LIMIT, "query processing would load too many samples into memory in query execution");
}

void eval_count_read(struct eval *ev, uint32_t i, uint64_t samples)
{
    ev->stats.samples += samples;
    if (ev->per_step == NULL)
        return;
    /* Inner grids (subqueries, @) count at the first outer step that is not before them. */
    int64_t t = grid_time(&ev->grid, i), past = t - ev->outer.start;
    int64_t step = past <= 0 ? 0 : (past + ev->outer.step - 1) / ev->outer.step;
    ev->per_step[step < ev->outer.n ? step : ev->outer.n - 1] += samples;
}

struct sample_budget sample_budget_pause(struct eval *ev)
{
    struct sample_budget t = {ev->stats.samples, ev->per_step};
    ev->per_step = NULL;
    return t;
}

uint64_t sample_budget_resume(struct eval *ev, struct sample_budget t)
{
    uint64_t read = ev->stats.samples - t.samples;
    ev->stats.samples = t.samples;
    ev->per_step = t.per_step;
    return read;
}

static void release_set(void *set) { series_set_release(set); }

void eval_select(struct eval *ev, const struct select *sel, struct series_set *out)
{
    *out = (struct series_set){0};
    eval_on_end(ev, release_set, out);
    if (!ev->source->ops->select(ev->source, ev->q, sel, 1, out, ev->err))
        eval_stop(ev);
}
