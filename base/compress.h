// SPDX-License-Identifier: Apache-2.0
/* snappy (block format), zstd, gzip and deflate over whole buffers. A declared or running length is checked against
 * `max` before memory is taken. Errors: ERR_BAD_DATA for damaged input, ERR_TOO_LARGE over max. zstd contexts are big
 * (about 1 MB): one per thread, kept by struct zstd. libsnappy, libzstd and zlib are spoken to in compress.c only.
 */
#ifndef BASE_COMPRESS_H
#define BASE_COMPRESS_H

#include "base/buf.h"
#include "base/err.h"

enum codec { CODEC_NONE, CODEC_SNAPPY, CODEC_ZSTD, CODEC_GZIP, CODEC_DEFLATE };

bool codec_from_name(struct str name, enum codec *c) MUST_USE; /* also "" and x-gzip; case does not matter */

struct zstd; /* the contexts of one thread */
struct zstd *zstd_new(void);
void zstd_free(struct zstd *z);

/* Appends to `out` (out->max is ignored). zstd level 1 unless said: measured faster and denser than 3 on these
 * bytes. */
void snappy_pack(struct buf *out, struct str in);
void zstd_pack(struct zstd *z, struct buf *out, struct str in, int level);
void gzip_pack(struct buf *out, struct str in, int level); /* level 1..9 */

/* Appends what `in` unpacks to, at most `max` bytes; nothing when it fails. */
bool decompress(enum codec c, struct zstd *z, struct str in, size_t max, struct buf *out, struct err *err) MUST_USE;

/* gzip/deflate arriving in pieces (scrape bodies). feed appends to out; *done is set at the end of the stream. */
struct gunzip;
struct gunzip *gunzip_new(void);
void gunzip_free(struct gunzip *g);
bool gunzip_feed(struct gunzip *g, struct str in, size_t max, struct buf *out, bool *done, struct err *err) MUST_USE;

/* XXH3-64: what is written to disk or shared with peers, and checksums. Anyone can make two texts that collide. */
uint64_t hash_bytes(const void *p, size_t n);
/* The same under a secret that the process draws at its start: tables and identities in memory. A peer that may choose
 * all texts cannot choose where they go, nor make two that collide. As fast as hash_bytes. */
uint64_t hash_keyed(const void *p, size_t n);
/* XXH64 seed 0: where peers use it (hashmod of VM, limitk order, sharding) */
uint64_t hash_xxh64(const void *p, size_t n);
void hash_md5(const void *p, size_t n, uint8_t out[16]); /* Prometheus' hashmod */

#endif
