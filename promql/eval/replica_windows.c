// SPDX-License-Identifier: Apache-2.0
/* Range functions over a series with independent replicas (series.replicas): each window uses the first replica that
 * is complete over it, or the merged samples when there is none. A function fills complete rows, so it is called once
 * for each replica in use, and its values are copied for the windows of that replica.
 */
#include "promql/eval/eval_internal.h"

/* Index of the first replica with a span that contains the window; n_replicas when there is none. Spans that end
 * before the window are skipped permanently: windows only move forward. */
static uint32_t replica_of_window(const struct series *s, int64_t start, int64_t end, uint32_t *spans)
{
    for (uint32_t k = 0; k < s->n_replicas; k++) {
        const struct series_replica *r = &s->replicas[k];
        while (spans[k] < r->n_spans && r->spans[spans[k]].end_to < end)
            spans[k]++;
        const struct series_span *span = &r->spans[spans[k]];
        if (spans[k] < r->n_spans && span->start <= start && span->end_from <= end)
            return k;
    }
    return s->n_replicas;
}

struct series series_of_replica(const struct series *s, uint32_t replica)
{
    struct series own = {.labels = s->labels, .samples = s->samples, .n_samples = s->n_samples,
                         .hists = s->hists, .n_hists = s->n_hists};
    if (replica < s->n_replicas) {
        const struct series_replica *r = &s->replicas[replica];
        own.samples = r->samples;
        own.n_samples = r->n_samples;
        own.hists = r->hists;
        own.n_hists = r->n_hists;
    }
    return own;
}

bool replica_windows_find(struct eval *ev, struct range_window *f, const struct series *s, const struct range_input *in)
{
    struct arena_mark mark;
    bool one = true;
    eval_charge(ev, ev->grid.n);
    if (f->replica_of == NULL)
        f->replica_of = ARENA_ARRAY(ev->arena, uint32_t, ev->grid.n);
    mark = arena_mark(ev->arena);
    uint32_t *spans = ARENA_ARRAY(ev->arena, uint32_t, s->n_replicas);
    for (uint32_t i = 0; i < ev->grid.n; i++) {
        int64_t end = window_end(in, i);
        f->replica_of[i] = replica_of_window(s, end - in->range, end, spans);
        one = one && f->replica_of[i] == f->replica_of[0];
    }
    arena_release(ev->arena, mark);
    return one;
}

static bool replica_is_seen(const struct eval *ev, const struct range_window *f, uint32_t replica)
{
    for (uint32_t i = 0; i < ev->grid.n; i++)
        if (f->replica_of[i] == replica)
            return true;
    return false;
}

static void copy_steps(struct eval *ev, const struct range_window *f, uint32_t replica, const struct row *from,
                       struct row *to)
{
    for (uint32_t i = 0; i < ev->grid.n; i++) {
        if (f->replica_of[i] != replica)
            continue;
        if (row_hist(from, i))
            row_set_hist(ev, to, i, row_hist(from, i));
        else
            row_set(to, i, from->v[i]);
    }
}

void replica_windows_fill(struct eval *ev, struct range_call *c, struct row *row)
{
    struct series all = c->window.series;
    if (c->window.spare == NULL)
        c->window.spare = eval_column(ev);
    for (uint32_t k = 0; k <= all.n_replicas; k++) {
        struct row own = {.labels = row->labels, .v = c->window.spare};
        struct series samples = series_of_replica(&all, k);
        eval_charge(ev, ev->grid.n);
        if (!replica_is_seen(ev, &c->window, k))
            continue;
        column_clear(own.v, ev->grid.n);
        if (feed_samples(ev, &c->window, &samples, &c->in))
            c->impl->range(ev, &c->in, &own);
        copy_steps(ev, &c->window, k, &own, row);
    }
}
