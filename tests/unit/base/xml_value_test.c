// SPDX-License-Identifier: Apache-2.0
#include "base/xml/xml_value.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static const struct json_value *xml_in_pieces(struct arena *a, struct str text, size_t step, struct err *err)
{
    struct xml_value_reader reader;
    bool ok = true;
    xml_value_reader_init(&reader, a);
    for (size_t at = 0; ok && at < text.n; at += step)
        ok = xml_value_reader_feed(&reader, str_first(str_skip(text, at), step), err);
    const struct json_value *v = ok ? xml_value_reader_finish(&reader, err) : NULL;
    xml_value_reader_free(&reader);
    return v;
}

static void a_document_becomes_a_tree(void **state UNUSED)
{
    static const struct { const char *xml, *json; } cases[] = {
        {"<a/>", "{\"a\":\"\"}"},
        {"<?xml version=\"1.0\"?>\n<!-- c --><a x='1' xmlns=\"u\">b</a>\n", "{\"a\":\"b\"}"},
        {"<list>\n <item><id>7</id> </item> text <item/> <item> x &lt;&amp;&#65; </item>\n</list>",
         "{\"list\":{\"item\":{\"id\":\"7\"},\"item\":\"\",\"item\":\" x \\u003c\\u0026A \"}}"},
        {"<a>one<b>two</b>three</a>", "{\"a\":{\"b\":\"two\"}}"},
        {"<a><![CDATA[<b>]]>\xc3\xa4</a>", "{\"a\":\"\\u003cb\\u003e\xc3\xa4\"}"},
    };
    for (size_t i = 0; i < LEN(cases); i++)
        for (size_t step = 1; step < 60; step += 11) {
            struct arena a;
            struct err err;
            struct buf out = {0};
            struct json_writer w = {.out = &out};
            arena_init(&a, 0);
            const struct json_value *v = xml_in_pieces(&a, str_of(cases[i].xml), step, &err);
            assert_non_null(v);
            json_value_write(&w, v);
            assert_string_equal(buf_z(&out), cases[i].json);
            buf_free(&out);
            arena_free(&a);
        }
}

static void assert_refused(const char *xml, const char *why)
{
    struct arena a;
    struct err err = {0};
    arena_init(&a, 0);
    assert_null(xml_in_pieces(&a, str_of(xml), 7, &err));
    if (strstr(err.text, why) == NULL)
        fail_msg("%.60s: \"%s\" is not in \"%s\"", xml, why, err.text);
    arena_free(&a);
}

static void what_is_no_document_is_refused(void **state UNUSED)
{
    struct buf deep = {0};
    assert_refused("", "invalid XML at line 1");
    assert_refused("{}", "invalid XML at line 1");
    assert_refused("<a>", "invalid XML at line 1");
    assert_refused("<a>\n</b>", "invalid XML at line 2: mismatched tag");
    assert_refused("<a/><b/>", "junk after document element");
    assert_refused("<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "it has a document type declaration");
    assert_refused("<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>", "it has a document type declaration");
    assert_refused("<a>&b;</a>", "undefined entity");
    assert_refused("<a>\xff</a>", "not well-formed");
    for (int i = 0; i < 100000; i++)
        buf_add_z(&deep, "<a>");
    assert_refused(buf_z(&deep), "elements are nested too deeply");
    buf_free(&deep);
}

/* Every truncation of a document, in pieces of every size, is refused and leaves nothing behind. */
static void a_truncated_document_is_refused(void **state UNUSED)
{
    static const char xml[] = "<?xml version='1.0'?><list><item><id>7&amp;8</id></item><item/></list>";
    for (size_t n = 0; n + 1 < sizeof xml; n++)
        for (size_t step = 1; step < sizeof xml; step += 5) {
            struct arena a;
            struct err err;
            arena_init(&a, 0);
            assert_null(xml_in_pieces(&a, str_n(xml, n), step, &err));
            arena_free(&a);
        }
}

static void add_many(struct buf *out, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_add_z(out, text);
}

/* A token is scanned from its first byte with each piece, so it must not grow without end; text may. */
static void a_long_token_is_refused(void **state UNUSED)
{
    static const char *const begins[] = {"<a b='", "<!--", "<a><?x "};
    for (size_t i = 0; i < LEN(begins); i++) {
        struct buf text = {0};
        buf_add_z(&text, begins[i]);
        add_many(&text, "x             ", 40 << 10);
        assert_refused(buf_z(&text), "a tag or comment is longer than 64 KiB");
        buf_free(&text);
    }
    static const char *const texts[][2] = {{"<a>", "</a>"}, {"<a><![CDATA[", "]]></a>"}};
    for (size_t i = 0; i < LEN(texts); i++) {
        struct arena a;
        struct err err;
        struct buf text = {0};
        arena_init(&a, 0);
        buf_add_z(&text, texts[i][0]);
        add_many(&text, "long text without an end ", 40 << 10);
        buf_add_z(&text, texts[i][1]);
        const struct json_value *v = xml_in_pieces(&a, buf_str(&text), 1000, &err);
        assert_non_null(v);
        assert_int_equal(json_value_text(json_value_get(v, "a")).n, 25 * (40 << 10));
        buf_free(&text);
        arena_free(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_document_becomes_a_tree),
        cmocka_unit_test(what_is_no_document_is_refused),
        cmocka_unit_test(a_long_token_is_refused),
        cmocka_unit_test(a_truncated_document_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
