// SPDX-License-Identifier: Apache-2.0
/* Bytes that wait to become blocks: appending with block boundaries, rollback of an aborted batch, and joining bytes
 * from another lane. */
#include "writer/pipeline/pending.h"

#include "model/remote_write.h"

enum { PENDING_KEPT_BYTES = 4 << 20 };
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
    p->touched = p->used = true;
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
    p->open.shard = p->blocks[p->n_blocks - 1].shard;
}

static size_t pending_open_begin(const struct pending *p) { return p->n_blocks ? p->blocks[p->n_blocks - 1].end : 0; }

static bool open_block_exceeds(const struct pending *p, const struct block_limits *limits)
{
    const struct pending_block *c = &p->open;
    return c->n_samples > limits->samples || c->n_metadata > limits->samples || c->n_labels > limits->labels ||
           p->raw.n - pending_open_begin(p) > limits->bytes;
}

void pending_change_shard(struct pending *p, uint32_t shard)
{
    if (p->open.end > pending_open_begin(p))
        pending_close_block(p);
    p->open.shard = shard;
}

static void close_if_full(struct pending *p, const struct block_limits *limits)
{
    const struct pending_block *c = &p->open;
    if (c->n_samples >= limits->samples || c->n_metadata >= limits->samples || c->n_labels >= limits->labels ||
        p->raw.n - pending_open_begin(p) >= limits->bytes)
        pending_close_block(p);
}

static void pending_extend_times(struct pending_block *c, int64_t t)
{
    if (t < c->t_min)
        c->t_min = t;
    if (t > c->t_max)
        c->t_max = t;
}

static void pending_append(struct pending *p, struct labels labels, const struct series_in *in)
{
    if (in->n_hists == 0 && in->n_exemplars == 0 && in->starts == NULL)
        rw_append_series(&p->raw, labels, in->samples, in->n_samples);
    else
        rw_append_full(&p->raw, labels, &(struct rw_contents){
            .samples = in->samples, .starts = in->starts, .n_samples = in->n_samples, .hists = in->hists,
            .n_hists = in->n_hists, .exemplars = in->exemplars, .n_exemplars = in->n_exemplars});
    struct pending_block *c = &p->open;
    c->end = p->raw.n;
    c->n_samples += (uint32_t)(in->n_samples + in->n_hists);
    c->n_labels += labels.count;
    for (size_t i = 0; i < in->n_samples; i++)
        pending_extend_times(c, in->samples[i].t);
    for (size_t i = 0; i < in->n_hists; i++)
        pending_extend_times(c, rw_hist_time(in->hists[i]));
}

/* The open block as it was, closed unless it is empty: what is appended next begins a block. */
static void pending_close_before(struct pending *p, const struct pending_block *before)
{
    p->open = *before;
    p->raw.n = before->end;
    if (before->end > pending_open_begin(p))
        pending_close_block(p);
}

/* Appends a series for which the open block has no space left: to a new block, in halves if it needs several. */
static size_t pending_add_cut(struct pending *p, const struct block_limits *limits, struct labels labels,
                              const struct series_in *in, const struct pending_block *before)
{
    pending_close_before(p, before);
    struct pending_block none = p->open;
    pending_append(p, labels, in);
    p->open.n_labels = 0; /* one series may have any number */
    if (!open_block_exceeds(p, limits)) {
        p->open.n_labels = labels.count;
        return 0;
    }
    pending_close_before(p, &none);
    size_t n = in->n_samples + in->n_hists;
    if (n < 2)
        return n;
    size_t s = in->n_samples / 2, h = in->n_hists / 2;
    if (s + h == 0)
        s = 1; /* one of each */
    struct series_in first = {.samples = in->samples, .starts = in->starts, .n_samples = s, .hists = in->hists, .n_hists = h}, second = *in;
    second.samples += s;
    second.starts = in->starts ? in->starts + s : NULL;
    second.n_samples -= s;
    second.hists += h;
    second.n_hists -= h;
    size_t skipped = pending_add(p, limits, labels, &first);
    return skipped + pending_add(p, limits, labels, &second);
}

/* The open block has space for a series of float samples, without a look at what it takes exactly. */
static inline bool open_block_takes(const struct pending *p, const struct block_limits *limits, struct labels labels,
                                    const struct series_in *in)
{
    enum { SERIES_FRAME = 6, SAMPLE_MOST = 22 };
    const struct pending_block *c = &p->open;
    return in->n_hists == 0 && in->n_exemplars == 0 && in->starts == NULL && c->n_samples + in->n_samples < limits->samples &&
           c->n_labels + labels.count < limits->labels && c->n_metadata < limits->samples &&
           p->raw.n - pending_open_begin(p) + labels.n + SERIES_FRAME + in->n_samples * SAMPLE_MOST < limits->bytes;
}

size_t pending_add(struct pending *p, const struct block_limits *limits, struct labels labels,
                   const struct series_in *in)
{
    if (open_block_takes(p, limits, labels, in)) {
        pending_append(p, labels, in);
        return 0;
    }
    struct pending_block before = p->open;
    size_t skipped = 0;
    pending_append(p, labels, in);
    if (open_block_exceeds(p, limits))
        skipped = pending_add_cut(p, limits, labels, in, &before);
    close_if_full(p, limits);
    return skipped;
}

bool pending_add_metadata(struct pending *p, const struct block_limits *limits, const struct metadata *m)
{
    struct pending_block before = p->open;
    rw_append_metadata(&p->raw, m);
    if (p->raw.n - pending_open_begin(p) > limits->bytes) {
        pending_close_before(p, &before);
        before = p->open;
        rw_append_metadata(&p->raw, m);
        if (p->raw.n - before.end > limits->bytes) {
            p->raw.n = before.end;
            return false;
        }
    }
    p->open.end = p->raw.n;
    p->open.n_metadata++;
    close_if_full(p, limits);
    return true;
}

static bool pending_has_space(const struct pending *p, const struct block_limits *limits, size_t bytes,
                              const struct pending_block *c)
{
    const struct pending_block *open = &p->open;
    return open->n_samples + c->n_samples <= limits->samples && open->n_metadata + c->n_metadata <= limits->samples &&
           open->n_labels + c->n_labels <= limits->labels && open->end - pending_open_begin(p) + bytes <= limits->bytes;
}

static void pending_block_add(struct pending_block *sum, const struct pending_block *c)
{
    sum->n_samples += c->n_samples;
    sum->n_labels += c->n_labels;
    sum->n_metadata += c->n_metadata;
    if (c->n_samples > 0) {
        pending_extend_times(sum, c->t_min);
        pending_extend_times(sum, c->t_max);
    }
}

static void pending_join_block(struct pending *to, const struct block_limits *limits, struct str bytes,
                               const struct pending_block *c)
{
    if (!pending_has_space(to, limits, bytes.n, c) && to->open.end > pending_open_begin(to))
        pending_close_block(to);
    buf_add_str(&to->raw, bytes);
    to->open.end = to->raw.n;
    pending_block_add(&to->open, c);
    close_if_full(to, limits);
}

void pending_join_some(struct pending *p, const struct block_limits *limits, const struct pending *other, size_t from,
                       size_t to)
{
    struct pending_block sum = empty_block;
    size_t begin = from > 0 ? other->blocks[from - 1].end : 0;
    if (pending_empty(p) && p->n_blocks == 0)
        p->open = empty_block;
    p->used = true;
    for (size_t i = from; i < to; i++)
        pending_block_add(&sum, pending_block_at(other, i));
    struct str bytes = str_n(other->raw.p + begin, pending_block_at(other, to - 1)->end - begin);
    if (pending_has_space(p, limits, bytes.n, &sum)) {
        pending_join_block(p, limits, bytes, &sum);
        return;
    }
    for (size_t i = from; i < to; i++) {
        const struct pending_block *c = pending_block_at(other, i);
        if (c->end > begin)
            pending_join_block(p, limits, str_n(other->raw.p + begin, c->end - begin), c);
        begin = c->end;
    }
}

void pending_join(struct pending *p, const struct block_limits *limits, const struct pending *other)
{
    pending_join_some(p, limits, other, 0, other->n_blocks + 1);
}

void pending_add_ack(struct pending *p, struct ack *a)
{
    mem_grow(&p->acks, &p->_cap_acks, p->n_acks + 1, sizeof *p->acks);
    p->acks[p->n_acks++] = a;
}

bool pending_full(const struct pending *p) { return p->n_blocks > 0; }

void pending_drop_complete(struct pending *p)
{
    size_t begin = pending_open_begin(p);
    buf_drop_front(&p->raw, begin);
    p->n_blocks = 0;
    p->open.end -= begin;
}

bool pending_release_idle(struct pending *p)
{
    if (!p->used && pending_empty(p))
        buf_free(&p->raw);
    p->used = false;
    return p->raw.cap > 0;
}

void pending_clear(struct pending *p)
{
    buf_clear(&p->raw);
    if (p->raw.cap > PENDING_KEPT_BYTES)
        buf_free(&p->raw); /* one large push must not keep its memory forever */
    p->n_blocks = 0;
    p->open = empty_block;
    p->touched = false;
    p->due = 0;
}
