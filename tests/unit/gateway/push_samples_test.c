// SPDX-License-Identifier: Apache-2.0
#include "gateway/servers/push_samples.h"

#include "gateway/servers/registry.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static struct server_registry *registry;
static struct server_health *health;
static struct arena arena;

static int samples_begin(void **state UNUSED)
{
    registry = server_registry_new();
    health = server_health_get(registry, STR("http://a"));
    atomic_store(&health->version, 3);
    arena_init(&arena, 0);
    return 0;
}

static int samples_end(void **state UNUSED)
{
    arena_free(&arena);
    server_health_put(registry, health);
    server_registry_free(registry);
    return 0;
}

static bool offer(const char *text, int times)
{
    struct push_sample taken;
    for (int i = 0; i < times; i++)
        push_sample_offer(health, &(struct push_sample){str_of(text), 1000, 15, 4, 300000});
    bool waits = push_sample_take(health, &arena, &taken);
    if (waits) {
        assert_true(str_is(taken.text, text));
        assert_int_equal(taken.start, 1000);
        assert_int_equal(taken.n, 4);
        assert_int_equal(taken.lookback, 300000);
    }
    assert_false(push_sample_take(health, &arena, &taken));
    return waits;
}

static void one_of_a_thousand(void **state UNUSED)
{
    assert_false(offer("sum(m)", PUSH_SAMPLED - 1));
    assert_true(offer("sum(m)", 1));
    assert_false(offer("sum(m)", PUSH_SAMPLED - 1));
    assert_true(offer("max(m)", 2));
}

static void with_one_result(void **state UNUSED)
{
    assert_false(offer("topk(1, m)", PUSH_SAMPLED)); /* of equal values it takes any */
    assert_false(offer("sum(a) - sum(b)", PUSH_SAMPLED)); /* rounding errors, if they are equal */
    assert_false(offer("sum(stddev_over_time(m[5m]))", PUSH_SAMPLED));
    assert_true(offer("sum(m offset -5m)", PUSH_SAMPLED));
}

/* Eight panels that are always queried in the same order: each one is checked. */
static void each_of_a_cycle(void **state UNUSED)
{
    static const char *const texts[] = {"sum(a)", "sum(b)", "sum(c)", "sum(d)", "sum(e)", "sum(f)", "sum(g)", "sum(h)"};
    struct push_sample taken;
    unsigned seen = 0;
    for (size_t i = 0; i < LEN(texts) * 1000; i++) {
        push_sample_offer(health, &(struct push_sample){str_of(texts[i % LEN(texts)]), 1000, 15, 4, 300000});
        if (push_sample_take(health, &arena, &taken))
            seen |= 1u << (taken.text.p[4] - 'a');
    }
    assert_int_equal(seen, 0xff);
}

static void wrong_for_a_version(void **state UNUSED)
{
    assert_false(push_is_disproved(health, STR("sum(m)")));
    push_disprove(health, STR("sum(m)"));
    push_disprove(health, STR("sum(m)"));
    assert_true(push_is_disproved(health, STR("sum(m)")));
    assert_false(push_is_disproved(health, STR("max(m)")));
    atomic_store(&health->version, 4);
    assert_false(push_is_disproved(health, STR("sum(m)")));
    push_disprove(health, STR("max(m)"));
    assert_false(push_is_disproved(health, STR("sum(m)")));
    assert_true(push_is_disproved(health, STR("max(m)")));
    push_disprove(health, STR("min(m)"));
    assert_false(push_is_disproved(health, STR("count(m)")));
    push_disprove(health, STR("sum(m)"));
    assert_true(push_is_disproved(health, STR("count(m)"))); /* one of many is wrong in some way */
    push_disprove(health, STR("count(m)"));
    assert_true(push_is_disproved(health, STR("max(m)")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(one_of_a_thousand, samples_begin, samples_end),cmocka_unit_test_setup_teardown(with_one_result, samples_begin, samples_end),cmocka_unit_test_setup_teardown(each_of_a_cycle, samples_begin, samples_end),
                                       cmocka_unit_test_setup_teardown(wrong_for_a_version, samples_begin, samples_end)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
