// SPDX-License-Identifier: Apache-2.0
/* Creating, recoding, splitting, joining and summarizing blocks. */
#include "writer/queue/block.h"

#include "model/remote_write.h"
#include "base/protobuf.h"

#include <stdio.h>

enum { RAW_LIMIT = 256 << 20 /* largest uncompressed size of a block read from disk */, KEPT_BYTES = 4 << 20 };

void packer_init(struct packer *p) { *p = (struct packer){.zstd = NULL}; }

void packer_free(struct packer *p)
{
    if (p->zstd)
        zstd_free(p->zstd);
    if (p->encoder)
        rw2_encoder_free(p->encoder);
    mem_free(p->encoder);
    buf_free(&p->raw);
    buf_free(&p->raw_2);
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

/* Level 1 with a window that spans the block, and with half of its hash table. Bytes and ns of CPU per sample, measured
 * with libzstd 1.5.4 on blocks of 10,000 samples of 10 to 19 targets that were scraped at the same time, whose values
 * differ; pages of node_exporter, and pages of counters with random beginnings:
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
 * In bytes of the second row, with other such blocks; the first saves 5 to 9 ns of CPU per sample in the program:
 *
 *                                                                node_exporter       counters
 *   half, a quarter, a 16th of the hash table                     1.01, 1.03, 1.73    0.99, 0.99, 0.98
 *   half of it, and matches of 5 bytes or more instead of 7       1.02                0.99
 *   blocks of twice, four times as many samples                   0.91, 0.82          1.00, 1.00
 *   all values zero: what is not values                           0.63                0.24
 *
 * So three quarters of a page of counters are values, which no order of the series and no level makes much smaller.
 * Matches that are known in advance would save a third to half of this time, that is, less than a tenth of what a sample
 * costs in all, if finding them cost nothing. And those are not all that pays: the first target's texts match among
 * themselves, values match values, so a search of all bytes remains. */
struct block_times { uint32_t n_samples; int64_t t_min, t_max; };

static struct block *block_of(struct packer *p, struct block_form form, struct str raw)
{
    buf_clear(&p->packed);
    if (form.codec == CODEC_ZSTD)
        compress_zstd(packer_zstd(p), &p->packed, raw, 1);
    else
        compress_snappy(&p->packed, raw);
    struct block *b = mem_alloc(sizeof *b + p->packed.n);
    *b = (struct block){.message = form.message, .codec = form.codec, .raw_n = (uint32_t)raw.n, .n = p->packed.n};
    refs_init(&b->refs);
    memcpy(b->bytes, p->packed.p, p->packed.n);
    return b;
}

static struct rw2_encoder *packer_encoder(struct packer *p)
{
    if (p->encoder == NULL)
        p->encoder = mem_zalloc(sizeof *p->encoder);
    return p->encoder;
}

static struct block *block_make(struct packer *p, struct block_form form, struct str raw, bool canonical,
                                struct block_times m, struct err *err)
{
    size_t n_series = 1;
    err->kind = ERR_NONE;
    if (form.message == MESSAGE_WRITE_2) {
        buf_clear(&p->raw_2);
        if (!rw2_encode(packer_encoder(p), raw, canonical, &p->raw_2, &n_series, err))
            return NULL;
        raw = buf_str(&p->raw_2);
    }
    if (n_series == 0)
        return NULL;
    struct block *b = block_of(p, form, raw);
    if (p->raw_2.cap > KEPT_BYTES)
        buf_free(&p->raw_2);
    b->n_samples = m.n_samples;
    b->t_min = m.t_min;
    b->t_max = m.t_max;
    return b;
}

struct block *block_compress(struct packer *p, struct block_form form, struct str raw, uint32_t n_samples, int64_t t_min,
                         int64_t t_max, struct err *err)
{
    return block_make(p, form, raw, true, (struct block_times){n_samples, t_min, t_max}, err);
}

/* Appends to `out`. */
static bool block_unpack(struct packer *p, const struct block *b, struct buf *out, struct err *err)
{
    struct zstd *z = b->codec == CODEC_ZSTD ? packer_zstd(p) : NULL;
    return decompress(b->codec, z, str_n(b->bytes, b->n), RAW_LIMIT, out, err);
}

/* Appends the contents, as remote write 1.0, to p->raw. */
static bool block_decompress_after(struct packer *p, const struct block *b, struct err *err)
{
    if (b->message != MESSAGE_WRITE_2)
        return block_unpack(p, b, &p->raw, err);
    buf_clear(&p->raw_2);
    if (!block_unpack(p, b, &p->raw_2, err))
        return false;
    struct rw_walk w;
    rw_walk_init(&w);
    bool ok = rw2_to_rw1(&w, buf_str(&p->raw_2), &p->raw) || err_set(err, w.err.kind, "%s", w.err.text);
    rw_walk_free(&w);
    return ok;
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

struct block *block_recode(struct packer *p, const struct block *b, struct block_form to, struct err *err)
{
    struct block *recoded = NULL;
    if (b->message == to.message) { /* the same bytes before compression */
        buf_clear(&p->raw);
        if (!block_unpack(p, b, &p->raw, err))
            return NULL;
        recoded = block_of(p, to, buf_str(&p->raw));
        recoded->n_samples = b->n_samples;
        recoded->t_min = b->t_min;
        recoded->t_max = b->t_max;
    } else if (!block_decompress(p, b, err) || /* it may be one of vmagent, whose labels have any order */
               (recoded = block_make(p, to, buf_str(&p->raw), false,
                                     (struct block_times){b->n_samples, b->t_min, b->t_max}, err)) == NULL)
        return NULL;
    recoded->joint_lanes = b->joint_lanes;
    return recoded;
}

struct block *block_join(struct packer *p, const struct block *a, const struct block *b, struct err *err)
{
    if (!block_decompress(p, a, err) || !block_decompress_after(p, b, err))
        return NULL;
    /* a block with metadata only has no times */
    const struct block *first = a->n_samples > 0 ? a : b, *other = b->n_samples > 0 ? b : a;
    struct block *joined = block_compress(p, (struct block_form){a->message, a->codec}, buf_str(&p->raw),
                                          a->n_samples + b->n_samples,
                                          first->t_min < other->t_min ? first->t_min : other->t_min,
                                          first->t_max > other->t_max ? first->t_max : other->t_max, err);
    if (joined)
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

static void block_extend_times(struct block_times *m, int64_t t)
{
    m->t_min = t < m->t_min ? t : m->t_min;
    m->t_max = t > m->t_max ? t : m->t_max;
}

/* Samples and their time range in a run of WriteRequest fields. */
static struct block_times block_measure(struct rw_walk *w, struct str raw)
{
    struct block_times m = {0, INT64_MAX, INT64_MIN};
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
    return m.n_samples > 0 ? m : (struct block_times){0};
}

bool block_set_contents(struct packer *p, struct block *b, struct err *err)
{
    if (!block_decompress(p, b, err))
        return false;
    struct rw_walk w;
    rw_walk_init(&w);
    struct block_times m = block_measure(&w, buf_str(&p->raw));
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

static struct block *block_compress_part(struct packer *p, struct rw_walk *w, const struct block *from, struct str raw,
                                         struct err *err)
{
    struct block_times m = block_measure(w, raw);
    struct block *part = block_compress(p, (struct block_form){from->message, from->codec}, raw, m.n_samples, m.t_min,
                                        m.t_max, err);
    if (part)
        part->joint_lanes = from->joint_lanes;
    return part;
}

/* In 2.0 metadata is part of the series, and is given to them again. */
bool block_split(struct packer *p, const struct block *b, struct block *half[2], struct err *err)
{
    if (!block_decompress(p, b, err))
        return false;
    if (b->message == MESSAGE_WRITE_2 && !rw2_strip_metadata(packer_encoder(p), &p->raw))
        return err_set(err, ERR_BAD_DATA, "cannot split block: it is corrupted");
    struct str raw = buf_str(&p->raw);
    struct rw_walk w;
    rw_walk_init(&w);
    size_t middle = middle_field(raw);
    struct buf parts[2] = {{0}};
    bool ok = middle > 0 || halve_series(&w, raw, parts);
    if (ok) {
        half[0] = block_compress_part(p, &w, b, middle ? str_first(raw, middle) : buf_str(&parts[0]), err);
        half[1] = block_compress_part(p, &w, b, middle ? str_skip(raw, middle) : buf_str(&parts[1]), err);
        ok = half[0] && half[1];
        for (size_t i = 0; i < 2 && !ok; i++)
            block_unref(half[i]);
    } else
        err_set(err, ERR_TOO_LARGE, "cannot split block: it holds a single sample");
    buf_free(&parts[0]);
    buf_free(&parts[1]);
    rw_walk_free(&w);
    return ok;
}
