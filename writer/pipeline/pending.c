// SPDX-License-Identifier: Apache-2.0
/* Bytes that wait to become blocks: appending with block boundaries, rollback of an aborted batch, and joining bytes
 * from another lane. */
#include "writer/pipeline/pending.h"

#include "writer/queue/block.h"

#include "model/remote_write.h"

static const struct pending_block empty_block = {.t_min = INT64_MAX, .t_max = INT64_MIN};

void pending_free(struct pending *p)
{
    buf_free(&p->raw);
    mem_free(p->blocks);
    mem_free(p->acks);
    memset(p, 0, sizeof *p);
}

void pending_mark(struct pending *p)
{
    if (p->raw.n == 0 && p->n_blocks == 0)
        p->open = empty_block;
    p->mark_blocks = p->n_blocks;
    p->mark_open = p->open;
    p->mark_n = p->raw.n;
    p->touched = true;
}

void pending_rollback(struct pending *p)
{
    p->n_blocks = p->mark_blocks;
    p->open = p->mark_open;
    p->raw.n = p->mark_n;
    p->touched = false;
}

static void pending_close_block(struct pending *p)
{
    mem_grow(&p->blocks, &p->_cap_blocks, p->n_blocks + 1, sizeof *p->blocks);
    p->blocks[p->n_blocks++] = p->open;
    p->open = empty_block;
    p->open.end = p->raw.n;
}

static void close_if_full(struct pending *p)
{
    size_t begin = p->n_blocks ? p->blocks[p->n_blocks - 1].end : 0;
    if (p->open.n_samples >= BLOCK_SAMPLES || p->open.n_metadata >= BLOCK_SAMPLES ||
        p->raw.n - begin >= BLOCK_RAW_BYTES)
        pending_close_block(p);
}

static void pending_extend_times(struct pending_block *c, int64_t t)
{
    if (t < c->t_min)
        c->t_min = t;
    if (t > c->t_max)
        c->t_max = t;
}

void pending_add(struct pending *p, struct labels labels, const struct series_in *in)
{
    if (in->n_hists == 0 && in->n_exemplars == 0)
        rw_append_series(&p->raw, labels, in->samples, in->n_samples);
    else
        rw_append_full(&p->raw, labels, in->samples, in->n_samples, in->hists, in->n_hists, in->exemplars,
                       in->n_exemplars);
    struct pending_block *c = &p->open;
    c->end = p->raw.n;
    c->n_samples += (uint32_t)(in->n_samples + in->n_hists);
    for (size_t i = 0; i < in->n_samples; i++)
        pending_extend_times(c, in->samples[i].t);
    for (size_t i = 0; i < in->n_hists; i++)
        pending_extend_times(c, rw_hist_time(in->hists[i]));
    close_if_full(p);
}

void pending_add_metadata(struct pending *p, const struct metadata *m)
{
    rw_append_metadata(&p->raw, m);
    p->open.end = p->raw.n;
    p->open.n_metadata++;
    close_if_full(p);
}

static void pending_join_block(struct pending *to, struct str bytes, const struct pending_block *c)
{
    buf_add_str(&to->raw, bytes);
    to->open.end = to->raw.n;
    to->open.n_samples += c->n_samples;
    to->open.n_metadata += c->n_metadata;
    if (c->n_samples > 0) {
        pending_extend_times(&to->open, c->t_min);
        pending_extend_times(&to->open, c->t_max);
    }
    close_if_full(to);
}

void pending_join(struct pending *to, const struct pending *from)
{
    if (pending_empty(to) && to->n_blocks == 0)
        to->open = empty_block;
    size_t begin = 0;
    for (size_t i = 0; i <= from->n_blocks; i++) {
        const struct pending_block *c = i < from->n_blocks ? &from->blocks[i] : &from->open;
        if (c->end > begin)
            pending_join_block(to, str_n(from->raw.p + begin, c->end - begin), c);
        begin = c->end;
    }
}

bool pending_full(const struct pending *p) { return p->n_blocks > 0; }

void pending_clear(struct pending *p)
{
    buf_clear(&p->raw);
    if (p->raw.cap > 4 * BLOCK_RAW_BYTES)
        buf_free(&p->raw); /* one large push must not keep its memory forever */
    p->n_blocks = 0;
    p->open = empty_block;
    p->touched = false;
    p->due = 0;
}
