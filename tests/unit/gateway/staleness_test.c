// SPDX-License-Identifier: Apache-2.0
/* Lookback that a server has applied already, taken back. */
#include "gateway/upstream/decode/staleness.h"
#include "tests/unit/gateway/responses.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static const struct select grid = {.start = 0, .end = 60000, .step = 15000, .window = 300000};

static void check_ends(const char *text, const struct select *sel, const char *want)
{
    struct responses t;
    responses_begin(&t);
    struct series s = series_of(&t.arena, text);
    t.response.series = &s;
    t.response.n = 1;
    assert_true(staleness_end(&t.response, sel, &t.err));
    assert_string_equal(responses_text(&t), want);
    responses_end(&t);
}

static void values_end_at_their_step(void **state UNUSED)
{
    check_ends("m 1@0 2@15000 3@30000 4@45000 5@60000", &grid, "m 1@0 2@15000 3@30000 4@45000 5@60000");
    check_ends("m 1@0 3@30000 4@45000", &grid, "m 1@0 stale@1 3@30000 4@45000 stale@45001");
    check_ends("m 1@500", &(struct select){.start = 500, .end = 500}, "m 1@500");
}

static void other_times_are_an_error(void **state UNUSED)
{
    struct responses t;
    responses_begin(&t);
    struct series s = series_of(&t.arena, "m 1@0 2@15001");
    t.response.series = &s;
    t.response.n = 1;
    assert_false(staleness_end(&t.response, &grid, &t.err));
    assert_non_null(strstr(t.err.text, "do not match the requested steps"));
    responses_end(&t);
}

static void check_marks(const char *raw, const char *steps, const struct select *sel, const char *want)
{
    struct responses t;
    responses_begin(&t);
    struct series s = series_of(&t.arena, raw), at = series_of(&t.arena, steps);
    struct response shown = {.arena = &t.arena, .series = &at, .n = at.n_samples > 0};
    t.response.series = &s;
    t.response.n = 1;
    assert_true(staleness_mark(&t.response, &shown, sel, &t.err));
    assert_string_equal(responses_text(&t), want);
    responses_end(&t);
}

static void steps_beside_samples_at_other_times_are_an_error(void **state UNUSED)
{
    const struct select sel = {.start = 1000, .end = 5000, .step = 1000, .window = 300000};
    struct responses t;
    responses_begin(&t);
    struct series s = series_of(&t.arena, "m 1@500 2@2500"), at = series_of(&t.arena, "m 1@1000 1@2007 2@3000");
    struct response shown = {.arena = &t.arena, .series = &at, .n = 1};
    t.response.series = &s;
    t.response.n = 1;
    assert_false(staleness_mark(&t.response, &shown, &sel, &t.err));
    assert_non_null(strstr(t.err.text, "do not match the requested steps"));
    responses_end(&t);
}

static void marker_where_a_sample_was_due(void **state UNUSED)
{
    const struct select seven = {.start = 3000, .end = 66000, .step = 7000, .window = 300000};
    /* samples every 15 s until 30000, marker at 45000, seen at 3000 ... 38000 and not from 45000 on */
    check_marks("m 1@0 2@15000 3@30000", "m 1@3000 1@10000 2@17000 2@24000 3@31000 3@38000", &seven,
                "m 1@0 2@15000 3@30000 stale@45000");
    /* it was still there at the last step before: the marker is later than the usual gap says */
    const struct select coarse = {.start = 3000, .end = 200000, .step = 50000, .window = 300000};
    check_marks("m 1@0 2@15000 3@30000", "m 1@3000 3@53000", &coarse, "m 1@0 2@15000 3@30000 stale@60000");
    /* and back again */
    check_marks("m 1@0 2@15000 3@30000 4@120000", "m 1@3000 4@153000", &coarse,
                "m 1@0 2@15000 3@30000 stale@45000 4@120000");
}

static void one_step(void **state UNUSED)
{
    const struct select at = {.start = 100000, .end = 100000, .window = 300000};
    check_marks("m 1@0 2@15000 3@30000", "m", &at, "m 1@0 2@15000 3@30000 stale@45000");
    check_marks("m 1@0 2@15000 3@30000", "m 3@100000", &at, "m 1@0 2@15000 3@30000");
}

static void no_marker_without_a_reason(void **state UNUSED)
{
    const struct select late = {.start = 400000, .end = 400000, .window = 300000}, soon = {.start = 30500, .end = 30500,
        .window = 300000};
    check_marks("m 1@0 2@15000 3@30000", "m", &late, "m 1@0 2@15000 3@30000"); /* too old to be seen */
    check_marks("m 1@0 2@15000 3@30000", "m", &soon, "m 1@0 2@15000 3@30000"); /* arrived between the two responses */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(values_end_at_their_step),
        cmocka_unit_test(other_times_are_an_error),
                                       cmocka_unit_test(steps_beside_samples_at_other_times_are_an_error),
        cmocka_unit_test(marker_where_a_sample_was_due), cmocka_unit_test(one_step),
                                       cmocka_unit_test(no_marker_without_a_reason)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
