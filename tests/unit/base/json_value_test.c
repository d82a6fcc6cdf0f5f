// SPDX-License-Identifier: Apache-2.0
#include "base/json/json_value.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* Reads `text` in pieces of `step` bytes. */
static const struct json_value *read_pieces(struct arena *a, struct str text, size_t step, struct err *err)
{
    struct json_value_reader reader;
    bool ok = true;
    json_value_reader_init(&reader, a);
    for (size_t at = 0; ok && at < text.n; at += step)
        ok = json_value_reader_feed(&reader, str_first(str_skip(text, at), step), err);
    const struct json_value *v = ok ? json_value_reader_finish(&reader, err) : NULL;
    json_value_reader_free(&reader);
    return v;
}

static void a_document_is_written_as_it_was_read(void **state UNUSED)
{
    static const char *const documents[] = {
        "{}", "[]", "null", "\"x\"", "1e+05", "[true,false,null]", "{\"a\":{\"b\":[1,2.50,\"c\"],\"d\":{}},\"e\":\"\"}",
        "[[[[]],[]],{\"k\":[{}]}]", "{\"a\":1,\"a\":2,\"\\u00e4\\n\":\"\\u003c\"}",
    };
    static const char *const written[LEN(documents)] = {
        [8] = "{\"a\":1,\"a\":2,\"ä\\n\":\"\\u003c\"}",
    };
    for (size_t i = 0; i < LEN(documents); i++)
        for (size_t step = 1; step < 40; step += 7) {
            struct arena a;
            struct err err;
            struct buf out = {0};
            struct json_writer w = {.out = &out};
            arena_init(&a, 0);
            const struct json_value *v = read_pieces(&a, str_of(documents[i]), step, &err);
            assert_non_null(v);
            json_value_write(&w, v);
            assert_string_equal(buf_z(&out), written[i] ? written[i] : documents[i]);
            buf_free(&out);
            arena_free(&a);
        }
}

static void members_are_found(void **state UNUSED)
{
    struct arena a;
    struct err err;
    arena_init(&a, 0);
    const struct json_value *v = read_pieces(&a, STR("{\"s\":\"x\",\"n\":-1.5,\"l\":[1,2,3],\"s\":\"last\"}"), 5, &err);
    assert_true(str_is(json_value_text(json_value_get(v, "s")), "last"));
    assert_true(json_value_number(json_value_get(v, "n")) == -1.5);
    const struct json_value *list = json_value_get(v, "l");
    size_t n = 0;
    for (const struct json_value *item = json_value_items(list); item; item = item->next)
        n++;
    assert_int_equal(n, 3);
    assert_int_equal(list->n, 3);
    assert_null(json_value_get(v, "none"));
    assert_null(json_value_get(list, "s"));
    assert_null(json_value_get(NULL, "s"));
    assert_null(json_value_items(NULL));
    assert_int_equal(json_value_text(list).n, 0);
    assert_true(json_value_number(NULL) == 0);
    arena_free(&a);
}

static void an_invalid_document_is_an_error(void **state UNUSED)
{
    static const char *const documents[] = {"", "{", "[1", "{\"a\"}", "[1]]", "nul", "\"x", "{\"a\":1}{}"};
    for (size_t i = 0; i < LEN(documents); i++)
        for (size_t step = 1; step < 20; step += 9) {
            struct arena a;
            struct err err = {0};
            arena_init(&a, 0);
            assert_null(read_pieces(&a, str_of(documents[i]), step, &err));
            assert_int_equal(err.kind, ERR_BAD_DATA);
            arena_free(&a);
        }
}

static void nesting_is_limited(void **state UNUSED)
{
    for (unsigned depth = JSON_DEPTH; depth <= JSON_DEPTH + 1; depth++) {
        struct buf text = {0};
        struct arena a;
        struct err err;
        for (unsigned i = 0; i < 2 * depth; i++)
            buf_add_char(&text, i < depth ? '[' : ']');
        arena_init(&a, 0);
        assert_true((read_pieces(&a, buf_str(&text), 16, &err) != NULL) == (depth == JSON_DEPTH));
        arena_free(&a);
        buf_free(&text);
    }
}

/* ---- parts ---- */

struct parts { struct buf out; size_t n; size_t fail_at; };

static bool note_part(void *arg, const struct json_value *part, struct err *err)
{
    struct parts *p = arg;
    struct json_writer w = {.out = &p->out};
    json_value_write(&w, part);
    buf_add_char(&p->out, ';');
    return ++p->n != p->fail_at || err_set(err, ERR_LIMIT, "enough");
}

static const struct json_value *read_parts(struct arena *a, struct parts *p, struct str text, size_t step, const char *items,
                                           struct err *err)
{
    struct json_value_reader reader;
    bool ok = true;
    json_value_reader_init(&reader, a);
    reader.r.many = items == NULL;
    reader.skip = "managed";
    reader.items = items;
    reader.each = note_part;
    reader.arg = p;
    for (size_t at = 0; ok && at < text.n; at += step)
        ok = json_value_reader_feed(&reader, str_first(str_skip(text, at), step), err);
    const struct json_value *v = ok ? json_value_reader_finish(&reader, err) : NULL;
    json_value_reader_free(&reader);
    return v;
}

static void items_are_passed_one_by_one(void **state UNUSED)
{
    struct str text = STR("{\"items\":{\"no\":[1]},\"list\":[[7]],\"items\":[{\"a\":[1,[2]],\"managed\":{\"x\":[{}]}},3,\"s\",[],"
                          "{\"items\":[{\"managed\":0}]}],\"metadata\":{\"managed\":[],\"v\":\"9\"}}");
    for (size_t step = 1; step < 200; step += 3) {
        struct arena a;
        struct err err;
        struct parts p = {0};
        arena_init(&a, 0);
        const struct json_value *v = read_parts(&a, &p, text, step, "items", &err);
        assert_non_null(v);
        assert_string_equal(buf_z(&p.out), "{\"a\":[1,[2]]};3;\"s\";[];{\"items\":[{}]};");
        assert_true(str_is(json_value_text(json_value_get(json_value_get(v, "metadata"), "v")), "9"));
        assert_int_equal(json_value_items(json_value_get(v, "list"))->n, 1);
        buf_free(&p.out);
        arena_free(&a);
    }
}

static void documents_are_passed_one_by_one(void **state UNUSED)
{
    struct str text = STR("{\"a\":{\"b\":1}}\n\n{\"managed\":[\"\\n\"],\"c\":2} {\"d\":[]}\n");
    for (size_t step = 1; step < 60; step++) {
        struct arena a;
        struct err err = {0};
        struct parts p = {0};
        arena_init(&a, 0);
        assert_null(read_parts(&a, &p, text, step, NULL, &err));
        assert_int_equal(err.kind, ERR_NONE);
        assert_string_equal(buf_z(&p.out), "{\"a\":{\"b\":1}};{\"c\":2};{\"d\":[]};");
        assert_int_equal(a.used, 0); /* nothing is kept */
        buf_free(&p.out);
        p = (struct parts){.fail_at = 2};
        assert_null(read_parts(&a, &p, text, step, NULL, &err));
        assert_true(err.kind == ERR_LIMIT && p.n == 2);
        buf_free(&p.out);
        arena_free(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_document_is_written_as_it_was_read),
        cmocka_unit_test(members_are_found),
        cmocka_unit_test(an_invalid_document_is_an_error),
        cmocka_unit_test(nesting_is_limited),
        cmocka_unit_test(items_are_passed_one_by_one),
        cmocka_unit_test(documents_are_passed_one_by_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
