// SPDX-License-Identifier: Apache-2.0
#include "base/refs.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/dies.h"

static void the_last_one_is_told(void **state UNUSED)
{
    struct refs r;
    unsigned own = 1;
    refs_init(&r);
    refs_take(&r);
    assert_false(refs_drop(&r));
    assert_true(refs_drop(&r));
    refs_take_own(&own);
    assert_false(refs_drop_own(&own));
    assert_true(refs_drop_own(&own));
}

static void drop_twice(void)
{
    struct refs r;
    refs_init(&r);
    (void)!refs_drop(&r);
    (void)!refs_drop(&r);
}

static void take_too_late(void)
{
    struct refs r;
    refs_init(&r);
    (void)!refs_drop(&r);
    refs_take(&r);
}

static void drop_own_twice(void)
{
    unsigned n = 1;
    (void)!refs_drop_own(&n);
    (void)!refs_drop_own(&n);
}

static void take_own_too_late(void)
{
    unsigned n = 1;
    (void)!refs_drop_own(&n);
    refs_take_own(&n);
}

static void an_ended_count_ends_the_process(void **state UNUSED)
{
    assert_dies(drop_twice, "sluice: drop_twice: the object has ended already (reference count 0)");
    assert_dies(take_too_late, "sluice: take_too_late: the object has ended already (reference count 0)");
    assert_dies(drop_own_twice, "sluice: drop_own_twice: ");
    assert_dies(take_own_too_late, "sluice: take_own_too_late: ");
}

#ifdef MEM_FILL_FREED
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define FREED_TEXT "use-after-free"
#else
#define FREED_TEXT "sluice: take_freed: the object has ended already (reference count 3688618971)" /* 0xdbdbdbdb */
#endif
static void take_freed(void)
{
    struct { char name[64]; struct refs refs; } *object = mem_zalloc(sizeof *object);
    refs_init(&object->refs);
    refs_take(&object->refs); /* somebody forgot it, and frees all the same */
    mem_free(object);
    refs_take(&object->refs);
}

static void a_count_in_freed_memory_ends_the_process(void **state UNUSED) { assert_dies(take_freed, FREED_TEXT); }
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_one_is_told),
        cmocka_unit_test(an_ended_count_ends_the_process),
#ifdef MEM_FILL_FREED
        cmocka_unit_test(a_count_in_freed_memory_ends_the_process),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
