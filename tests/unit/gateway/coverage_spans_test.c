// SPDX-License-Identifier: Apache-2.0
/* Lists of spans of time. */
#include "gateway/coverage/spans.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static void span_lists(void **state UNUSED)
{
    struct span_list l = {0};
    struct coverage_span many[40];
    spans_add(&l, (struct coverage_span){10, 20});
    spans_add(&l, (struct coverage_span){40, 50});
    spans_add(&l, (struct coverage_span){21, 25});
    assert_int_equal(l.n, 2);
    assert_int_equal(l.items[0].to, 25);
    spans_add(&l, (struct coverage_span){0, 5});
    spans_add(&l, (struct coverage_span){24, 41});
    assert_int_equal(l.n, 2);
    assert_int_equal(l.items[1].to, 50);
    assert_int_equal(spans_find(&l, 6), 1);
    spans_cut_before(&l, 12);
    assert_int_equal(l.items[0].from, 12);
    spans_cut_after(&l, 30);
    assert_int_equal(l.n, 1);
    assert_int_equal(l.items[0].to, 30);
    spans_free(&l);
    for (int i = 0; i < 40; i++)
        many[39 - i] = (struct coverage_span){i * 100 + (i / 10) * 1000, i * 100 + (i / 10) * 1000 + 5};
    assert_int_equal(spans_join(many, 40), 40);
    assert_int_equal(spans_limit(many, 40, 4), 4);
    assert_int_equal(many[1].from, 2000);
    assert_int_equal(many[1].to, 2905);
    assert_int_equal(spans_limit(many, 4, 16), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(span_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
