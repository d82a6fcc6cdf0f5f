// SPDX-License-Identifier: Apache-2.0
/* Which targets are read apart, so that a replica without gaps can be had for each part. */
#include "coverage_fixture.h"

#include <stdio.h>

/* Targets "0" to n - 1 of job x on two replicas, which the second one scrapes 7 s later. */
static void targets_begin(struct world *w, size_t n, bool trust)
{
    static const char *const instances[] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11"};
    assert_true(n <= LEN(instances));
    world_begin(w, 2, trust);
    for (size_t r = 0; r < 2; r++)
        for (size_t i = 0; i < n; i++)
            world_add(w, r, "x", instances[i], 15 * S, r ? 7 * S : 0);
}

static void lack(struct world *w, size_t r, size_t target, int64_t from, int64_t to)
{
    scraper_cut(&w->replicas[r].jobs[target], T0 + from, T0 + to, CUT_MISSED);
}

static void assert_divided(struct world *w, const struct matcher *m, size_t n, int64_t from, uint64_t usable,
                           const char *wanted)
{
    char got[200] = "";
    struct coverage_division d;
    struct coverage_query q = {m, n, T0 + from, T0, w->now};
    bool divided = coverage_divide(w->coverage, &w->arena, &q, 1, usable, &d);
    for (size_t i = 0; divided && i < d.n; i++)
        for (size_t k = 0; k < d.parts[i].n; k++)
            snprintf(got + strlen(got), sizeof got - strlen(got), "%s%.*s", k ? "," : i ? " " : "", STR_ARG(d.parts[i].values[k]));
    assert_string_equal(got, wanted);
    assert_true(!divided || str_is(d.label, "instance"));
}

static void parts_have_the_same_complete_replicas(void **state UNUSED)
{
    struct world w;
    targets_begin(&w, 6, false);
    lack(&w, 0, 1, -600 * S, -500 * S);
    lack(&w, 0, 2, -900 * S, -300 * S);
    lack(&w, 1, 3, -600 * S, -500 * S);
    lack(&w, 1, 4, -600 * S, -500 * S);
    lack(&w, 1, 5, -800 * S, -500 * S);
    world_ask(&w, T0 - HOUR);
    assert_divided(&w, &world_metric, 1, -HOUR, 3, "1,2"); /* the rest is complete on the first one */
    assert_divided(&w, &world_metric, 1, -400 * S, 3, ""); /* the second one has everything */
    assert_divided(&w, &world_metric, 1, -HOUR, 1, ""); /* nobody has the rest */
    assert_divided(&w, &world_metric, 1, -HOUR, 0, "");
    world_end(&w);
}

static void targets_with_gaps_on_each_replica_are_alone(void **state UNUSED)
{
    struct world w;
    targets_begin(&w, 5, false);
    for (size_t i = 1; i < 4; i++) {
        lack(&w, 0, i, -600 * S, -500 * S);
        lack(&w, 1, i, -400 * S, -300 * S);
    }
    lack(&w, 1, 0, -400 * S, -300 * S);
    lack(&w, 0, 4, -600 * S, -500 * S);
    world_ask(&w, T0 - HOUR);
    struct matcher of[] = {world_metric, {.type = MATCH_NE, .name = STR("instance"), .value = STR("2")}};
    assert_divided(&w, &world_metric, 1, -HOUR, 3, "1 2 3 4");
    assert_divided(&w, of, 2, -HOUR, 3, "1 3 4");
    world_end(&w);
}

static void many_of_them_are_one_part(void **state UNUSED)
{
    struct world w;
    targets_begin(&w, 12, false);
    for (size_t i = 0; i < 8; i++) {
        lack(&w, 0, i, -600 * S, -500 * S);
        lack(&w, 1, i, -400 * S, -300 * S);
    }
    world_ask(&w, T0 - HOUR);
    assert_divided(&w, &world_metric, 1, -HOUR, 3, "0,1,2,3,4,5,6,7");
    world_end(&w);
}

/* Series that may not come from targets have no part. */
static void only_series_of_targets_are_divided(void **state UNUSED)
{
    struct world w;
    targets_begin(&w, 2, true);
    lack(&w, 0, 0, -600 * S, -500 * S);
    lack(&w, 1, 1, -600 * S, -500 * S);
    w.replicas[1].alone = 1;
    world_ask(&w, T0 - HOUR);
    assert_divided(&w, &world_metric, 1, -HOUR, 3, "");
    w.replicas[1].alone = 0;
    world_run_queried(&w, 11 * MIN);
    assert_divided(&w, &world_metric, 1, -HOUR, 3, "0");
    struct matcher job = {.type = MATCH_EQ, .name = STR("job"), .value = STR("x")};
    assert_divided(&w, &job, 1, -HOUR, 3, "");
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_have_the_same_complete_replicas),
        cmocka_unit_test(targets_with_gaps_on_each_replica_are_alone),
        cmocka_unit_test(many_of_them_are_one_part),
        cmocka_unit_test(only_series_of_targets_are_divided),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
