// SPDX-License-Identifier: Apache-2.0
/* Any bytes as a packed body: no limit is passed, what fails leaves nothing, and gzip in pieces is gzip in one. The
 * first byte says which codec, the second the size of the pieces.
 */
#include "base/compress.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { MOST = 1 << 20 };

static void check_pieces(struct str in, struct str whole, size_t piece)
{
    struct gunzip *g = gunzip_new();
    struct buf out = {0};
    bool done = false, ok = true;
    for (size_t at = 0; ok && at < in.n; at += piece)
        ok = gunzip_feed(g, str_first(str_skip(in, at), piece), MOST, &out, &done, NULL);
    if (!ok || !done || !str_eq(buf_str(&out), whole))
        __builtin_trap();
    struct inflater *f = inflater_new();
    buf_clear(&out);
    if (inflater_gunzip(f, in, MOST, &out) && !str_eq(buf_str(&out), whole))
        __builtin_trap();
    inflater_free(f);
    buf_free(&out);
    gunzip_free(g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 2)
        return 0;
    enum codec codec = data[0] % (CODEC_DEFLATE + 1);
    struct str in = str_n(data + 2, n - 2);
    struct buf out = {0};
    struct err err = {0};
    struct zstd *z = zstd_new();
    buf_add_z(&out, "before");
    bool good = decompress(codec, z, in, MOST, &out, &err);
    if (good != (err.kind == ERR_NONE) || out.n > 6 + MOST || (!good && out.n != 6))
        __builtin_trap();
    if (good && codec >= CODEC_GZIP)
        check_pieces(in, str_skip(buf_str(&out), 6), (size_t)data[1] + 1);
    buf_free(&out);
    zstd_free(z);
    return 0;
}
