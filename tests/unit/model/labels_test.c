// SPDX-License-Identifier: Apache-2.0
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "model/labels.h"
#include "tests/unit/model/scratch.h"

static struct labels make(const char *text) /* "b=2,a=1" */
{
    struct label items[32];
    size_t n = 0;
    struct str rest = str_of(text), item;
    while (text[0] && str_cut(&rest, ',', &item)) {
        size_t eq = str_find(item, '=');
        items[n++] = (struct label){str_first(item, eq), str_skip(item, eq + 1)};
    }
    return labels_from(&arena, items, n);
}

static void assert_text(struct labels l, const char *want)
{
    struct buf out = {0};
    labels_print(&out, l);
    assert_string_equal(buf_z(&out), want);
    buf_free(&out);
    struct labels again = {0};
    assert_true(labels_check(l.p, l.n, &again));
    assert_int_equal(again.count, l.count);
}

static void test_form(void **state UNUSED)
{
    struct labels l = make("job=x,__name__=up,empty=");
    static const char want[] = "\x0a\x0e\x0a\x08__name__\x12\x02up\x0a\x08\x0a\x03job\x12\x01x";
    assert_int_equal(l.n, sizeof want - 1);
    assert_memory_equal(l.p, want, l.n);
    assert_int_equal(l.count, 2);
    assert_true(str_is(labels_name(l), "up"));
    assert_true(str_is(labels_get(l, STR("job")), "x"));
    assert_null(labels_get(l, STR("empty")).p);
    assert_null(labels_get((struct labels){0}, STR("job")).p);
}

static void test_long_values(void **state UNUSED)
{
    for (size_t n = 1; n < 70000; n = n * 5 / 4 + 1) {
        char *text = arena_bytes(&arena, n);
        memset(text, 'x', n);
        struct label items[] = {{STR("b"), str_n(text, n)}, {STR("a"), STR("1")}, {str_n(text, n), STR("z")}};
        struct labels l = labels_from(&arena, items, LEN(items)), again;
        assert_true(labels_check(l.p, l.n, &again));
        assert_int_equal(again.count, 3);
        assert_int_equal(labels_get(l, STR("b")).n, n);
        assert_true(str_is(labels_get(l, str_n(text, n)), "z"));
        assert_int_equal(l.n, labels_pair_size(STR("a"), STR("1")) + 2 * labels_pair_size(STR("b"), str_n(text, n)));
    }
}

static void test_check_refuses(void **state UNUSED)
{
    static const struct str bad[] = {
        {"\x0a\x06\x0a\x01" "b\x12\x01x\x0a\x06\x0a\x01" "a\x12\x01x", 16}, /* order */
        {"\x0a\x06\x0a\x01" "a\x12\x01x\x0a\x06\x0a\x01" "a\x12\x01x", 16}, /* twice */
        {"\x0a\x05\x0a\x01" "a\x12\x00", 7},                                /* no value */
        {"\x0a\x05\x0a\x00\x12\x01x", 7},                                   /* no name */
        {"\x0a\x06\x0a\x01" "a\x12\x01\xff", 8},                            /* UTF-8 */
        {"\x0a\x06\x12\x01" "a\x0a\x01x", 8},                               /* value first */
        {"\x0a\x86\x00\x0a\x01" "a\x12\x01x", 9},                           /* padded length */
        {"\x0a\x08\x0a\x01" "a\x12\x01x\x18\x01", 10},                      /* one field more */
        {"\x0a\x06\x0a\x01" "a\x12\x01", 7},                                /* cut */
        {"\x0a\x06\x0a\x09" "a\x12\x01x", 8},                               /* name longer than the pair */
    };
    struct labels l;
    for (size_t i = 0; i < LEN(bad); i++)
        assert_false(labels_check((const uint8_t *)bad[i].p, bad[i].n, &l));
    assert_true(labels_check(NULL, 0, &l));
    assert_int_equal(l.count, 0);
}

/* Whatever one changed byte makes of good bytes, labels_check says no or describes them right. */
static void test_check_mutations(void **state UNUSED)
{
    struct labels good = make("__name__=node_cpu_seconds_total,cpu=0,instance=host:9100,job=node,mode=idle");
    for (size_t at = 0; at < good.n; at++) {
        for (unsigned byte = 0; byte < 256; byte++) {
            uint8_t *copy = mem_dup(good.p, good.n); /* alone, for AddressSanitizer */
            copy[at] = (uint8_t)byte;
            struct labels l;
            if (labels_check(copy, good.n, &l)) {
                struct labels_builder b = {0};
                builder_start(&b, l);
                assert_true(labels_equal(builder_labels(&b, &arena), l));
                builder_free(&b);
            }
            mem_free(copy);
        }
    }
}

static void test_order(void **state UNUSED)
{
    static const char *const sorted[] = {"", "a=1", "a=1,b=1", "a=1,b=2", "a=1,c=1", "a=10", "a=2", "b=1"};
    for (size_t i = 0; i < LEN(sorted); i++) {
        for (size_t j = 0; j < LEN(sorted); j++) {
            int c = labels_cmp(make(sorted[i]), make(sorted[j]));
            assert_int_equal((c > 0) - (c < 0), (i > j) - (i < j));
            assert_int_equal(labels_equal(make(sorted[i]), make(sorted[j])), i == j);
        }
    }
}

static void test_hash(void **state UNUSED)
{
    assert_int_not_equal(labels_hash((struct labels){0}), 0);
    assert_true(labels_hash(make("a=1")) != labels_hash(make("a=2")));
    assert_true(labels_group_hash(make("__name__=x,a=1")) == labels_group_hash(make("__name__=longer,a=1")));
    assert_true(labels_group_hash(make("__name__=x,a=1")) != labels_group_hash(make("__name__=x,a=2")));
    assert_true(labels_group_hash(make("__name__=x")) != labels_group_hash(make("__name__=y")));
    assert_true(labels_group_hash(make("__name__x=x,a=1")) != labels_group_hash(make("__name__x=y,a=1")));
    assert_int_not_equal(labels_group_hash((struct labels){0}), 0);
    assert_true(labels_hash_prometheus((struct labels){0}) == 0xef46db3751d8e999u); /* XXH64 of nothing */
    assert_true(labels_hash_prometheus(make("a=1")) != labels_hash_prometheus(make("a=2")));
}

static void test_print(void **state UNUSED)
{
    assert_text(make(""), "{}");
    assert_text(make("__name__=up"), "up");
    assert_text(make("__name__=up,job=a,x=b"), "up{job=\"a\", x=\"b\"}");
    assert_text(make("job=a"), "{job=\"a\"}");
    assert_text(make("__name__=a.b,job=a"), "{\"a.b\", job=\"a\"}");
    assert_text(make("__name__=a:b,c.d=q\"\\\n\x01"), "a:b{\"c.d\"=\"q\\\"\\\\\\n\\x01\"}");
    assert_text(make("__name__=9"), "{\"9\"}");
    assert_true(metric_name_legacy(STR(":a9")) && !label_name_legacy(STR(":a9")));
    assert_true(!label_name_legacy(STR("")) && !label_name_valid(STR("")) && label_name_valid(STR("ü")));
}

static void test_builder(void **state UNUSED)
{
    struct labels_builder b = {0};
    builder_start(&b, make("a=1,b=2,c=3"));
    builder_set(&b, STR("b"), STR("20"));
    builder_set(&b, STR("_"), STR("0"));
    builder_del(&b, STR("c"));
    assert_null(builder_get(&b, STR("c")).p);
    assert_true(str_is(builder_get(&b, STR("b")), "20"));
    assert_text(builder_labels(&b, &arena), "{_=\"0\", a=\"1\", b=\"20\"}");
    builder_set(&b, STR("c"), STR("4"));
    struct buf out = {0};
    buf_add_z(&out, "before");
    assert_text(builder_append(&b, &out), "{_=\"0\", a=\"1\", b=\"20\", c=\"4\"}");
    builder_start(&b, (struct labels){0});
    assert_int_equal(builder_labels(&b, &arena).n, 0);
    buf_free(&out);
    builder_free(&b);
}

static void test_builder_many(void **state UNUSED)
{
    struct labels_builder b = {0};
    for (unsigned i = 0; i < 1000; i++)
        builder_set(&b, arena_printf(&arena, "l%u", i * 7919 % 1000), STR("v"));
    struct labels l = builder_labels(&b, &arena), again;
    assert_true(labels_check(l.p, l.n, &again));
    assert_int_equal(again.count, 1000);
    struct str name;
    assert_false(builder_duplicate(&b, &name));
    builder_add(&b, STR("l500"), STR("w"));
    assert_true(builder_duplicate(&b, &name));
    assert_true(str_is(name, "l500"));
    builder_free(&b);
}

static void test_shapes(void **state UNUSED)
{
    struct labels l = make("a=1,b=2,c=3,d=4");
    struct str names[] = {STR("0"), STR("a"), STR("bb"), STR("c"), STR("z")};
    assert_text(labels_keep(&arena, l, names, LEN(names)), "{a=\"1\", c=\"3\"}");
    assert_text(labels_drop(&arena, l, names, LEN(names)), "{b=\"2\", d=\"4\"}");
    assert_text(labels_keep(&arena, l, NULL, 0), "{}");
    struct str ends[] = {STR("a"), STR("d")}, middle[] = {STR("b"), STR("c")};
    assert_text(labels_drop(&arena, l, ends, 2), "{b=\"2\", c=\"3\"}");
    assert_text(labels_keep(&arena, l, middle, 2), "{b=\"2\", c=\"3\"}");
    assert_text(labels_drop(&arena, l, middle, 2), "{a=\"1\", d=\"4\"}");
    assert_text(labels_keep(&arena, l, ends, 2), "{a=\"1\", d=\"4\"}");
    assert_ptr_equal(labels_drop(&arena, l, ends, 1).p + labels_drop(&arena, l, ends, 1).n, l.p + l.n); /* no copy */
    assert_int_equal(labels_drop(&arena, l, ends, 1).count, 3);
    assert_int_equal(labels_keep(&arena, l, ends, 2).count, 2);
    assert_text(labels_drop(&arena, l, NULL, 0), "{a=\"1\", b=\"2\", c=\"3\", d=\"4\"}");
    static const char *const names_with[] = {"0", "a", "aa", "b", "d", "e"};
    for (size_t i = 0; i < LEN(names_with); i++) {
        for (int empty = 0; empty < 2; empty++) {
            struct str value = empty ? STR_NONE : STR("new");
            struct labels_builder b = {0};
            builder_start(&b, l);
            builder_set(&b, str_of(names_with[i]), value);
            struct labels want = builder_labels(&b, &arena), got = labels_with(&arena, l, str_of(names_with[i]), value);
            assert_true(labels_equal(want, got));
            assert_int_equal(want.count, got.count);
            builder_free(&b);
        }
    }
    assert_text(labels_with(&arena, (struct labels){0}, STR("a"), STR("b")), "{a=\"b\"}");
    assert_true(labels_equal(labels_copy(&arena, l), l));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_form),
        cmocka_unit_test(test_long_values),
        cmocka_unit_test(test_check_refuses),
        cmocka_unit_test(test_check_mutations),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_hash),
        cmocka_unit_test(test_print),
        cmocka_unit_test(test_builder),
        cmocka_unit_test(test_builder_many),
        cmocka_unit_test(test_shapes),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
