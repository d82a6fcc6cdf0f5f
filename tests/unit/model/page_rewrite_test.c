// SPDX-License-Identifier: Apache-2.0
/* Pages that are rewritten: the cases of tests/exposition/rewrite.test, in steps of any size, and cut at every byte. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "model/exposition/page_rewrite.h"
#include "tests/unit/model/cases.h"
#include "tests/unit/model/page_error.h"
#include "tests/unit/model/page_extras.h"

static const char file[] = "tests/exposition/rewrite.test";

static bool has_word(struct str words, const char *word) { return str_find_str(words, str_of(word)) < words.n; }

struct how { enum exposition_format format; struct page_rewrite_options options; };
static struct how how_of(struct str words)
{
    return (struct how){has_word(words, "openmetrics") ? EXPOSITION_OPENMETRICS : EXPOSITION_TEXT, {
        .custom = has_word(words, "custom"), .classic_too = has_word(words, "classic_too"),
        .starts = has_word(words, "starts"), .family_labels = has_word(words, "labels"),
        .lax = has_word(words, "lax"), .skips_lines = has_word(words, "lax"),
        .own_times = true, .bucket_limit = has_word(words, "limit2") ? 2 : 0, .t = 17, .max_bytes = 1 << 20}};
}

static enum copy_state rewrite(struct page_rewrite *r, struct str page, const struct how *how, size_t step)
{
    enum copy_state state;
    page_rewrite_start(r, page, how->format, &how->options);
    while ((state = page_rewrite_some(r, step)) == COPY_MORE) {
    }
    return state;
}

static void reads_as(struct page_rewrite *r, const struct one_case *c, size_t step)
{
    struct how how = how_of(c->parts[1].word);
    struct buf got = {0};
    if (rewrite(r, c->parts[0].text, &how, step) == COPY_COMPLETE) {
        struct page_text page = page_rewrite_text(r);
        buf_add_str(&got, page.text);
        if (got.n > 0 && got.p[got.n - 1] != '\n')
            buf_add_char(&got, '\n');
        print_page_extras(&got, &page);
    } else {
        buf_printf(&got, "error %s\n", r->copy.err.text);
    }
    if (!str_eq(buf_str(&got), c->parts[1].text))
        fail_msg("%s:%u: %.*s\n--- got\n%s--- want\n%.*s", c->file, c->line, STR_ARG(c->name), buf_z(&got),
                 STR_ARG(c->parts[1].text));
    buf_free(&got);
}

static void test_cases(void **state UNUSED)
{
    struct cases cases;
    struct one_case c;
    struct page_rewrite r;
    page_rewrite_init(&r);
    assert_true(cases_open(&cases, file));
    size_t n = 0;
    for (; cases_next(&cases, &c); n++) {
        assert_int_equal(c.n, 2);
        reads_as(&r, &c, 1);
        reads_as(&r, &c, 1000);
    }
    assert_true(n > 15);
    page_rewrite_free(&r);
}

/* A parser of the result finds the error of the received page. */
static void cut_at(struct page_rewrite *r, struct str page, size_t n, const struct how *how)
{
    struct page_rewrite_options options = how->options;
    options.skips_lines = false;
    char *cut = mem_dup(page.p, n ? n : 1);
    struct page_text received = {.text = str_n(cut, n), .format = how->format};
    if (rewrite(r, received.text, &(struct how){how->format, options}, 3) == COPY_COMPLETE) {
        struct buf extras = {0};
        struct page_text made = page_rewrite_text(r);
        struct err before = page_first_error(&received, options.lax), after = page_first_error(&made, options.lax);
        if (strcmp(before.text, after.text) != 0)
            fail_msg("cut at %zu of\n%.*s\n%s\n%s\n%.*s", n, STR_ARG(page), before.text, after.text,
                     STR_ARG(made.text));
        print_page_extras(&extras, &made);
        buf_free(&extras);
    } else {
        assert_int_equal(r->copy.err.kind, ERR_LIMIT);
    }
    mem_free(cut);
}

static void test_pages_cut_at_every_byte(void **state UNUSED)
{
    static const char *const options[] = {"custom", "custom classic_too labels", "starts labels",
                                          "custom starts classic_too"};
    struct cases cases;
    struct one_case c;
    struct page_rewrite r;
    page_rewrite_init(&r);
    assert_true(cases_open(&cases, file));
    while (cases_next(&cases, &c))
        for (size_t i = 0; i < LEN(options); i++) {
            struct how how = how_of(str_of(options[i]));
            how.format = how_of(c.parts[1].word).format;
            for (size_t n = 0; n <= c.parts[0].text.n; n++)
                cut_at(&r, c.parts[0].text, n, &how);
        }
    page_rewrite_free(&r);
}

/* A page that becomes too long is refused; one of many buckets in falling order costs no more than the rest. */
static void test_limits(void **state UNUSED)
{
    struct page_rewrite r;
    struct how how = how_of(STR("custom labels"));
    struct buf page = {0};
    page_rewrite_init(&r);
    how.options.max_bytes = 40;
    assert_int_equal(rewrite(&r, STR("# TYPE g gauge\ng 1\ng{a=\"b\"} 1\n"), &how, 1), COPY_INVALID);
    assert_string_equal(r.copy.err.text, "the response would have more than 40 bytes as text");
    how.options.max_bytes = 10 << 20;
    for (int n = HISTOGRAM_MAX_BUCKETS - 1; n <= HISTOGRAM_MAX_BUCKETS; n++) {
        buf_clear(&page);
        buf_add_z(&page, "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 100000\n");
        for (int i = n - 1; i > 0; i--)
            buf_printf(&page, "h_bucket{le=\"%d\"} %d\n", i, i);
        assert_int_equal(rewrite(&r, buf_str(&page), &how, 1000), COPY_COMPLETE);
        assert_int_equal(r.copy.n_extras, 1);
    }
    buf_add_z(&page, "h_bucket{le=\"0.5\"} 0\n");
    assert_int_equal(rewrite(&r, buf_str(&page), &how, 1000), COPY_COMPLETE);
    assert_int_equal(r.copy.n_extras, 0);
    buf_free(&page);
    page_rewrite_free(&r);
}

/* A page that repeats a bucket has as many exemplars, of which one step would write all. */
static void test_exemplars_of_a_histogram(void **state UNUSED)
{
    struct page_rewrite r;
    struct how how = how_of(STR("custom openmetrics"));
    struct buf page = {0};
    page_rewrite_init(&r);
    how.options.max_bytes = 10 << 20;
    buf_add_z(&page, "# TYPE h histogram\n");
    for (int i = 0; i < 100000; i++)
        buf_add_z(&page, "h_bucket{le=\"1\"} 1 # {a=\"b\"} 0.5 5\n");
    buf_add_z(&page, "# EOF\n");
    assert_int_equal(rewrite(&r, buf_str(&page), &how, 1000), COPY_COMPLETE);
    assert_in_range(r.copy.n_extras, 1000, 20000);
    assert_true(r._group.exemplars.n <= 256 << 10);
    buf_free(&page);
    page_rewrite_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases), cmocka_unit_test(test_pages_cut_at_every_byte),
                                       cmocka_unit_test(test_limits), cmocka_unit_test(test_exemplars_of_a_histogram)};
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
