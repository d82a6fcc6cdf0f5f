// SPDX-License-Identifier: Apache-2.0
/* HELP, TYPE and UNIT of pages. */
#include "scraper/page/metadata.h"

#include "recording_sink.h"

/* The list for a page with this hash, built in the smallest slices. */
static struct metadata_list *list_of_route(struct metadata_store *store, uint64_t hash, uint64_t route, struct str page)
{
    struct metadata_list *known = metadata_find(store, hash);
    struct metadata_line lines[10];
    size_t n = 0;
    struct exposition e;
    if (known)
        return known;
    exposition_start(&e, page);
    for (enum exposition_kind kind; (kind = exposition_next(&e)) != EXPOSITION_END; )
        if (kind == EXPOSITION_ERROR)
            exposition_skip_line(&e);
        else if (kind != EXPOSITION_SERIES)
            lines[n++] = (struct metadata_line){(uint32_t)(e.name.p - page.p), (uint32_t)e.name.n,
                                                (uint32_t)(e.text.p - page.p), (uint32_t)e.text.n, kind};
    struct metadata_builder b;
    metadata_build_start(&b, store, hash, route, (struct page_text){.text = page}, lines, n);
    while (metadata_collect_some(&b, 1)) {
    }
    while (metadata_store_some(&b, 1, NULL, NULL)) {
    }
    return metadata_build_end(&b);
}

static struct metadata_list *list_of(struct metadata_store *store, uint64_t hash, struct str page)
{
    return list_of_route(store, hash, 0, page);
}

static const struct metadata *only_family(struct metadata_store *store, struct str page, struct metadata_list **list)
{
    *list = list_of(store, 1, page);
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
    struct metadata_list *a = list_of(&store, 7, page), *b = list_of(&store, 7, page);
    assert_ptr_equal(a, b);
    metadata_unref(&store, a);
    assert_int_equal(store.families.n, 1);
    metadata_unref(&store, b);
    assert_int_equal(store.lists.n, 0);
    assert_false(metadata_free_unused(&store, 10));
    assert_int_equal(store.families.n, 0);
    assert_null(metadata_find(&store, 7));
    metadata_free(&store);
}

/* Each route's destinations get the family. */
static void routes_share_no_family(void **state UNUSED)
{
    struct metadata_store store = {0};
    struct str page = STR("# HELP m text\n# UNIT m s\n");
    struct metadata_list *a = list_of_route(&store, 1, 0, page), *b = list_of_route(&store, 2, 5, page);
    struct metadata_list *c = list_of_route(&store, 3, 6, page);
    assert_int_equal(store.families.n, 3);
    assert_int_equal(b->families[0]->route, 5);
    assert_true(str_is(b->families[0]->metadata.unit, "s"));
    assert_true(str_is(b->families[0]->metadata.help, "text"));
    metadata_unref(&store, a);
    metadata_unref(&store, b);
    metadata_unref(&store, c);
    assert_false(metadata_free_unused(&store, 10));
    assert_int_equal(store.families.n, 0);
    metadata_free(&store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_may_hold_any_byte),
        cmocka_unit_test(lines_that_cannot_be_read_hide_nothing),
        cmocka_unit_test(equal_pages_share_a_list),
        cmocka_unit_test(routes_share_no_family),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
