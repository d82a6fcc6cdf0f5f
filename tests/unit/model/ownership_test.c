// SPDX-License-Identifier: Apache-2.0
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "model/discovery/ownership.h"
#include "tests/unit/model/scratch.h"

enum { TARGETS = 20000, MOST = 11 };

static void set_target(struct labels_builder *b, unsigned i, char *text, size_t n)
{
    snprintf(text, n, "10.0.%u.%u:9100", i / 250, i % 250);
    builder_start(b, (struct labels){0});
    builder_add(b, STR("__address__"), str_of(text));
    builder_add(b, STR("__meta_number"), str_of(text));
    builder_add(b, STR("job"), STR("node"));
}

/* owned[i]: a bit for each member that owns target i. */
static void find_owners(unsigned members, unsigned replicas, bool rendezvous, uint32_t *owned)
{
    struct labels_builder b = {.scratch = &arena};
    struct buf key = {0};
    char text[32];
    for (unsigned i = 0; i < TARGETS; i++) {
        set_target(&b, i, text, sizeof text);
        owned[i] = 0;
        for (unsigned m = 0; m < members; m++) {
            struct ownership o = {.members = members, .member = m, .replicas = replicas, .rendezvous = rendezvous};
            owned[i] |= (uint32_t)ownership_has(&o, &b, &key) << m;
        }
        assert_int_equal(__builtin_popcount(owned[i]), replicas < members ? replicas : members);
        unsigned list[MOST] = {0};
        struct ownership o = {.members = members, .replicas = replicas, .rendezvous = rendezvous};
        size_t n = ownership_list(&o, &b, &key, list, MOST);
        uint32_t listed = 0;
        for (size_t k = 0; k < n; k++)
            listed |= 1u << list[k];
        assert_int_equal(n, replicas);
        assert_int_equal(listed, owned[i]);
        assert_int_equal(ownership_list(&o, &b, &key, list, 1), 1);
        assert_true(owned[i] >> list[0] & 1);
    }
    builder_free(&b);
    buf_free(&key);
}

static void test_each_target_has_its_replicas_and_members_equal_shares(void **state UNUSED)
{
    static uint32_t owned[TARGETS];
    for (unsigned rendezvous = 0; rendezvous < 2; rendezvous++)
        for (unsigned replicas = 1; replicas <= 3; replicas++) {
            unsigned counts[MOST] = {0};
            find_owners(10, replicas, rendezvous, owned);
            for (unsigned i = 0; i < TARGETS; i++)
                for (unsigned m = 0; m < 10; m++)
                    counts[m] += owned[i] >> m & 1;
            for (unsigned m = 0; m < 10; m++)
                assert_in_range(counts[m], TARGETS / 10 * replicas * 9 / 10, TARGETS / 10 * replicas * 11 / 10);
        }
}

static void test_a_new_member_takes_its_share_only(void **state UNUSED)
{
    static uint32_t before[TARGETS], after[TARGETS];
    unsigned moved = 0;
    find_owners(10, 1, true, before);
    find_owners(11, 1, true, after);
    for (unsigned i = 0; i < TARGETS; i++) {
        if (before[i] == after[i])
            continue;
        assert_int_equal(after[i], 1u << 10);
        moved++;
    }
    assert_in_range(moved, TARGETS / 11 * 9 / 10, TARGETS / 11 * 11 / 10);
}

static void test_labels_that_shard(void **state UNUSED)
{
    struct str names[] = {STR("zone")};
    struct ownership o = {.members = 5, .replicas = 1, .shard_labels = {names, 1}};
    struct labels_builder b = {.scratch = &arena};
    struct buf key = {0};
    char text[32];
    unsigned owners = 0;
    for (unsigned i = 0; i < 100; i++) {
        set_target(&b, i, text, sizeof text);
        builder_add(&b, STR("zone"), STR("a"));
        for (o.member = 0; o.member < o.members; o.member++)
            owners |= (unsigned)ownership_has(&o, &b, &key) << o.member;
    }
    assert_int_equal(__builtin_popcount(owners), 1);
    builder_free(&b);
    buf_free(&key);
}

static void test_member_numbers(void **state UNUSED)
{
    unsigned n = 99;
    assert_true(ownership_member_parse(STR("0"), 1, &n) && n == 0);
    assert_true(ownership_member_parse(STR("pod-name-12"), 13, &n) && n == 12);
    assert_false(ownership_member_parse(STR("pod-name-12"), 12, &n));
    assert_false(ownership_member_parse(STR("pod-"), 12, &n));
    assert_false(ownership_member_parse(STR(""), 12, &n));
    assert_false(ownership_member_parse(STR("1x"), 12, &n));
}

static void test_one_member_owns_everything(void **state UNUSED)
{
    struct labels_builder b = {.scratch = &arena};
    struct buf key = {0};
    assert_true(ownership_has(&(struct ownership){0}, &b, &key));
    assert_true(ownership_has(&(struct ownership){.members = 1, .replicas = 1}, &b, &key));
    assert_true(ownership_has(&(struct ownership){.members = 2, .member = 1, .replicas = 2}, &b, &key));
    buf_free(&key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_target_has_its_replicas_and_members_equal_shares),
        cmocka_unit_test(test_a_new_member_takes_its_share_only),
        cmocka_unit_test(test_labels_that_shard),
        cmocka_unit_test(test_member_numbers),
        cmocka_unit_test(test_one_member_owns_everything),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
