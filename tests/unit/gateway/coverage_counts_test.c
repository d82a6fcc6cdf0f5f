// SPDX-License-Identifier: Apache-2.0
/* Replicas that lost samples after the scrapes: `up` shows no gap, the counts do. */
#include "coverage_fixture.h"

static void lost_samples_are_found(void **state UNUSED)
{
    struct world w;
    world_begin_pair(&w, false);
    world_add(&w, 0, "other", "o:1", 15 * S, 3 * S);
    world_add(&w, 1, "other", "o:1", 15 * S, 9 * S);
    struct world_scraper *lossy = &w.replicas[0].jobs[0];
    const struct matcher other[] = {world_metric, {.type = MATCH_EQ, .name = STR("job"), .value = STR("other")}};
    const struct matcher own[] = {world_metric, {.type = MATCH_EQ, .name = STR("job"), .value = str_of(lossy->job)}};
    lossy->lost_from = T0 - 8 * MIN;
    lossy->lost_to = T0 - 7 * MIN;
    world_ask(&w, T0 - HOUR);
    assert_int_equal(w.counts_read, 1);
    assert_string_equal(world_gaps_of(&w, 0, own, 2, T0 - 20 * MIN, T0 - MIN), "-1200..-60");
    assert_string_equal(world_gaps_of(&w, 0, other, 2, T0 - 20 * MIN, T0 - MIN), "");
    assert_string_equal(world_gaps_of(&w, 1, own, 2, T0 - 20 * MIN, T0 - MIN), "");
    struct coverage_status status;
    coverage_show(w.coverage, &w.arena, 0, &status);
    assert_int_equal(status.replicas[0].distrusted, 1);
    assert_int_equal(status.replicas[1].distrusted, 0);
    lossy->lost_to = lossy->lost_from;
    world_run_queried(&w, 61 * MIN); /* trusted again, but for what was counted */
    assert_in_range(w.counts_read, 6, 8);
    assert_string_equal(world_gaps_of(&w, 0, own, 2, T0, T0 + HOUR), "");
    assert_string_not_equal(world_gaps_of(&w, 0, own, 2, T0 - 20 * MIN, T0), "");
    world_end(&w);
}

static void a_loss_that_lasts_is_one_gap(void **state UNUSED)
{
    struct world w;
    world_begin_pair(&w, false);
    w.replicas[0].jobs[0].lost_from = T0 - 8 * MIN;
    w.replicas[0].jobs[0].lost_to = T0 + 2 * HOUR;
    world_ask(&w, T0 - HOUR);
    world_run_queried(&w, 2 * HOUR);
    world_run_queried(&w, 80 * MIN); /* trusted again, but for what was counted */
    assert_string_equal(world_gaps(&w, 0, T0 - 8 * MIN, T0 + 2 * HOUR), "-480..7200");
    assert_string_equal(world_gaps(&w, 0, T0 + 130 * MIN, T0 + 3 * HOUR), "");
    assert_string_equal(world_gaps(&w, 1, T0 - 8 * MIN, T0 + 3 * HOUR), "");
    world_end(&w);
}

/* Other intervals, other moments, and what is known to be missing. */
static void equal_replicas_are_not_accused(void **state UNUSED)
{
    struct world w;
    world_begin_pair(&w, false);
    world_add(&w, 0, "slow", "s:1", 60 * S, 3 * S);
    world_add(&w, 1, "slow", "s:1", 15 * S, 9 * S);
    struct world_scraper *known = world_add(&w, 0, "gap", "g:1", 15 * S, 2 * S);
    world_add(&w, 1, "gap", "g:1", 15 * S, 5 * S);
    scraper_cut(known, T0 - 8 * MIN, T0 - 5 * MIN, CUT_MISSED);
    const struct matcher slow[] = {world_metric, {.type = MATCH_EQ, .name = STR("job"), .value = STR("slow")}};
    world_ask(&w, T0 - HOUR);
    world_run_queried(&w, 30 * MIN);
    assert_in_range(w.counts_read, 3, 5);
    for (size_t r = 0; r < 2; r++) {
        struct coverage_status status;
        coverage_show(w.coverage, &w.arena, 0, &status);
        assert_int_equal(status.replicas[r].distrusted, 0);
        assert_string_equal(world_gaps_of(&w, r, slow, 2, T0 - 20 * MIN, T0 - MIN), "");
    }
    world_end(&w);
}

static void what_the_servers_evaluate(void **state UNUSED)
{
    struct world w;
    struct buf out = {0};
    struct coverage_work work = {.kind = COVERAGE_COUNTS, .from = T0 - 10 * MIN, .to = T0, .name = STR("m.x")};
    world_begin_pair(&w, false);
    coverage_counts_expr(w.coverage, &work, &out);
    assert_string_equal(buf_z(&out),
        "label_replace(sum by(job,instance)(count_over_time({\"m.x\"}[600000ms])),\"__part__\",\"samples\",\"\",\"\") or "
        "label_replace(count by(job,instance)(count_over_time({\"m.x\"}[600000ms])),\"__part__\",\"series\",\"\",\"\") or "
        "label_replace(sum by(job,instance)(sum_over_time(up[600000ms])),\"__part__\",\"scrapes\",\"\",\"\")");
    buf_free(&out);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lost_samples_are_found),
        cmocka_unit_test(a_loss_that_lasts_is_one_gap),
        cmocka_unit_test(equal_replicas_are_not_accused),
        cmocka_unit_test(what_the_servers_evaluate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
