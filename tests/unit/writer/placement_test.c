// SPDX-License-Identifier: Apache-2.0
/* What queries know of the placement of series is what happened to them when they were sent. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "writer/topology.h"

#include <stdio.h>

enum { DESTINATIONS = 5 };

static struct str label_names[] = {{"zone", 4}, {"instance", 8}, {"zone", 4}};
static struct destination_conf destinations[DESTINATIONS];
static struct sharding_conf sharding;

static struct writer_plan plan_of(int hash, int64_t replicas)
{
    static const char *const names[DESTINATIONS] = {"a", "b", "c", "d", "e"};
    static const char *const urls[DESTINATIONS] = {"http://a/x", "http://b/x", "http://c/x", "http://d/x", "http://e/x"};
    sharding = (struct sharding_conf){.hash = hash, .replicas = replicas, .labels = {label_names, LEN(label_names)}};
    for (size_t i = 0; i < DESTINATIONS; i++)
        destinations[i] = (struct destination_conf){.name = str_of(names[i]), .url = str_of(urls[i])};
    return (struct writer_plan){.destinations = destinations, .n = DESTINATIONS, .sharding = &sharding};
}

/* Each third series has no zone. */
static void check_series(const struct placement *p, const struct sharding *s, struct buf *key, unsigned i)
{
    struct arena a;
    char instance[16], zone[16];
    arena_init(&a, 0);
    snprintf(instance, sizeof instance, "i%u", i);
    snprintf(zone, sizeof zone, "%s", i % 3 ? "z" : "");
    struct label items[] = {{STR(METRIC_NAME), STR("m")}, {STR("instance"), str_of(instance)}, {STR("zone"), str_of(zone)}};
    struct labels labels = labels_from(&a, items, i % 3 ? 3 : 2);
    struct str values[] = {str_of(instance), str_of(zone)};
    assert_true(writer_placement_of(p, values) == sharding_destinations(s, key, labels));
    arena_free(&a);
}

static void series_are_where_they_were_sent(void **state UNUSED)
{
    for (int hash = SHARD_HASH_VMAGENT; hash <= SHARD_HASH_RENDEZVOUS; hash++)
        for (int64_t replicas = 1; replicas < DESTINATIONS; replicas++) {
            struct writer_plan plan = plan_of(hash, replicas);
            struct placement *p = writer_placement_new(&plan);
            struct sharding s;
            struct buf key = {0};
            topology_init_sharding(&s, &plan);
            assert_int_equal(writer_placement_labels(p).n, 2);
            assert_true(str_is(writer_placement_labels(p).items[0], "instance"));
            for (unsigned i = 0; i < 200; i++)
                check_series(p, &s, &key, i);
            buf_free(&key);
            writer_placement_unref(p);
        }
}

/* Replicas on all destinations. */
static void all_have_everything(void **state UNUSED)
{
    struct writer_plan plan = plan_of(SHARD_HASH_RENDEZVOUS, DESTINATIONS + 1);
    struct placement *p = writer_placement_new(&plan);
    assert_true(writer_placement_of(p, (struct str[]){STR("x"), STR("")}) == (1u << DESTINATIONS) - 1);
    writer_placement_unref(p);
}

static void what_is_not_known(void **state UNUSED)
{
    struct writer_plan plan = plan_of(SHARD_HASH_VMAGENT, 1);
    static struct str key[] = {{"zone", 4}}, value[] = {{"west", 4}};
    static struct relabel_rule rule;
    destinations[1].extra_labels = (struct str_map){key, value, 1};
    destinations[2].write_relabel_configs = (struct conf_items){.items = &rule, .n = 1};
    destinations[3].name = STR("");
    struct placement *p = writer_placement_new(&plan);
    assert_true(writer_placement_bit(p, STR("a")) == 1 && writer_placement_bit(p, STR("e")) == 16);
    assert_true(writer_placement_bit(p, STR("b")) == 0 && writer_placement_bit(p, STR("c")) == 0);
    assert_true(writer_placement_bit(p, STR("")) == 0 && writer_placement_bit(p, STR("x")) == 0);
    writer_placement_unref(p);
    sharding.labels.n = 0;
    assert_null(writer_placement_new(&plan));
    plan.sharding = NULL;
    assert_null(writer_placement_new(&plan));
}

static bool placed_alike(const struct placement *p, struct writer_plan plan)
{
    struct placement *other = writer_placement_new(&plan);
    bool alike = writer_placement_equal(p, other);
    writer_placement_unref(other);
    return alike;
}

static void another_configuration_may_place_otherwise(void **state UNUSED)
{
    struct writer_plan plan = plan_of(SHARD_HASH_VMAGENT, 2);
    struct placement *p = writer_placement_new(&plan);
    assert_true(placed_alike(p, plan));
    assert_false(placed_alike(p, plan_of(SHARD_HASH_RENDEZVOUS, 2)));
    assert_false(placed_alike(p, plan_of(SHARD_HASH_VMAGENT, 1)));
    plan = plan_of(SHARD_HASH_VMAGENT, 2);
    destinations[4].url = STR("http://f/x");
    assert_false(placed_alike(p, plan));
    plan = plan_of(SHARD_HASH_VMAGENT, 2);
    plan.n--;
    assert_false(placed_alike(p, plan));
    plan = plan_of(SHARD_HASH_VMAGENT, 2);
    sharding.labels.n = 1;
    assert_false(placed_alike(p, plan));
    plan = plan_of(SHARD_HASH_VMAGENT, 2);
    sharding.labels.n = 2; /* the third is the first */
    assert_true(placed_alike(p, plan));
    writer_placement_unref(p);
}

/* Its bit is that of its primary, and the others have the bits, and of vmagent's hash the positions, of a list without
 * it. */
static void a_backup_has_no_share(void **state UNUSED)
{
    struct writer_plan plan = plan_of(SHARD_HASH_VMAGENT, 1);
    struct destination_conf without[DESTINATIONS - 1];
    struct writer_plan fewer = {.destinations = without, .n = DESTINATIONS - 1, .sharding = &sharding};
    struct sharding with_backup, of_others;
    destinations[1].backup_of = STR("d");
    for (size_t i = 0, k = 0; i < DESTINATIONS; i++)
        if (i != 1)
            without[k++] = destinations[i];
    topology_init_sharding(&with_backup, &plan);
    topology_init_sharding(&of_others, &fewer);
    assert_int_equal(with_backup.n, DESTINATIONS - 1);
    assert_memory_equal(with_backup.nodes, of_others.nodes, (DESTINATIONS - 1) * sizeof(uint64_t));
    struct placement *p = writer_placement_new(&plan), *q = writer_placement_new(&fewer);
    assert_true(writer_placement_bit(p, STR("b")) == writer_placement_bit(p, STR("d")));
    for (size_t i = 0; i < DESTINATIONS - 1; i++)
        assert_true(writer_placement_bit(p, without[i].name) == writer_placement_bit(q, without[i].name));
    writer_placement_unref(p);
    writer_placement_unref(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(series_are_where_they_were_sent), cmocka_unit_test(a_backup_has_no_share),
        cmocka_unit_test(all_have_everything),
        cmocka_unit_test(what_is_not_known), cmocka_unit_test(another_configuration_may_place_otherwise)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
