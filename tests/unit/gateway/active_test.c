// SPDX-License-Identifier: Apache-2.0
#include "gateway/query/active.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static void ids_are_printed_and_parsed(void **state UNUSED)
{
    static const uint64_t ids[] = {0, 1, 0xabc, UINT64_MAX};
    char text[ACTIVE_ID_SIZE];
    uint64_t id;
    for (size_t i = 0; i < LEN(ids); i++) {
        active_id_print(ids[i], text);
        assert_true(active_id_parse(str_of(text), &id) && id == ids[i]);
    }
    assert_true(active_id_parse(STR("aBc"), &id) && id == 0xabc);
    static const char *const wrong[] = {"", "g", "0x1", "-1", "00000000000000001", " 1"};
    for (size_t i = 0; i < LEN(wrong); i++)
        assert_false(active_id_parse(str_of(wrong[i]), &id));
}

struct seen { uint64_t ids[4]; unsigned n; };

static void see(void *arg, const struct active_query *q)
{
    struct seen *s = arg;
    s->ids[s->n++] = q->id;
}

static void only_the_query_with_the_id_is_canceled(void **state UNUSED)
{
    struct active_queries all;
    struct active_query q[3] = {0};
    active_queries_init(&all);
    for (size_t i = 0; i < LEN(q); i++)
        active_add(&all, &q[i]);
    active_remove(&all, &q[0]);
    struct seen seen = {0};
    active_each(&all, see, &seen);
    assert_true(seen.n == 2 && seen.ids[0] == q[1].id && seen.ids[1] == q[2].id && q[1].id != q[2].id);
    assert_false(active_cancel(&all, q[0].id));
    assert_true(active_cancel(&all, q[2].id));
    assert_true(!q[0].stopped && !q[1].stopped && q[2].stopped);
    active_remove(&all, &q[1]);
    active_remove(&all, &q[2]);
    active_queries_free(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_printed_and_parsed),
        cmocka_unit_test(only_the_query_with_the_id_is_canceled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
