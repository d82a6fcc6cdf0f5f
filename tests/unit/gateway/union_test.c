// SPDX-License-Identifier: Apache-2.0
#include "gateway/upstream/union.h"
#include "tests/unit/gateway/responses.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

struct pair { struct arena arena; struct group east, west; struct group_union all; struct err err; };

static void begin(struct pair *p, enum overlap overlap)
{
    memset(p, 0, sizeof *p);
    arena_init(&p->arena, 0);
    p->east = (struct group){.name = STR("east"), .overlap = overlap};
    p->west = (struct group){.name = STR("west"), .overlap = overlap};
    union_begin(&p->all, NULL, &p->arena);
}

static bool add(struct pair *p, const struct group *g, const char *text)
{
    struct series s = series_of(&p->arena, text);
    struct response a = {.series = &s, .n = 1};
    return union_add(&p->all, g, &a, &p->err);
}

static void end(struct pair *p)
{
    union_end(&p->all);
    arena_free(&p->arena);
}

static void different_series(void **state UNUSED)
{
    struct pair p;
    begin(&p, OVERLAP_NONE);
    assert_true(add(&p, &p.east, "a 1@1"));
    assert_true(add(&p, &p.west, "b 2@1"));
    assert_string_equal(series_text(&p.arena, p.all.series, p.all.n), "a 1@1; b 2@1");
    end(&p);
}

static void twice_is_an_error_that_names_both(void **state UNUSED)
{
    struct pair p;
    begin(&p, OVERLAP_NONE);
    assert_true(add(&p, &p.east, "a 1@1"));
    assert_false(add(&p, &p.west, "a 2@2"));
    assert_int_equal(p.err.kind, ERR_EXEC);
    assert_non_null(strstr(p.err.text, "series a is in server group \"east\" and in server group \"west\""));
    end(&p);
}

static void one_that_says_merge_is_not_enough(void **state UNUSED)
{
    struct pair p;
    begin(&p, OVERLAP_MERGE);
    p.west.overlap = OVERLAP_NONE;
    assert_true(add(&p, &p.east, "a 1@1"));
    assert_false(add(&p, &p.west, "a 2@2"));
    end(&p);
}

static void merged_by_time(void **state UNUSED)
{
    struct pair p;
    begin(&p, OVERLAP_MERGE);
    assert_true(add(&p, &p.east, "a 1@1 3@3"));
    assert_true(add(&p, &p.west, "a 9@1 2@2 4@4"));
    assert_string_equal(series_text(&p.arena, p.all.series, p.all.n), "a 1@1 2@2 3@3 4@4");
    end(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(different_series),
        cmocka_unit_test(twice_is_an_error_that_names_both),
                                       cmocka_unit_test(one_that_says_merge_is_not_enough), cmocka_unit_test(merged_by_time)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
