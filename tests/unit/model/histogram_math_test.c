// SPDX-License-Identifier: Apache-2.0
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "model/histogram/histogram_math.h"

#include <float.h>
#include <math.h>

static struct arena arena;

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

static void assert_near(double got, double want)
{
    if (isnan(want) ? !isnan(got) : !(got == want || fabs(got - want) <= 1e-12 * fabs(want)))
        fail_msg("got %.17g, want %.17g", got, want);
}

/* One span of buckets beginning at `offset`. */
static struct buckets side(int32_t offset, const double *counts, uint32_t n)
{
    struct span *span = ARENA_NEW(&arena, struct span);
    *span = (struct span){offset, n};
    return (struct buckets){span, 1, counts, n};
}
#define SIDE(offset, ...) \
    side(offset, (const double[]){__VA_ARGS__}, sizeof((const double[]){__VA_ARGS__}) / sizeof(double))

static double count_at(const struct histogram *h, int32_t index)
{
    struct bucket_iter it = buckets_positive(h);
    struct bucket b;
    while (bucket_next(&it, &b))
        if (b.index == index)
            return b.count;
    return 0;
}

static void bounds_of_exponential_buckets(void **state)
{
    (void)state;
    struct histogram h = {.schema = 0};
    assert_near(histogram_bound(&h, 0), 1);
    assert_near(histogram_bound(&h, 3), 8);
    assert_near(histogram_bound(&h, -2), 0.25);
    assert_true(histogram_bound(&h, 1024) == DBL_MAX);
    assert_true(histogram_bound(&h, 1025) == INFINITY);
    h.schema = -4;
    assert_near(histogram_bound(&h, 1), 65536);
    assert_true(histogram_bound(&h, 64) == DBL_MAX);
    assert_true(histogram_bound(&h, 65) == INFINITY);
    h.schema = 3;
    for (int32_t i = -40; i < 40; i++)
        assert_true(fabs(histogram_bound(&h, i) / pow(2, i / 8.0) - 1) < 1e-14);
}

static void bounds_of_custom_buckets(void **state)
{
    (void)state;
    struct histogram h = {.schema = HISTOGRAM_CUSTOM, .custom = (const double[]){1, 5}, .n_custom = 2};
    assert_true(histogram_bound(&h, -1) == -INFINITY);
    assert_near(histogram_bound(&h, 1), 5);
    assert_true(histogram_bound(&h, 2) == INFINITY);
}

static void walking_is_in_order_of_values(void **state)
{
    (void)state;
    struct span gaps[] = {{1, 1}, {2, 0}, {1, 2}};
    struct histogram h = {.count = 16, .zero_count = 2, .zero_threshold = 1.5, .negative = SIDE(1, 4, 5),
                          .positive = {gaps, 3, (const double[]){1, 2, 3}, 3}};
    static const double lower[] = {-4, -2, -1.5, 1.5, 16, 32}, count[] = {5, 4, 2, 1, 2, 3};
    struct bucket_iter it = buckets_ascending(&h);
    struct bucket b;
    for (size_t i = 0; i < 6; i++) {
        assert_true(bucket_next(&it, &b));
        assert_near(b.lower, lower[i]);
        assert_near(b.count, count[i]);
    }
    assert_false(bucket_next(&it, &b));
    it = buckets_descending(&h);
    for (size_t i = 6; i-- > 0;) {
        assert_true(bucket_next(&it, &b));
        assert_near(b.lower, lower[i]);
        assert_near(b.count, count[i]);
    }
    assert_false(bucket_next(&it, &b));
}

static void adding_reconciles_schemas(void **state)
{
    (void)state;
    struct histogram fine = {.schema = 1, .count = 10, .sum = 3, .positive = SIDE(1, 1, 2, 3, 4)};
    struct histogram coarse = {.schema = 0, .count = 30, .sum = 4, .positive = SIDE(2, 30)};
    unsigned flags = 0;
    const struct histogram *sum = histogram_add(&arena, &fine, &coarse, &flags);
    assert_int_equal(flags, 0);
    assert_int_equal(sum->schema, 0);
    assert_near(sum->count, 40);
    assert_near(sum->sum, 7);
    assert_near(count_at(sum, 1), 3);
    assert_near(count_at(sum, 2), 37);
    const struct histogram *back = histogram_sub(&arena, sum, &coarse, &flags);
    assert_true(histogram_equal(back, histogram_reduce(&arena, &fine, 0)));
}

static void adding_widens_the_zero_bucket(void **state)
{
    (void)state;
    struct histogram x = {
        .count = 10, .zero_threshold = 1, .zero_count = 1, .positive = SIDE(1, 2, 3, 4)}; /* (1,2] (2,4] (4,8] */
    struct histogram y = {.count = 5, .zero_threshold = 3, .zero_count = 5};
    unsigned flags = 0;
    const struct histogram *sum = histogram_add(&arena, &x, &y, &flags);
    assert_near(sum->zero_threshold, 4); /* 3 is inside (2,4], which is populated */
    assert_near(sum->zero_count, 11);
    assert_near(count_at(sum, 3), 4);
    assert_int_equal(sum->positive.n_counts, 1);
}

static void custom_bounds_are_intersected(void **state)
{
    (void)state;
    struct histogram x = {.schema = HISTOGRAM_CUSTOM,
                          .count = 15,
                          .custom = (const double[]){1, 2, 5},
                          .n_custom = 3,
                          .positive = SIDE(0, 1, 2, 4, 8)};
    struct histogram y = {.schema = HISTOGRAM_CUSTOM,
                          .count = 7,
                          .custom = (const double[]){2, 3, 5},
                          .n_custom = 3,
                          .positive = SIDE(0, 1, 2, 4)};
    unsigned flags = 0;
    const struct histogram *sum = histogram_add(&arena, &x, &y, &flags);
    assert_int_equal(flags, HISTOGRAM_BOUNDS_RECONCILED);
    assert_int_equal(sum->n_custom, 2);
    assert_near(sum->custom[0], 2);
    assert_near(sum->custom[1], 5);
    assert_near(count_at(sum, 0), 4);
    assert_near(count_at(sum, 1), 10);
    assert_near(count_at(sum, 2), 8);
    struct histogram exponential = {.count = 1, .positive = SIDE(0, 1)};
    assert_null(histogram_add(&arena, &x, &exponential, &flags));
    assert_true(flags & HISTOGRAM_INCOMPATIBLE);
}

static void hints_weaken_and_collide(void **state)
{
    (void)state;
    struct histogram reset = {.hint = RESET_YES}, no_reset = {.hint = RESET_NO}, gauge = {.hint = RESET_GAUGE},
                     unknown = {0};
    unsigned flags = 0;
    assert_int_equal(histogram_add(&arena, &reset, &gauge, &flags)->hint, RESET_GAUGE);
    assert_int_equal(histogram_add(&arena, &reset, &unknown, &flags)->hint, RESET_UNKNOWN);
    assert_int_equal(flags, 0);
    assert_int_equal(histogram_add(&arena, &reset, &no_reset, &flags)->hint, RESET_UNKNOWN);
    assert_int_equal(flags, HISTOGRAM_HINT_COLLISION);
    assert_int_equal(histogram_mul(&arena, &reset, -1)->hint, RESET_GAUGE);
}

static void scaling(void **state)
{
    (void)state;
    struct histogram h = {.count = 6, .sum = 9, .zero_count = 3, .positive = SIDE(0, 3)};
    const struct histogram *third = histogram_div(&arena, &h, 3);
    assert_near(third->count, 2);
    assert_near(third->zero_count, 1);
    assert_near(count_at(third, 0), 1);
    assert_true(histogram_equal(histogram_mul(&arena, third, 3), &h));
    const struct histogram *nothing = histogram_div(&arena, &h, 0);
    assert_true(nothing->count == INFINITY);
    assert_int_equal(nothing->positive.n_counts, 0);
    assert_true(histogram_overflows(nothing));
    assert_false(histogram_overflows(&h));
}

static void equality_ignores_how_spans_are_cut(void **state)
{
    (void)state;
    struct span two[] = {{0, 1}, {0, 1}};
    struct histogram x = {.count = 3, .positive = SIDE(0, 1, 2)};
    struct histogram y = {.count = 3, .hint = RESET_GAUGE, .positive = {two, 2, (const double[]){1, 2}, 2}};
    struct histogram z = {.count = 3, .positive = SIDE(1, 1, 2)};
    assert_true(histogram_equal(&x, &y));
    assert_false(histogram_equal(&x, &z));
    assert_true(histogram_equal(&x, histogram_copy(&arena, &x)));
}

static void resets_are_noticed(void **state)
{
    (void)state;
    struct histogram before = {.schema = 1, .count = 10, .positive = SIDE(1, 1, 2, 3, 4)};
    struct histogram grown = {.schema = 1, .count = 12, .positive = SIDE(1, 1, 2, 5, 4)};
    struct histogram coarser = {.schema = 0, .count = 12, .positive = SIDE(1, 3, 9)};
    struct histogram fewer = {.schema = 0, .count = 12, .positive = SIDE(1, 2, 10)};
    struct histogram wider = {
        .schema = 1, .count = 10, .zero_threshold = 2, .zero_count = 3, .positive = SIDE(3, 3, 4)};
    struct histogram cutting = {
        .schema = 1, .count = 10, .zero_threshold = 1.2, .zero_count = 1, .positive = SIDE(2, 2, 3, 4)};
    assert_false(histogram_was_reset(&arena, &grown, &before));
    assert_true(histogram_was_reset(&arena, &before, &grown));
    assert_false(histogram_was_reset(&arena, &coarser, &before));
    assert_true(histogram_was_reset(&arena, &fewer, &before));
    assert_true(histogram_was_reset(&arena, &before, &coarser)); /* the resolution rose */
    assert_false(histogram_was_reset(&arena, &wider, &before));
    assert_true(histogram_was_reset(&arena, &before, &wider));
    assert_true(histogram_was_reset(&arena, &cutting, &before));
    before.hint = RESET_NO;
    assert_false(histogram_was_reset(&arena, &before, &grown));
    grown.hint = RESET_YES;
    assert_true(histogram_was_reset(&arena, &grown, &before));
}

static void resets_of_custom_buckets_with_other_bounds(void **state)
{
    (void)state;
    struct histogram before = {.schema = HISTOGRAM_CUSTOM,
                               .count = 6,
                               .custom = (const double[]){1, 2},
                               .n_custom = 2,
                               .positive = SIDE(0, 1, 2, 3)};
    struct histogram kept = {.schema = HISTOGRAM_CUSTOM,
                             .count = 7,
                             .custom = (const double[]){2, 9},
                             .n_custom = 2,
                             .positive = SIDE(0, 3, 2, 2)};
    struct histogram lost = {.schema = HISTOGRAM_CUSTOM,
                             .count = 7,
                             .custom = (const double[]){2, 9},
                             .n_custom = 2,
                             .positive = SIDE(0, 2, 3, 2)};
    assert_false(histogram_was_reset(&arena, &kept, &before));
    assert_true(histogram_was_reset(&arena, &lost, &before));
}

static void quantiles(void **state)
{
    (void)state;
    unsigned flags = 0;
    struct histogram h = {
        .count = 12, .sum = 100, .zero_threshold = 0.001, .zero_count = 2, .positive = SIDE(0, 2, 3, 0, 1, 4)};
    assert_near(histogram_quantile(&h, 1, &flags), 16);
    assert_near(histogram_quantile(&h, 0.5, &flags), exp2(2 / 3.0));
    assert_near(histogram_quantile(&h, 0.1, &flags), 0.0006);
    assert_true(histogram_quantile(&h, 1.1, &flags) == INFINITY);
    assert_true(histogram_quantile(&h, -1, &flags) == -INFINITY);
    assert_near(histogram_quantile(&h, NAN, &flags), NAN);
    assert_int_equal(flags, 0);
    h.count = 24;
    h.sum = NAN;
    assert_near(histogram_quantile(&h, 0.9, &flags), NAN);
    assert_int_equal(flags, HISTOGRAM_NAN_RESULT);
    flags = 0;
    assert_near(histogram_quantile(&h, 0.25, &flags), exp2(3.5)); /* within the last bucket, as Prometheus has it */
    assert_int_equal(flags, HISTOGRAM_NAN_SKEW);
    struct histogram custom = {.schema = HISTOGRAM_CUSTOM,
                               .count = 8,
                               .sum = 1,
                               .custom = (const double[]){2, 4},
                               .n_custom = 2,
                               .positive = SIDE(0, 4, 2, 2)};
    assert_near(histogram_quantile(&custom, 0.25, &flags), 1);
    assert_near(histogram_quantile(&custom, 0.9, &flags), 4);
}

static void fraction_is_the_inverse_of_quantile(void **state)
{
    (void)state;
    unsigned flags = 0;
    struct histogram h = {.count = 24,
                          .sum = 1,
                          .zero_threshold = 0.001,
                          .zero_count = 2,
                          .positive = SIDE(0, 2, 3, 0, 1, 4),
                          .negative = SIDE(0, 2, 3, 0, 1, 6)};
    for (double q = 0.02; q < 1; q += 0.0671)
        assert_near(round(histogram_fraction(&h, -INFINITY, histogram_quantile(&h, q, &flags), &flags) * 1e10),
                    round(q * 1e10));
    assert_near(histogram_fraction(&h, 3, 3, &flags), 0);
    assert_near(histogram_fraction(&h, -INFINITY, INFINITY, &flags), 1);
    assert_near(histogram_fraction(&h, NAN, 1, &flags), NAN);
    assert_int_equal(flags, 0);
}

static void statistics(void **state)
{
    (void)state;
    struct histogram h = {.count = 4, .sum = 10, .positive = SIDE(2, 4)}; /* all between 2 and 4 */
    assert_near(histogram_avg(&h), 2.5);
    assert_near(histogram_stdvar(&h), (sqrt(8) - 2.5) * (sqrt(8) - 2.5));
    assert_near(histogram_stddev(&h), sqrt(8) - 2.5);
}

static void trimming(void **state)
{
    (void)state;
    struct histogram h = {.schema = HISTOGRAM_CUSTOM,
                          .count = 12,
                          .sum = 50,
                          .custom = (const double[]){2, 4, 8},
                          .n_custom = 3,
                          .positive = SIDE(0, 2, 2, 4, 4)};
    const struct histogram *low = histogram_trim_upper(&arena, &h, 6);
    assert_near(low->count, 6);
    assert_near(count_at(low, 2), 2);
    assert_near(low->sum, 2 * 1 + 2 * 3 + 2 * 5);
    const struct histogram *high = histogram_trim_lower(&arena, &h, 6);
    assert_near(high->count, 6);
    assert_near(high->sum, 2 * 7 + 4 * 8);
    assert_near(histogram_trim_upper(&arena, &h, INFINITY)->sum, 50); /* whole: the true sum */
    struct histogram e = {.count = 6, .sum = 5, .zero_threshold = 1, .zero_count = 2, .positive = SIDE(2, 4)};
    const struct histogram *zero = histogram_trim_upper(&arena, &e, 0.5);
    assert_near(zero->count, 1); /* the zero bucket begins at 0: nothing is negative */
    assert_near(zero->sum, 0.25);
}

static void sums_are_compensated(void **state)
{
    (void)state;
    struct histogram big = {.count = 1e100, .sum = 1e100, .positive = SIDE(0, 1e100)},
                     one = {.count = 1, .sum = 1, .positive = SIDE(0, 1)};
    const struct histogram *minus = histogram_mul(&arena, &big, -1), *in[] = {&big, &one, minus, &one};
    struct histogram_sum s = {0};
    unsigned flags = 0;
    histogram_sum_start(&s, &arena);
    assert_null(histogram_sum_total(&s, &arena));
    for (size_t i = 0; i < LEN(in); i++)
        histogram_sum_add(&s, in[i], &flags);
    const struct histogram *total = histogram_sum_total(&s, &arena);
    assert_near(total->count, 2);
    assert_near(total->sum, 2);
    assert_near(count_at(total, 0), 2);
}

static void means_survive_overflow(void **state)
{
    (void)state;
    struct histogram h = {.count = 1e308, .sum = 1e308, .positive = SIDE(0, 1e308)};
    struct histogram_sum s = {0};
    unsigned flags = 0;
    histogram_sum_start(&s, &arena);
    for (size_t i = 0; i < 5; i++)
        histogram_mean_add(&s, &h, &flags);
    assert_true(s.running_mean);
    assert_near(histogram_sum_mean(&s, &arena)->count, 1e308);
    histogram_sum_start(&s, &arena);
    h = (struct histogram){.count = 3, .positive = SIDE(0, 3)};
    for (size_t i = 0; i < 3; i++)
        histogram_mean_add(&s, &h, &flags);
    assert_near(count_at(histogram_sum_mean(&s, &arena), 0), 3);
}

static void known_buckets_cost_no_memory(void **state)
{
    (void)state;
    struct histogram h = {.count = 3, .positive = SIDE(-3, 1, 0, 2), .negative = SIDE(0, 1)};
    struct histogram_sum s = {0};
    unsigned flags = 0;
    histogram_sum_start(&s, &arena);
    histogram_sum_add(&s, &h, &flags);
    histogram_sum_add(&s, &h, &flags);
    struct arena_mark mark = arena_mark(&arena);
    for (size_t i = 0; i < 100; i++)
        histogram_sum_add(&s, &h, &flags);
    assert_int_equal(arena_mark(&arena).aligned_n, mark.aligned_n);
    assert_near(histogram_sum_total(&s, &arena)->count, 306);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(bounds_of_exponential_buckets, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bounds_of_custom_buckets, set_up, tear_down),
        cmocka_unit_test_setup_teardown(walking_is_in_order_of_values, set_up, tear_down),
        cmocka_unit_test_setup_teardown(adding_reconciles_schemas, set_up, tear_down),
        cmocka_unit_test_setup_teardown(adding_widens_the_zero_bucket, set_up, tear_down),
        cmocka_unit_test_setup_teardown(custom_bounds_are_intersected, set_up, tear_down),
        cmocka_unit_test_setup_teardown(hints_weaken_and_collide, set_up, tear_down),
        cmocka_unit_test_setup_teardown(scaling, set_up, tear_down),
        cmocka_unit_test_setup_teardown(equality_ignores_how_spans_are_cut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(resets_are_noticed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(resets_of_custom_buckets_with_other_bounds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(quantiles, set_up, tear_down),
        cmocka_unit_test_setup_teardown(fraction_is_the_inverse_of_quantile, set_up, tear_down),
        cmocka_unit_test_setup_teardown(statistics, set_up, tear_down),
        cmocka_unit_test_setup_teardown(trimming, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sums_are_compensated, set_up, tear_down),
        cmocka_unit_test_setup_teardown(means_survive_overflow, set_up, tear_down),
        cmocka_unit_test_setup_teardown(known_buckets_cost_no_memory, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
