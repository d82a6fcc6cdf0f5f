// SPDX-License-Identifier: Apache-2.0
/* A block: canonical remote write 1.0, by default of at most 10,000 samples, compressed once, immutable, shared by
 * reference.
 *
 * The reference count is atomic: lanes and io threads share blocks. Recoding (another codec) and splitting (after a
 * 413) create new blocks when a block is sent.
 */
#ifndef WRITER_QUEUE_BLOCK_H
#define WRITER_QUEUE_BLOCK_H

#include "base/compress.h"
#include "base/refs.h"

enum { BLOCK_MAX_BYTES = 64 << 20 };
/* What a block decompresses to; the numbers are those of the records on disk. */
enum block_message { MESSAGE_WRITE_1 = 1 /* prometheus.WriteRequest, remote write 1.0 */ };

struct block {
    struct refs refs;
    enum block_message message;
    enum codec codec;
    uint32_t n_samples;
    uint32_t raw_n;       /* bytes before compression */
    uint16_t joint_lanes; /* of a joint block, with series of several shards (send/shard.h): number of lanes; else 0 */
    int64_t t_min, t_max; /* of its samples, Unix ms */
    size_t n;
    uint8_t bytes[];
};

struct packer { /* compression contexts and buffers; one per lane */
    struct zstd *zstd;
    struct buf raw, packed;
};
void packer_init(struct packer *p);
void packer_free(struct packer *p);

struct block *block_new(size_t n) MUST_USE; /* one reference, remote write 1.0, bytes not set; NULL: out of memory */
struct block *block_compress(struct packer *p, enum codec codec, struct str raw, uint32_t n_samples, int64_t t_min,
                         int64_t t_max);
static inline struct block *block_ref(struct block *b)
{
    refs_take(&b->refs);
    return b;
}
void block_unref(struct block *b);

struct block *block_recode(struct packer *p, const struct block *b, enum codec to, struct err *err) MUST_USE;
/* Splits a block into two of about equal size: by series, or by samples when there is one series. False: a single
 * sample. */
bool block_split(struct packer *p, const struct block *b, struct block *half[2], struct err *err) MUST_USE;
/* Joins two blocks into one, in the codec of the first. NULL: one of them cannot be decompressed. */
struct block *block_join(struct packer *p, const struct block *a, const struct block *b, struct err *err) MUST_USE;

/* Sets samples, times and raw_n of a block whose bytes come from elsewhere. False: they are no remote write request. */
bool block_set_contents(struct packer *p, struct block *b, struct err *err) MUST_USE;

/* The uncompressed message; valid until the packer is used again. */
bool block_contents(struct packer *p, const struct block *b, struct str *raw, struct err *err) MUST_USE;

struct block_summary { uint32_t n_series; char example[256]; /* its first series; empty when there is none */ };
void block_summarize(struct packer *p, const struct block *b, struct block_summary *out);

#endif
