// SPDX-License-Identifier: Apache-2.0
#include "base/crc32c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* RFC 3720, appendix B.4, and the check value of the polynomial. */
static void known_checksums(void **state UNUSED)
{
    char bytes[32] = {0};
    assert_int_equal(crc32c(STR("123456789")), 0xe3069283);
    assert_int_equal(crc32c(STR("")), 0);
    assert_int_equal(crc32c(STR("a")), 0xc1d04330);
    assert_int_equal(crc32c(str_n(bytes, 32)), 0x8a9136aa);
    memset(bytes, 0xff, sizeof bytes);
    assert_int_equal(crc32c(str_n(bytes, 32)), 0x62a8ab43);
    for (int i = 0; i < 32; i++)
        bytes[i] = (char)i;
    assert_int_equal(crc32c(str_n(bytes, 32)), 0x46dd794e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(known_checksums)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
