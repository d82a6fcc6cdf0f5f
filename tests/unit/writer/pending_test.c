// SPDX-License-Identifier: Apache-2.0
/* Boundaries of blocks in pending bytes: no block exceeds a limit, and only what is too large alone is skipped. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "model/remote_write.h"
#include "writer/pipeline/pending.h"

#include <stdlib.h>

static const struct block_limits limits = {.samples = 2000, .labels = 20000, .bytes = 1 << 20};
static struct arena arena;

static struct labels labels_of(unsigned i, unsigned n)
{
    struct label items[16] = {{STR(METRIC_NAME), STR("m")}};
    for (unsigned k = 1; k < n; k++)
        items[k] = (struct label){arena_printf(&arena, "n%u", k), arena_printf(&arena, "%u", i)};
    return labels_from(&arena, items, n);
}

static struct str block_raw(const struct pending *p, size_t i)
{
    size_t begin = i > 0 ? p->blocks[i - 1].end : 0, end = i < p->n_blocks ? p->blocks[i].end : p->open.end;
    return str_n(p->raw.p + begin, end - begin);
}

/* Checks the numbers of every block against its bytes and the limits; returns the samples of all of them. */
static size_t check_blocks(const struct pending *p, const struct block_limits *most)
{
    size_t all = 0;
    struct rw_walk w;
    rw_walk_init(&w);
    for (size_t i = 0; i <= p->n_blocks; i++) {
        const struct pending_block *c = i < p->n_blocks ? &p->blocks[i] : &p->open;
        size_t samples = 0, labels = 0, series = 0;
        assert_true(block_raw(p, i).n <= most->bytes);
        rw_walk_start(&w, block_raw(p, i));
        for (enum rw_item item; (item = rw_walk_next(&w)) != RW_END; series++) {
            assert_int_equal(item, RW_SERIES);
            samples += w.n_samples + w.n_hists;
            labels += w.labels.count;
        }
        assert_int_equal(c->n_samples, samples);
        assert_int_equal(c->n_labels, labels);
        assert_true(samples <= most->samples);
        assert_true(labels <= most->labels || series == 1);
        assert_true(i == p->n_blocks || samples > 0);
        all += samples;
    }
    assert_int_equal(p->open.end, p->raw.n);
    rw_walk_free(&w);
    return all;
}

/* A page may have a hundred thousand families: they become blocks as samples do, not a single one. */
static void metadata_is_cut_into_blocks(void **state UNUSED)
{
    struct pending p = {0}, joined = {0};
    struct metadata m = {.family = STR("family"), .help = STR("text")};
    pending_mark(&p);
    for (unsigned i = 0; i < 2 * limits.samples + 1; i++)
        assert_true(pending_add_metadata(&p, &limits, &m));
    assert_int_equal(p.n_blocks, 2);
    assert_int_equal(p.blocks[1].n_metadata, limits.samples);
    assert_int_equal(p.open.n_metadata, 1);
    assert_int_equal(p.open.end, p.raw.n);
    pending_mark(&joined);
    for (unsigned i = 0; i < limits.samples / 2; i++)
        assert_true(pending_add_metadata(&joined, &limits, &m));
    pending_join(&joined, &limits, &p);
    assert_int_equal(joined.n_blocks, 3); /* a block that does not fit begins the next one */
    assert_int_equal(joined.blocks[0].n_metadata, limits.samples / 2);
    assert_int_equal(joined.blocks[1].n_metadata, limits.samples);
    struct block_limits small = {.samples = 10, .labels = 100, .bytes = 40};
    struct metadata large = {.family = STR("family"), .help = STR("a text that is longer than forty bytes are")};
    size_t before = joined.raw.n;
    assert_false(pending_add_metadata(&joined, &small, &large));
    assert_int_equal(joined.raw.n, before);
    assert_true(pending_add_metadata(&joined, &small, &m));
    pending_free(&p);
    pending_free(&joined);
}

static void no_block_exceeds_a_limit(void **state UNUSED)
{
    srand(1);
    for (int round = 0; round < 300; round++) {
        struct block_limits most = {.samples = 1 + (uint32_t)rand() % 20, .labels = 1 + (uint32_t)rand() % 40,
                                    .bytes = 150 + (size_t)rand() % 1000};
        struct pending p = {0}, joined = {0};
        struct sample samples[40];
        size_t added = 0, skipped = 0;
        for (unsigned i = 0; i < 50; i++) {
            struct series_in in = {.samples = samples, .n_samples = 1 + (size_t)rand() % LEN(samples)};
            for (size_t k = 0; k < in.n_samples; k++)
                samples[k] = (struct sample){(int64_t)(1000 * i + k), (double)k};
            struct pending *to = i < 5 ? &joined : &p;
            pending_mark(to);
            skipped += pending_add(to, &most, labels_of(i, 1 + (unsigned)rand() % 9), &in);
            added += in.n_samples;
        }
        assert_int_equal(skipped, 0);
        pending_join(&joined, &most, &p);
        assert_int_equal(check_blocks(&joined, &most), added);
        pending_free(&p);
        pending_free(&joined);
        arena_free(&arena);
    }
}

/* Bytes that another lane has staged in the order in which they came: each shard gets its own, in this order. */
static void staged_bytes_find_their_shards(void **state UNUSED)
{
    enum { SHARDS = 4 };
    srand(2);
    for (int round = 0; round < 100; round++) {
        struct block_limits most = {.samples = 100, .labels = 1000, .bytes = 1 << 20};
        struct pending staged = {.divided = true}, parts[SHARDS] = {0}, expected[SHARDS] = {0}, together = {0};
        struct sample samples[5] = {{1, 1}, {2, 0}, {3, 5}, {4, 1}, {5, 7}};
        pending_mark(&staged);
        for (unsigned i = 0; i < 40; i++) {
            uint32_t shard = (uint32_t)rand() % SHARDS;
            struct series_in in = {.samples = samples, .n_samples = 1 + (size_t)rand() % LEN(samples)};
            struct labels labels = labels_of(i, 3);
            pending_choose_shard(&staged, shard);
            pending_mark(&expected[shard]);
            assert_int_equal(pending_add(&staged, &most, labels, &in) + pending_add(&expected[shard], &most, labels, &in), 0);
        }
        for (size_t i = 0; i <= staged.n_blocks; i++)
            pending_join_some(&parts[pending_block_at(&staged, i)->shard], &most, &staged, i, i + 1);
        for (unsigned shard = 0; shard < SHARDS; shard++) {
            assert_true(str_eq(buf_str(&parts[shard].raw), buf_str(&expected[shard].raw)));
            assert_int_equal(check_blocks(&parts[shard], &most), check_blocks(&expected[shard], &most));
            pending_free(&parts[shard]);
            pending_free(&expected[shard]);
        }
        most.samples = 1000;
        pending_join(&together, &most, &staged);
        assert_int_equal(together.n_blocks, 0);
        assert_true(str_eq(buf_str(&together.raw), buf_str(&staged.raw)));
        pending_free(&together);
        pending_free(&staged);
        arena_free(&arena);
    }
}

static void blocks_are_filled_to_the_limit(void **state UNUSED)
{
    struct block_limits most = {.samples = 5, .labels = 1000, .bytes = 1 << 20};
    struct pending p = {0};
    struct sample s = {1, 1};
    pending_mark(&p);
    for (unsigned i = 0; i < 10; i++)
        pending_add(&p, &most, labels_of(i, 2), &(struct series_in){.samples = &s, .n_samples = 1});
    assert_int_equal(p.n_blocks, 2);
    assert_int_equal(p.blocks[0].n_samples, 5);
    assert_int_equal(p.open.n_samples, 0);
    pending_free(&p);
    arena_free(&arena);
}

static void only_a_sample_that_is_too_large_alone_is_skipped(void **state UNUSED)
{
    struct block_limits most = {.samples = 100, .labels = 1000, .bytes = 300};
    struct pending p = {0};
    char long_hist[400] = {0x78, 9}; /* field 15, the time, then padding: field 1 */
    long_hist[2] = 0x0a;
    long_hist[3] = (char)0x8c, long_hist[4] = 0x03; /* 396 bytes follow, less the head */
    struct str hists[2] = {str_n(long_hist, sizeof long_hist), str_n(long_hist, 2)};
    struct sample s = {7, 1};
    pending_mark(&p);
    struct series_in in = {.samples = &s, .n_samples = 1, .hists = hists, .n_hists = 2};
    assert_int_equal(pending_add(&p, &most, labels_of(1, 2), &in), 1);
    assert_int_equal(check_blocks(&p, &most), 2);
    size_t end = p.raw.n;
    assert_int_equal(pending_add(&p, &most, labels_of(1, 2), &(struct series_in){.hists = hists, .n_hists = 1}), 1);
    assert_int_equal(p.raw.n, end);
    assert_int_equal(check_blocks(&p, &most), 2);
    pending_free(&p);
    arena_free(&arena);
}

static void an_abort_takes_back_what_was_cut(void **state UNUSED)
{
    struct block_limits most = {.samples = 4, .labels = 1000, .bytes = 1 << 20};
    struct pending p = {0};
    struct sample samples[30] = {{1, 1}};
    struct series_in in = {.samples = samples, .n_samples = 3};
    pending_mark(&p);
    pending_add(&p, &most, labels_of(1, 2), &in);
    p.touched = false;
    size_t end = p.raw.n;
    pending_mark(&p);
    in.n_samples = LEN(samples);
    pending_add(&p, &most, labels_of(2, 2), &in);
    assert_true(p.n_blocks > 5);
    pending_rollback(&p);
    assert_int_equal(p.n_blocks, 0);
    assert_int_equal(p.raw.n, end);
    assert_int_equal(check_blocks(&p, &most), 3);
    pending_free(&p);
    arena_free(&arena);
}

static void idle_memory_is_freed(void **state UNUSED)
{
    struct pending p = {0};
    struct sample s = {1, 1};
    struct series_in in = {.samples = &s, .n_samples = 1};
    pending_mark(&p);
    pending_add(&p, &limits, labels_of(1, 2), &in);
    assert_true(pending_release_idle(&p));
    assert_true(pending_release_idle(&p)); /* it has bytes */
    assert_true(p.raw.n > 0);
    pending_mark(&p);
    pending_clear(&p);
    assert_true(pending_release_idle(&p)); /* it was used */
    assert_false(pending_release_idle(&p));
    assert_null(p.raw.p);
    pending_mark(&p);
    pending_add(&p, &limits, labels_of(1, 2), &in);
    assert_int_equal(check_blocks(&p, &limits), 1);
    pending_free(&p);
    arena_free(&arena);
}

int main(void)
{
    arena_init(&arena, 0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metadata_is_cut_into_blocks), cmocka_unit_test(no_block_exceeds_a_limit),
        cmocka_unit_test(staged_bytes_find_their_shards), cmocka_unit_test(blocks_are_filled_to_the_limit),
        cmocka_unit_test(only_a_sample_that_is_too_large_alone_is_skipped),
        cmocka_unit_test(an_abort_takes_back_what_was_cut), cmocka_unit_test(idle_memory_is_freed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
