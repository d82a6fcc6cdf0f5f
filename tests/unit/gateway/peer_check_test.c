// SPDX-License-Identifier: Apache-2.0
#include "gateway/cluster/peer_check.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

enum { MEMBERS_MOST = 1000 };
static char peer_ids[MEMBERS_MOST][16];

static struct cluster_view *view_of_peers(size_t n, size_t self)
{
    static struct cluster_member members[MEMBERS_MOST];
    for (size_t i = 0; i < n; i++) {
        snprintf(peer_ids[i], sizeof peer_ids[i], "m-%04zu", i);
        members[i] = (struct cluster_member){.id = str_of(peer_ids[i]), .weight = 1};
    }
    return cluster_view_new(members, n, self < n ? members[self].id : STR_NONE, 1);
}

static void test_all_others_of_a_small_cluster_are_asked(void **state UNUSED)
{
    for (size_t self = 0; self <= 5; self++) { /* 5: it is none of them */
        struct cluster_view *v = view_of_peers(5, self);
        size_t out[PEERS_A_ROUND];
        bool asked[6] = {0};
        assert_int_equal(peer_check_pick(v, 3, out), self < 5 ? 4 : 5);
        for (size_t i = 0; i < (self < 5 ? 4 : 5); i++) {
            assert_true(out[i] < 5 && out[i] != self && !asked[out[i]]);
            asked[out[i]] = true;
        }
        cluster_view_unref(v);
    }
    struct cluster_view *alone = view_of_peers(1, 0);
    size_t out[PEERS_A_ROUND];
    assert_int_equal(peer_check_pick(alone, 0, out), 0);
    cluster_view_unref(alone);
}

/* All ask at once: nobody gets many more requests than it sends. */
static void test_each_member_is_asked_by_few(void **state UNUSED)
{
    static unsigned asked[MEMBERS_MOST];
    memset(asked, 0, sizeof asked);
    for (size_t self = 0; self < MEMBERS_MOST; self++) {
        struct cluster_view *v = view_of_peers(MEMBERS_MOST, self);
        size_t out[PEERS_A_ROUND];
        assert_int_equal(peer_check_pick(v, 0, out), PEERS_A_ROUND);
        for (size_t i = 0; i < PEERS_A_ROUND; i++) {
            assert_true(out[i] < MEMBERS_MOST && out[i] != self);
            for (size_t k = 0; k < i; k++)
                assert_true(out[k] != out[i]);
            asked[out[i]]++;
        }
        cluster_view_unref(v);
    }
    for (size_t i = 0; i < MEMBERS_MOST; i++)
        assert_in_range(asked[i], 0, 3 * PEERS_A_ROUND);
}

/* A member that stays silent, or a few, do not hide the others for long. */
static void test_rounds_ask_others(void **state UNUSED)
{
    struct cluster_view *v = view_of_peers(100, 7);
    bool asked[100] = {0};
    size_t different = 0;
    for (uint64_t round = 0; round < 4; round++) {
        size_t out[PEERS_A_ROUND], n = peer_check_pick(v, round, out);
        for (size_t i = 0; i < n; i++) {
            different += !asked[out[i]];
            asked[out[i]] = true;
        }
    }
    assert_in_range(different, 20, 32);
    cluster_view_unref(v);
}

/* They cannot respond: a round that asked only them would find that etcd is away for all. */
static void test_members_that_are_gone_are_not_asked(void **state UNUSED)
{
    struct cluster_member members[40];
    for (size_t i = 0; i < 40; i++) {
        snprintf(peer_ids[i], sizeof peer_ids[i], "m-%04zu", i);
        members[i] = (struct cluster_member){.id = str_of(peer_ids[i]), .weight = 1, .gone = i % 10 != 9};
    }
    struct cluster_view *v = cluster_view_new(members, 40, members[19].id, 1);
    size_t out[PEERS_A_ROUND], sum = 0;
    assert_int_equal(peer_check_pick(v, 1, out), 3);
    for (size_t i = 0; i < 3; i++)
        sum += out[i];
    assert_int_equal(sum, 9 + 29 + 39);
    cluster_view_unref(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_others_of_a_small_cluster_are_asked), cmocka_unit_test(test_each_member_is_asked_by_few),
        cmocka_unit_test(test_rounds_ask_others), cmocka_unit_test(test_members_that_are_gone_are_not_asked)};
    return cmocka_run_group_tests_name("peer_check", tests, NULL, NULL);
}
