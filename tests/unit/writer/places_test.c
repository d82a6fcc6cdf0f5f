// SPDX-License-Identifier: Apache-2.0
/* Addresses behind a destination's host: what a URL asks for, which address is chosen, and the request to it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/text/duration.h"
#include "writer/send/places.h"

static void urls(void **state UNUSED)
{
    static const struct { const char *url; bool round_robin; enum place_lookup kind; const char *without; } cases[] = {
        {"http://h:1/p", false, PLACES_NONE, "http://h:1/p"},
        {"http://h:1/p", true, PLACES_ADDRESSES, "http://h:1/p"},
        {"http://dns+h:1/p?q=a+b", false, PLACES_ADDRESSES, "http://h:1/p?q=a+b"},
        {"https://srv+_a._tcp.h/p", false, PLACES_SRV, "https://_a._tcp.h/p"},
        {"https://u:p@srv+h/", true, PLACES_SRV, "https://u:p@h/"},
        {"http://dnsh/dns+x", false, PLACES_NONE, "http://dnsh/dns+x"},
    };
    for (size_t i = 0; i < LEN(cases); i++) {
        struct buf without = {0};
        assert_int_equal(places_of_url(str_of(cases[i].url), cases[i].round_robin, &without), cases[i].kind);
        assert_string_equal(buf_z(&without), cases[i].without);
        buf_free(&without);
    }
}

static void requests(void **state UNUSED)
{
    static const struct { const char *url; enum place_lookup kind; const char *made, *host; } cases[] = {
        {"http://h:81/p?q=1", PLACES_ADDRESSES, "http://192.0.2.1:5/p?q=1", "h:81"},
        {"https://u:p@h/p", PLACES_ADDRESSES, "https://u:p@192.0.2.1:5/p", "h"},
        {"http://[2001:db8::1]:81/p", PLACES_ADDRESSES, "http://192.0.2.1:5/p", "[2001:db8::1]:81"},
        {"http://_a._tcp.h/p", PLACES_SRV, "http://192.0.2.1:5/p", ""},
    };
    for (size_t i = 0; i < LEN(cases); i++) {
        struct places p = {.kind = cases[i].kind, .url = (char *)cases[i].url};
        struct buf url = {0}, host = {0};
        assert_true(url_parse(str_of(cases[i].url), &p.parts, NULL));
        places_url(&p, "192.0.2.1:5", &url, &host);
        assert_string_equal(buf_z(&url), cases[i].made);
        assert_string_equal(buf_z(&host), cases[i].host);
        buf_free(&url);
        buf_free(&host);
    }
}

static void expect(struct places *p, const char *want) { assert_string_equal(places_take(p), want); }

/* In turn while all have the same number of requests; the one with fewer first; one that failed only if all did. */
static void the_least_loaded(void **state UNUSED)
{
    char names[][2] = {"a", "b", "c"};
    struct place items[] = {{names[0], 0, 0}, {names[1], 0, 0}, {names[2], 0, 0}};
    struct places p = {.loop = loop_new(), .items = items, .n = 3};
    expect(&p, "a");
    expect(&p, "b");
    expect(&p, "c");
    places_give(&p, "b", true);
    expect(&p, "b");
    places_give(&p, "a", false);
    places_give(&p, "gone", false);
    expect(&p, "c"); /* a has fewer, and is avoided */
    clock_advance(5001);
    expect(&p, "a");
    for (size_t i = 0; i < 3; i++)
        for (unsigned k = items[i].busy; k > 0; k--)
            places_give(&p, items[i].address, false);
    expect(&p, "b"); /* all failed: in turn */
    places_give(&p, "b", true);
    expect(&p, "b");
    p.n = 0;
    assert_null(places_take(&p));
    loop_free(p.loop);
}

/* A response of the DNS may have thousands, also the same one again. */
static void addresses_are_limited(void **state UNUSED)
{
    struct places p = {.loop = NULL};
    struct loop *l = loop_new();
    struct buf found = {0};
    places_begin(&p, l, PLACES_ADDRESSES, "http://127.0.0.1:80/", 0); /* a literal address: resolved at once */
    assert_int_equal(p.n, 1);
    for (unsigned i = 0; i < 2 * PLACES_MOST; i++)
        buf_printf(&found, "%s10.0.%u.%u,10.0.0.0", i > 0 ? "," : "", i / 250, i % 250);
    p.name.addresses = mem_strdup(buf_z(&found));
    p.name.done(&p.name);
    assert_int_equal(p.n, PLACES_MOST);
    assert_string_equal(p.items[0].address, "10.0.0.0:80");
    for (size_t i = 1; i < p.n; i++)
        assert_string_not_equal(p.items[i].address, "10.0.0.0:80");
    buf_free(&found);
    places_end(&p);
    loop_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(urls), cmocka_unit_test(requests), cmocka_unit_test(the_least_loaded),
        cmocka_unit_test(addresses_are_limited)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
