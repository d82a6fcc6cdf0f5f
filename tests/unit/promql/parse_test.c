// SPDX-License-Identifier: Apache-2.0
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "promql/ast/ast.h"
#include "promql/ast/functions.h"
#include "promql/promql.h"

#include <stdio.h>

/* --- shapes: every operator in parentheses ------------------------------------------------------------------------ */

static void shape(struct buf *out, const struct expr *e)
{
    switch (e->kind) {
    case EXPR_BINARY:
        buf_add_char(out, '(');
        shape(out, e->u.binary.left);
        buf_printf(out, " %s ", binary_op_text(e->u.binary.op));
        shape(out, e->u.binary.right);
        buf_add_char(out, ')');
        break;
    case EXPR_UNARY:
        buf_add_char(out, e->u.unary.minus ? '-' : '+');
        buf_add_char(out, '(');
        shape(out, e->u.unary.inner);
        buf_add_char(out, ')');
        break;
    default:
        promql_print(out, e);
    }
}

static void check_shape(const char *text, const char *want)
{
    struct arena a;
    struct buf out = {0};
    struct err err = {0};
    arena_init(&a, 0);
    struct expr *e = promql_parse(&a, str_of(text), NULL, &err);
    if (e == NULL)
        fail_msg("%s: %s", text, err.text);
    shape(&out, e);
    assert_string_equal(buf_z(&out), want);
    promql_free(e);
    buf_free(&out);
    arena_free(&a);
}

static void test_precedence(void **state UNUSED)
{
    check_shape("a + b * c ^ d", "(a + (b * (c ^ d)))");
    check_shape("a ^ b ^ c", "(a ^ (b ^ c))");
    check_shape("a - b - c", "((a - b) - c)");
    check_shape("a atan2 b % c", "((a atan2 b) % c)");
    check_shape("a or b and c unless d", "(a or ((b and c) unless d))");
    check_shape("a or b or c and d == e", "((a or b) or (c and (d == e)))");
    check_shape("a == b + c", "(a == (b + c))");
    check_shape("a < b > c", "((a < b) > c)");
    check_shape("a </ 1 >/ 2", "((a </ 1) >/ 2)");
    check_shape("-a ^ b", "-((a ^ b))");
    check_shape("-a * b", "(-(a) * b)");
    check_shape("a ^ -b ^ c * d", "((a ^ -((b ^ c))) * d)");
    check_shape("- - a + b", "(-(-(a)) + b)");
    check_shape("-1 ^ 2", "-((1 ^ 2))");
    check_shape("--1 + -2", "(1 + -2)");
    check_shape("-a offset 5m * b @ 7", "(-(a offset 5m) * b @ 7.000)");
    check_shape("a[5m:] offset 1m", "a[5m:] offset 1m");
}

static void test_offsets_end(void **state UNUSED)
{
    check_shape("a offset 5m + 3", "(a offset 5m + 3)");
    check_shape("a offset -2 ^ 2", "(a offset -2s ^ 2)");
    check_shape("a offset step() + 5", "(a offset step() + 5)");
    check_shape("a offset -min_of(1m, 2m) * 2", "(a offset -min_of(1m, 2m) * 2)");
    check_shape("a offset (5m) + 3", "a offset (5m) + 3");
    check_shape("a offset (5m + 3) == 3", "(a offset (5m + 3) == 3)");
    check_shape("a offset --5m * 2", "a offset (5m * 2)");
}

/* Keywords are names where nothing else is possible. */
static void test_keywords_as_names(void **state UNUSED)
{
    check_shape("sum + by + offset offset 5m", "((sum + by) + offset offset 5m)");
    check_shape("and and and", "(and and and)");
    check_shape("start + end{start=\"end\"} + step + range + min_of",
                "((((start + end{start=\"end\"}) + step) + range) + min_of)");
    check_shape("fill + fill (1) fill_left", "(fill + fill_left)");
}

/* --- errors ------------------------------------------------------------------------------------------------------- */

static void check_error(const char *text, size_t n, const char *want)
{
    struct arena a;
    struct err err = {0};
    arena_init(&a, 0);
    struct expr *e = promql_parse(&a, str_n(text, n), NULL, &err);
    if (e != NULL || strcmp(err.text, want) != 0)
        fail_msg("%.*s\n  want %s\n  got  %s", (int)n, text, want, e ? "a tree" : err.text);
    assert_int_equal(err.kind, ERR_BAD_DATA);
    arena_free(&a);
}

static void test_corpus_of_errors(void **state UNUSED)
{
    char query[1024], message[1024];
    FILE *f = fopen("tests/unit/promql/parse_errors.txt", "r");
    unsigned n = 0;
    assert_non_null(f);
    while (fgets(query, sizeof query, f)) {
        if (query[0] == '#' || query[0] == '\n')
            continue;
        assert_non_null(fgets(message, sizeof message, f));
        message[strcspn(message, "\n")] = 0;
        assert_memory_equal(message, "  ", 2);
        check_error(query, strcspn(query, "\n"), message + 2);
        n++;
    }
    fclose(f);
    assert_true(n > 200);
}

static void test_errors_on_lines(void **state UNUSED)
{
    check_error("", 0, "unknown position: parse error: no expression found in input");
    check_error("# up\n", 5, "1:1: parse error: no expression found in input");
    check_error("up +\n  down )", 13, "2:9: parse error: unexpected right parenthesis ')'");
    check_error("sum(\n\n  up{a=\"\xff\"}\n)", 17, "3:8: parse error: invalid UTF-8 rune");
    check_error("a\0b", 3, "1:2: parse error: unexpected character: '\\x00'");
}

/* Nestings end in a message, never in an overflowing stack. */
static void check_nesting(const char *open, const char *middle, const char *close, size_t times, bool ok)
{
    struct buf text = {0};
    struct arena a;
    struct err err = {0};
    arena_init(&a, 0);
    for (size_t i = 0; i < times; i++)
        buf_add_z(&text, open);
    buf_add_z(&text, middle);
    for (size_t i = 0; i < times; i++)
        buf_add_z(&text, close);
    struct expr *e = promql_parse(&a, buf_str(&text), NULL, &err);
    if (!ok)
        assert_non_null(strstr(err.text, "parse error: expression is nested deeper than 1000 levels"));
    assert_int_equal(e != NULL, ok);
    promql_free(e);
    buf_free(&text);
    arena_free(&a);
}

static void test_nesting(void **state UNUSED)
{
    static const char *const around[][3] = {
        {"(", "up", ")"}, {"-", "up", ""}, {"abs(", "up", ")"}, {"up ^ ", "up", ""}, {"sum by (a) (", "up", ")"},
        {"up + (", "up", ")"}, {"(up + ", "up", ") + up"},
    };
    for (size_t i = 0; i < LEN(around); i++) {
        check_nesting(around[i][0], around[i][1], around[i][2], 490, true);
        check_nesting(around[i][0], around[i][1], around[i][2], 100000, false);
    }
    check_nesting("", "up", "[1m:]", 100000, false);
    check_nesting("", "up", " + up", 100000, true); /* a chain: see depth_test.c */
}

static void test_nested_durations(void **state UNUSED)
{
    static const char *const repeated[] = {"(", "-", "2 ^ ", "min_of(", "1 + (1 + "};
    for (size_t i = 0; i < LEN(repeated); i++) {
        struct buf text = {0};
        struct arena a;
        struct err err = {0};
        arena_init(&a, 0);
        buf_add_z(&text, "up[");
        for (int n = 0; n < 50000; n++)
            buf_add_z(&text, repeated[i]);
        buf_add_z(&text, "1]");
        assert_null(promql_parse(&a, buf_str(&text), NULL, &err));
        assert_non_null(strstr(err.text, "nested deeper than 1000 levels"));
        buf_free(&text);
        arena_free(&a);
    }
}

/* --- memory ------------------------------------------------------------------------------------------------------- */

static const char everything[] =
    "sum by (a, \"b c\") (rate({job=~\"a.+\", x!~\"b|c\", \"m\"}[5m] offset -1h)) / on (a) group_left (\"q\\u00e9\") "
    "max_over_time(up{a=\"\\n\"}[1h:5m] @ end()) > bool topk(3, -foo offset max_of(step(), 2 * 5m)) or vector(1.5e3)";

/* Every allocation refused once: ERR_LIMIT, no crash, nothing leaked (AddressSanitizer sees to that). */
static void test_every_allocation_fails(void **state UNUSED)
{
    struct expr *e = NULL;
    size_t k = 1;
    for (; e == NULL && k < 1000; k++) {
        struct arena a;
        struct err err = {0};
        arena_init(&a, 0);
        a.fail_after = k;
        e = promql_parse(&a, str_of(everything), NULL, &err);
        assert_int_equal(err.kind, e ? ERR_NONE : ERR_LIMIT);
        assert_null(a.on_full);
        promql_free(e);
        arena_free(&a);
    }
    assert_non_null(e);
    assert_true(k > 50);
}

static void test_budget(void **state UNUSED)
{
    struct buf text = {0};
    struct arena a;
    struct err err = {0};
    for (int i = 0; i < 900; i++)
        buf_add_z(&text, "up{job=~\"a.*b\"} + ");
    buf_add_z(&text, "up");
    arena_init(&a, 64 << 10);
    assert_null(promql_parse(&a, buf_str(&text), NULL, &err));
    assert_int_equal(err.kind, ERR_LIMIT);
    buf_free(&text);
    arena_free(&a);
}

/* Twenty bytes of text can make a regular expression of 1 MB: it counts. */
static void test_budget_of_regexes(void **state UNUSED)
{
    struct buf text = {0};
    struct arena a;
    struct err err = {0};
    buf_add_z(&text, "up{");
    for (int i = 0; i < 100; i++)
        buf_add_z(&text, "job=~\".{900}x\",");
    buf_add_z(&text, "}");
    arena_init(&a, 4 << 20);
    assert_null(promql_parse(&a, buf_str(&text), NULL, &err));
    assert_int_equal(err.kind, ERR_LIMIT);
    buf_free(&text);
    arena_free(&a);
}

/* --- trees -------------------------------------------------------------------------------------------------------- */

static void test_selector(void **state UNUSED)
{
    struct arena a;
    struct err err = {0};
    const struct matcher *m;
    size_t n;
    arena_init(&a, 0);
    assert_true(promql_parse_selector(&a, STR("up{job='a', \"x y\"!~\"b.*\"}"), &m, &n, &err));
    assert_int_equal(n, 3);
    assert_true(str_is(m[0].name, "job") && str_is(m[0].value, "a") && m[0].type == MATCH_EQ);
    assert_true(str_is(m[1].name, "x y") && m[1].type == MATCH_NRE && !matcher_value(&m[1], STR("bcd")));
    assert_true(str_is(m[2].name, "__name__") && str_is(m[2].value, "up"));
    regex_free(m[1].re);
    assert_true(promql_parse_selector(&a, STR("{}"), &m, &n, &err)); /* whether that is enough is the caller's to say */
    assert_int_equal(n, 0);
    assert_false(promql_parse_selector(&a, STR(""), &m, &n, &err));
    assert_string_equal(err.text, "unknown position: parse error: unexpected end of input");
    assert_false(promql_parse_selector(&a, STR("up[5m]"), &m, &n, &err));
    assert_string_equal(err.text, "1:3: parse error: unexpected \"[\"");
    assert_false(promql_parse_selector(&a, STR("1"), &m, &n, &err));
    assert_false(promql_parse_selector(&a, STR("up{a=~\"b\", c=~\"(\"}"), &m, &n, &err));
    arena_free(&a);
}

static void test_selectors(void **state UNUSED)
{
    struct arena a;
    struct err err = {0};
    const struct matcher *const *sets;
    const size_t *sizes;
    arena_init(&a, 0);
    struct str text = STR("topk(scalar(a), b{c=\"d\"}) + rate(e[5m]) + max_over_time(f[1h:])");
    struct expr *e = promql_parse(&a, text, NULL, &err);
    assert_int_equal(promql_selectors(&a, e, &sets, &sizes), 4);
    assert_int_equal(sizes[0], 2);
    assert_true(str_is(sets[1][0].value, "a") && str_is(sets[2][0].value, "e") && str_is(sets[3][0].value, "f"));
    promql_free(e);
    arena_free(&a);
}

static void test_positions(void **state UNUSED)
{
    struct arena a;
    struct err err = {0};
    arena_init(&a, 0);
    struct expr *e = promql_parse(&a, STR("  foo{a=\"b\"}[5m] offset 1m"), NULL, &err);
    assert_int_equal(e->pos, 2);
    assert_int_equal(e->end, 26);
    assert_int_equal(e->u.matrix.selector->end, 12);
    assert_int_equal(e->u.matrix.range, 300000);
    assert_int_equal(e->u.matrix.selector->u.selector.shift.offset, 60000);
    assert_int_equal(promql_type(e), PROMQL_MATRIX);
    arena_free(&a);
}

static void test_experimental(void **state UNUSED)
{
    const struct promql_syntax plain = {.no_experimental_functions = true};
    struct arena a;
    struct err err = {0};
    arena_init(&a, 0);
    assert_null(promql_parse(&a, STR("sort_by_label(up, \"a\")"), &plain, &err));
    assert_string_equal(err.text, "1:1: parse error: function \"sort_by_label\" is not enabled");
    assert_null(promql_parse(&a, STR("1 + limitk(1, up)"), &plain, &err));
    assert_string_equal(err.text, "1:5: parse error: limitk() is experimental and must be enabled with "
                                  "--enable-feature=promql-experimental-functions");
    arena_free(&a);
}

static void test_functions(void **state UNUSED)
{
    static const char *const names[] = {
#define FUNCTION(id, name, ...) [FN_##id] = name,
#include "promql/ast/functions.def"
#undef FUNCTION
    };
    for (size_t i = 0; i < N_FUNCTIONS; i++) { /* sorted, findable, numbered */
        const struct function *fn = function_find(str_of(names[i]));
        assert_non_null(fn);
        assert_int_equal(fn->id, i);
        assert_true(i == 0 || strcmp(names[i - 1], names[i]) < 0);
        assert_true(fn->n_args <= FUNCTION_ARGS && (fn->n_args > 0 || fn->variadic == 0));
    }
    assert_null(function_find(STR("no_such")));
    assert_null(function_find(STR("rat")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_precedence),        cmocka_unit_test(test_offsets_end),
        cmocka_unit_test(test_keywords_as_names), cmocka_unit_test(test_corpus_of_errors),
        cmocka_unit_test(test_errors_on_lines),   cmocka_unit_test(test_nesting),
        cmocka_unit_test(test_nested_durations),  cmocka_unit_test(test_every_allocation_fails),
        cmocka_unit_test(test_budget),            cmocka_unit_test(test_budget_of_regexes),
        cmocka_unit_test(test_selector),          cmocka_unit_test(test_selectors),
        cmocka_unit_test(test_positions),         cmocka_unit_test(test_experimental),
        cmocka_unit_test(test_functions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
