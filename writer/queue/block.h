// SPDX-License-Identifier: Apache-2.0
/* A block: remote write 1.0 or 2.0, by default of at most 10,000 samples, compressed once, immutable, shared by reference.
 *
 * The reference count is atomic: lanes and io threads share blocks. Recoding (another message or codec) and splitting
 * (after a 413) create new blocks when a block is sent. Whoever looks into a block sees 1.0.
 *
 * Blocks of 2.0 are made when they are sealed, not from a stored block of 1.0 when they are sent: they carry the metadata
 * of families, which the lane remembers, and need neither a second compression nor a decompression. Measured per sample
 * (make bench T=model; the page of 20 hosts, 10,000 samples, metadata with each series in 2.0):
 *
 *   1.0  171 bytes  snappy 35 ns  15.6 bytes   zstd 61 ns  3.9 bytes
 *   2.0   44 bytes  snappy 24 ns  12.6 bytes   zstd 46 ns  3.3 bytes   made in 133 ns: 157 ns in all with snappy
 *   2.0 from a block of 1.0 when it is sent: 35 + 21 (decompression) + 133 + 24 = 213 ns
 */
#ifndef WRITER_QUEUE_BLOCK_H
#define WRITER_QUEUE_BLOCK_H

#include "base/compress.h"
#include "base/refs.h"
#include "model/write2/write2.h"

enum { BLOCK_MAX_BYTES = 64 << 20 };
/* What a block decompresses to; the numbers are those of the records on disk. */
enum block_message {
    MESSAGE_WRITE_1 = 1, /* prometheus.WriteRequest, remote write 1.0 */
    MESSAGE_WRITE_2 = 2  /* io.prometheus.write.v2.Request, remote write 2.0 */
};
struct block_form { enum block_message message; enum codec codec; };
static inline struct block_form block_form_1(enum codec c) { return (struct block_form){MESSAGE_WRITE_1, c}; }

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
    struct buf raw_2;             /* of remote write 2.0, before or after compression */
    struct rw2_encoder *encoder;  /* made when it is needed; remembers metadata */
};
void packer_init(struct packer *p);
void packer_free(struct packer *p);

struct block *block_new(size_t n) MUST_USE; /* one reference, remote write 1.0, bytes not set; NULL: out of memory */
/* From a body of remote write 1.0 with canonical labels. NULL with err->kind ERR_NONE: 2.0 has
 * nothing to say of it (metadata without series, exemplars without samples). */
struct block *block_compress(struct packer *p, struct block_form form, struct str raw, uint32_t n_samples, int64_t t_min,
                         int64_t t_max, struct err *err) MUST_USE;
static inline struct block *block_ref(struct block *b)
{
    refs_take(&b->refs);
    return b;
}
void block_unref(struct block *b);

/* NULL: as block_compress. */
struct block *block_recode(struct packer *p, const struct block *b, struct block_form to, struct err *err) MUST_USE;
/* Splits a block into two of about equal size: by series, or by samples when there is one series. False: a single
 * sample. */
bool block_split(struct packer *p, const struct block *b, struct block *half[2], struct err *err) MUST_USE;
/* Joins two blocks into one, in the form of the first. NULL: one of them cannot be decompressed. */
struct block *block_join(struct packer *p, const struct block *a, const struct block *b, struct err *err) MUST_USE;

/* Sets samples, times and raw_n of a block whose bytes come from elsewhere. False: they are no remote write request. */
bool block_set_contents(struct packer *p, struct block *b, struct err *err) MUST_USE;

/* The contents as remote write 1.0; valid until the packer is used again. */
bool block_contents(struct packer *p, const struct block *b, struct str *raw, struct err *err) MUST_USE;

struct block_summary { uint32_t n_series; char example[256]; /* its first series; empty when there is none */ };
void block_summarize(struct packer *p, const struct block *b, struct block_summary *out);

#endif
