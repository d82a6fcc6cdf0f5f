// SPDX-License-Identifier: Apache-2.0
#include "writer/pile.h"

#include "writer/block.h"

static const struct piece nothing = {0, 0, INT64_MAX, INT64_MIN};

void pile_free(struct pile *p)
{
    buf_free(&p->raw);
    mem_free(p->pieces);
    mem_free(p->receipts);
    memset(p, 0, sizeof *p);
}

void pile_mark(struct pile *p)
{
    if (p->raw.n == 0 && p->n_pieces == 0)
        p->open = nothing;
    p->mark_pieces = p->n_pieces;
    p->mark_open = p->open;
    p->mark_n = p->raw.n;
    p->touched = true;
}

void pile_rollback(struct pile *p)
{
    p->n_pieces = p->mark_pieces;
    p->open = p->mark_open;
    p->raw.n = p->mark_n;
    p->touched = false;
}

static void close_piece(struct pile *p)
{
    mem_grow(&p->pieces, &p->_cap_pieces, p->n_pieces + 1, sizeof *p->pieces);
    p->pieces[p->n_pieces++] = p->open;
    p->open = nothing;
    p->open.end = p->raw.n;
}

static void close_if_full(struct pile *p)
{
    size_t begin = p->n_pieces ? p->pieces[p->n_pieces - 1].end : 0;
    if (p->open.n_samples >= BLOCK_SAMPLES || p->raw.n - begin >= BLOCK_RAW_BYTES)
        close_piece(p);
}

static void widen(struct piece *c, int64_t t)
{
    if (t < c->t_min)
        c->t_min = t;
    if (t > c->t_max)
        c->t_max = t;
}

void pile_add(struct pile *p, struct labels labels, const struct series_in *in)
{
    if (in->n_hists == 0 && in->n_exemplars == 0)
        rw_append_series(&p->raw, labels, in->samples, in->n_samples);
    else
        rw_append_full(&p->raw, labels, in->samples, in->n_samples, in->hists, in->n_hists, in->exemplars,
                       in->n_exemplars);
    struct piece *c = &p->open;
    c->end = p->raw.n;
    c->n_samples += (uint32_t)(in->n_samples + in->n_hists);
    for (size_t i = 0; i < in->n_samples; i++)
        widen(c, in->samples[i].t);
    for (size_t i = 0; i < in->n_hists; i++)
        widen(c, rw_hist_time(in->hists[i]));
    close_if_full(p);
}

void pile_add_metadata(struct pile *p, const struct metadata *m)
{
    rw_append_metadata(&p->raw, m);
    p->open.end = p->raw.n;
}

static void join_piece(struct pile *to, struct str bytes, const struct piece *c)
{
    buf_add_str(&to->raw, bytes);
    to->open.end = to->raw.n;
    to->open.n_samples += c->n_samples;
    if (c->n_samples > 0) {
        widen(&to->open, c->t_min);
        widen(&to->open, c->t_max);
    }
    close_if_full(to);
}

void pile_join(struct pile *to, const struct pile *from)
{
    if (pile_empty(to) && to->n_pieces == 0)
        to->open = nothing;
    size_t begin = 0;
    for (size_t i = 0; i <= from->n_pieces; i++) {
        const struct piece *c = i < from->n_pieces ? &from->pieces[i] : &from->open;
        if (c->end > begin)
            join_piece(to, str_n(from->raw.p + begin, c->end - begin), c);
        begin = c->end;
    }
}

bool pile_full(const struct pile *p) { return p->n_pieces > 0; }

void pile_clear(struct pile *p)
{
    buf_clear(&p->raw);
    if (p->raw.cap > 4 * BLOCK_RAW_BYTES)
        buf_free(&p->raw); /* one large push must not be kept for ever */
    p->n_pieces = 0;
    p->open = nothing;
    p->touched = false;
    p->due = 0;
}
