// SPDX-License-Identifier: Apache-2.0
/* Lists of chunks give back the samples that were packed, bit by bit; windows of a chunk have their samples. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "model/chunk.h"
#include "tests/unit/model/rng.h"

enum { MOST = 1000 };

static double next_value(uint64_t *r, unsigned kind, double v)
{
    switch (kind) {
    case 0: return v + (double)rng_below(r, 100);
    case 1: return rng_below(r, 20) == 0 ? stale_nan() : (double)rng_below(r, 1000) / 8;
    case 2: return double_from_bits(rng_next(r));
    default: return v;
    }
}

static size_t make_samples(uint64_t *r, struct sample *out)
{
    unsigned kind = rng_below(r, 4), jitter = rng_below(r, 2) ? 1 + rng_below(r, 100) : 1;
    size_t n = rng_below(r, MOST);
    int64_t t = rng_below(r, 8) ? INT64_C(1700000000000) : INT64_MIN;
    double v = 5;
    for (size_t i = 0; i < n; i++) {
        t += 15000 + (int64_t)rng_below(r, jitter);
        v = next_value(r, kind, v);
        out[i] = (struct sample){t, v};
    }
    return n;
}

static void lists_give_back_what_they_hold(void **state UNUSED)
{
    static struct sample samples[MOST], unpacked[MOST];
    uint64_t r = 1;
    for (int round = 0; round < 500; round++) {
        struct arena a;
        arena_init(&a, 0);
        size_t n = make_samples(&r, samples), held = 0;
        struct chunk *first = chunk_list_pack(&a, chunk_scratch(&a), samples, n);
        for (const struct chunk *c = first; c; c = c->next)
            held += c->n;
        assert_int_equal(held, n);
        chunk_list_unpack(first, unpacked);
        if (n > 0)
            assert_memory_equal(unpacked, samples, n * sizeof *samples);
        arena_free(&a);
    }
}

/* Samples are packed by a function of its own. */
static void lists_have_the_bytes_of_appended_samples(void **state UNUSED)
{
    static struct sample samples[MOST];
    uint64_t r = 3;
    size_t chunks = 0;
    for (int round = 0; round < 500; round++) {
        struct arena a;
        arena_init(&a, 0);
        size_t n = make_samples(&r, samples), at = 0;
        for (const struct chunk *c = chunk_list_pack(&a, chunk_scratch(&a), samples, n); c; c = c->next, chunks++) {
            struct chunk *appended = chunk_scratch(&a);
            struct chunk_tail tail;
            for (size_t i = 0; i < c->n; i++, at++)
                appended = chunk_append(appended, &tail, samples[at].t, samples[at].v);
            assert_int_equal(c->size, appended->size);
            assert_memory_equal(c->bytes, appended->bytes, c->size);
            assert_int_equal(c->t_min, appended->t_min);
            assert_int_equal(c->t_max, appended->t_max);
        }
        arena_free(&a);
    }
    assert_true(chunks > 500);
}

static void a_counter_takes_a_quarter(void **state UNUSED)
{
    static struct sample samples[MOST];
    struct arena a;
    arena_init(&a, 0);
    for (int i = 0; i < MOST; i++)
        samples[i] = (struct sample){i * 15000, i * 1000.0};
    size_t size = 0;
    for (const struct chunk *c = chunk_list_pack(&a, chunk_scratch(&a), samples, MOST); c; c = c->next)
        size += offsetof(struct chunk, bytes) + c->size;
    assert_true(size <= sizeof samples / 4);
    arena_free(&a);
}

static struct chunk *make_chunk(const struct sample *samples, size_t n)
{
    struct chunk *c = chunk_new(CHUNK_SAMPLE_BYTES);
    struct chunk_tail tail;
    for (size_t i = 0; i < n; i++)
        c = chunk_append(c, &tail, samples[i].t, samples[i].v);
    return c;
}

static void check_window(const struct chunk *c, const struct sample *samples, size_t n, int64_t t_min, int64_t t_max)
{
    struct sample found[CHUNK_SAMPLES];
    size_t from = 0, to = n;
    while (from < n && samples[from].t < t_min)
        from++;
    while (to > from && samples[to - 1].t > t_max)
        to--;
    assert_int_equal(chunk_decode(c, t_min, t_max, found), to - from);
    if (to > from)
        assert_memory_equal(found, samples + from, (to - from) * sizeof *found);
}

static void check_windows(uint64_t *r, const struct chunk *c, const struct sample *samples, size_t n)
{
    struct arena a;
    arena_init(&a, 0);
    for (int k = 0; k < 20; k++) {
        int64_t ends[2];
        for (int e = 0; e < 2; e++) /* a sample's time, or between two */
            ends[e] = samples[rng_below(r, (uint32_t)n)].t + (int64_t)rng_below(r, 3) - 1;
        check_window(c, samples, n, ends[0], ends[1]);
        check_window(c, samples, n, INT64_MIN, ends[1]);
        check_window(c, samples, n, ends[0], INT64_MAX);
        const struct chunk *copy = chunk_copy(c, ends[0], &a);
        check_window(copy, samples, n, ends[0], ends[1]);
        check_window(copy, samples, n, ends[0], INT64_MAX);
    }
    arena_free(&a);
}

/* Steps of 100 days are longer than a mark can tell. */
static void windows_have_their_samples(void **state UNUSED)
{
    static struct sample samples[MOST];
    uint64_t r = 7;
    for (int round = 0; round < 500; round++) {
        size_t n = make_samples(&r, samples);
        n = n > CHUNK_SAMPLES ? CHUNK_SAMPLES : n;
        if (n == 0)
            continue;
        size_t jump = rng_below(&r, 4) ? n : rng_below(&r, (uint32_t)n);
        for (size_t i = jump; i < n; i++)
            samples[i].t += 8640000000;
        struct chunk *c = make_chunk(samples, n);
        check_windows(&r, c, samples, n);
        c = chunk_seal(c);
        check_windows(&r, c, samples, n);
        chunk_unref(c);
    }
}

/* The bytes before the window are not read: they may be anything. */
static void a_short_window_is_decoded_alone(void **state UNUSED)
{
    static struct sample samples[CHUNK_SAMPLES];
    struct sample found[CHUNK_SAMPLES];
    struct arena a;
    arena_init(&a, 0);
    for (int i = 0; i < CHUNK_SAMPLES; i++)
        samples[i] = (struct sample){1700000000000 + i * 15000, i * 100000.0 + i % 7};
    struct chunk *c = make_chunk(samples, CHUNK_SAMPLES);
    int64_t from = samples[220].t;
    assert_true(chunk_copy(c, from, &a)->n < 20 + CHUNK_MARK_BYTES / 2);
    c = chunk_seal(c);
    memset(c->bytes, 0xff, CHUNK_MARK_BYTES);
    assert_int_equal(chunk_decode(c, from, INT64_MAX, found), 20);
    assert_memory_equal(found, samples + 220, 20 * sizeof *found);
    chunk_unref(c);
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(lists_give_back_what_they_hold),
                                       cmocka_unit_test(lists_have_the_bytes_of_appended_samples),
                                       cmocka_unit_test(a_counter_takes_a_quarter),
                                       cmocka_unit_test(windows_have_their_samples),
                                       cmocka_unit_test(a_short_window_is_decoded_alone)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
