// SPDX-License-Identifier: Apache-2.0
#include "gateway/servers/registry.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static void an_entry_outlives_its_users(void **state UNUSED)
{
    struct server_registry *r = server_registry_new();
    struct server_health *h = server_health_get(r, STR("a"));
    struct server_traffic *t = server_traffic_get(r, STR("west"), STR("http://a"));
    atomic_store(&h->last_ok_at, 7);
    atomic_fetch_add(&t->requests, 3);
    assert_ptr_equal(server_health_get(r, STR("a")), h);
    server_health_put(r, h);
    server_health_put(r, h);
    server_traffic_put(r, t);
    assert_ptr_equal(server_health_get(r, STR("a")), h);
    assert_int_equal(atomic_load(&h->last_ok_at), 7);
    t = server_traffic_get(r, STR("west"), STR("http://a"));
    assert_int_equal(atomic_load(&t->requests), 3);
    server_health_put(r, h);
    server_traffic_put(r, t);
    server_registry_free(r);
}

static void keys_are_told_apart(void **state UNUSED)
{
    struct server_registry *r = server_registry_new();
    struct server_traffic *t[] = {server_traffic_get(r, STR("a"), STR("bc")), server_traffic_get(r, STR("ab"), STR("c")),
                                  server_traffic_get(r, STR(""), STR("abc"))};
    assert_true(t[0] != t[1] && t[1] != t[2] && t[0] != t[2]);
    for (size_t i = 0; i < LEN(t); i++)
        server_traffic_put(r, t[i]);
    server_registry_free(r);
}

static struct server_health *numbered(struct server_registry *r, int i)
{
    struct buf key = {0};
    buf_printf(&key, "%d", i);
    struct server_health *h = server_health_get(r, buf_str(&key));
    buf_free(&key);
    return h;
}

/* Those without a user that were given back first go first; one in use never goes. */
static void unused_entries_are_limited(void **state UNUSED)
{
    enum { MORE = 10 };
    struct server_registry *r = server_registry_new();
    struct server_health *used = numbered(r, -1);
    atomic_store(&used->last_ok_at, 1);
    for (int i = 0; i < SERVERS_UNUSED + MORE; i++) {
        struct server_health *h = numbered(r, i);
        atomic_store(&h->last_ok_at, 1);
        server_health_put(r, h);
    }
    int kept = 0;
    for (int i = SERVERS_UNUSED + MORE - 1; i >= 0; i--) {
        struct server_health *h = numbered(r, i);
        bool remembered = atomic_load(&h->last_ok_at) == 1;
        assert_int_equal(remembered, i >= MORE);
        kept += remembered;
        if (!remembered)
            server_health_put(r, h);
    }
    assert_int_equal(kept, SERVERS_UNUSED);
    for (int i = MORE; i < SERVERS_UNUSED + MORE; i++) { /* one reference from above and one from here */
        struct server_health *h = numbered(r, i);
        server_health_put(r, h);
        server_health_put(r, h);
    }
    assert_ptr_equal(numbered(r, -1), used);
    server_health_put(r, used);
    server_health_put(r, used);
    server_registry_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_entry_outlives_its_users), cmocka_unit_test(keys_are_told_apart),
        cmocka_unit_test(unused_entries_are_limited),
    };
    return cmocka_run_group_tests_name("registry", tests, NULL, NULL);
}
