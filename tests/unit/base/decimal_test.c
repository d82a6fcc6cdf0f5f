// SPDX-License-Identifier: Apache-2.0
/* Rounding in decimal. That every bit is VictoriaMetrics' is tested beside a real vmagent (system/test_pipeline.py). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/text/decimal.h"

#include <math.h>
#include <stdbool.h>

static bool same(double a, double b) { return a == b && signbit(a) == signbit(b); }

static void figures(void **state)
{
    (void)state;
    assert_true(same(decimal_round_figures(123.456, 2), 120));
    assert_true(same(decimal_round_figures(-0.0012355, 4), -0.001236));
    assert_true(same(decimal_round_figures(999999.5, 3), 1000000));
    assert_true(same(decimal_round_figures(1e300, 1), 1e300));
    assert_true(same(decimal_round_figures(1.0 / 3, 17), 0.333333333333));
    assert_true(same(decimal_round_figures(1.0 / 3, 18), 1.0 / 3));
    assert_true(same(decimal_round_figures(1.0 / 3, 0), 1.0 / 3));
    assert_true(same(decimal_round_figures(-0.0, 3), -0.0));
    assert_true(isinf(decimal_round_figures(INFINITY, 3)) && isnan(decimal_round_figures(NAN, 3)));
    assert_true(isfinite(decimal_round_figures(5e-324, 3)));
}

static void digits(void **state)
{
    (void)state;
    assert_true(same(decimal_round_digits(123.456, 1), 123.5));
    assert_true(same(decimal_round_digits(-2.5, 0), -3));
    assert_true(same(decimal_round_digits(1499, -3), 1000));
    assert_true(same(decimal_round_digits(1.25, 100), 1.25) && same(decimal_round_digits(1.25, -100), 1.25));
    assert_true(isinf(decimal_round_digits(INFINITY, 3)) && isnan(decimal_round_digits(NAN, 3)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(figures), cmocka_unit_test(digits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
