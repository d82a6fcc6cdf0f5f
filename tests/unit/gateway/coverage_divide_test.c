// SPDX-License-Identifier: Apache-2.0
/* Which targets some replica lacks. */
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

static void assert_divided(struct world *w, const struct matcher *m, size_t n, int64_t from, const char *wanted)
{
    char got[200] = "";
    struct coverage_division d;
    struct coverage_query q = {m, n, T0 + from, T0, w->now};
    bool divided = coverage_divide(w->coverage, &w->arena, &q, 1, &d);
    for (size_t i = 0; divided && i < d.n; i++)
        snprintf(got + strlen(got), sizeof got - strlen(got), "%s%.*s", i ? " " : "", STR_ARG(d.values[i]));
    assert_string_equal(got, wanted);
    assert_true(!divided || str_is(d.label, "instance"));
}

static void targets_that_a_replica_lacks(void **state UNUSED)
{
    struct world w;
    targets_begin(&w, 6, false);
    lack(&w, 0, 1, -600 * S, -500 * S);
    lack(&w, 0, 2, -900 * S, -300 * S);
    lack(&w, 1, 5, -600 * S, -500 * S);
    lack(&w, 1, 4, -800 * S, -700 * S);
    lack(&w, 0, 4, -600 * S, -500 * S);
    world_ask(&w, T0 - HOUR);
    struct matcher of[] = {world_metric, {.type = MATCH_NE, .name = STR("instance"), .value = STR("2")}};
    assert_divided(&w, &world_metric, 1, -HOUR, "1 2 4 5");
    assert_divided(&w, of, 2, -HOUR, "1 4 5");
    assert_divided(&w, &world_metric, 1, -400 * S, "2");
    assert_divided(&w, &world_metric, 1, -200 * S, "");
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
    assert_divided(&w, &world_metric, 1, -HOUR, "");
    w.replicas[1].alone = 0;
    world_run_queried(&w, 11 * MIN);
    assert_divided(&w, &world_metric, 1, -HOUR, "0 1");
    struct matcher job = {.type = MATCH_EQ, .name = STR("job"), .value = STR("x")};
    assert_divided(&w, &job, 1, -HOUR, "");
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(targets_that_a_replica_lacks),
        cmocka_unit_test(only_series_of_targets_are_divided),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
