// SPDX-License-Identifier: Apache-2.0
/* Batches of a route go to the destinations of that route, and hold up no others. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "writer_fixture.h"

static void push_route(uint64_t route, int64_t from, int64_t to)
{
    fixture.route = route;
    fixture_push(from, to, false);
    fixture.route = 0;
}

static struct destination_conf route_destination(const struct receiver *r, const char *name, uint64_t route)
{
    struct destination_conf d = fixture_destination(r, name, 4);
    d.route = route;
    return d;
}

/* Destinations with equal settings share a stream only if their route is the same. */
static void each_gets_its_own(void **state UNUSED)
{
    const struct destination_conf d[] = {route_destination(&fixture.a, "a", 7), route_destination(&fixture.b, "b", 9)};
    fixture_start_with(d, 2);
    for (int64_t t = 1; t <= 5; t++) {
        push_route(7, t, t);
        push_route(9, 100 + t, 100 + t);
    }
    fixture_await(&fixture.a, fixture_samples(5));
    fixture_await(&fixture.b, fixture_samples(5));
    fixture_stop(1000);
    fixture_check(&fixture.a, 1, 5);
    fixture_check(&fixture.b, 101, 105);
}

/* Neither destinations without a route nor those of another one get it. */
static void unknown_routes_are_refused(void **state UNUSED)
{
    const struct destination_conf d[] = {route_destination(&fixture.a, "a", 0), route_destination(&fixture.b, "b", 9)};
    fixture_start_with(d, 2);
    push_route(8, 1, 1);
    push_route(0, 2, 2);
    push_route(9, 3, 3);
    fixture_await(&fixture.a, fixture_samples(1));
    fixture_await(&fixture.b, fixture_samples(1));
    fixture_stop(1000);
    fixture_check(&fixture.a, 2, 2);
    fixture_check(&fixture.b, 3, 3);
}

/* A destination that applies backpressure refuses batches of its own route only. */
static void busy_is_one_route(void **state UNUSED)
{
    struct destination_conf d[] = {route_destination(&fixture.a, "a", 7), route_destination(&fixture.b, "b", 9)};
    d[0].durability = DURABILITY_MEMORY;
    d[0].on_full = FULL_PUSH_BACK;
    d[0].max_memory_bytes = 1;
    fixture_start_with(d, 2);
    push_route(7, 1, 1);
    push_route(9, 1, 3);
    fixture_await(&fixture.b, fixture_samples(3));
    fixture_stop(1000);
    fixture_check(&fixture.b, 1, 3);
    assert_int_equal(receiver_count(&fixture.a), 0);
}

/* A route that a reload adds, and one that it removes. */
static void reloads_change_routes(void **state UNUSED)
{
    const struct destination_conf before[] = {route_destination(&fixture.a, "a", 7)};
    const struct destination_conf after[] = {route_destination(&fixture.a, "a", 8),
                                              route_destination(&fixture.b, "b", 7)};
    fixture_start_with(before, 1);
    push_route(7, 1, 2);
    fixture_apply(after, 2);
    push_route(8, 3, 4);
    push_route(7, 5, 6);
    fixture_await(&fixture.a, fixture_samples(4));
    fixture_await(&fixture.b, fixture_samples(2));
    fixture_stop(1000);
    fixture_check(&fixture.a, 1, 4);
    fixture_check(&fixture.b, 5, 6);
}

/* The recent store has the samples of all routes, once. */
static void recent_has_every_route(void **state UNUSED)
{
    const struct destination_conf d[] = {route_destination(&fixture.a, "a", 0), route_destination(&fixture.b, "b", 9)};
    const struct recent_conf recent = {.budget = 64 << 20};
    size_t series;
    int64_t from;
    fixture_start();
    fixture_apply_plan(&(struct writer_plan){.destinations = d, .n = 2, .recent = &recent});
    push_route(0, 1, 1);
    push_route(9, 2, 2);
    fixture_await(&fixture.a, fixture_samples(1));
    fixture_await(&fixture.b, fixture_samples(1));
    assert_int_equal(fixture_recent(&series, &from), fixture_samples(2));
    fixture_stop(1000);
    fixture_check(&fixture.a, 1, 1);
    fixture_check(&fixture.b, 2, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {FIXTURE_TEST(each_gets_its_own), FIXTURE_TEST(unknown_routes_are_refused),
                                       FIXTURE_TEST(busy_is_one_route), FIXTURE_TEST(reloads_change_routes),
                                       FIXTURE_TEST(recent_has_every_route)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
