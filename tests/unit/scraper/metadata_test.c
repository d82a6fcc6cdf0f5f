// SPDX-License-Identifier: Apache-2.0
/* HELP, TYPE and UNIT of pages. */
#include "scraper/metadata.h"

#include "recording_sink.h"

static const struct metadata *only_family(struct metadata_store *store, struct str page, struct metadata_list **list)
{
    *list = metadata_get(store, 1, page, NULL, NULL);
    assert_int_equal((*list)->n, 1);
    return &(*list)->families[0]->metadata;
}

static void texts_may_hold_any_byte(void **state UNUSED)
{
    static const char page[] = "# HELP m one\0two\n# TYPE m counter\n# UNIT m s\0t\nm 1\n";
    struct metadata_store store = {0};
    struct metadata_list *list;
    const struct metadata *m = only_family(&store, str_n(page, sizeof page - 1), &list);
    assert_true(str_is(m->family, "m"));
    assert_true(str_eq(m->help, str_n("one\0two", 7)));
    assert_true(str_eq(m->unit, str_n("s\0t", 3)));
    assert_int_equal(m->type, METRIC_COUNTER);
    metadata_unref(&store, list);
    metadata_free(&store);
}

/* vmagent's dialect writes a page that has such lines. */
static void lines_that_cannot_be_read_hide_nothing(void **state UNUSED)
{
    struct metadata_store store = {0};
    struct metadata_list *list;
    const struct metadata *m = only_family(&store, STR("}{ 1\n# HELP m text\n}{"), &list);
    assert_true(str_is(m->help, "text"));
    metadata_unref(&store, list);
    metadata_free(&store);
}

static void equal_pages_share_a_list(void **state UNUSED)
{
    struct metadata_store store = {0};
    struct str page = STR("# HELP m text\n");
    struct metadata_list *a = metadata_get(&store, 7, page, NULL, NULL), *b = metadata_get(&store, 7, page, NULL, NULL);
    assert_ptr_equal(a, b);
    metadata_unref(&store, a);
    assert_int_equal(store.families.n, 1);
    metadata_unref(&store, b);
    assert_int_equal(store.families.n + store.lists.n, 0);
    assert_null(metadata_get(&store, 0, page, NULL, NULL));
    metadata_free(&store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_may_hold_any_byte),
        cmocka_unit_test(lines_that_cannot_be_read_hide_nothing),
        cmocka_unit_test(equal_pages_share_a_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
