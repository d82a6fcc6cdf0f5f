// SPDX-License-Identifier: Apache-2.0
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/text/utf8.h"

static void test_every_rune(void **state UNUSED)
{
    for (uint32_t r = 0; r <= 0x10ffff; r++) {
        char bytes[4];
        size_t n = utf8_encode(bytes, r), len;
        struct str s = str_n(bytes, n);
        assert_true(utf8_valid(s));
        assert_int_equal(utf8_next(s, &len), r >= 0xd800 && r < 0xe000 ? 0xfffd : r);
        assert_int_equal(len, n);
        assert_false(n > 1 && utf8_valid(str_first(s, n - 1)));
    }
}

static void test_invalid(void **state UNUSED)
{
    static const struct str bad[] = {
        {"\x80", 1}, {"\xc0\x80", 2}, {"\xc1\xbf", 2}, {"\xe0\x9f\xbf", 3}, {"\xed\xa0\x80", 3}, {"\xed\xbf\xbf", 3},
        {"\xf0\x8f\xbf\xbf", 4}, {"\xf4\x90\x80\x80", 4}, {"\xf5\x80\x80\x80", 4}, {"\xff", 1}, {"\xe2\x82", 2},
        {"\xe2\x28\xa1", 3}, {"abcdefgh\xff", 9}, {"abcdefg\xff", 8},
        {"\xff"
         "abcdefgh",
         9},
    };
    for (size_t i = 0; i < LEN(bad); i++)
        assert_false(utf8_valid(bad[i]));
    size_t len;
    assert_int_equal(utf8_next(STR("\xe2\x28"), &len), 0xfffd);
    assert_int_equal(len, 1);
}

static void test_valid(void **state UNUSED)
{
    assert_true(utf8_valid(STR_NONE));
    assert_true(utf8_valid(STR("a\0b")));
    assert_true(utf8_valid(STR("grün 12345678 \xe2\x82\xac \xf0\x9f\x98\x80")));
    char bytes[4];
    assert_int_equal(utf8_encode(bytes, 0x110000), 3);
    assert_memory_equal(bytes, "\xef\xbf\xbd", 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_rune),
        cmocka_unit_test(test_invalid),
        cmocka_unit_test(test_valid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
