// SPDX-License-Identifier: Apache-2.0
/* Which URLs lead to an address that the program listens on. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "gateway/config/own_address.h"

static bool reaches(const char *url, const char *listen)
{
    struct str item = str_of(listen);
    return own_address_of_url(str_of(url), &(struct str_list){&item, 1}, NULL).n > 0;
}

static void with_tls(void **state UNUSED)
{
    struct str items[] = {STR(":8429"), STR("127.0.0.1:443")};
    const struct str_list list = {items, 2};
    const bool tls[] = {true, true};
    assert_true(own_address_of_url(STR("https://localhost:8429/api/v1/write"), &list, tls).n > 0);
    assert_true(own_address_of_url(STR("https://127.0.0.1/"), &list, tls).n > 0);
    assert_false(own_address_of_url(STR("http://localhost:8429/api/v1/write"), &list, tls).n > 0);
    assert_false(own_address_of_url(STR("https://127.0.0.1/"), &list, NULL).n > 0);
}

static void every_interface(void **state UNUSED)
{
    static const char *const own[] = {"http://127.0.0.1:8429/api/v1/write", "http://localhost:8429/", "http://[::1]:8429",
                                      "http://127.1.2.3:8429/x", "http://0.0.0.0:8429/x", "http://u:p@127.0.0.1:8429/x"};
    static const char *const others[] = {"http://127.0.0.1:8428/api/v1/write", "http://192.0.2.1:8429/", "http://[2001:db8::1]:8429",
                                         "https://127.0.0.1:8429/", "http://storage:8429/", "http://127.0.0.1/", "nonsense"};
    for (size_t i = 0; i < LEN(own); i++) {
        assert_true(reaches(own[i], ":8429"));
        assert_true(reaches(own[i], "0.0.0.0:8429"));
        assert_true(reaches(own[i], "[::]:8429"));
    }
    for (size_t i = 0; i < LEN(others); i++)
        assert_false(reaches(others[i], ":8429"));
    assert_true(reaches("http://127.0.0.1/", ":80"));
}

static void one_address(void **state UNUSED)
{
    assert_true(reaches("http://127.0.0.1:1/", "127.0.0.1:1"));
    assert_true(reaches("http://localhost:1/", "127.0.0.1:1"));
    assert_true(reaches("http://localhost:1/", "[::1]:1"));
    assert_true(reaches("http://0.0.0.0:1/", "127.0.0.1:1"));
    assert_true(reaches("http://192.0.2.7:1/", "192.0.2.7:1"));
    assert_true(reaches("http://Agent.example:1/", "agent.example:1"));
    assert_false(reaches("http://127.0.0.2:1/", "127.0.0.1:1"));
    assert_false(reaches("http://127.0.0.1:1/", "192.0.2.7:1"));
    assert_false(reaches("http://localhost:1/", "192.0.2.7:1"));
    assert_false(reaches("http://127.0.0.1:1/", "nonsense"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(with_tls), cmocka_unit_test(every_interface), cmocka_unit_test(one_address)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
