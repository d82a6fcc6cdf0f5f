// SPDX-License-Identifier: Apache-2.0
/* Walking and rewriting trees of every kind of node, and parts of a grid. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "promql/ast/tree.h"
#include "promql/promql.h"

static const char *const texts[] = {
    "1", "\"text\"", "up", "up{a=\"b\"}[5m] offset 1m", "(up)", "-up", "up + 2 * down - (1 + 1)", "up and on (a) down",
    "sum by (a) (rate(x[5m]))", "topk(3, x)", "label_replace(x, \"a\", \"$1\", \"b\", \"(.*)\")",
    "max_over_time(sum(x)[5m:1m] @ 10.000 offset 5m)", "clamp(x, 1, time())", "quantile by (a) (0.5, x) / ignoring (b) group_left (c) y",
};

static struct expr *tree_of(struct arena *a, const char *text)
{
    struct err err = {0};
    struct expr *e = promql_parse(a, str_of(text), &(struct promql_syntax){0}, &err);
    if (e == NULL)
        fail_msg("%s: %s", text, err.text);
    return e;
}

static void assert_prints(const struct expr *e, const char *text)
{
    struct buf out = {0};
    promql_print(&out, e);
    assert_string_equal(buf_z(&out), text);
    buf_free(&out);
}

static void copies_are_equal_and_separate(void **state UNUSED)
{
    for (size_t i = 0; i < LEN(texts); i++) {
        struct arena a;
        arena_init(&a, 0);
        struct expr *e = tree_of(&a, texts[i]);
        struct expr *copy = expr_rewrite(&(struct expr_rewriter){.arena = &a}, e);
        assert_ptr_not_equal(copy, e);
        assert_true(promql_equal(copy, e));
        assert_prints(copy, texts[i]);
        promql_free(e);
        arena_free(&a);
    }
}

static void count_child(struct expr **child, void *n)
{
    ++*(int *)n;
    expr_children(*child, count_child, n);
}

static void every_child_is_visited_once(void **state UNUSED)
{
    static const int children[] = {0, 0, 0, 1, 1, 1, 8, 2, 3, 2, 5, 3, 3, 4};
    _Static_assert(LEN(children) == LEN(texts), "one number each");
    for (size_t i = 0; i < LEN(texts); i++) {
        struct arena a;
        int n = 0;
        arena_init(&a, 0);
        struct expr *e = tree_of(&a, texts[i]);
        expr_children(e, count_child, &n);
        if (n != children[i])
            fail_msg("%s: %d", texts[i], n);
        promql_free(e);
        arena_free(&a);
    }
}

static struct expr *one_for_selectors(struct expr *e, void *one) { return e->kind == EXPR_SELECTOR ? one : e; }

/* A replaced operand leaves the chain walkable, also where it was an operation. */
static void replaced_nodes_fit_into_their_chain(void **state UNUSED)
{
    struct arena a;
    arena_init(&a, 0);
    struct expr *e = tree_of(&a, "a - b * c + d"), *one = tree_of(&a, "1");
    struct expr *to = expr_rewrite(&(struct expr_rewriter){.arena = &a, .leave = one_for_selectors, .arg = one}, e);
    assert_prints(to, "1 - 1 * 1 + 1");
    assert_prints(e, "a - b * c + d");
    promql_free(e);
    arena_free(&a);
}

static bool stop_at_calls(struct expr *e, void *arg UNUSED) { return e->kind != EXPR_CALL; }

static void children_may_be_shared(void **state UNUSED)
{
    struct arena a;
    arena_init(&a, 0);
    struct expr *e = tree_of(&a, "-abs(x)");
    struct expr *to = expr_rewrite(&(struct expr_rewriter){.arena = &a, .enter = stop_at_calls}, e);
    assert_ptr_not_equal(to->u.unary.inner, e->u.unary.inner);
    assert_ptr_equal(to->u.unary.inner->u.call.args, e->u.unary.inner->u.call.args);
    promql_free(e);
    arena_free(&a);
}

/* The recursion is not along a chain, whose length users decide. */
static void long_chains_take_no_stack(void **state UNUSED)
{
    struct arena a;
    struct buf text = {0};
    int n = 0;
    arena_init(&a, 0);
    buf_add_z(&text, "a");
    for (int i = 0; i < 50000; i++)
        buf_add_z(&text, "+a");
    struct expr *e = tree_of(&a, buf_z(&text));
    struct expr *copy = expr_rewrite(&(struct expr_rewriter){.arena = &a}, e);
    expr_children(copy, count_child, &n);
    assert_int_equal(n, 50001);
    promql_free(e);
    buf_free(&text);
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_are_equal_and_separate),     cmocka_unit_test(every_child_is_visited_once),
        cmocka_unit_test(replaced_nodes_fit_into_their_chain), cmocka_unit_test(children_may_be_shared),
        cmocka_unit_test(long_chains_take_no_stack),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
