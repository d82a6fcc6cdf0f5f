// SPDX-License-Identifier: Apache-2.0
/* The wire form of native histograms, judged by protobuf-c. (Arithmetic: histogram_math_test.c and others.) */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "model/remote.pb-c.h"
#include "model/remote_write.h"
#include "tests/unit/model/rng.h"
#include "tests/unit/model/scratch.h"

static struct str packed(const Pb__Histogram *m)
{
    size_t n = pb__histogram__get_packed_size(m);
    char *p = arena_bytes(&arena, n);
    pb__histogram__pack(m, (uint8_t *)p);
    return str_n(p, n);
}

static bool decode(struct str s, int64_t *t, struct histogram *h, struct err *err)
{
    return histogram_decode(&arena, (const uint8_t *)s.p, s.n, t, h, err);
}

static void test_integer_form(void **state UNUSED)
{
    Pb__Span spans[] = {PB__SPAN__INIT, PB__SPAN__INIT};
    spans[0].offset = -2;
    spans[0].length = 2;
    spans[1].offset = 3;
    spans[1].length = 1;
    Pb__Span *items[] = {&spans[0], &spans[1]};
    int64_t deltas[] = {5, -4, 100}, negative[] = {1, 1, -2};
    Pb__Histogram m = PB__HISTOGRAM__INIT;
    m.count_case = PB__HISTOGRAM__COUNT_COUNT_INT;
    m.count_int = 107 + 3 + 7;
    m.sum = -1.5;
    m.schema = -4;
    m.zero_threshold = 0.001;
    m.zero_count_case = PB__HISTOGRAM__ZERO_COUNT_ZERO_COUNT_INT;
    m.zero_count_int = 7;
    m.positive_spans = m.negative_spans = items;
    m.n_positive_spans = m.n_negative_spans = 2;
    m.positive_deltas = deltas;
    m.negative_deltas = negative;
    m.n_positive_deltas = m.n_negative_deltas = 3;
    m.reset_hint = PB__HISTOGRAM__RESET_HINT__GAUGE;
    m.timestamp = -12;
    struct histogram h;
    struct err err;
    int64_t t;
    assert_true(decode(packed(&m), &t, &h, &err));
    assert_true(t == -12 && rw_hist_time(packed(&m)) == -12);
    assert_true(h.count == 117 && h.sum == -1.5 && h.schema == -4 && h.zero_count == 7 && h.zero_threshold == 0.001);
    assert_int_equal(h.hint, RESET_GAUGE);
    assert_int_equal(h.positive.n_counts, 3);
    assert_true(h.positive.counts[0] == 5 && h.positive.counts[1] == 1 && h.positive.counts[2] == 101);
    assert_true(h.negative.counts[0] == 1 && h.negative.counts[1] == 2 && h.negative.counts[2] == 0);
    assert_true(h.positive.spans[0].offset == -2 && h.positive.spans[1].offset == 3 && h.positive.spans[1].length == 1);
}

static struct buckets random_side(uint64_t *seed, uint32_t most)
{
    uint32_t n_spans = most ? (uint32_t)rng_below(seed, 4) : 0, n = 0;
    struct span *spans = ARENA_ARRAY(&arena, struct span, n_spans);
    for (uint32_t i = 0; i < n_spans; i++) {
        spans[i] = (struct span){(int32_t)rng_below(seed, 3) - (i == 0 && most > 100), (uint32_t)rng_below(seed, 4)};
        n += spans[i].length;
    }
    double *counts = ARENA_ARRAY(&arena, double, n);
    for (uint32_t i = 0; i < n; i++)
        counts[i] = (double)rng_below(seed, 1000) / 4 - 10;
    return (struct buckets){spans, n_spans, counts, n};
}

static struct histogram random_histogram(uint64_t *seed)
{
    static const double bounds[] = {-1, 0, 1, 2.5, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    struct histogram h = {.schema = (int32_t)rng_below(seed, 13) - 4, .hint = (enum reset_hint)rng_below(seed, 4)};
    h.sum = (double)rng_below(seed, 3) - 1;
    h.count = (double)rng_below(seed, 3);
    bool custom = rng_below(seed, 4) == 0;
    if (custom) {
        h.schema = HISTOGRAM_CUSTOM;
        h.custom = bounds;
        h.n_custom = LEN(bounds);
    } else {
        h.zero_threshold = (double)rng_below(seed, 2) / 128;
        h.zero_count = (double)rng_below(seed, 3);
        h.negative = random_side(seed, 1000);
    }
    h.positive = random_side(seed, custom ? LEN(bounds) : 1000);
    return h;
}

static void assert_side(const struct buckets *a, const struct buckets *b)
{
    assert_int_equal(a->n_spans, b->n_spans);
    assert_int_equal(a->n_counts, b->n_counts);
    assert_true(a->n_spans == 0 || memcmp(a->spans, b->spans, a->n_spans * sizeof *a->spans) == 0);
    assert_true(a->n_counts == 0 || memcmp(a->counts, b->counts, a->n_counts * sizeof *a->counts) == 0);
}

static void assert_same(const struct histogram *a, const struct histogram *b)
{
    assert_int_equal(a->schema, b->schema);
    assert_int_equal(a->hint, b->hint);
    assert_true(a->count == b->count && a->sum == b->sum && a->zero_count == b->zero_count
                && a->zero_threshold == b->zero_threshold);
    assert_side(&a->positive, &b->positive);
    assert_side(&a->negative, &b->negative);
    assert_int_equal(a->n_custom, b->n_custom);
    assert_true(a->n_custom == 0 || memcmp(a->custom, b->custom, a->n_custom * sizeof *a->custom) == 0);
}

static void test_round_trip(void **state UNUSED)
{
    uint64_t seed = 1;
    struct buf wire = {0};
    for (int i = 0; i < 2000; i++) {
        struct histogram h = random_histogram(&seed), back;
        int64_t t = (int64_t)rng_below(&seed, 3) - 1, got = 99;
        struct err err;
        buf_clear(&wire);
        histogram_encode(&wire, &h, t);
        assert_true(decode(buf_str(&wire), &got, &back, &err));
        assert_true(got == t);
        assert_same(&h, &back);
        Pb__Histogram *m = pb__histogram__unpack(NULL, wire.n, (uint8_t *)wire.p);
        assert_non_null(m);
        assert_int_equal(m->schema, h.schema);
        assert_int_equal(m->n_positive_counts, h.positive.n_counts);
        assert_int_equal(m->count_case, PB__HISTOGRAM__COUNT_COUNT_FLOAT);
        assert_true(decode(packed(m), &got, &back, &err)); /* whether it packs or not */
        assert_same(&h, &back);
        pb__histogram__free_unpacked(m, NULL);
    }
    buf_free(&wire);
}

static void assert_refused(struct histogram h, const char *want)
{
    struct buf wire = {0};
    struct err err = {0};
    struct histogram back;
    int64_t t;
    histogram_encode(&wire, &h, 1);
    assert_false(decode(buf_str(&wire), &t, &back, &err));
    assert_non_null(strstr(err.text, want));
    buf_free(&wire);
}

static void test_refusals(void **state UNUSED)
{
    static const struct span two[] = {{0, 1}, {-1, 1}}, one[] = {{0, 2}}, far[] = {{INT32_MAX, 2}}, below[] = {{-1, 2}},
                             huge[] = {{0, UINT32_MAX}};
    static const double counts[] = {1, 2}, bounds[] = {1}, falling[] = {2, 1}, infinite[] = {1, INFINITY};
    assert_refused((struct histogram){.schema = 9}, "unknown schema");
    assert_refused((struct histogram){.schema = -5}, "unknown schema");
    assert_refused((struct histogram){.positive = {two, 2, counts, 2}}, "negative offset");
    assert_refused((struct histogram){.positive = {one, 1, counts, 1}}, "do not match");
    assert_refused((struct histogram){.negative = {far, 1, counts, 2}}, "outside");
    assert_refused((struct histogram){.negative = {huge, 1, counts, 2}}, "outside");
    assert_refused((struct histogram){.custom = bounds, .n_custom = 1}, "without the custom schema");
    assert_refused((struct histogram){.schema = -53, .custom = falling, .n_custom = 2}, "ascend");
    assert_refused((struct histogram){.schema = -53, .custom = infinite, .n_custom = 2}, "finite");
    assert_refused((struct histogram){.schema = -53, .zero_count = 1}, "zero bucket with custom bounds");
    assert_refused((struct histogram){.schema = -53, .positive = {one, 1, counts, 2}}, "outside");
    assert_refused(
        (struct histogram){.schema = -53, .custom = bounds, .n_custom = 1, .positive = {below, 1, counts, 2}},
        "outside");
    assert_refused((struct histogram){.schema = -53, .custom = bounds, .n_custom = 1, .negative = {one, 1, counts, 2}},
                   "negative buckets with custom bounds");
    double *many = ARENA_ARRAY(&arena, double, HISTOGRAM_MAX_BUCKETS + 1);
    assert_refused((struct histogram){.positive = {one, 1, many, HISTOGRAM_MAX_BUCKETS + 1}}, "too many buckets");
}

static void assert_strict(struct str wire, const char *want)
{
    struct err err = {0};
    struct histogram back;
    int64_t t;
    assert_true(decode(wire, &t, &back, &err)); /* well formed */
    bool ok = histogram_decode_strict(&arena, (const uint8_t *)wire.p, wire.n, &t, &back, &err);
    assert_int_equal(ok, want == NULL);
    if (want) {
        assert_int_equal(err.kind, ERR_BAD_DATA);
        assert_non_null(strstr(err.text, want));
    }
}

static struct str integers(uint64_t count, uint64_t zero, double sum, int64_t first, int64_t second)
{
    Pb__Span span = PB__SPAN__INIT, *spans = &span;
    span.length = 2;
    int64_t deltas[] = {first, second};
    Pb__Histogram m = PB__HISTOGRAM__INIT;
    m.count_case = PB__HISTOGRAM__COUNT_COUNT_INT;
    m.count_int = count;
    m.zero_count_case = PB__HISTOGRAM__ZERO_COUNT_ZERO_COUNT_INT;
    m.zero_count_int = zero;
    m.sum = sum;
    m.positive_spans = m.negative_spans = &spans;
    m.n_positive_spans = m.n_negative_spans = 1;
    m.positive_deltas = m.negative_deltas = deltas;
    m.n_positive_deltas = m.n_negative_deltas = 2;
    return packed(&m);
}

static void test_strict_counts(void **state UNUSED)
{
    static const struct span one[] = {{0, 2}};
    static const double good[] = {1, 2}, bad[] = {1, -2};
    assert_strict(integers(2 * (1 + 3) + 5, 5, 1, 1, 2), NULL);
    assert_strict(integers(12, 5, 1, 1, 2), "count is 12 but its buckets contain 13");
    assert_strict(integers(99, 5, 1, 1, 2), "count is 99");
    assert_strict(integers(99, 5, NAN, 1, 2), NULL); /* NaN observations are in no bucket */
    assert_strict(integers(12, 5, NAN, 1, 2), "count is 12");
    assert_strict(integers(1, 1, 1, 1, -2), "negative count");
    struct { struct histogram h; const char *want; } floats[] = {
        {{.count = 3.5, .positive = {one, 1, good, 2}}, NULL}, /* floats are rounded: any count */
        {{.count = 3, .positive = {one, 1, bad, 2}}, "negative count"},
        {{.count = 3, .negative = {one, 1, bad, 2}}, "negative count"},
        {{.count = -1}, "negative count"},
        {{.zero_count = -1}, "negative count"},
        {{.count = -1, .hint = RESET_GAUGE}, "negative count"},
        {{.sum = stale_nan()}, NULL},
    };
    struct buf wire = {0};
    for (size_t i = 0; i < LEN(floats); i++) {
        buf_clear(&wire);
        histogram_encode(&wire, &floats[i].h, 1);
        assert_strict(buf_str(&wire), floats[i].want);
    }
    buf_free(&wire);
}

static void test_bounds_missing(void **state UNUSED)
{
    static const double bounds[] = {1};
    struct { struct histogram h; bool lacks; } cases[] = {
        {{.schema = HISTOGRAM_CUSTOM, .custom = bounds, .n_custom = 1}, false},
        {{.schema = HISTOGRAM_CUSTOM, .count = 1}, true},
        {{.schema = HISTOGRAM_CUSTOM, .sum = stale_nan()}, false},
        {{.schema = 3}, false},
    };
    struct buf wire = {0};
    for (size_t i = 0; i < LEN(cases); i++) {
        buf_clear(&wire);
        histogram_encode(&wire, &cases[i].h, 1);
        assert_int_equal(histogram_lacks_bounds((const uint8_t *)wire.p, wire.n), cases[i].lacks);
    }
    buf_free(&wire);
}

static void test_budget(void **state UNUSED)
{
    struct arena small;
    struct buf wire = {0};
    struct err err = {0};
    double count = 1;
    struct histogram h = {.positive = {&(struct span){0, 1}, 1, &count, 1}}, back;
    int64_t t;
    histogram_encode(&wire, &h, 1);
    arena_init(&small, 16);
    assert_false(histogram_decode(&small, (uint8_t *)wire.p, wire.n, &t, &back, &err));
    assert_int_equal(err.kind, ERR_LIMIT);
    buf_free(&wire);
}

static void test_stale(void **state UNUSED)
{
    struct histogram h = {.sum = stale_nan()}, back;
    struct buf wire = {0};
    struct err err;
    int64_t t;
    histogram_encode(&wire, &h, 5);
    assert_true(decode(buf_str(&wire), &t, &back, &err));
    assert_true(histogram_is_stale(&back) && !histogram_is_stale(&(struct histogram){.sum = NAN}));
    buf_free(&wire);
}

/* What is accepted of damaged bytes has as many counts as its spans say, and encodes to the same again. */
static void test_damaged(void **state UNUSED)
{
    uint64_t seed = 4;
    unsigned accepted = 0;
    struct buf wire = {0}, again = {0};
    for (int i = 0; i < 20000; i++) {
        struct histogram h = random_histogram(&seed), back;
        struct err err;
        int64_t t;
        buf_clear(&wire);
        histogram_encode(&wire, &h, 1000);
        struct str bad = rng_damage(&seed, buf_str(&wire), 3, STR_NONE);
        if (decode(bad, &t, &back, &err)) {
            accepted++;
            buf_clear(&again);
            histogram_encode(&again, &back, t);
            assert_true(decode(buf_str(&again), &t, &h, &err));
            assert_side(&back.positive, &h.positive);
            assert_side(&back.negative, &h.negative);
        }
        mem_free((char *)bad.p);
    }
    assert_true(accepted > 1000 && accepted < 19000);
    buf_free(&wire);
    buf_free(&again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integer_form),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_strict_counts),
        cmocka_unit_test(test_bounds_missing),
        cmocka_unit_test(test_budget),
        cmocka_unit_test(test_stale),
        cmocka_unit_test(test_damaged),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
