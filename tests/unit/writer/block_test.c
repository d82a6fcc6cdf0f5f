// SPDX-License-Identifier: Apache-2.0
/* Blocks and piles: packing, another codec, halves; and what a pile cuts, joins and takes back. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "writer/queue/block.h"
#include "writer/pipeline/pending.h"
#include "model/remote_write.h"

#include <stdio.h>

static struct arena arena;
static struct packer packer;
static const struct block_limits limits = {.samples = 2000, .labels = 20000, .bytes = 1 << 20};

static struct labels series_labels(unsigned i)
{
    struct label items[] = {{STR(METRIC_NAME), STR("m")}, {STR("i"), arena_printf(&arena, "%u", i)}};
    return labels_from(&arena, items, 2);
}

static void add(struct pending *p, unsigned i, int64_t t)
{
    struct sample s = {t, i};
    pending_add(p, &limits, series_labels(i), &(struct series_in){.samples = &s, .n_samples = 1});
}

static unsigned count(struct str raw)
{
    struct rw_walk w;
    rw_walk_init(&w);
    rw_walk_start(&w, raw);
    unsigned n = 0;
    for (enum rw_item item; (item = rw_walk_next(&w)) != RW_END;) {
        assert_int_equal(item, RW_SERIES);
        n += (unsigned)w.n_samples;
    }
    rw_walk_free(&w);
    return n;
}

static struct block *filled(unsigned n)
{
    struct pending p = {0};
    struct err err;
    pending_mark(&p);
    for (unsigned i = 0; i < n; i++)
        add(&p, i, 1000 + i);
    struct block *b = block_compress(&packer, block_form_1(CODEC_ZSTD), buf_str(&p.raw), n, 1000, 1000 + n - 1, &err);
    pending_free(&p);
    return b;
}

static unsigned samples_in(const struct block *b)
{
    struct buf raw = {0};
    struct err err;
    struct zstd *z = zstd_new();
    assert_true(decompress(b->codec, z, str_n(b->bytes, b->n), 1 << 20, &raw, &err));
    unsigned n = count(buf_str(&raw));
    buf_free(&raw);
    zstd_free(z);
    return n;
}

static void recoding_keeps_samples(void **state)
{
    (void)state;
    struct err err;
    struct block *b = filled(100), *s = block_recode(&packer, b, block_form_1(CODEC_SNAPPY), &err);
    assert_non_null(s);
    assert_int_equal(s->codec, CODEC_SNAPPY);
    assert_int_equal(samples_in(s), 100);
    assert_int_equal(s->n_samples, 100);
    block_unref(b);
    block_unref(s);
}

static void halves_are_whole_together(void **state)
{
    (void)state;
    struct err err;
    struct block *b = filled(101), *half[2];
    assert_true(block_split(&packer, b, half, &err));
    assert_int_equal(half[0]->n_samples + half[1]->n_samples, 101);
    assert_int_equal(samples_in(half[0]), half[0]->n_samples);
    assert_true(half[0]->n_samples > 40 && half[1]->n_samples > 40);
    assert_int_equal(half[0]->t_min, 1000);
    assert_int_equal(half[1]->t_max, 1100);
    block_unref(half[0]);
    block_unref(half[1]);
    block_unref(b);
    b = filled(1);
    assert_false(block_split(&packer, b, half, &err));
    block_unref(b);
}

static void one_series_is_halved_by_samples(void **state)
{
    (void)state;
    struct sample s[9];
    for (int i = 0; i < 9; i++)
        s[i] = (struct sample){i + 1, i};
    struct buf raw = {0};
    struct err err;
    struct block *half[2];
    rw_append_series(&raw, series_labels(1), s, 9);
    struct block *b = block_compress(&packer, block_form_1(CODEC_SNAPPY), buf_str(&raw), 9, 1, 9, &err);
    assert_true(block_split(&packer, b, half, &err));
    assert_int_equal(half[0]->n_samples, 4);
    assert_int_equal(half[1]->t_min, 5);
    block_unref(half[0]);
    block_unref(half[1]);
    block_unref(b);
    buf_free(&raw);
}

/* Halving ends: each half is smaller, down to what cannot be cut. */
static void a_sample_and_a_histogram_part(void **state)
{
    (void)state;
    struct err err;
    struct block *half[2], *none[2];
    struct buf raw = {0};
    struct sample s = {7, 1};
    const char hist[] = {0x78, 9}; /* field 15, the time, is 9 */
    struct str message = str_n(hist, sizeof hist);
    assert_int_equal(rw_hist_time(message), 9);
    rw_append_full(&raw, series_labels(1), &(struct rw_contents){.samples = &s, .n_samples = 1, .hists = &message, .n_hists = 1});
    struct block *b = block_compress(&packer, block_form_1(CODEC_SNAPPY), buf_str(&raw), 2, 7, 9, &err);
    assert_true(block_split(&packer, b, half, &err));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(half[i]->n_samples, 1);
        assert_int_equal(half[i]->t_max, i == 0 ? 7 : 9);
        assert_false(block_split(&packer, half[i], none, &err));
        block_unref(half[i]);
    }
    block_unref(b);
    buf_free(&raw);
}

static void piles_cut_and_take_back(void **state)
{
    (void)state;
    struct pending p = {0};
    pending_mark(&p);
    for (unsigned i = 0; i < 4500; i++)
        add(&p, i, i);
    assert_int_equal(p.n_blocks, 2);
    assert_int_equal(p.blocks[0].n_samples, limits.samples);
    assert_int_equal(p.blocks[1].t_min, limits.samples);
    assert_int_equal(p.open.n_samples, 500);
    p.touched = false;
    size_t n = p.raw.n;
    pending_mark(&p);
    for (unsigned i = 0; i < 3000; i++)
        add(&p, i, i);
    pending_rollback(&p);
    assert_int_equal(p.raw.n, n);
    assert_int_equal(p.n_blocks, 2);
    assert_int_equal(p.open.n_samples, 500);
    struct pending to = {0};
    pending_join(&to, &limits, &p);
    assert_int_equal(count(buf_str(&to.raw)), 4500);
    assert_int_equal(to.n_blocks, 2);
    pending_free(&to);
    pending_free(&p);
}

int main(void)
{
    arena_init(&arena, 0);
    packer_init(&packer);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recoding_keeps_samples), cmocka_unit_test(halves_are_whole_together),
        cmocka_unit_test(one_series_is_halved_by_samples), cmocka_unit_test(a_sample_and_a_histogram_part),
        cmocka_unit_test(piles_cut_and_take_back)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    packer_free(&packer);
    arena_free(&arena);
    return failed;
}
