// SPDX-License-Identifier: Apache-2.0
/* str, buf, arena, err: the words that everything else is written in. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"

static void slices_cut_and_compare(void **state)
{
    (void)state;
    struct str rest = STR("a,,b"), item;
    const char *want[] = {"a", "", "b"};
    for (int i = 0; i < 3; i++) {
        assert_true(str_cut(&rest, ',', &item));
        assert_true(str_is(item, want[i]));
    }
    assert_false(str_cut(&rest, ',', &item));
    assert_true(str_cmp(STR("a"), STR("ab")) < 0);
    assert_true(str_cmp(STR("b"), STR("ab")) > 0);
    assert_true(str_ieq(STR("GZip"), STR("gzip")));
    assert_true(str_is(str_trim(STR(" \t x y\n")), "x y"));
    assert_int_equal(str_find_str(STR("hello"), STR("llo")), 2);
    assert_int_equal(str_find(STR("hello"), 'z'), 5);
    assert_int_equal(str_count(STR("hello"), 'l'), 2);
    assert_int_equal(str_count(STR_NONE, 'l'), 0);
    assert_int_equal(str_distance(STR("scrape_intervall"), STR("scrape_interval")), 1);
    assert_int_equal(str_distance(STR(""), STR("abc")), 3);
    assert_true(str_eq(STR_NONE, STR("")));
}

static void buffers_keep_their_limit(void **state)
{
    (void)state;
    struct buf b = {.max = 10};
    buf_add_z(&b, "12345");
    buf_add_z(&b, "678901");
    assert_true(b.over);
    assert_true(str_is(buf_str(&b), "12345"));
    buf_add_z(&b, "67890");
    assert_int_equal(b.n, 10);
    buf_clear(&b);
    assert_false(b.over);
    b.max = 0;
    buf_printf(&b, "%d-%s", 7, "a long enough text to grow the buffer at least once, which was small before");
    assert_true(str_starts(buf_str(&b), STR("7-a long")));
    buf_drop_front(&b, 2);
    assert_true(str_starts(buf_str(&b), STR("a long")));
    assert_int_equal(strlen(buf_z(&b)), b.n);
    struct buf huge = {.max = 100};
    assert_false(buf_try_reserve(&huge, SIZE_MAX - 5));
    buf_free(&huge);
    buf_limit(&b, b.n + 3); /* what was reserved beyond it is gone */
    buf_add_z(&b, "123");
    buf_add_char(&b, '4');
    assert_true(b.over && str_ends(buf_str(&b), STR("123")));
    buf_limit(&b, 0);
    assert_int_equal(b.cap, b.n);
    buf_free(&b);
}

static void arenas_give_back_to_the_mark(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 0);
    struct str kept = arena_str(&a, STR("kept"));
    struct arena_mark mark = arena_mark(&a);
    for (int i = 0; i < 1000; i++)
        memset(arena_alloc(&a, 5000), i, 5000);
    assert_true(a.used > 4000000);
    arena_release(&a, mark);
    assert_true(a.used < 20000);
    assert_true(str_is(kept, "kept"));
    int *items = NULL;
    size_t cap = 0;
    for (int i = 0; i < 10000; i++) {
        arena_grow(&a, &items, &cap, (size_t)i + 1, sizeof *items);
        items[i] = i;
    }
    for (int i = 0; i < 10000; i++)
        assert_int_equal(items[i], i);
    assert_int_equal((uintptr_t)arena_alloc(&a, 3) % 16, 0);
    assert_true(str_is(arena_printf(&a, "%s=%d", "x", 5), "x=5"));
    arena_free(&a);
    assert_int_equal(a.used, 0);
}

static unsigned told;
static void arenas_take_spare_blocks_again(void **state)
{
    (void)state;
    struct arena_spare spare = {.most = 2};
    struct arena a;
    arena_init(&a, 0);
    a.spare = &spare;
    for (int i = 0; i < 1000; i++)
        memset(arena_alloc(&a, 8192), i, 8192);
    size_t used = a.used;
    arena_free(&a);
    assert_int_equal(spare.n, 2);
    assert_int_equal(a.used, 0);
    for (int i = 0; i < 1000; i++)
        memset(arena_alloc(&a, 8192), i, 8192);
    assert_int_equal(spare.n, 0);
    assert_in_range(a.used, 1000 * 8192, used + (1 << 20)); /* a spare block is taken instead of smaller ones */
    arena_free(&a);
    arena_spare_free(&spare);
    assert_int_equal(spare.n, 0);
}

static void arenas_make_spare_blocks(void **state)
{
    (void)state;
    struct arena_spare spare = {.most = 4, .made = true}, pool = {.most = 2};
    struct arena a;
    arena_init(&a, 0);
    for (int round = 0; round < 2; round++) {
        a.spare = &spare;
        for (int i = 0; i < 50; i++)
            memset(arena_alloc(&a, 8192), i, 8192);
        assert_in_range(a.used, 1 << 20, 3 << 19);
        arena_free(&a);
        assert_int_equal(spare.n, 1); /* although the arena never had a megabyte */
        spare.made = false; /* a block is taken all the same while there is one */
    }
    assert_non_null(arena_alloc(&a, 100 << 10));
    spare.made = true;
    assert_non_null(arena_alloc(&a, 100 << 10));
    assert_non_null(arena_alloc(&a, 1000 << 10));
    assert_non_null(arena_alloc(&a, 1000 << 10));
    arena_free(&a);
    assert_int_equal(spare.n, 3);
    arena_spare_move(&spare, &pool);
    assert_int_equal(pool.n, 2);
    assert_int_equal(spare.n, 1);
    arena_spare_free(&spare);
    arena_spare_free(&pool);
    assert_null(pool.blocks);
}

static void budgets_are_shared(void **state)
{
    (void)state;
    struct budget all = {.max = 100 << 10}, other = {.max = 1 << 10};
    struct buf b = {.budget = &all};
    struct arena a;
    struct err err;
    arena_init(&a, 1 << 20);
    assert_true(arena_charge(&a, &all));
    for (int i = 0; i < 60; i++)
        buf_printf(&b, "%01000d", i);
    assert_false(b.over);
    assert_int_equal(atomic_load(&all.used), b.cap);
    while (arena_alloc(&a, 1000) != NULL)
        ;
    assert_true(a.starved && a.used < 60 << 10);
    assert_int_equal(atomic_load(&all.used), b.cap + a.used);
    arena_full_error(&a, a.max, &err);
    assert_int_equal(err.kind, ERR_UNAVAILABLE);
    for (int i = 0; i < 60; i++)
        buf_printf(&b, "%01000d", i);
    assert_true(b.over && b.starved && atomic_load(&all.used) <= all.max);
    assert_false(buf_charge(&b, &other));
    assert_int_equal(atomic_load(&other.used), 0);
    buf_charge_anyway(&b, &other);
    assert_true(budget_exceeded(&other) && budget_left(&other) == 0);
    assert_int_equal(atomic_load(&all.used), a.used);
    buf_free(&b);
    arena_free(&a);
    assert_int_equal(atomic_load(&all.used) + atomic_load(&other.used), 0);
    buf_add_char(&b, 'x'); /* a freed buffer may be filled again, and counts again */
    assert_int_equal(atomic_load(&other.used), b.cap);
    assert_true(buf_charge(&b, NULL));
    assert_int_equal(atomic_load(&other.used), 0);
    buf_free(&b);
    arena_init(&a, 0); /* without its own limit nothing is refused */
    assert_true(arena_charge(&a, &other));
    assert_non_null(arena_alloc(&a, 4096));
    assert_true(arena_over(&a, 0));
    arena_free(&a);
}

static void note_full(struct arena *a, size_t wanted, void *arg) { (void)a; (void)wanted; *(unsigned *)arg += 1; }

static void arenas_keep_their_budget(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 64 << 10);
    size_t got = 0;
    while (arena_alloc(&a, 1000) != NULL)
        got += 1000;
    assert_true(got > 50000 && a.used <= 64 << 10);
    a.on_full = note_full;
    a.on_full_arg = &told;
    assert_null(arena_array(&a, SIZE_MAX / 2, 16)); /* the product overflows */
    assert_int_equal(told, 1);
    char *items = NULL;
    size_t cap = 0;
    arena_grow(&a, &items, &cap, SIZE_MAX, 1); /* no power of two is so large */
    assert_true(items == NULL && cap == 0 && told == 2);
    arena_free(&a);
    arena_init(&a, 0);
    a.fail_after = 3;
    assert_non_null(arena_alloc(&a, 1));
    assert_non_null(arena_alloc(&a, 1));
    assert_null(arena_alloc(&a, 1));
    arena_free(&a);
}

static void errors_keep_their_words(void **state)
{
    (void)state;
    struct err e = {0};
    assert_false(err_set(&e, ERR_BAD_DATA, "%s: \"%s\" is not a duration", "interval", "10x"));
    assert_false(err_wrap(&e, "config.yml:%d", 14));
    assert_string_equal(e.text, "config.yml:14: interval: \"10x\" is not a duration");
    assert_int_equal(err_http_status(e.kind), 400);
    assert_string_equal(err_type(ERR_EXEC), "execution");
    char text[600];
    memset(text, 'x', sizeof text);
    memcpy(text + sizeof e.text - 2, "\xc3\xa9", 3); /* a rune over the border is cut whole */
    err_set(&e, ERR_INTERNAL, "%s", text);
    assert_int_equal(strlen(e.text), sizeof e.text - 2);
    for (int i = 0; i < 50; i++)
        err_wrap(&e, "again and again");
    assert_true(strlen(e.text) < sizeof e.text);
    assert_false(err_set(NULL, ERR_INTERNAL, "nobody listens"));
}

static void lists_link_and_unlink(void **state)
{
    (void)state;
    struct item { int n; struct list node; } items[3] = {{.n = 1}, {.n = 2}, {.n = 3}};
    struct list head;
    list_init(&head);
    for (int i = 0; i < 3; i++)
        list_push_back(&head, &items[i].node);
    list_remove(&items[1].node);
    assert_false(list_linked(&items[1].node));
    list_push_front(&head, &items[1].node);
    int want[] = {2, 1, 3};
    for (int i = 0; i < 3; i++)
        assert_int_equal(CONTAINER(list_pop_front(&head), struct item, node)->n, want[i]);
    assert_true(list_empty(&head));
    assert_null(list_pop_front(&head));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slices_cut_and_compare),
        cmocka_unit_test(buffers_keep_their_limit),
        cmocka_unit_test(arenas_give_back_to_the_mark),
        cmocka_unit_test(arenas_take_spare_blocks_again),
        cmocka_unit_test(arenas_make_spare_blocks),
        cmocka_unit_test(arenas_keep_their_budget),
        cmocka_unit_test(budgets_are_shared),
        cmocka_unit_test(errors_keep_their_words),
        cmocka_unit_test(lists_link_and_unlink),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
