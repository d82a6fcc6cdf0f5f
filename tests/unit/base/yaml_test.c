// SPDX-License-Identifier: Apache-2.0
/* Trees and their lines, what is refused, and that what is written reads back the same. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "base/conf/yaml.h"

static struct arena arena;
static int setup(void **state UNUSED) { arena_init(&arena, 0); return 0; }
static int teardown(void **state UNUSED) { arena_free(&arena); return 0; }

static const struct yaml *parse(const char *text)
{
    struct err err = {0};
    const struct yaml *y = yaml_parse(&arena, str_of(text), "t.yml", &err);
    if (y == NULL)
        fail_msg("%s", err.text);
    return y;
}

static void check_error(const char *text, const char *expected)
{
    struct err err = {0};
    assert_null(yaml_parse(&arena, str_of(text), "t.yml", &err));
    assert_string_equal(err.text, expected);
}

static const char *text_of(const struct yaml *y, const char *key)
{
    const struct yaml *v = yaml_get(y, key);
    return v && v->kind == YAML_SCALAR ? v->text.p : NULL;
}

static void test_tree(void **state UNUSED)
{
    const struct yaml *y = parse("# c\na: 1\nb:\n  - x\n  - 'null'\n  -\nc: {d: \"2\", e: ~}\nf: |\n  two\n  lines\n");
    assert_int_equal(y->kind, YAML_MAP);
    assert_int_equal(y->n, 4);
    assert_string_equal(y->file, "t.yml");
    assert_string_equal(text_of(y, "a"), "1");
    assert_false(yaml_get(y, "a")->quoted);
    const struct yaml *b = yaml_get(y, "b");
    assert_int_equal(b->kind, YAML_LIST);
    assert_int_equal(b->n, 3);
    assert_int_equal(b->items[1].line, 5);
    assert_int_equal(b->items[1].kind, YAML_SCALAR);
    assert_true(b->items[1].quoted);
    assert_int_equal(b->items[2].kind, YAML_NULL);
    const struct yaml *c = yaml_get(y, "c");
    assert_int_equal(c->keys[1].line, 7);
    assert_int_equal(yaml_get(c, "e")->kind, YAML_NULL);
    assert_string_equal(text_of(y, "f"), "two\nlines\n");
    assert_null(yaml_get(y, "nothing"));
    assert_null(yaml_get(b, "x"));
    assert_null(yaml_get(NULL, "x"));
}

static void test_empty(void **state UNUSED)
{
    assert_int_equal(parse("")->kind, YAML_NULL);
    assert_int_equal(parse("# nothing\n")->kind, YAML_NULL);
    assert_int_equal(parse("---\n...\n")->kind, YAML_NULL);
    struct err err = {0};
    assert_int_equal(yaml_parse(&arena, STR_NONE, "t.yml", &err)->kind, YAML_NULL);
}

static void test_aliases(void **state UNUSED)
{
    const struct yaml *y = parse("base: &b {x: 1, y: 2}\none: *b\ntwo: {<<: *b, y: 3}\n"
                                 "three: {<<: [{z: 1, x: 8}, *b], w: 0}\nfour: {'<<': 5}\n");
    assert_string_equal(text_of(yaml_get(y, "one"), "y"), "2");
    assert_string_equal(text_of(yaml_get(y, "two"), "x"), "1");
    assert_string_equal(text_of(yaml_get(y, "two"), "y"), "3");
    assert_string_equal(text_of(yaml_get(y, "three"), "x"), "8");
    assert_string_equal(text_of(yaml_get(y, "three"), "y"), "2");
    assert_int_equal(yaml_get(y, "three")->n, 4);
    assert_string_equal(text_of(yaml_get(y, "four"), "<<"), "5");
}

/* So many that looking through all anchors for each alias would take a minute. */
static void test_many_anchors(void **state UNUSED)
{
    enum { N = 100000 };
    struct buf text = {0};
    for (int i = 0; i < N; i++)
        buf_printf(&text, "- &a%d x%d\n", i, i);
    for (int i = 0; i < N; i++)
        buf_printf(&text, "- *a%d\n", i % 2);
    const struct yaml *y = parse(buf_z(&text));
    assert_int_equal(y->n, 2 * N);
    assert_true(str_is(y->items[2 * N - 1].text, "x1"));
    buf_free(&text);
    y = parse("[&a 1, *a, &a 2, *a]"); /* the newest of a name */
    assert_true(str_is(y->items[1].text, "1") && str_is(y->items[3].text, "2"));
}

static void test_errors(void **state UNUSED)
{
    check_error("a: 1\nb: 2\na: 3\n", "t.yml:3: duplicate key \"a\", first set in line 1");
    check_error("a: [1\nb: 2\n", "t.yml:2: did not find expected ',' or ']' while parsing a flow sequence");
    check_error("a: 1\n\tb: 2\n",
                "t.yml:2: found a tab character that violates indentation while scanning a plain scalar");
    check_error("a: 1\n---\nb: 2\n", "t.yml:2: a second document begins here; a file may contain one");
    check_error("a: *x\n", "t.yml:1: undefined alias *x");
    check_error("a: &x [*x]\n", "t.yml:1: undefined alias *x");
    check_error("a:\n  <<: 5\n", "t.yml:2: << requires a mapping or a list of mappings");
    check_error("? [a]\n: b\n", "t.yml:1: a key must be a scalar, not a list or a mapping");
    check_error("a: !thing 5\n", "t.yml:1: unknown tag !thing");
    check_error("a: 1\nb: \xff\n", "t.yml:2: invalid leading UTF-8 octet");
}

static void test_limits(void **state UNUSED)
{
    struct buf text = {0};
    for (int i = 0; i < 65; i++)
        buf_add_char(&text, '[');
    check_error(buf_z(&text), "t.yml:1: nested too deeply (limit 64)");
    buf_clear(&text);
    buf_add_z(&text, "l0: &l0 [x, x, x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i < 8; i++) {
        buf_printf(&text, "l%d: &l%d [", i, i);
        for (int j = 0; j < 10; j++)
            buf_printf(&text, "*l%d, ", i - 1);
        buf_add_z(&text, "]\n");
    }
    check_error(buf_z(&text), "t.yml:6: too many nodes, aliases expanded (limit 1000000)");
    buf_clear(&text);
    for (int i = 0; i < 66; i++) {
        buf_printf(&text, "d%d: &d%d [", i, i);
        if (i > 0)
            buf_printf(&text, "*d%d", i - 1);
        buf_add_z(&text, "]\n");
    }
    struct err err = {0};
    assert_null(yaml_parse(&arena, buf_str(&text), "t.yml", &err));
    assert_non_null(strstr(err.text, "nested too deeply (limit 64)"));
    buf_free(&text);
}

static void test_budget(void **state UNUSED)
{
    struct buf text = {0};
    for (int i = 0; i < 10000; i++)
        buf_printf(&text, "- item%d\n", i);
    struct arena small;
    struct err err = {0};
    arena_init(&small, 64 << 10);
    assert_null(yaml_parse(&small, buf_str(&text), "t.yml", &err));
    assert_int_equal(err.kind, ERR_LIMIT);
    arena_free(&small);
    buf_free(&text);
}

static void check_scalar(const char *text, const char *written)
{
    struct buf out = {0};
    yaml_write_scalar(&out, str_of(text));
    if (written)
        assert_string_equal(buf_z(&out), written);
    buf_add_char(&out, '\n');
    const struct yaml *back = parse(buf_z(&out));
    assert_int_equal(back->kind, YAML_SCALAR);
    assert_string_equal(back->text.p, text);
    buf_free(&out);
}

static void test_write_scalar(void **state UNUSED)
{
    check_scalar("word", "word");
    check_scalar("two words", "two words");
    check_scalar("http://h:1/p?a=b&c", "http://h:1/p?a=b&c");
    check_scalar("15s", "15s");
    check_scalar("", "''");
    check_scalar("12", "'12'");
    check_scalar("1e3", "'1e3'");
    check_scalar("true", "'true'");
    check_scalar("Null", "'Null'");
    check_scalar("it's: so", "'it''s: so'");
    check_scalar("a\nb\t\"c\"", "\"a\\nb\\t\\\"c\\\"\"");
    static const char *const odd[] = {
        " a", "a ", "a #b", "a:", "- a", "[a", "{a", "*a", "&a", "!a", "%a", "@a", "`a", "#a", "|", ">", "'", "\"", "~",
        "a: b", "\xc3\xa9", "\xe2\x80\xa8x", "\xc2\x85", "\xef\xbb\xbfx", "\x01", "(.*);(.+)", "a,b", "?", "-", "---"};
    for (size_t i = 0; i < LEN(odd); i++)
        check_scalar(odd[i], NULL);
}

static void test_write_tree(void **state UNUSED)
{
    static const char text[] =
        "a: 1\nb:\n  - x\n  - k: '1'\n    z:\n      - []\n      - {}\n  - - p\n    - null\nc:\n  d: e f\n";
    struct buf out = {0};
    yaml_write(&out, parse(text));
    assert_string_equal(buf_z(&out), text);
    buf_clear(&out);
    yaml_write(&out, parse("{a: -, b: ~c, c: -.inf, d: 1_000, e: 12:30:45, f: [2001-12-14], g: +}"));
    assert_string_equal(buf_z(&out), "a: '-'\nb: '~c'\nc: -.inf\nd: 1_000\ne: 12:30:45\n"
                                     "f:\n  - 2001-12-14\ng: '+'\n");
    parse(buf_z(&out));
    buf_clear(&out);
    char flow[3000]; /* keys longer than a reader looks ahead */
    snprintf(flow, sizeof flow, "- {? '%01200d' : 1, ? '%01201d' : {a: b}}", 1, 2);
    yaml_write(&out, parse(flow));
    const struct yaml *back = parse(buf_z(&out));
    assert_int_equal(back->items[0].n, 2);
    assert_int_equal(back->items[0].keys[1].text.n, 1201);
    assert_string_equal(text_of(&back->items[0].items[1], "a"), "b");
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tree),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_aliases),
        cmocka_unit_test(test_many_anchors),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_budget),
        cmocka_unit_test(test_write_scalar),
        cmocka_unit_test(test_write_tree),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
