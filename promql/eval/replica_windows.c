// SPDX-License-Identifier: Apache-2.0
/* Range functions over a series with independent replicas (series.replicas): each window uses the first replica that
 * is complete over it, or the merged samples when there is none. A function fills complete rows, so it is called once
 * for each replica in use, and its values are copied for the windows of that replica.
 *
 * To make that cost little more than one call, each call sees only the samples of those windows, so that the others are
 * empty, or nearly; and each replica has its own struct range_window, since what is worked out for the timestamps
 * of one series holds for the next one of the same target.
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

/* ---- the samples in the windows of one replica ---- */

struct window_period { int64_t after, last; }; /* (after, last] */

/* From window *i on: the next windows of a replica that overlap or touch, as one period; *i moves behind them. */
static bool next_period(const struct eval *ev, const struct range_window *f, const struct range_input *in,
                        uint32_t replica, uint32_t *i, struct window_period *out)
{
    struct window_reach reach = window_reach(in);
    bool found = false;
    for (; *i < ev->grid.n; (*i)++) {
        int64_t end = window_end(in, *i);
        if (f->replica_of[*i] != replica)
            continue;
        if (found && end - reach.back > out->last)
            break;
        if (!found)
            out->after = end - reach.back;
        out->last = end + reach.ahead;
        found = true;
    }
    return found;
}

/* Copies the samples of a period, from index *at on, which moves behind them. Returns how many there are. */
static uint32_t copy_period(const struct series *from, struct window_period p, uint32_t *at, struct sample *to)
{
    *at += samples_first_after(from->samples + *at, from->n_samples - *at, p.after);
    uint32_t n = samples_first_after(from->samples + *at, from->n_samples - *at, p.last);
    if (n > 0)
        memcpy(to, from->samples + *at, n * sizeof *to);
    *at += n;
    return n;
}

static struct series samples_in_windows(struct eval *ev, const struct range_window *f, const struct range_input *in,
                                        uint32_t replica, struct range_window *own)
{
    struct series all = series_of_replica(&f->series, replica), out = {.labels = all.labels};
    struct window_period p;
    arena_grow(ev->arena, &own->visible, &own->visible_cap, all.n_samples, sizeof *own->visible);
    arena_grow(ev->arena, &own->visible_hists, &own->visible_hists_cap, all.n_hists, sizeof *own->visible_hists);
    eval_charge(ev, all.n_samples + all.n_hists);
    for (uint32_t i = 0, s = 0, h = 0; next_period(ev, f, in, replica, &i, &p);) {
        if (s < all.n_samples)
            out.n_samples += copy_period(&all, p, &s, own->visible + out.n_samples);
        while (h < all.n_hists && all.hists[h].t <= p.after)
            h++;
        while (h < all.n_hists && all.hists[h].t <= p.last)
            own->visible_hists[out.n_hists++] = all.hists[h++];
    }
    out.samples = own->visible;
    out.hists = own->visible_hists;
    return out;
}

/* ---- rows ---- */

/* f->of_replica[k], for the merged samples, too. */
static struct range_window *window_of_replica(struct eval *ev, struct range_window *f, uint32_t k)
{
    arena_grow(ev->arena, &f->of_replica, &f->of_replica_cap, f->series.n_replicas + 1, sizeof *f->of_replica);
    for (; f->n_of_replica <= f->series.n_replicas; f->n_of_replica++)
        f->of_replica[f->n_of_replica] = (struct range_window){.drop_buckets = f->drop_buckets};
    return &f->of_replica[k];
}

void replica_windows_fill(struct eval *ev, struct range_call *c, struct row *row)
{
    struct range_window *f = &c->window;
    if (f->spare == NULL)
        f->spare = eval_column(ev);
    for (uint32_t k = 0; k <= f->series.n_replicas; k++) {
        struct row own = {.labels = row->labels, .v = f->spare};
        eval_charge(ev, ev->grid.n);
        if (!replica_is_seen(ev, f, k))
            continue;
        struct range_window *w = window_of_replica(ev, f, k);
        struct series samples = samples_in_windows(ev, f, &c->in, k, w);
        column_clear(own.v, ev->grid.n);
        if (feed_samples(ev, w, &samples, &c->in))
            range_fill_windows(ev, c, f->replica_of, k, &own);
        copy_steps(ev, f, k, &own, row);
    }
}
