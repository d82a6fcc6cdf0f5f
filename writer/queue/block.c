// SPDX-License-Identifier: Apache-2.0
/* Creating, recoding, splitting, joining and summarizing blocks. */
#include "writer/queue/block.h"

#include "model/remote_write.h"
#include "base/protobuf.h"

#include <stdio.h>

enum { RAW_LIMIT = 256 << 20 }; /* largest uncompressed size of a block read from disk */

void packer_init(struct packer *p) { *p = (struct packer){.zstd = NULL}; }

void packer_free(struct packer *p)
{
    if (p->zstd)
        zstd_free(p->zstd);
    buf_free(&p->raw);
    buf_free(&p->packed);
}

/* A zstd context takes about 1 MB: created on first use. */
static struct zstd *packer_zstd(struct packer *p)
{
    if (p->zstd == NULL)
        p->zstd = zstd_new();
    return p->zstd;
}

struct block *block_new(size_t n)
{
    struct block *b = mem_try_alloc(sizeof *b + n);
    if (b == NULL)
        return NULL;
    memset(b, 0, sizeof *b);
    refs_init(&b->refs);
    b->message = MESSAGE_WRITE_1;
    b->n = n;
    return b;
}

void block_unref(struct block *b)
{
    if (b && refs_drop(&b->refs))
        mem_free(b);
}

/* Level 1 with a window that spans the block. Bytes and ns of CPU per sample, measured with libzstd 1.5.4 on blocks of
 * 10,000 samples of 10 to 19 targets that were scraped at the same time, whose values differ; pages of node_exporter, and
 * pages of counters with random beginnings:
 *
 *                                                                node_exporter       counters
 *   level 1, window of 512 KiB (the default)                      5.8 B    68 ns     9.0 B    87 ns
 *   level 1, window of the block                                  5.3      64        9.0      81
 *   the same, 4 or 16 times the hash table                        5.2      59        9.1      85 to 89
 *   level -1                                                      6.0      57        9.8      66
 *   level 3                                                       6.1      78        9.4     115
 *   level 3, long distance matching                               7.0     296       10.1     384
 *   level 9                                                       5.1     626        8.7     860
 *   level 19                                                      4.3  51,655        7.5  69,207
 *   level 1, the same series of all targets side by side          7.4      84        8.4      75
 *   ZSTD_compressSequences, matches with the same series of an
 *   earlier target, without the time to find them                 7.1      33       12.3      46
 *
 * Matches that are known in advance would save a third to half of this time, that is, less than a tenth of what a sample
 * costs in all, if finding them cost nothing. And those are not all that pays: the first target's texts match among
 * themselves, values match values, so a search of all bytes remains. */
struct block *block_compress(struct packer *p, enum codec codec, struct str raw, uint32_t n_samples, int64_t t_min,
                         int64_t t_max)
{
    buf_clear(&p->packed);
    if (codec == CODEC_ZSTD)
        compress_zstd(packer_zstd(p), &p->packed, raw, 1);
    else
        compress_snappy(&p->packed, raw);
    struct block *b = mem_alloc(sizeof *b + p->packed.n);
    *b = (struct block){.message = MESSAGE_WRITE_1, .codec = codec, .n_samples = n_samples, .raw_n = (uint32_t)raw.n, .t_min = t_min,
                        .t_max = t_max, .n = p->packed.n};
    refs_init(&b->refs);
    memcpy(b->bytes, p->packed.p, p->packed.n);
    return b;
}

/* Appends to p->raw. */
static bool block_decompress_after(struct packer *p, const struct block *b, struct err *err)
{
    struct zstd *z = b->codec == CODEC_ZSTD ? packer_zstd(p) : NULL;
    return decompress(b->codec, z, str_n(b->bytes, b->n), RAW_LIMIT, &p->raw, err);
}

static bool block_decompress(struct packer *p, const struct block *b, struct err *err)
{
    buf_clear(&p->raw);
    return block_decompress_after(p, b, err);
}

bool block_contents(struct packer *p, const struct block *b, struct str *raw, struct err *err)
{
    if (!block_decompress(p, b, err))
        return false;
    *raw = buf_str(&p->raw);
    return true;
}

struct block *block_recode(struct packer *p, const struct block *b, enum codec to, struct err *err)
{
    if (!block_decompress(p, b, err))
        return NULL;
    struct block *recoded = block_compress(p, to, buf_str(&p->raw), b->n_samples, b->t_min, b->t_max);
    recoded->joint_lanes = b->joint_lanes;
    return recoded;
}

struct block *block_join(struct packer *p, const struct block *a, const struct block *b, struct err *err)
{
    if (!block_decompress(p, a, err) || !block_decompress_after(p, b, err))
        return NULL;
    /* a block with metadata only has no times */
    const struct block *first = a->n_samples > 0 ? a : b, *other = b->n_samples > 0 ? b : a;
    struct block *joined = block_compress(p, a->codec, buf_str(&p->raw), a->n_samples + b->n_samples,
                                          first->t_min < other->t_min ? first->t_min : other->t_min,
                                          first->t_max > other->t_max ? first->t_max : other->t_max);
    joined->joint_lanes = a->joint_lanes;
    return joined;
}

void block_summarize(struct packer *p, const struct block *b, struct block_summary *out)
{
    struct err err;
    struct rw_walk w;
    struct buf example = {0};
    *out = (struct block_summary){0};
    if (!block_decompress(p, b, &err))
        return;
    rw_walk_init(&w);
    rw_walk_start(&w, buf_str(&p->raw));
    for (enum rw_item item; (item = rw_walk_next(&w)) != RW_END && item != RW_ERROR;)
        if (item == RW_SERIES && out->n_series++ == 0)
            labels_print(&example, w.labels);
    snprintf(out->example, sizeof out->example, "%s", buf_z(&example));
    buf_free(&example);
    rw_walk_free(&w);
}

/* --- splitting ---------------------------------------------------------------------------------------------------- */

struct extent { uint32_t n_samples; int64_t t_min, t_max; };

static void block_extend_times(struct extent *m, int64_t t)
{
    m->t_min = t < m->t_min ? t : m->t_min;
    m->t_max = t > m->t_max ? t : m->t_max;
}

/* Samples and their time range in a run of WriteRequest fields. */
static struct extent block_measure(struct rw_walk *w, struct str raw)
{
    struct extent m = {0, INT64_MAX, INT64_MIN};
    rw_walk_start(w, raw);
    for (enum rw_item item; (item = rw_walk_next(w)) != RW_END && item != RW_ERROR;) {
        if (item != RW_SERIES)
            continue;
        m.n_samples += (uint32_t)(w->n_samples + w->n_hists);
        for (size_t i = 0; i < w->n_samples; i++)
            block_extend_times(&m, w->samples[i].t);
        for (size_t i = 0; i < w->n_hists; i++)
            block_extend_times(&m, rw_hist_time(w->hists[i]));
    }
    return m.n_samples > 0 ? m : (struct extent){0};
}

bool block_set_contents(struct packer *p, struct block *b, struct err *err)
{
    if (!block_decompress(p, b, err))
        return false;
    struct rw_walk w;
    rw_walk_init(&w);
    struct extent m = block_measure(&w, buf_str(&p->raw));
    bool ok = rw_walk_next(&w) != RW_ERROR; /* it ended there, or it is at the end */
    rw_walk_free(&w);
    b->n_samples = m.n_samples;
    b->t_min = m.t_min;
    b->t_max = m.t_max;
    b->raw_n = (uint32_t)p->raw.n;
    return ok || err_set(err, ERR_BAD_DATA, "not a remote write request");
}

/* The end of the field nearest after the middle, or 0 when there is only one field. */
static size_t middle_field(struct str raw)
{
    const uint8_t *begin = (const uint8_t *)raw.p, *p = begin, *end = begin + raw.n;
    struct pb_field f;
    size_t last = 0;
    while (pb_next(&p, end, &f)) {
        size_t at = (size_t)(p - begin);
        if (at >= raw.n)
            break;
        last = at;
        if (at >= raw.n / 2)
            break;
    }
    return last;
}

/* The first and the second half of the samples of a single series, as raw bytes. */
static bool halve_series(struct rw_walk *w, struct str raw, struct buf half[2])
{
    rw_walk_start(w, raw);
    if (rw_walk_next(w) != RW_SERIES || w->n_samples + w->n_hists < 2)
        return false;
    size_t s = w->n_samples / 2, h = w->n_hists / 2;
    if (s + h == 0)
        s = w->n_samples; /* one of each: separate them */
    rw_append_full(&half[0], w->labels, &(struct rw_contents){.samples = w->samples, .starts = w->starts, .n_samples = s,
                                                              .hists = w->hists, .n_hists = h});
    rw_append_full(&half[1], w->labels, &(struct rw_contents){
        .samples = w->samples + s, .starts = w->starts ? w->starts + s : NULL, .n_samples = w->n_samples - s,
        .hists = w->hists + h, .n_hists = w->n_hists - h, .exemplars = w->exemplars, .n_exemplars = w->n_exemplars});
    return true;
}

static struct block *block_compress_part(struct packer *p, struct rw_walk *w, const struct block *from, struct str raw)
{
    struct extent m = block_measure(w, raw);
    struct block *part = block_compress(p, from->codec, raw, m.n_samples, m.t_min, m.t_max);
    part->joint_lanes = from->joint_lanes;
    return part;
}

bool block_split(struct packer *p, const struct block *b, struct block *half[2], struct err *err)
{
    if (!block_decompress(p, b, err))
        return false;
    struct str raw = buf_str(&p->raw);
    struct rw_walk w;
    rw_walk_init(&w);
    size_t middle = middle_field(raw);
    struct buf parts[2] = {{0}};
    bool ok = middle > 0 || halve_series(&w, raw, parts);
    if (ok) {
        half[0] = block_compress_part(p, &w, b, middle ? str_first(raw, middle) : buf_str(&parts[0]));
        half[1] = block_compress_part(p, &w, b, middle ? str_skip(raw, middle) : buf_str(&parts[1]));
    } else
        err_set(err, ERR_TOO_LARGE, "cannot split block: it holds a single sample");
    buf_free(&parts[0]);
    buf_free(&parts[1]);
    rw_walk_free(&w);
    return ok;
}
