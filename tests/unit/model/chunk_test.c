// SPDX-License-Identifier: Apache-2.0
/* Lists of chunks give back the samples that were packed, bit by bit. */
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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(lists_give_back_what_they_hold),
                                       cmocka_unit_test(a_counter_takes_a_quarter)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
