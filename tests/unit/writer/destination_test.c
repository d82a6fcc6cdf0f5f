// SPDX-License-Identifier: Apache-2.0
/* Lifetimes of a destination's parts, which another thread still points to. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/dies.h"
#include "queue_fixture.h"
#include "writer/send/destination_lane.h"

#include <stdio.h>
#include <stdlib.h>

static char dir[64];
static struct loop *loop;
static struct destination_lane *lane;
static const struct queue_generation *grown;

static struct destination *open_destination(void)
{
    struct err err = {0};
    char path[200];
    loop = loop_new();
    static struct writer_env env; /* the destination keeps a pointer to it */
    env = (struct writer_env){.main = loop, .lanes = &loop, .n_lanes = 1, .queue_dir = str_of(dir)};
    struct destination_conf conf = {.name = STR("d"), .url = STR("http://127.0.0.1:1/"), .queue.shards = 2};
    char *identity = destination_identity(&conf);
    snprintf(path, sizeof path, "%s/%s", dir, identity);
    mem_free(identity);
    struct queue *queue = queue_open(&(struct queue_options){.dir = path, .shards = 2}, NULL, &err);
    if (queue == NULL)
        fail_msg("%s", err.text);
    struct destination *d = destination_new(&conf, 0, &env, queue);
    lane = d->per_lane[0] = destination_lane_new(d, 0, loop);
    assert_true(destination_grow(d, 1, &grown, &err));
    assert_non_null(grown);
    return d;
}

static void adopt_shards(struct destination *d)
{
    for (size_t g = 0; g < d->n_generations; g++)
        for (unsigned i = 0; i < d->generations[g]->n_shards; i++)
            destination_lane_add(lane, d->generations[g]->shards[i]);
    lane->settled_generations = d->n_generations;
}

/* The older generation has nothing to send: its shards find that, and the last posts a release. */
static struct destination *drain_destination(void)
{
    struct destination *d = open_destination();
    destination_add_generation(d, grown);
    adopt_shards(d);
    shard_kick(d->generations[0]->shards[0]);
    assert_int_equal(atomic_load(&lane->releases), 0);
    shard_kick(d->generations[0]->shards[1]);
    assert_int_equal(atomic_load(&lane->releases), 1);
    return d;
}

static void close_destination(struct destination *d)
{
    destination_lane_free(lane);
    destination_close(d);
    loop_free(loop);
}

static void free_before_release(void) { close_destination(drain_destination()); }

/* As a pointer from before the queue's array has grown. */
static void add_moved_generation(void)
{
    struct destination *d = open_destination();
    struct queue_generation before = *grown;
    destination_add_generation(d, &before);
}

static void a_lane_with_a_posted_release_is_not_freed(void **state UNUSED)
{
    assert_dies(free_before_release, "destination_lane_free: Assertion");
    struct destination *d = drain_destination();
    loop_turn(loop, 0);
    assert_int_equal(atomic_load(&lane->releases), 0);
    close_destination(d);
}

static void a_generation_is_the_queues(void **state UNUSED)
{
    assert_dies(add_moved_generation, "destination_add_generation: Assertion");
}

static int destination_test_setup(void **state UNUSED)
{
    snprintf(dir, sizeof dir, "/tmp/sluice-destination-XXXXXX");
    return mkdtemp(dir) == NULL;
}

static int destination_test_teardown(void **state UNUSED)
{
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

#define DESTINATION_TEST(test) cmocka_unit_test_setup_teardown(test, destination_test_setup, destination_test_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DESTINATION_TEST(a_generation_is_the_queues), /* forks: before this process has threads */
        DESTINATION_TEST(a_lane_with_a_posted_release_is_not_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
