// SPDX-License-Identifier: Apache-2.0
#include "base/decompressor.h"

#include <zstd.h>

enum { DECOMPRESSOR_WINDOW_LOG = 23 }; /* as in compress.c: no frame makes us allocate a larger window */

struct decompressor {
    enum codec codec;
    size_t max;
    struct gunzip *gunzip;
    ZSTD_DCtx *zstd;
    size_t zstd_hint;     /* 0: a frame is complete */
    struct buf collected; /* the parts of a snappy block */
};

struct decompressor *decompressor_new(enum codec c, size_t max)
{
    struct decompressor *d = mem_zalloc(sizeof *d);
    d->codec = c;
    d->max = max;
    d->zstd_hint = 1;
    if (c == CODEC_GZIP || c == CODEC_DEFLATE)
        d->gunzip = gunzip_new();
    if (c != CODEC_ZSTD)
        return d;
    d->zstd = ZSTD_createDCtx();
    if (d->zstd && !ZSTD_isError(ZSTD_DCtx_setParameter(d->zstd, ZSTD_d_windowLogMax, DECOMPRESSOR_WINDOW_LOG)))
        return d;
    decompressor_free(d);
    return NULL;
}

void decompressor_free(struct decompressor *d)
{
    if (d == NULL)
        return;
    gunzip_free(d->gunzip);
    ZSTD_freeDCtx(d->zstd);
    buf_free(&d->collected);
    mem_free(d);
}

size_t decompressor_memory(const struct decompressor *d)
{
    enum { INFLATE_BYTES = 44 << 10 }; /* its window and state */
    return sizeof *d + d->collected.cap + (d->zstd ? ZSTD_sizeof_DCtx(d->zstd) : 0) + (d->gunzip ? INFLATE_BYTES : 0);
}

static bool no_room(struct err *err, size_t n)
{
    return err_set(err, ERR_LIMIT, "cannot allocate %zu bytes for decompressed data", n);
}

static bool copy_some(struct str *in, bool last, size_t room, struct buf *out, bool *done, struct err *err)
{
    struct str piece = str_first(*in, room);
    if (!buf_try_reserve(out, piece.n))
        return no_room(err, piece.n);
    buf_add(out, piece.p, piece.n);
    *in = str_skip(*in, piece.n);
    *done = last && in->n == 0;
    return true;
}

static bool unzstd_some(struct decompressor *d, struct str *in, size_t room, struct buf *out, bool *done, struct err *err)
{
    ZSTD_inBuffer from = {in->p, in->n, 0};
    if (!buf_try_reserve(out, room))
        return no_room(err, room);
    ZSTD_outBuffer to = {out->p + out->n, room, 0};
    while (to.pos < room) {
        size_t read = from.pos, written = to.pos;
        if (from.pos == from.size && d->zstd_hint == 0)
            break;
        d->zstd_hint = ZSTD_decompressStream(d->zstd, &to, &from);
        if (ZSTD_isError(d->zstd_hint))
            return err_set(err, ERR_BAD_DATA, "corrupted zstd data: %s", ZSTD_getErrorName(d->zstd_hint));
        if (from.pos == read && to.pos == written)
            break; /* needs more input */
    }
    out->n += to.pos;
    *in = str_skip(*in, from.pos);
    *done = d->zstd_hint == 0;
    return true;
}

static bool unsnappy(struct decompressor *d, struct str *in, bool last, struct buf *out, bool *done, struct err *err)
{
    size_t limit;
    struct str all = *in;
    if (d->collected.n > 0 || !last) {
        if (!buf_try_reserve(&d->collected, in->n))
            return no_room(err, in->n);
        buf_add(&d->collected, in->p, in->n);
        all = buf_str(&d->collected);
    }
    *in = STR_NONE;
    if (!last)
        return d->collected.n < SNAPPY_LENGTH || (snappy_most(all, d->max, &limit, err)
               && (all.n <= limit || err_set(err, ERR_BAD_DATA, "corrupted snappy data: longer than its length allows")));
    *done = true;
    return decompress(CODEC_SNAPPY, NULL, all, d->max, out, err);
}

bool decompressor_step(struct decompressor *d, struct str *in, bool last, size_t room, struct buf *out, bool *done,
                       struct err *err)
{
    size_t before = out->n;
    bool ok = false;
    *done = false;
    switch (d->codec) {
    case CODEC_NONE: return copy_some(in, last, room, out, done, err);
    case CODEC_SNAPPY: return unsnappy(d, in, last, out, done, err);
    case CODEC_ZSTD: ok = unzstd_some(d, in, room, out, done, err); break;
    case CODEC_GZIP: case CODEC_DEFLATE: ok = gunzip_some(d->gunzip, in, room, out, done, err); break;
    }
    if (!ok)
        return false;
    bool stuck = last && in->n == 0 && out->n - before < room; /* all is read, and nothing more comes of it */
    *done = *done && stuck;
    return *done || !stuck || err_set(err, ERR_BAD_DATA, "corrupted compressed data: truncated");
}
