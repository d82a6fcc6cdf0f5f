// SPDX-License-Identifier: Apache-2.0
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/hash.h"
#include "model/cluster/cluster_view.h"

enum { TARGETS = 100000, MOST = 12, NOW = 1000 };

struct fleet { struct cluster_member members[MOST]; char ids[MOST][16]; size_t n; };

static void fleet_init(struct fleet *f, size_t n)
{
    f->n = n;
    for (size_t i = 0; i < n; i++) {
        snprintf(f->ids[i], sizeof f->ids[i], "sluice-%zu", i);
        f->members[i] = (struct cluster_member){.id = str_of(f->ids[i]), .weight = 1, .from = 0, .until = INT64_MAX};
    }
}

static struct cluster_view *fleet_view(const struct fleet *f, const char *self)
{
    return cluster_view_new(f->members, f->n, str_of(self), 1);
}

static uint64_t target_key(unsigned i) { return hash_bytes(&i, sizeof i); }

/* owners[i * replicas ...]: ids' numbers, since indices differ between views. */
static void find_all_owners(const struct fleet *f, int64_t time, size_t replicas, unsigned *owners)
{
    struct cluster_view *v = fleet_view(f, "");
    size_t out[CLUSTER_REPLICAS_MAX];
    for (unsigned i = 0; i < TARGETS; i++) {
        assert_int_equal(cluster_view_owners(v, target_key(i), time, replicas, out), replicas);
        for (size_t r = 0; r < replicas; r++)
            assert_int_equal(sscanf(v->members[out[r]].id.p, "sluice-%u", &owners[i * replicas + r]), 1);
    }
    cluster_view_unref(v);
}

static unsigned owners_before[TARGETS * CLUSTER_REPLICAS_MAX], owners_after[TARGETS * CLUSTER_REPLICAS_MAX];

static void count_owners(const unsigned *owners, size_t n, unsigned *counts)
{
    for (size_t i = 0; i < n; i++)
        counts[owners[i]]++;
}

static void test_members_have_equal_shares(void **state UNUSED)
{
    struct fleet f;
    unsigned counts[MOST] = {0};
    fleet_init(&f, 10);
    find_all_owners(&f, NOW, 1, owners_before);
    count_owners(owners_before, TARGETS, counts);
    for (size_t m = 0; m < f.n; m++)
        assert_in_range(counts[m], TARGETS / 10 * 97 / 100, TARGETS / 10 * 103 / 100);
}

static void test_a_new_member_takes_its_share_and_nothing_else_moves(void **state UNUSED)
{
    struct fleet f;
    unsigned moved = 0;
    fleet_init(&f, 11);
    f.members[10].from = NOW + 1; /* joins then */
    find_all_owners(&f, NOW, 1, owners_before);
    find_all_owners(&f, NOW + 1, 1, owners_after);
    for (size_t i = 0; i < TARGETS; i++) {
        assert_true(owners_before[i] == owners_after[i] || owners_after[i] == 10);
        moved += owners_before[i] != owners_after[i];
    }
    assert_in_range(moved, TARGETS / 11 * 97 / 100, TARGETS / 11 * 103 / 100);
}

static void test_targets_of_a_member_that_leaves_are_spread_evenly(void **state UNUSED)
{
    struct fleet f;
    unsigned counts[MOST] = {0};
    fleet_init(&f, 10);
    find_all_owners(&f, NOW, 1, owners_before);
    f.members[3].until = NOW;
    find_all_owners(&f, NOW, 1, owners_after);
    for (size_t i = 0; i < TARGETS; i++) {
        if (owners_before[i] == 3)
            counts[owners_after[i]]++;
        else
            assert_int_equal(owners_before[i], owners_after[i]);
    }
    assert_int_equal(counts[3], 0);
    for (size_t m = 0; m < f.n; m++)
        assert_true(m == 3 || (counts[m] > TARGETS / 90 * 85 / 100 && counts[m] < TARGETS / 90 * 115 / 100));
}

static void test_members_own_targets_in_proportion_to_their_weights(void **state UNUSED)
{
    struct fleet f;
    unsigned counts[MOST] = {0};
    fleet_init(&f, 4);
    f.members[0].weight = 2;
    f.members[1].weight = 0.5;
    f.members[2].weight = 0.5;
    find_all_owners(&f, NOW, 1, owners_before);
    count_owners(owners_before, TARGETS, counts);
    assert_in_range(counts[0], TARGETS / 2 * 97 / 100, TARGETS / 2 * 103 / 100);
    assert_in_range(counts[1], TARGETS / 8 * 95 / 100, TARGETS / 8 * 105 / 100);
    assert_in_range(counts[3], TARGETS / 4 * 97 / 100, TARGETS / 4 * 103 / 100);
}

static void test_replicas_are_in_different_zones(void **state UNUSED)
{
    struct fleet f;
    static const char *const zones[] = {"a", "a", "a", "b", "b", "c"};
    fleet_init(&f, 6);
    for (size_t i = 0; i < f.n; i++)
        f.members[i].zone = str_of(zones[i]);
    find_all_owners(&f, NOW, 3, owners_before);
    for (size_t i = 0; i < TARGETS; i++) {
        const unsigned *o = &owners_before[3 * i];
        assert_true(strcmp(zones[o[0]], zones[o[1]]) != 0 && strcmp(zones[o[1]], zones[o[2]]) != 0 &&
                    strcmp(zones[o[0]], zones[o[2]]) != 0);
    }
    f.n = 2; /* one zone: the replicas are other members all the same */
    find_all_owners(&f, NOW, 2, owners_before);
    for (size_t i = 0; i < TARGETS; i++)
        assert_true(owners_before[2 * i] != owners_before[2 * i + 1]);
}

/* What each member finds for itself is what the owners are. */
static void test_a_member_knows_its_rank(void **state UNUSED)
{
    enum { SOME = 2000 };
    static const char *const zones[] = {"a", "b", "a", "b", "a"};
    for (unsigned zoned = 0; zoned < 2; zoned++) {
        struct fleet f;
        fleet_init(&f, 5);
        for (size_t i = 0; zoned && i < f.n; i++)
            f.members[i].zone = str_of(zones[i]);
        for (size_t m = 0; m < f.n; m++) {
            struct cluster_view *v = fleet_view(&f, f.ids[m]);
            for (unsigned i = 0; i < SOME; i++) {
                size_t owners[3], n = cluster_view_owners(v, target_key(i), NOW, 3, owners);
                unsigned rank = 3;
                for (unsigned r = 0; r < n; r++)
                    if (owners[r] == v->self)
                        rank = r;
                assert_int_equal(cluster_view_rank(v, target_key(i), NOW, 3), rank);
                assert_int_equal(cluster_view_rank(v, target_key(i), NOW, 1), rank == 0 ? 0 : 1);
            }
            cluster_view_unref(v);
        }
    }
}

/* A planned change: the spans of all members follow each other without a gap or an overlap. */
static void test_spans_of_members_join(void **state UNUSED)
{
    enum { SOME = 500, JOINS = 2000, LEAVES = 3000 };
    struct fleet f;
    fleet_init(&f, 4);
    f.members[3].from = JOINS;
    f.members[1].until = LEAVES;
    for (unsigned i = 0; i < SOME; i++)
        for (int64_t t = NOW; t <= LEAVES; t += 500) {
            unsigned owned = 0;
            for (size_t m = 0; m < f.n; m++) {
                struct cluster_view *v = fleet_view(&f, f.ids[m]);
                struct cluster_span s = cluster_view_span(v, target_key(i), NOW, 1);
                owned += s.from <= t && t < s.until;
                if (s.from < s.until && s.from > NOW)
                    assert_true(s.from == JOINS || s.from == LEAVES);
                if (s.from < s.until && s.until < INT64_MAX)
                    assert_true(s.until == JOINS || s.until == LEAVES);
                cluster_view_unref(v);
            }
            assert_int_equal(owned, 1);
        }
}

static void test_a_change_of_the_rank_ends_no_span(void **state UNUSED)
{
    enum { SOME = 500, JOINS = 2000, REPLICAS = 2 };
    struct fleet f;
    fleet_init(&f, 4);
    f.members[3].from = JOINS;
    for (unsigned i = 0; i < SOME; i++) {
        unsigned owned = 0;
        for (size_t m = 0; m < f.n; m++) {
            struct cluster_view *v = fleet_view(&f, f.ids[m]);
            struct cluster_span s = cluster_view_span(v, target_key(i), NOW, REPLICAS);
            owned += s.from <= JOINS && JOINS < s.until;
            cluster_view_unref(v);
        }
        assert_int_equal(owned, REPLICAS);
    }
}

static void test_a_view_without_this_process_or_members(void **state UNUSED)
{
    struct fleet f;
    size_t owner;
    fleet_init(&f, 2);
    struct cluster_view *v = fleet_view(&f, "stranger");
    struct cluster_span s = cluster_view_span(v, 7, NOW, 1);
    assert_true(s.from == s.until);
    assert_int_equal(cluster_view_next_change(v, NOW), INT64_MAX);
    cluster_view_unref(v);
    f.n = 0;
    v = fleet_view(&f, "sluice-0");
    assert_int_equal(cluster_view_owners(v, 7, NOW, 3, &owner), 0);
    s = cluster_view_span(v, 7, NOW, 1);
    assert_true(s.from == s.until);
    cluster_view_unref(v);
}

/* A member that is gone leads until its last scrape that was sent, the next one from then on: in the past. */
static void test_the_lead_of_one_that_is_gone_ends_in_the_past(void **state UNUSED)
{
    struct fleet f;
    unsigned led = 0;
    fleet_init(&f, 3);
    f.members[2].until = NOW - 100;
    f.members[2].gone = true;
    struct cluster_view *v = fleet_view(&f, "sluice-0"), *all;
    f.members[2].until = INT64_MAX;
    all = fleet_view(&f, "sluice-0");
    assert_int_equal(cluster_view_registered(v), 2);
    for (unsigned i = 0; i < 1000; i++) {
        struct cluster_span lead = cluster_view_lead(v, target_key(i), NOW, NOW - 500, 2);
        bool own = cluster_view_rank(all, target_key(i), NOW, 1) == 0;
        size_t owners[2];
        assert_int_equal(cluster_view_owners(all, target_key(i), NOW, 2, owners), 2);
        bool second = str_is(all->members[owners[0]].id, "sluice-2") && owners[1] == all->self;
        assert_int_equal(lead.until, own || second ? INT64_MAX : 0);
        assert_int_equal(lead.from, own ? INT64_MIN : second ? NOW - 100 : 0);
        led += second;
        assert_int_equal(cluster_view_lead(v, target_key(i), NOW, NOW - 50, 2).from, own || second ? INT64_MIN : 0);
    }
    assert_in_range(led, 100, 250);
    cluster_view_unref(v);
    cluster_view_unref(all);
}

/* It registers again, and leads from another time on. */
static void test_a_member_that_is_gone_and_back(void **state UNUSED)
{
    struct cluster_member members[] = {{.id = STR("b"), .weight = 1, .from = NOW + 100, .until = INT64_MAX},
                                       {.id = STR("a"), .weight = 1, .until = INT64_MAX},
                                       {.id = STR("b"), .weight = 1, .until = NOW - 100, .gone = true}};
    struct cluster_view *v = cluster_view_new(members, 3, STR("b"), 1);
    size_t owner;
    assert_int_equal(cluster_view_registered(v), 2);
    assert_false(v->members[v->self].gone);
    for (unsigned i = 0; i < 100; i++) {
        struct cluster_span lead = cluster_view_lead(v, target_key(i), NOW, NOW - 500, 2);
        assert_int_equal(cluster_view_owners(v, target_key(i), NOW, 1, &owner), 1);
        assert_true(str_is(v->members[owner].id, "a"));
        assert_true(lead.until == 0 || (lead.from == NOW + 100 && lead.until == INT64_MAX));
    }
    cluster_view_unref(v);
}

static void fleet_zones(struct fleet *f)
{
    static const char *const zones[] = {"x", "y", "z"};
    for (size_t i = 0; i < f->n; i++)
        f->members[i].zone = str_of(zones[i % 3]);
}

/* Zones of 4, 3 and 3 members: the members of the large one own as much as the others. */
static void test_zones_of_different_sizes_are_corrected(void **state UNUSED)
{
    struct fleet f;
    unsigned counts[MOST] = {0}, moved = 0;
    fleet_init(&f, 10);
    fleet_zones(&f);
    find_all_owners(&f, NOW, 2, owners_before);
    count_owners(owners_before, 2 * TARGETS, counts);
    for (size_t m = 0; m < f.n; m++)
        assert_in_range(counts[m], 2 * TARGETS / 10 * 97 / 100, 2 * TARGETS / 10 * 103 / 100);
    fleet_init(&f, 11);
    fleet_zones(&f);
    find_all_owners(&f, NOW, 2, owners_after);
    for (unsigned i = 0; i < TARGETS; i++) {
        const unsigned *a = &owners_before[2 * i], *b = &owners_after[2 * i];
        moved += (b[0] != a[0] && b[0] != a[1]) + (b[1] != a[0] && b[1] != a[1]);
        assert_true(b[0] % 3 != b[1] % 3);
    }
    assert_in_range(moved, 0, 2 * TARGETS / 7);
}

/* The owner in the other zone, which has kept the scrapes, follows one that is gone, until another member joins. */
static void test_the_owner_in_another_zone_follows(void **state UNUSED)
{
    struct fleet f;
    unsigned followed = 0, later = 0;
    fleet_init(&f, 10);
    fleet_zones(&f);
    f.members[9].from = NOW + 500;
    struct cluster_view *all = fleet_view(&f, ""), *v;
    f.members[4].until = NOW - 100;
    f.members[4].gone = true;
    f.members[4].place_until = NOW + 1000;
    v = fleet_view(&f, "");
    for (unsigned i = 0; i < TARGETS; i++) {
        size_t before[2], now[2], then[2];
        assert_int_equal(cluster_view_owners(all, target_key(i), NOW, 2, before), 2);
        assert_int_equal(cluster_view_owners(v, target_key(i), NOW, 2, now), 2);
        assert_int_equal(cluster_view_owners(v, target_key(i), NOW + 500, 2, then), 2);
        assert_true(now[0] != 4 && now[1] != 4 && then[0] != 4 && then[1] != 4);
        if (before[0] != 4)
            continue;
        assert_int_equal(now[0], before[1]);
        followed++;
        later += then[0] != now[0];
    }
    assert_in_range(followed, TARGETS / 10, TARGETS / 8); /* of 9 that take part */
    assert_true(later > 0);
    cluster_view_unref(v);
    cluster_view_unref(all);
}

/* Four zones of 3 and 2 members, three owners. */
static void test_three_owners_in_zones_are_corrected(void **state UNUSED)
{
    static const char *const zones[] = {"w", "x", "y", "z"};
    struct fleet f;
    unsigned counts[MOST] = {0};
    fleet_init(&f, 10);
    for (size_t i = 0; i < f.n; i++)
        f.members[i].zone = str_of(zones[i % 4]);
    find_all_owners(&f, NOW, 3, owners_before);
    count_owners(owners_before, 3 * TARGETS, counts);
    for (size_t m = 0; m < f.n; m++)
        assert_in_range(counts[m], 3 * TARGETS / 10 * 97 / 100, 3 * TARGETS / 10 * 103 / 100);
}

/* All others are gone, each in a zone by itself, and keep their places. */
static void test_the_last_member_owns_all_targets(void **state UNUSED)
{
    struct fleet f;
    fleet_init(&f, MOST);
    for (size_t i = 0; i < f.n; i++) {
        f.members[i].zone = str_of(f.ids[i]);
        if (i > 0)
            f.members[i].until = NOW - 100, f.members[i].place_until = NOW + 1000, f.members[i].gone = true;
    }
    struct cluster_view *v = fleet_view(&f, f.ids[0]);
    for (unsigned i = 0; i < TARGETS; i++)
        for (unsigned replicas = 1; replicas <= CLUSTER_REPLICAS_MAX; replicas++)
            assert_int_equal(cluster_view_rank(v, target_key(i), NOW, replicas), 0);
    cluster_view_unref(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members_have_equal_shares),
        cmocka_unit_test(test_a_new_member_takes_its_share_and_nothing_else_moves),
        cmocka_unit_test(test_targets_of_a_member_that_leaves_are_spread_evenly),
        cmocka_unit_test(test_members_own_targets_in_proportion_to_their_weights),
        cmocka_unit_test(test_replicas_are_in_different_zones),
        cmocka_unit_test(test_a_member_knows_its_rank),
        cmocka_unit_test(test_spans_of_members_join),
        cmocka_unit_test(test_a_change_of_the_rank_ends_no_span),
        cmocka_unit_test(test_a_view_without_this_process_or_members),
        cmocka_unit_test(test_the_lead_of_one_that_is_gone_ends_in_the_past), cmocka_unit_test(test_a_member_that_is_gone_and_back),
        cmocka_unit_test(test_zones_of_different_sizes_are_corrected), cmocka_unit_test(test_the_owner_in_another_zone_follows),
        cmocka_unit_test(test_three_owners_in_zones_are_corrected), cmocka_unit_test(test_the_last_member_owns_all_targets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
