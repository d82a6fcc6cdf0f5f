// SPDX-License-Identifier: Apache-2.0
/* Compression of complete buffers and streaming gzip, with limits that no peer can exceed.
 *
 * A declared length is trusted only up to `max`: the snappy header and the zstd frame header are checked before
 * memory is allocated. Streams without a declared length (gzip, deflate, streamed zstd) grow the buffer step by step
 * and stop at the limit.
 */
#include "base/compress.h"

#include <endian.h>
#include <libdeflate.h>
#include <snappy-c.h>
#include <zlib.h>
#include <zstd.h>

enum {
    STEP = 64 << 10, /* minimum output space for each step of a stream */
    /* 8 MiB, which RFC 8878 asks all decoders to take and RFC 9659 all encoders of HTTP bodies not to exceed: a frame header
     * cannot make us allocate a larger window */
    WINDOW_LOG = 23,
    HASH_LOG = 13, /* entries of 4 bytes */
};

static const char *const names[] = {"identity", "snappy", "zstd", "gzip", "deflate"};

bool codec_from_name(struct str name, enum codec *c)
{
    if (name.n == 0)
        name = str_of(names[CODEC_NONE]);
    if (str_ieq(name, STR("x-gzip")))
        name = str_of(names[CODEC_GZIP]);
    for (unsigned i = 0; i < LEN(names); i++)
        if (str_ieq(name, str_of(names[i]))) {
            *c = (enum codec)i;
            return true;
        }
    return false;
}

/* Compression. The buffer's own limit is lifted meanwhile: the data is ours. */

static char *compress_reserve(struct buf *out, size_t n)
{
    size_t max = out->max;
    out->max = 0;
    buf_reserve(out, n);
    out->max = max;
    return out->p + out->n;
}

void compress_snappy(struct buf *out, struct str in)
{
    size_t n = snappy_max_compressed_length(in.n);
    char *to = compress_reserve(out, n);
    snappy_compress(in.p ? in.p : "", in.n, to, &n); /* fails only when the space is too small */
    out->n += n;
}

struct zstd {
    ZSTD_CCtx *pack;
    ZSTD_DCtx *decompress;
};

struct zstd *zstd_new(void) { return mem_zalloc(sizeof(struct zstd)); }

void zstd_free(struct zstd *z)
{
    if (z == NULL)
        return;
    ZSTD_freeCCtx(z->pack);
    ZSTD_freeDCtx(z->decompress);
    mem_free(z);
}

/* The window spans the whole input, up to what decoders take. By default it is 512 KiB at level 1: too short to reach the
 * same series of another target in a block of pages that are longer. The hash table has half the size of level 1's, that
 * of the processor's first cache; writer/queue/block.c has figures. */
void compress_zstd(struct zstd *z, struct buf *out, struct str in, int level)
{
    if (z->pack == NULL) {
        z->pack = ZSTD_createCCtx();
        ZSTD_CCtx_setParameter(z->pack, ZSTD_c_windowLog, WINDOW_LOG);
        ZSTD_CCtx_setParameter(z->pack, ZSTD_c_hashLog, HASH_LOG);
    }
    ZSTD_CCtx_setParameter(z->pack, ZSTD_c_compressionLevel, level);
    size_t n = ZSTD_compressBound(in.n);
    char *to = compress_reserve(out, n);
    n = ZSTD_compress2(z->pack, to, n, in.p, in.n);
    if (!ZSTD_isError(n)) /* only memory can fail; every receiver rejects an empty message */
        out->n += n;
}

enum { GZIP_WRAPPER = 16, ANY_WRAPPER = 32 }; /* added to zlib's window bits */

struct gzip_writer { z_stream s; };

struct gzip_writer *gzip_writer_new(int level)
{
    struct gzip_writer *g = mem_zalloc(sizeof *g);
    if (deflateInit2(&g->s, level, Z_DEFLATED, MAX_WBITS + GZIP_WRAPPER, 8, Z_DEFAULT_STRATEGY) == Z_OK)
        return g;
    mem_free(g);
    return NULL;
}

void gzip_writer_free(struct gzip_writer *g)
{
    if (g == NULL)
        return;
    deflateEnd(&g->s);
    mem_free(g);
}

bool gzip_writer_add(struct gzip_writer *g, struct buf *out, struct str in, bool last, bool (*go_on)(void *arg),
                     void *arg)
{
    enum { PIECE = 128 << 10 };
    z_stream *s = &g->s;
    int result = Z_OK;
    size_t left = in.n;
    bool going = true;
    s->next_in = (Bytef *)(uintptr_t)in.p;
    do {
        s->avail_in = left > PIECE ? PIECE : (uInt)left;
        left -= s->avail_in;
        do {
            s->next_out = (Bytef *)compress_reserve(out, STEP);
            s->avail_out = STEP;
            result = deflate(s, left || !last ? Z_NO_FLUSH : Z_FINISH);
            out->n += STEP - s->avail_out;
            going = go_on == NULL || go_on(arg);
        } while (going && s->avail_out == 0);
    } while (going && left > 0 && (result == Z_OK || result == Z_BUF_ERROR)); /* the latter: the output was just full */
    return last ? result == Z_STREAM_END : going && (result == Z_OK || result == Z_BUF_ERROR);
}

bool compress_gzip(struct buf *out, struct str in, int level, bool (*go_on)(void *arg), void *arg)
{
    struct gzip_writer *g = gzip_writer_new(level);
    bool ok = g && gzip_writer_add(g, out, in, true, go_on, arg);
    gzip_writer_free(g);
    return ok;
}

/* Decompression. */

static bool too_large(struct err *err, const char *what, size_t max)
{
    return err_set(err, ERR_TOO_LARGE, "decompressed %s data exceeds %zu bytes", what, max);
}

/* Reserves `n` bytes; the peer chose the number. */
static bool compress_ensure(struct buf *out, size_t n, struct err *err)
{
    size_t max = out->max;
    out->max = 0;
    bool got = buf_try_reserve(out, n);
    out->max = max;
    return got || err_set(err, ERR_LIMIT, "cannot allocate %zu bytes for decompressed data", n);
}

static bool snappy_length(struct str in, size_t max, size_t *n, struct err *err)
{
    if (in.n == 0 || snappy_uncompressed_length(in.p, in.n, n) != SNAPPY_OK)
        return err_set(err, ERR_BAD_DATA, "corrupted snappy data: no length at the start");
    return *n <= max || too_large(err, "snappy", max);
}

/* Twice as much as libsnappy would need. */
bool snappy_most(struct str in, size_t max, size_t *most, struct err *err)
{
    size_t n;
    if (!snappy_length(in, max, &n, err))
        return false;
    *most = 2 * snappy_max_compressed_length(n);
    return true;
}

static bool decompress_snappy(struct str in, size_t max, struct buf *out, struct err *err)
{
    size_t n;
    if (!snappy_length(in, max, &n, err))
        return false;
    if (!compress_ensure(out, n + 1, err)) /* + 1: never a NULL pointer for an empty message */
        return false;
    if (snappy_uncompress(in.p, in.n, out->p + out->n, &n) != SNAPPY_OK)
        return err_set(err, ERR_BAD_DATA, "corrupted snappy data (%zu bytes)", in.n);
    out->n += n;
    return true;
}

/* Output space for the next step of a stream: one byte more than the limit allows, so that exceeding it is noticed. */
static size_t next_step(size_t produced, size_t max) { return STEP > max - produced ? max - produced + 1 : STEP; }

static bool zstd_stream(struct zstd *z, struct str in, size_t max, struct buf *out, struct err *err)
{
    ZSTD_inBuffer from = {in.p, in.n, 0};
    size_t start = out->n, hint = 1;
    while (from.pos < in.n || hint != 0) {
        size_t produced = out->n - start;
        if (produced > max)
            return too_large(err, "zstd", max);
        if (!compress_ensure(out, next_step(produced, max), err))
            return false;
        ZSTD_outBuffer to = {out->p + out->n, out->cap - out->n, 0};
        size_t before = from.pos;
        hint = ZSTD_decompressStream(z->decompress, &to, &from);
        if (ZSTD_isError(hint))
            return err_set(err, ERR_BAD_DATA, "corrupted zstd data: %s", ZSTD_getErrorName(hint));
        out->n += to.pos;
        if (hint != 0 && from.pos == before && to.pos == 0)
            return err_set(err, ERR_BAD_DATA, "corrupted zstd data: truncated in the middle of a frame");
    }
    return out->n - start <= max || too_large(err, "zstd", max);
}

static bool zstd_decompress_frame(struct zstd *z, struct str in, size_t n, struct buf *out, struct err *err)
{
    if (!compress_ensure(out, n + 1, err))
        return false;
    n = ZSTD_decompressDCtx(z->decompress, out->p + out->n, n, in.p, in.n);
    if (ZSTD_isError(n))
        return err_set(err, ERR_BAD_DATA, "corrupted zstd data: %s", ZSTD_getErrorName(n));
    out->n += n;
    return true;
}

static bool decompress_zstd(struct zstd *z, struct str in, size_t max, struct buf *out, struct err *err)
{
    unsigned long long n = in.n ? ZSTD_getFrameContentSize(in.p, in.n) : ZSTD_CONTENTSIZE_ERROR;
    if (n == ZSTD_CONTENTSIZE_ERROR)
        return err_set(err, ERR_BAD_DATA, "corrupted zstd data: no frame at the start");
    if (n != ZSTD_CONTENTSIZE_UNKNOWN && n > max)
        return too_large(err, "zstd", max);
    if (z->decompress == NULL) {
        z->decompress = ZSTD_createDCtx();
        if (z->decompress == NULL)
            return err_set(err, ERR_LIMIT, "cannot allocate a zstd context");
        ZSTD_DCtx_setParameter(z->decompress, ZSTD_d_windowLogMax, WINDOW_LOG);
    }
    ZSTD_DCtx_reset(z->decompress, ZSTD_reset_session_only);
    if (n != ZSTD_CONTENTSIZE_UNKNOWN && ZSTD_findFrameCompressedSize(in.p, in.n) == in.n)
        return zstd_decompress_frame(z, in, (size_t)n, out, err);
    return zstd_stream(z, in, max, out, err);
}

struct gunzip {
    z_stream s;
    size_t total;  /* bytes produced since the reset */
    bool raw_next; /* no input read yet: if the first byte is no zlib header, the stream is raw deflate */
    bool ended;    /* the last member is complete */
    bool padding;  /* the data after the last member is no member: ignore it and everything after it */
};

struct gunzip *gunzip_new(void)
{
    struct gunzip *g = mem_zalloc(sizeof *g);
    inflateInit2(&g->s, MAX_WBITS + ANY_WRAPPER); /* a failure shows as Z_STREAM_ERROR at the first inflate */
    g->raw_next = true;
    return g;
}

void gunzip_free(struct gunzip *g)
{
    if (g == NULL)
        return;
    inflateEnd(&g->s);
    mem_free(g);
}

/* HTTP's deflate is the zlib format, but some senders omit its header. The low half of a zlib header's first byte is
 * 8 (the method); in raw deflate that would be a stored block with a first length byte that no sender writes. */
static void choose_wrapper(struct gunzip *g, uint8_t first)
{
    g->raw_next = false;
    if (first != 0x1f && (first & 0x0f) != Z_DEFLATED)
        inflateReset2(&g->s, -MAX_WBITS);
}

/* Appends at most `room` bytes. */
static bool inflate_into(struct gunzip *g, size_t room, struct buf *out, struct err *err)
{
    room = room > UINT32_MAX / 2 ? UINT32_MAX / 2 : room;
    if (!compress_ensure(out, room, err))
        return false;
    g->s.next_out = (Bytef *)out->p + out->n;
    g->s.avail_out = (uInt)room;
    int result = inflate(&g->s, Z_NO_FLUSH);
    out->n += room - g->s.avail_out;
    g->total += room - g->s.avail_out;
    g->ended = result == Z_STREAM_END;
    return g->ended || result == Z_OK || result == Z_BUF_ERROR ||
           err_set(err, ERR_BAD_DATA, "corrupted gzip data: %s", g->s.msg ? g->s.msg : "inflate failed");
}

static bool inflate_step(struct gunzip *g, size_t max, struct buf *out, struct err *err)
{
    size_t least = next_step(g->total, max), room = out->cap - out->n; /* all of it, so that few steps suffice */
    if (!inflate_into(g, room > least ? room : least, out, err))
        return false;
    return g->total <= max || too_large(err, "gzip", max);
}

static bool gunzip_give(struct gunzip *g, struct str in, struct err *err)
{
    if (in.n > UINT32_MAX / 2)
        return err_set(err, ERR_TOO_LARGE, "compressed piece of %zu bytes exceeds zlib's limit", in.n);
    g->s.next_in = (Bytef *)(uintptr_t)in.p;
    g->s.avail_in = (uInt)in.n;
    if (g->raw_next && in.n > 0)
        choose_wrapper(g, (uint8_t)in.p[0]);
    return true;
}

/* A gzip file may be several members in sequence. False: nothing more is to be read; padding after the end is ignored. */
static bool gunzip_goes_on(struct gunzip *g)
{
    if (!g->ended)
        return true;
    g->padding = g->padding || (g->s.avail_in > 0 && *g->s.next_in != 0x1f);
    if (g->padding || g->s.avail_in == 0)
        return false;
    inflateReset(&g->s);
    return true;
}

bool gunzip_feed(struct gunzip *g, struct str in, size_t max, struct buf *out, bool *done, struct err *err)
{
    if (!gunzip_give(g, in, err))
        return false;
    do {
        if (!gunzip_goes_on(g))
            break;
        if (!inflate_step(g, max, out, err))
            return false;
    } while (g->s.avail_in > 0 || g->s.avail_out == 0);
    *done = g->ended;
    return true;
}

bool gunzip_some(struct gunzip *g, struct str *in, size_t room, struct buf *out, bool *done, struct err *err)
{
    size_t end = out->n + room, before;
    if (!gunzip_give(g, *in, err))
        return false;
    do {
        before = out->n;
        if (!gunzip_goes_on(g)) {
            g->s.avail_in = 0;
            break;
        }
        if (!inflate_into(g, end - before, out, err))
            return false;
    } while (out->n < end && (g->s.avail_in > 0 || out->n > before));
    *in = str_skip(*in, in->n - g->s.avail_in);
    *done = g->ended;
    return true;
}

/* ---- gzip, whole ---- */

struct inflater *inflater_new(void) { return (struct inflater *)libdeflate_alloc_decompressor(); }

void inflater_free(struct inflater *f)
{
    if (f)
        libdeflate_free_decompressor((struct libdeflate_decompressor *)f);
}

/* The last four bytes are the length; a wrong one makes the decompression fail. */
bool inflater_gunzip(struct inflater *f, struct str in, size_t max, struct buf *out)
{
    enum { LEAST = 18 };
    uint32_t n;
    size_t read, written;
    if (f == NULL || in.n < LEAST)
        return false;
    memcpy(&n, in.p + in.n - sizeof n, sizeof n);
    n = le32toh(n);
    if (n > max || !buf_try_reserve(out, n))
        return false;
    enum libdeflate_result result = libdeflate_gzip_decompress_ex((struct libdeflate_decompressor *)f, in.p, in.n,
                                                                  out->p + out->n, n, &read, &written);
    if (result != LIBDEFLATE_SUCCESS || read != in.n || written != n)
        return false;
    out->n += n;
    return true;
}

static bool decompress_gzip(struct str in, size_t max, struct buf *out, struct err *err)
{
    struct gunzip *g = gunzip_new();
    bool done = false, ok = gunzip_feed(g, in, max, out, &done, err);
    gunzip_free(g);
    return ok && (done || err_set(err, ERR_BAD_DATA, "corrupted gzip data: truncated"));
}

static bool decompress_none(struct str in, size_t max, struct buf *out, struct err *err)
{
    if (in.n > max)
        return err_set(err, ERR_TOO_LARGE, "body of %zu bytes exceeds the limit of %zu bytes", in.n, max);
    if (!compress_ensure(out, in.n, err))
        return false;
    if (in.n > 0)
        memcpy(out->p + out->n, in.p, in.n);
    out->n += in.n;
    return true;
}

static bool decompress_any(enum codec c, struct zstd *z, struct str in, size_t max, struct buf *out, struct err *err)
{
    switch (c) {
    case CODEC_SNAPPY: return decompress_snappy(in, max, out, err);
    case CODEC_ZSTD: return decompress_zstd(z, in, max, out, err);
    case CODEC_GZIP:
    case CODEC_DEFLATE: return decompress_gzip(in, max, out, err);
    case CODEC_NONE: break;
    }
    return decompress_none(in, max, out, err);
}

bool decompress(enum codec c, struct zstd *z, struct str in, size_t max, struct buf *out, struct err *err)
{
    size_t before = out->n;
    bool good = decompress_any(c, z, in, max, out, err);
    if (!good)
        out->n = before;
    return good;
}
