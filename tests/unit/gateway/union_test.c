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

static bool add(struct pair *p, const struct group *g, const char *names)
{
    struct labels labels[8];
    size_t n = 0;
    for (struct str rest = str_of(names), name; str_cut(&rest, ' ', &name); n++)
        labels[n] = labels_from(&p->arena, &(struct label){STR(METRIC_NAME), name}, 1);
    return union_add(&p->all, g, labels, n, &p->err);
}

/* "a 0.0+1.1; b 0.1": the parts of each series, and their positions. */
static const char *text(struct pair *p)
{
    struct buf out = {0};
    for (size_t i = 0; i < p->all.n; i++) {
        buf_add_z(&out, i ? "; " : "");
        labels_print(&out, p->all.series[i].labels);
        for (const struct union_series *s = &p->all.series[i]; s; s = s->more)
            buf_printf(&out, "%c%u.%u", s == &p->all.series[i] ? ' ' : '+', s->part, s->index);
    }
    const char *all = arena_z(&p->arena, buf_str(&out));
    buf_free(&out);
    return all;
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
    assert_true(add(&p, &p.east, "c a"));
    assert_true(add(&p, &p.west, "d b"));
    assert_string_equal(text(&p), "c 0.0; a 0.1; d 1.0; b 1.1");
    assert_true(union_sort(&p.all, &p.err));
    assert_string_equal(text(&p), "a 0.1; b 1.1; c 0.0; d 1.0");
    end(&p);
}

static void twice_is_an_error_that_names_both(void **state UNUSED)
{
    struct pair p;
    begin(&p, OVERLAP_NONE);
    assert_true(add(&p, &p.east, "a"));
    assert_false(add(&p, &p.west, "b a"));
    assert_int_equal(p.err.kind, ERR_EXEC);
    assert_non_null(strstr(p.err.text, "series a is in server group \"east\" and in server group \"west\""));
    end(&p);
}

static void one_that_says_merge_is_not_enough(void **state UNUSED)
{
    struct pair p;
    begin(&p, OVERLAP_MERGE);
    p.west.overlap = OVERLAP_NONE;
    assert_true(add(&p, &p.east, "a"));
    assert_false(add(&p, &p.west, "b a"));
    end(&p);
}

static void merged_of_all_that_have_it(void **state UNUSED)
{
    struct pair p;
    begin(&p, OVERLAP_MERGE);
    assert_true(add(&p, &p.east, "a"));
    assert_true(add(&p, &p.west, "b a"));
    assert_true(add(&p, &p.east, "a c"));
    assert_string_equal(text(&p), "a 0.0+1.1+2.0; b 1.0; c 2.1");
    end(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(different_series),
        cmocka_unit_test(twice_is_an_error_that_names_both),
                                       cmocka_unit_test(one_that_says_merge_is_not_enough), cmocka_unit_test(merged_of_all_that_have_it)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
