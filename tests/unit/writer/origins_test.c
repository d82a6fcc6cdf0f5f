// SPDX-License-Identifier: Apache-2.0
/* The ids of the processes that samples have passed through, as requests carry them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "writer/send/origins.h"

#include <stdio.h>
#include <string.h>

#define OWN "00000000000000ff"

static void assert_header(const struct origins *o, int64_t now, const char *want)
{
    struct buf got = {0};
    origins_header(o, OWN, now, &got);
    assert_string_equal(buf_z(&got), want);
    buf_free(&got);
}

static void ids_are_sent_for_a_minute(void **state UNUSED)
{
    struct origins o = {.n = 0};
    assert_header(&o, 1000, "X-Sluice-Via: " OWN);
    origins_note(&o, STR("0000000000000001, 00000000deadbeef"), 1000);
    origins_note(&o, STR("0000000000000001"), 31000);
    assert_header(&o, 31000, "X-Sluice-Via: " OWN ", 0000000000000001, 00000000deadbeef");
    assert_header(&o, 61000, "X-Sluice-Via: " OWN ", 0000000000000001");
    assert_header(&o, 91000, "X-Sluice-Via: " OWN);
}

static void other_texts_are_skipped(void **state UNUSED)
{
    struct origins o = {.n = 0};
    origins_note(&o, STR(""), 0);
    origins_note(&o, STR("1, 00000000000000012, 000000000000000G, ,\r\nX: y, 0000000000000000 , 000000000000000A"), 0);
    assert_header(&o, 0, "X-Sluice-Via: " OWN ", 0000000000000000");
}

static void the_newest_are_kept(void **state UNUSED)
{
    struct origins o = {.n = 0};
    char id[17];
    struct buf got = {0};
    for (unsigned i = 1; i <= ORIGINS_MAX + 1; i++) {
        snprintf(id, sizeof id, "%016x", i);
        origins_note(&o, str_of(id), i == 2 ? 1000 : i);
    }
    origins_header(&o, OWN, 1000, &got);
    assert_int_equal(got.n, strlen("X-Sluice-Via: ") + 16 + ORIGINS_MAX * 18);
    assert_null(strstr(buf_z(&got), "0000000000000001"));
    assert_non_null(strstr(buf_z(&got), "0000000000000002"));
    assert_non_null(strstr(buf_z(&got), "0000000000000041"));
    buf_free(&got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(ids_are_sent_for_a_minute),
                                       cmocka_unit_test(other_texts_are_skipped),
                                       cmocka_unit_test(the_newest_are_kept)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
