// SPDX-License-Identifier: Apache-2.0
/* Streams of chunks as our own remote_read writes them, in pieces of all sizes, and what is wrong with them. */
#include "gateway/upstream/decode/remote_read.h"

#include "base/crc32c.h"
#include "base/protobuf.h"
#include "gateway/read/read_chunk.h"
#include "model/xor_chunk.h"
#include "tests/unit/gateway/responses.h"
#include "tests/unit/model/rng.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

enum { MOST = 300, LIMIT = 1 << 20 };
static enum blocks_refusal refusal;

static size_t make_samples(uint64_t *r, struct sample *out)
{
    static const int64_t jitters[] = {1, 3, 9000, 70000, 600000, INT64_C(1) << 40};
    int64_t t = (int64_t)rng_below(r, 1u << 31) * 1000, jitter = jitters[rng_below(r, LEN(jitters))];
    size_t n = 1 + rng_below(r, MOST), kind = rng_below(r, 4);
    double v = 1;
    for (size_t i = 0; i < n; i++) {
        t += 1 + (int64_t)rng_below(r, (uint64_t)jitter);
        v = kind == 0 ? v + (double)rng_below(r, 1000) : kind == 1 ? double_from_bits(rng_next(r))
          : kind == 2 ? (rng_below(r, 9) ? 0.25 * (double)rng_below(r, 9) : stale_nan()) : v;
        out[i] = (struct sample){t, v};
    }
    return n;
}

static void chunks_give_back_their_samples(void **state UNUSED)
{
    static struct sample samples[MOST], decoded[MOST];
    uint64_t r = 7;
    for (int round = 0; round < 2000; round++) {
        struct buf chunk = {0};
        size_t n = make_samples(&r, samples);
        read_chunk_xor(&chunk, samples, n);
        char *copy = mem_dup(chunk.p, chunk.n); /* at its own place, so that a look beyond its end is found */
        assert_int_equal(xor_chunk_count(str_n(copy, chunk.n)), n);
        assert_true(xor_chunk_decode(str_n(copy, chunk.n), decoded));
        assert_memory_equal(decoded, samples, n * sizeof *samples);
        mem_free(copy);
        copy = mem_dup(chunk.p, chunk.n / 2);
        if (n > 40)
            assert_false(chunk.n / 2 >= 2 && xor_chunk_decode(str_n(copy, chunk.n / 2), decoded));
        mem_free(copy);
        buf_free(&chunk);
    }
}

static void corrupted_chunks_do_no_harm(void **state UNUSED)
{
    static struct sample samples[MOST], decoded[XOR_CHUNK_MOST];
    uint64_t r = 3;
    unsigned refused = 0; /* the others decode to other samples */
    for (int round = 0; round < 5000; round++) {
        struct buf chunk = {0};
        read_chunk_xor(&chunk, samples, make_samples(&r, samples));
        struct str bad = rng_damage(&r, buf_str(&chunk), 4, STR_NONE);
        refused += !xor_chunk_decode(bad, decoded);
        mem_free((char *)(uintptr_t)bad.p);
        buf_free(&chunk);
    }
    assert_in_range(refused, 100, 4900);
}

/* --- frames ------------------------------------------------------------------------------------------------------- */

static void add_label(struct buf *series, const char *name, const char *value)
{
    struct buf b = {0};
    pb_add_bytes(&b, 1, str_of(name));
    pb_add_bytes(&b, 2, str_of(value));
    pb_add_bytes(series, 1, buf_str(&b));
    buf_free(&b);
}

static void add_chunk(struct buf *series, int type, int64_t first, size_t n)
{
    struct sample samples[10];
    struct buf data = {0}, b = {0};
    for (size_t i = 0; i < n; i++)
        samples[i] = (struct sample){first + (int64_t)i * 10, (double)(first + (int64_t)i)};
    read_chunk_xor(&data, samples, n);
    pb_add_int(&b, 1, first);
    pb_add_int(&b, 2, first + ((int64_t)n - 1) * 10);
    pb_add_int(&b, 3, type);
    pb_add_bytes(&b, 4, buf_str(&data));
    pb_add_bytes(series, 2, buf_str(&b));
    buf_free(&data);
    buf_free(&b);
}

/* One series; it is cleared. */
static void add_frame(struct buf *out, struct buf *series, int query)
{
    struct buf message = {0};
    pb_add_bytes(&message, 1, buf_str(series));
    pb_add_int(&message, 2, query);
    uint32_t sum = crc32c(buf_str(&message));
    pb_add_varint(out, message.n);
    for (int shift = 24; shift >= 0; shift -= 8)
        buf_add_char(out, (char)(sum >> shift));
    buf_add_str(out, buf_str(&message));
    buf_free(&message);
    buf_clear(series);
}

static bool decode(struct responses *t, struct str text, size_t piece)
{
    struct decoder *d = remote_read_decoder_new(&t->response, LIMIT, &refusal);
    refusal = BLOCKS_WANTED;
    d->begin(d, STR("application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse"));
    return responses_feed(d, text, piece, &t->err);
}

static void frames_in_pieces(void **state UNUSED)
{
    struct buf out = {0}, series = {0};
    add_label(&series, "__name__", "m");
    add_label(&series, "a", "1");
    add_chunk(&series, 1, 100, 2);
    add_chunk(&series, 1, 200, 1);
    add_frame(&out, &series, 0);
    add_label(&series, "__name__", "m"); /* continued */
    add_label(&series, "a", "1");
    add_chunk(&series, 1, 300, 1);
    add_frame(&out, &series, 0);
    add_label(&series, "z", "2"); /* not sorted */
    add_label(&series, "__name__", "m");
    add_chunk(&series, 1, 90, 3);
    add_frame(&out, &series, 0);
    for (size_t piece = 1; piece <= out.n; piece++) {
        struct responses t;
        responses_begin(&t);
        t.response.t_max = 300;
        t.response.t_min = 100;
        t.response.packs = piece % 2;
        if (!decode(&t, buf_str(&out), piece))
            fail_msg("in pieces of %zu: %s", piece, t.err.text);
        assert_string_equal(responses_text(&t), "m{a=\"1\"} 100@100 101@110 200@200 300@300; m{z=\"2\"} 91@100 92@110");
        responses_end(&t);
    }
    struct responses t;
    responses_begin(&t);
    assert_false(decode(&t, str_first(buf_str(&out), out.n - 1), 50));
    assert_non_null(strstr(t.err.text, "truncated"));
    responses_end(&t);
    responses_begin(&t);
    assert_true(decode(&t, STR(""), 50)); /* no series */
    responses_end(&t);
    buf_free(&out);
    buf_free(&series);
}

/* Of two queries, the second of which selects series that have the external label themselves. */
static void external_labels(void **state UNUSED)
{
    struct buf out = {0}, series = {0};
    for (int query = 0; query < 2; query++) {
        add_label(&series, "__name__", query ? "own" : "m");
        add_label(&series, "region", "eu");
        add_chunk(&series, 1, 100, 1);
        add_frame(&out, &series, query);
    }
    struct responses t;
    responses_begin(&t);
    t.response.external = labels_from(&t.arena, &(struct label){STR("region"), STR("eu")}, 1);
    assert_true(decode(&t, buf_str(&out), 1000));
    assert_string_equal(responses_text(&t), "m 100@100; own{region=\"eu\"} 100@100");
    responses_end(&t);
    buf_free(&out);
    buf_free(&series);
}

static void fails(struct buf *out, const char *words, enum blocks_refusal wanted, bool lossy)
{
    struct responses t;
    responses_begin(&t);
    assert_false(decode(&t, buf_str(out), 64));
    assert_non_null(strstr(t.err.text, words));
    assert_int_equal(refusal, wanted);
    assert_int_equal(t.response.lossy, lossy);
    responses_end(&t);
    buf_clear(out);
}

static void what_is_wrong(void **state UNUSED)
{
    struct buf out = {0}, series = {0};
    add_label(&series, "a", "1");
    add_chunk(&series, 2, 100, 1); /* of a native histogram */
    add_frame(&out, &series, 0);
    fails(&out, "not supported", BLOCKS_NOT_UNDERSTOOD, true);
    add_label(&series, "a", "1");
    add_chunk(&series, 9, 100, 1);
    add_frame(&out, &series, 0);
    fails(&out, "not supported", BLOCKS_NOT_UNDERSTOOD, false);
    add_label(&series, "a", "1");
    add_chunk(&series, 1, 100, 5);
    add_chunk(&series, 1, 120, 5);
    add_frame(&out, &series, 0);
    fails(&out, "overlap", BLOCKS_NOT_UNDERSTOOD, false);
    add_label(&series, "a", "1");
    add_chunk(&series, 1, 100, 5);
    add_frame(&out, &series, 0);
    out.p[out.n - 3] ^= 1;
    fails(&out, "checksum", BLOCKS_WANTED, false);
    add_label(&series, "a", "1");
    add_label(&series, "a", "2");
    add_chunk(&series, 1, 100, 5);
    add_frame(&out, &series, 0);
    fails(&out, "invalid labels", BLOCKS_WANTED, false);
    pb_add_varint(&out, LIMIT + 1);
    fails(&out, "exceeds the limit of 1 MiB", BLOCKS_WANTED, false);
    for (int i = 0; i < 20; i++)
        buf_add_char(&out, (char)0xff);
    fails(&out, "length of a frame", BLOCKS_WANTED, false);
    buf_free(&out);
    buf_free(&series);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_give_back_their_samples), cmocka_unit_test(corrupted_chunks_do_no_harm),
        cmocka_unit_test(frames_in_pieces), cmocka_unit_test(external_labels), cmocka_unit_test(what_is_wrong)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
