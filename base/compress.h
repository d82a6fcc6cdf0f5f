// SPDX-License-Identifier: Apache-2.0
/* snappy (block format), zstd, gzip and deflate over complete buffers. A declared or running length is checked
 * against `max` before memory is allocated. Errors: ERR_BAD_DATA for corrupted input, ERR_TOO_LARGE over max. A zstd
 * context takes about 1 MB: one per thread, kept in struct zstd. Only compress.c includes libsnappy, libzstd, zlib and
 * libdeflate.
 */
#ifndef BASE_COMPRESS_H
#define BASE_COMPRESS_H

#include "base/buf.h"
#include "base/err.h"

enum codec { CODEC_NONE, CODEC_SNAPPY, CODEC_ZSTD, CODEC_GZIP, CODEC_DEFLATE };

bool codec_from_name(struct str name, enum codec *c) MUST_USE; /* also "" and x-gzip; case-insensitive */

struct zstd; /* the contexts of one thread */
struct zstd *zstd_new(void);
void zstd_free(struct zstd *z);

/* Appends to `out`; out->max is ignored. zstd: the window spans the input, up to 8 MiB. */
void compress_snappy(struct buf *out, struct str in);
void compress_zstd(struct zstd *z, struct buf *out, struct str in, int level);
/* level 1..9. go_on (may be NULL) is called every 128 KiB of input or 64 KiB of output, about once a millisecond; when
 * it returns false the compression stops. False: stopped, or no memory; the data appended to `out` is incomplete. */
bool compress_gzip(struct buf *out, struct str in, int level, bool (*go_on)(void *arg), void *arg) MUST_USE;

/* The same in pieces, for one thread; 260 KB. NULL: no memory. add: `last` ends the data; bytes may appear in `out`
 * with later pieces only. */
struct gzip_writer;
struct gzip_writer *gzip_writer_new(int level);
void gzip_writer_free(struct gzip_writer *g);
bool gzip_writer_add(struct gzip_writer *g, struct buf *out, struct str in, bool last, bool (*go_on)(void *arg),
                     void *arg) MUST_USE;

/* How many bytes a snappy block has at most that begins with `in`. False with an error: it does not begin with a length,
 * or decompresses to more than `max` bytes. */
enum { SNAPPY_LENGTH = 5 /* bytes of `in` that are sufficient */ };
bool snappy_most(struct str in, size_t max, size_t *most, struct err *err) MUST_USE;

/* Appends the decompressed data, at most `max` bytes; nothing on failure. */
bool decompress(enum codec c, struct zstd *z, struct str in, size_t max, struct buf *out, struct err *err) MUST_USE;

/* gzip or deflate arriving in pieces (scrape bodies). feed appends to out and sets *done at the end of the stream. */
struct gunzip;
struct gunzip *gunzip_new(void);
void gunzip_free(struct gunzip *g);
bool gunzip_feed(struct gunzip *g, struct str in, size_t max, struct buf *out, bool *done, struct err *err) MUST_USE;
/* The same in steps: takes bytes from the front of *in until it is empty, or `room` bytes are appended. */
bool gunzip_some(struct gunzip *g, struct str *in, size_t room, struct buf *out, bool *done, struct err *err) MUST_USE;

/* A complete gzip file of one member and at most `max` bytes, appended to `out`: with libdeflate, which reads a page of
 * 1,000 series in less than half of zlib's time. False, with `out` unchanged: it is something else, or corrupted;
 * gunzip_feed tells. */
struct inflater; /* 10 KB, for one thread */
struct inflater *inflater_new(void);
void inflater_free(struct inflater *f);
bool inflater_gunzip(struct inflater *f, struct str in, size_t max, struct buf *out) MUST_USE;

#endif
