// SPDX-License-Identifier: Apache-2.0
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/compress.h"
#include "base/hash.h"

#include <stdlib.h>
#include <zlib.h>

enum { BIG = 1 << 20 };
static char *text;
static struct zstd *z;

static int setup(void **state UNUSED)
{
    text = mem_alloc(BIG);
    srand(1);
    for (size_t i = 0; i < BIG; i++)
        text[i] = "abcdefgh"[rand() % (1 + (int)(i * 7 / BIG))];
    z = zstd_new();
    return 0;
}

static int teardown(void **state UNUSED)
{
    mem_free(text);
    zstd_free(z);
    return 0;
}

static void pack(enum codec c, struct buf *out, struct str in)
{
    switch (c) {
    case CODEC_SNAPPY: compress_snappy(out, in); break;
    case CODEC_ZSTD: compress_zstd(z, out, in, 1); break;
    case CODEC_GZIP: assert_true(compress_gzip(out, in, 6, NULL, NULL)); break;
    default: buf_add_str(out, in);
    }
}

static const enum codec codecs[] = {CODEC_NONE, CODEC_SNAPPY, CODEC_ZSTD, CODEC_GZIP};

static void test_round_trip(void **state UNUSED)
{
    static const size_t sizes[] = {0, 1, 100, 65535, 65536, 65537, BIG};
    for (size_t k = 0; k < LEN(codecs) * LEN(sizes); k++) {
        enum codec c = codecs[k / LEN(sizes)];
        size_t n = sizes[k % LEN(sizes)];
        struct buf packed = {0}, back = {0};
        struct err err = {0};
        pack(c, &packed, str_n(text, n));
        buf_add_z(&back, "kept");
        assert_true(decompress(c, z, buf_str(&packed), n, &back, &err));
        assert_int_equal(back.n, 4 + n);
        assert_memory_equal(back.p, "kept", 4);
        assert_memory_equal(back.p + 4, text, n);
        if (n > 0) {
            assert_false(decompress(c, z, buf_str(&packed), n - 1, &back, &err));
            assert_int_equal(err.kind, ERR_TOO_LARGE);
        }
        buf_free(&packed);
        buf_free(&back);
    }
}

static void test_cut_short(void **state UNUSED)
{
    for (size_t k = 1; k < LEN(codecs); k++) {
        struct buf packed = {0}, back = {0};
        pack(codecs[k], &packed, str_n(text, 3000));
        for (size_t n = 0; n < packed.n; n++) {
            struct err err = {0};
            assert_false(decompress(codecs[k], z, str_n(packed.p, n), BIG, &back, &err));
            assert_int_equal(err.kind, ERR_BAD_DATA);
            assert_int_equal(back.n, 0);
        }
        buf_free(&packed);
        buf_free(&back);
    }
}

static void test_damaged(void **state UNUSED)
{
    srand(2);
    for (size_t k = 1; k < LEN(codecs); k++) {
        struct buf packed = {0}, back = {0};
        pack(codecs[k], &packed, str_n(text + BIG / 2, 3000));
        for (int i = 0; i < 3000; i++) { /* any answer will do; the sanitizers look on */
            struct buf copy = {0};
            struct err err = {0};
            buf_add(&copy, packed.p, packed.n);
            copy.p[(size_t)rand() % copy.n] ^= (char)(1 + rand() % 255);
            if (decompress(codecs[k], z, buf_str(&copy), 10000, &back, &err))
                assert_true(back.n <= 10000);
            buf_clear(&back);
            buf_free(&copy);
        }
        buf_free(&packed);
        buf_free(&back);
    }
}

/* What a block of snappy begins with limits its length. */
static void test_snappy_most(void **state UNUSED)
{
    struct buf packed = {0};
    struct err err = {0};
    size_t most;
    compress_snappy(&packed, STR("as long as a short message is"));
    assert_true(snappy_most(str_first(buf_str(&packed), SNAPPY_LENGTH), BIG, &most, &err));
    assert_in_range(most, packed.n, 1000);
    assert_false(snappy_most(STR("\xff\xff\xff\xff\x0f"), BIG, &most, &err));
    assert_int_equal(err.kind, ERR_TOO_LARGE);
    assert_false(snappy_most(STR("\xff\xff\xff\xff\xff\xff"), BIG, &most, &err));
    assert_int_equal(err.kind, ERR_BAD_DATA);
    buf_free(&packed);
}

/* A header may claim terabytes; nothing is taken for it. */
static void test_bombs(void **state UNUSED)
{
    struct buf back = {0};
    struct err err = {0};
    assert_false(decompress(CODEC_SNAPPY, z,
                            STR("\xff\xff\xff\xff\x0f"
                                "abc"),
                            BIG, &back, &err));
    assert_int_equal(err.kind, ERR_TOO_LARGE);
    assert_false(decompress(CODEC_ZSTD, z, STR("\x28\xb5\x2f\xfd\xe0\0\0\0\0\0\1\0\0\1\0\0"), BIG, &back, &err));
    assert_int_equal(err.kind, ERR_TOO_LARGE);
    struct buf zeros = {0}, packed = {0};
    assert_true(buf_reserve(&zeros, 64 << 20));
    memset(zeros.p, 0, 64 << 20);
    zeros.n = 64 << 20;
    assert_true(compress_gzip(&packed, buf_str(&zeros), 9, NULL, NULL));
    assert_false(decompress(CODEC_GZIP, z, buf_str(&packed), BIG, &back, &err));
    assert_int_equal(err.kind, ERR_TOO_LARGE);
    assert_true(back.cap < 4 * BIG);
    buf_free(&zeros);
    buf_free(&packed);
    buf_free(&back);
}

static void test_zstd_frames(void **state UNUSED)
{
    struct buf packed = {0}, back = {0};
    struct err err = {0};
    compress_zstd(z, &packed, str_n(text, 1000), 3);
    compress_zstd(z, &packed, str_n(text + 1000, 200000), 1);
    assert_true(decompress(CODEC_ZSTD, z, buf_str(&packed), 201000, &back, &err));
    assert_int_equal(back.n, 201000);
    assert_memory_equal(back.p, text, 201000);
    assert_false(decompress(CODEC_ZSTD, z, buf_str(&packed), 200999, &back, &err));
    assert_int_equal(err.kind, ERR_TOO_LARGE);
    buf_free(&packed);
    buf_free(&back);
}

/* What does not compress is found again 1 MiB later. */
static void test_zstd_window(void **state UNUSED)
{
    enum { HALF = 1 << 20 };
    struct buf twice = {0}, packed = {0}, back = {0};
    struct err err = {0};
    uint64_t random = 1;
    buf_reserve(&twice, 2 * HALF);
    for (size_t i = 0; i < HALF; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        twice.p[i] = twice.p[HALF + i] = (char)(random >> 56);
    }
    twice.n = 2 * HALF;
    compress_zstd(z, &packed, buf_str(&twice), 1);
    assert_true(packed.n < HALF + HALF / 8);
    assert_true(decompress(CODEC_ZSTD, z, buf_str(&packed), twice.n, &back, &err));
    assert_int_equal(back.n, twice.n);
    assert_memory_equal(back.p, twice.p, twice.n);
    buf_free(&twice);
    buf_free(&packed);
    buf_free(&back);
}

static bool count_down(void *arg) { return (*(unsigned *)arg)-- > 0; }

/* Whatever the sizes of pieces: nothing is lost where the output is just full. */
static void test_gzip_while(void **state UNUSED)
{
    struct buf in = {0}, packed = {0}, back = {0};
    struct err err = {0};
    unsigned state_of = 1, asked;
    while (in.n < 3 << 20) {
        state_of = state_of * 1103515245 + 12345;
        buf_add_char(&in, (char)(in.n < 1 << 20 ? state_of >> 16 : state_of >> 30));
    }
    for (size_t n = in.n; n > in.n - 40000; n -= 4999) {
        asked = UINT32_MAX;
        assert_true(compress_gzip(&packed, str_n(in.p, n), 1, count_down, &asked));
        assert_true(decompress(CODEC_GZIP, NULL, buf_str(&packed), in.n, &back, &err));
        assert_int_equal(back.n, n);
        assert_memory_equal(back.p, in.p, n);
        buf_clear(&packed);
        buf_clear(&back);
    }
    for (unsigned stop = 0; stop < 24; stop++) { /* 128 KiB each */
        asked = stop;
        assert_false(compress_gzip(&packed, buf_str(&in), 1, count_down, &asked));
        assert_int_equal(asked, UINT32_MAX);
        assert_true(packed.n <= (stop + 1) * (128 << 10));
        buf_clear(&packed);
    }
    buf_free(&in);
    buf_free(&packed);
    buf_free(&back);
}

static void test_gunzip_in_pieces(void **state UNUSED)
{
    struct buf packed = {0}, back = {0};
    struct gunzip *g = gunzip_new();
    struct err err = {0};
    assert_true(compress_gzip(&packed, str_n(text, 100000), 6, NULL, NULL));
    assert_true(compress_gzip(&packed, str_n(text + 100000, 100), 6, NULL, NULL)); /* a second member */
    for (size_t piece = 1; piece < packed.n; piece = piece * 3 + 1) {
        bool done = false;
        for (size_t at = 0; at < packed.n; at += piece)
            assert_true(gunzip_feed(g, str_first(str_skip(buf_str(&packed), at), piece), BIG, &back, &done, &err));
        assert_true(done);
        assert_int_equal(back.n, 100100);
        assert_memory_equal(back.p, text, back.n);
        gunzip_free(g);
        g = gunzip_new();
        buf_clear(&back);
    }
    gunzip_free(g);
    buf_free(&packed);
    buf_free(&back);
}

/* What is not one whole member within the limit is left to gunzip_feed. */
static void test_gunzip_at_once(void **state UNUSED)
{
    struct inflater *f = inflater_new();
    struct buf packed = {0}, out = {0};
    buf_add_z(&out, "before");
    assert_true(compress_gzip(&packed, STR("text text text"), 6, NULL, NULL));
    assert_true(inflater_gunzip(f, buf_str(&packed), 14, &out));
    assert_string_equal(buf_z(&out), "beforetext text text");
    assert_false(inflater_gunzip(f, buf_str(&packed), 13, &out));
    for (size_t n = 0; n < packed.n; n++) {
        assert_false(inflater_gunzip(f, str_first(buf_str(&packed), n), 14, &out));
        packed.p[n] ^= 0x10;
        (void)!inflater_gunzip(f, buf_str(&packed), 14, &out); /* some bytes of the header mean nothing */
        packed.p[n] ^= 0x10;
    }
    size_t n = packed.n;
    buf_add(&packed, packed.p, n);
    assert_false(inflater_gunzip(f, buf_str(&packed), 1000, &out));
    memset(packed.p + n - 4, 0xff, 4); /* a length of 4 GiB takes no memory */
    assert_false(inflater_gunzip(f, str_first(buf_str(&packed), n), 14, &out));
    assert_true(out.cap < 1000);
    inflater_free(f);
    buf_free(&packed);
    buf_free(&out);
}

/* Zeros behind the end are padding, and so is all that follows them, in one piece or in several. */
static void test_gunzip_padding(void **state UNUSED)
{
    struct buf packed = {0}, back = {0};
    struct err err = {0};
    assert_true(compress_gzip(&packed, STR("text"), 6, NULL, NULL));
    buf_add(&packed, "\0\0\x1f\x8b", 4);
    for (size_t piece = 1; piece <= packed.n; piece++) {
        struct gunzip *g = gunzip_new();
        bool done = false;
        for (size_t at = 0; at < packed.n; at += piece)
            assert_true(gunzip_feed(g, str_first(str_skip(buf_str(&packed), at), piece), BIG, &back, &done, &err));
        assert_true(done && str_is(buf_str(&back), "text"));
        gunzip_free(g);
        buf_clear(&back);
    }
    buf_free(&packed);
    buf_free(&back);
}

static size_t deflate_all(int window, char *to, size_t room, struct str in)
{
    z_stream s = {0};
    deflateInit2(&s, 6, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY);
    s.next_in = (Bytef *)(uintptr_t)in.p;
    s.avail_in = (uInt)in.n;
    s.next_out = (Bytef *)to;
    s.avail_out = (uInt)room;
    deflate(&s, Z_FINISH);
    deflateEnd(&s);
    return s.total_out;
}

/* "deflate" is the zlib format, but the bare one is seen too. */
static void test_deflate(void **state UNUSED)
{
    char packed[20000];
    struct buf back = {0};
    struct err err = {0};
    for (int window = -15; window <= 15; window += 30) {
        size_t n = deflate_all(window, packed, sizeof packed, str_n(text + BIG / 2, 5000));
        buf_clear(&back);
        assert_true(decompress(CODEC_DEFLATE, z, str_n(packed, n), 5000, &back, &err));
        assert_int_equal(back.n, 5000);
        assert_memory_equal(back.p, text + BIG / 2, 5000);
    }
    buf_free(&back);
}

static void test_names(void **state UNUSED)
{
    enum codec c;
    const char *const names[] = {"identity", "snappy", "zstd", "gzip", "deflate"};
    for (enum codec i = CODEC_NONE; i <= CODEC_DEFLATE; i++) {
        assert_true(codec_from_name(str_of(names[i]), &c));
        assert_int_equal(c, i);
    }
    assert_true(codec_from_name(STR("X-GZip"), &c) && c == CODEC_GZIP);
    assert_true(codec_from_name(STR(""), &c) && c == CODEC_NONE);
    assert_false(codec_from_name(STR("br"), &c));
}

static void assert_md5(struct str in, const char *hex)
{
    uint8_t sum[16];
    hash_md5(in.p, in.n, sum);
    struct buf b = {0};
    for (int i = 0; i < 16; i++)
        buf_printf(&b, "%02x", sum[i]);
    assert_string_equal(buf_z(&b), hex);
    buf_free(&b);
}

static void test_hashes(void **state UNUSED)
{
    assert_true(hash_bytes("", 0) == 0x2d06800538d394c2);
    assert_true(hash_xxh64("", 0) == 0xef46db3751d8e999);
    assert_md5(STR(""), "d41d8cd98f00b204e9800998ecf8427e");
    assert_md5(STR("abc"), "900150983cd24fb0d6963f7d28e17f72");
    assert_md5(STR("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"),
               "d174ab98d277d9f5a5611c2c9f419d9f");
    assert_md5(STR("12345678901234567890123456789012345678901234567890123456789012345678901234567890"),
               "57edf4a22be3c955ac49da2e2107b67a");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_cut_short),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_snappy_most), cmocka_unit_test(test_bombs),
        cmocka_unit_test(test_zstd_frames),
        cmocka_unit_test(test_zstd_window),
        cmocka_unit_test(test_gzip_while),
        cmocka_unit_test(test_gunzip_in_pieces),
        cmocka_unit_test(test_gunzip_at_once),
        cmocka_unit_test(test_gunzip_padding),
        cmocka_unit_test(test_deflate),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_hashes),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
