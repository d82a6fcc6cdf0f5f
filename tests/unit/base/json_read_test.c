// SPDX-License-Identifier: Apache-2.0
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/json/json_read.h"
#include "base/json/json_write.h"
#include "base/text/utf8.h"

#include <math.h>
#include <stdlib.h>

/* A document in a buffer of its own size for each piece, so that the sanitizer sees reading over its end and the use of
 * bytes that were taken back. */
struct feeder {
    struct json_reader r;
    struct str doc;
    size_t at, piece;
    char *lent;
};

static void feeder_init(struct feeder *f, struct str doc, size_t piece)
{
    *f = (struct feeder){.doc = doc, .piece = piece};
    json_reader_init(&f->r);
}

static void feeder_free(struct feeder *f)
{
    mem_free(f->lent);
    json_reader_free(&f->r);
}

static void feed(struct feeder *f)
{
    struct str piece = str_first(str_skip(f->doc, f->at), f->piece);
    mem_free(f->lent);
    f->lent = mem_dup(piece.p, piece.n);
    f->at += piece.n;
    if (piece.n > 0)
        json_feed(&f->r, f->lent, piece.n);
    else
        json_finish(&f->r);
}

static enum json_token next(struct feeder *f)
{
    enum json_token token;
    while ((token = json_next(&f->r)) == JSON_MORE)
        feed(f);
    return token;
}

static enum json_token skip_value(struct feeder *f)
{
    enum json_token token;
    while ((token = json_skip(&f->r)) == JSON_MORE)
        feed(f);
    return token;
}

/* All tokens of a document as one text. */
static void tokens(struct buf *out, struct str doc, size_t piece)
{
    static const char names[] = "_.!{}[]ksntfz";
    struct feeder f;
    feeder_init(&f, doc, piece);
    enum json_token token;
    do {
        token = next(&f);
        buf_add_char(out, names[token]);
        if (token == JSON_KEY || token == JSON_STRING || token == JSON_NUMBER)
            buf_printf(out, "(%.*s)", STR_ARG(f.r.text));
        if (token == JSON_NUMBER)
            buf_printf(out, "%.17g", f.r.number);
        if (token == JSON_ERROR)
            buf_add_z(out, f.r.err.text);
    } while (token != JSON_END && token != JSON_ERROR);
    if (token == JSON_END)
        assert_int_equal(f.r.offset, doc.n);
    feeder_free(&f);
}

static const char nasty[] =
    " {\"a\" : [1,-0.5e-3 , 1E+2,true,false,null, [ ] ,{ }],\r\n\t\"\":\"\","
    "\"esc\\\"\\\\\\/\\b\\f\\n\\r\\t\":\"\\u0041\\u00e9\\u20ac\\ud83d\\ude00"
    "\\ud83dx\\ude00\\ud83d\\u0041\",\"gr\xc3\xbcn \xf0\x9f\x98\x80\":\"bad \xff\xc3( end\","
    "\"deep\":[[[[[[{\"x\":[{\"y\":-0}]}]]]]]],"
    "\"esc\\\\\":\"\\\\\",\"n\":[0,12345678901234567890,1e999,0.1]} \n ";

static void test_tokens(void **state UNUSED)
{
    struct buf out = {0};
    tokens(&out, STR(nasty), sizeof nasty);
    assert_string_equal(
        buf_z(&out),
        "{k(a)[n(1)1n(-0.5e-3)-0.00050000000000000001n(1E+2)100tfz[]{}]k()s()"
        "k(esc\"\\/\b\f\n\r\t)s(A\xc3\xa9\xe2\x82\xac"
        "\xf0\x9f\x98\x80\xef\xbf\xbdx\xef\xbf\xbd\xef\xbf\xbd"
        "A)k(gr\xc3\xbcn \xf0\x9f\x98\x80)s(bad \xef\xbf\xbd\xef\xbf\xbd( end)"
        "k(deep)[[[[[[{k(x)[{k(y)n(-0)-0}]}]]]]]]k(esc\\)s(\\)k(n)[n(0)0n(12345678901234567890)1.2345678901234567e+19"
        "n(1e999)infn(0.1)0.10000000000000001]}.");
    buf_free(&out);
}

static void test_pieces(void **state UNUSED)
{
    struct buf whole = {0};
    tokens(&whole, STR(nasty), sizeof nasty);
    for (size_t piece = 1; piece < sizeof nasty; piece++) {
        struct buf out = {0};
        tokens(&out, STR(nasty), piece);
        assert_string_equal(buf_z(&out), buf_z(&whole));
        buf_free(&out);
    }
    buf_free(&whole);
}

static void test_scalars(void **state UNUSED)
{
    static const char *const docs[][2] = {
        {"1", "n(1)1."}, {" -12.5 ", "n(-12.5)-12.5."}, {"\"x\"", "s(x)."}, {"null", "z."}, {"[]", "[]."}};
    for (size_t i = 0; i < LEN(docs) * 2; i++) {
        struct buf out = {0};
        tokens(&out, str_of(docs[i / 2][0]), 1 + i % 2 * 100);
        assert_string_equal(buf_z(&out), docs[i / 2][1]);
        buf_free(&out);
    }
}

static void test_bad(void **state UNUSED)
{
    static const char *const bad[] = {
        "",         " ",           "{",         "[",           "[1",
        "[1,",      "[1,]",        "[,1]",      "{,}",         "{\"a\"}",
        "{\"a\":}", "{\"a\":1,}",  "{a:1}",     "{\"a\" 1}",   "[1 2]",
        "[1:2]",    "{\"a\":1:2}", "{\"a\",1}", "]",           "}",
        "[}",       "{]",          "1 2",       "[] []",       "nul",
        "nulL",     "truex",       "tru",       "True",        "NaN",
        "Infinity", "01",          "-",         "-01",         "+1",
        ".5",       "1.",          "1.e5",      "1e",          "1e+",
        "0x1",      "1.2.3",       "--1",       "\"",          "\"abc",
        "\"\\\"",   "\"\\x\"",     "\"\\u12\"", "\"\\u12g4\"", "\"\\",
        "\"a\nb\"", "\"\\\n\"",    "'a'",       "[1]]",        "{\"a\":1}}",
        "\x01",     "\"a\tb\"",    "// x\n1",   "[1,,2]",      "\xef\xbb\xbf[]",
    };
    for (size_t i = 0; i < LEN(bad) * 2; i++) {
        struct buf out = {0};
        tokens(&out, str_of(bad[i / 2]), 1 + i % 2 * 100);
        if (memchr(out.p, '!', out.n) == NULL)
            fail_msg("\"%s\" is taken for JSON: %s", bad[i / 2], buf_z(&out));
        buf_free(&out);
    }
}

static void test_limits(void **state UNUSED)
{
    struct buf doc = {0}, out = {0};
    for (int i = 0; i < JSON_DEPTH; i++)
        buf_add_char(&doc, '[');
    for (int i = 0; i < JSON_DEPTH; i++)
        buf_add_char(&doc, ']');
    tokens(&out, buf_str(&doc), 7);
    assert_int_equal(out.p[out.n - 1], '.');
    buf_clear(&doc);
    for (int i = 0; i < JSON_DEPTH + 1; i++)
        buf_add_char(&doc, '[');
    buf_clear(&out);
    tokens(&out, buf_str(&doc), 7);
    assert_non_null(strstr(buf_z(&out), "nested too deeply"));

    struct feeder f;
    feeder_init(&f, STR("[\"12345\",\"123456\"]"), 3);
    f.r.max_string = 5;
    assert_int_equal(next(&f), JSON_ARRAY);
    assert_int_equal(next(&f), JSON_STRING);
    assert_int_equal(next(&f), JSON_ERROR);
    feeder_free(&f);

    buf_clear(&doc); /* a string and a number that never end take no more memory than they may */
    for (int i = 0; i < 200000; i++)
        buf_add_char(&doc, '1');
    feeder_init(&f, buf_str(&doc), 1000);
    assert_int_equal(next(&f), JSON_ERROR);
    assert_true(f.r._tail.cap < 20000);
    feeder_free(&f);
    doc.p[0] = '"';
    feeder_init(&f, buf_str(&doc), 1000);
    f.r.max_string = 10000;
    assert_int_equal(next(&f), JSON_ERROR);
    assert_true(f.r._tail.cap < 30000);
    feeder_free(&f);
    buf_free(&doc);
    buf_free(&out);
}

static void test_skip(void **state UNUSED)
{
    static const char doc[] =
        "{\"a\":{\"x\":[1,{\"y\":\"}]\"}],\"z\":{}},\"b\":5,\"c\":[[],[1]],\"d\":[1,[2],3],\"e\":\"s\"}";
    for (size_t piece = 1; piece <= sizeof doc; piece++) {
        struct feeder f;
        feeder_init(&f, STR(doc), piece);
        assert_int_equal(next(&f), JSON_OBJECT);
        for (const char *key = "abc"; *key; key++) {
            assert_int_equal(next(&f), JSON_KEY);
            assert_int_equal(f.r.text.p[0], *key);
            enum json_token last = skip_value(&f);
            assert_int_equal(last, *key == 'a' ? JSON_END_OBJECT : *key == 'b' ? JSON_NUMBER : JSON_END_ARRAY);
        }
        assert_int_equal(next(&f), JSON_KEY);
        assert_int_equal(next(&f), JSON_ARRAY);
        assert_int_equal(next(&f), JSON_NUMBER);
        assert_int_equal(next(&f), JSON_ARRAY);
        assert_int_equal(skip_value(&f), JSON_END_ARRAY); /* only the inner one */
        assert_int_equal(next(&f), JSON_NUMBER);
        assert_true(f.r.number == 3);
        assert_int_equal(next(&f), JSON_END_ARRAY);
        assert_int_equal(next(&f), JSON_KEY);
        assert_int_equal(skip_value(&f), JSON_STRING);
        assert_int_equal(next(&f), JSON_END_OBJECT);
        assert_int_equal(next(&f), JSON_END);
        feeder_free(&f);
    }
}

static void test_lines(void **state UNUSED)
{
    static const char *const docs[] = {"{\"a\":1}\n[2]\n3\n", "", " \n", "{\"a\":1}\n{"};
    static const int counts[] = {9, 1, 1, 6}; /* tokens up to JSON_END or JSON_ERROR */
    for (size_t i = 0; i < LEN(docs) * 2; i++) {
        struct feeder f;
        feeder_init(&f, str_of(docs[i / 2]), 1 + i % 2 * 100);
        f.r.many = true;
        int n = 1;
        enum json_token token;
        while ((token = next(&f)) != JSON_END && token != JSON_ERROR)
            n++;
        assert_int_equal(token, i / 2 < 3 ? JSON_END : JSON_ERROR);
        assert_int_equal(n, counts[i / 2]);
        feeder_free(&f);
    }
}

static const struct json_pair expected_pairs[] = {
    {1435781430781, 1}, {1435781430000, NAN}, {1435700000000, INFINITY}, {0, -INFINITY}, {-1500, 1e21}, {500, -0.0},
    {1435781430700, 0.1}, {1435781430780, 5e-324}, {1435781430781, 12345678.25}, {1000, 255}, {2000, 7},
    {1435781430781, 1.5}, {999999999999999000, 2},
};
static const char pairs_doc[] =
    "{\"values\":[[1435781430.781,\"1\"],[1435781430,\"NaN\"] , [ 1.4357e9 , \"+Inf\" ],[0,\"-Inf\"],[-1.5,"
    "\"1e+21\"],[0.5,\"-0\"],"
    "[1435781430.7,\"0.1\"],[1435781430.78,\"5e-324\"],[1435781430.7812,\"12345678.25\"],[1.0e0,\"0xffp0\"],"
    "\n[2.0000,\"7\"],"
    "[1435781430.7809999,\"1.5\"],[999999999999999,\"2\"]],\"more\":1}";

static size_t all_pairs(struct feeder *f, struct json_pair *out, size_t room, size_t max, enum json_token *last)
{
    size_t n = 0;
    do {
        n += json_pairs(&f->r, out + n, room - n < max ? room - n : max, last);
        if (*last == JSON_MORE)
            feed(f);
    } while (*last == JSON_MORE || (*last == JSON_ARRAY && n < room));
    return n;
}

static void test_pairs(void **state UNUSED)
{
    for (size_t k = 0; k < sizeof pairs_doc * 4; k++) {
        struct feeder f;
        struct json_pair got[20];
        enum json_token last;
        feeder_init(&f, STR(pairs_doc), k / 4 + 1);
        assert_int_equal(next(&f), JSON_OBJECT);
        assert_int_equal(next(&f), JSON_KEY);
        assert_int_equal(next(&f), JSON_ARRAY);
        assert_int_equal(all_pairs(&f, got, LEN(got), k % 4 ? k % 4 : 20, &last), LEN(expected_pairs));
        assert_int_equal(last, JSON_END_ARRAY);
        for (size_t i = 0; i < LEN(expected_pairs); i++) {
            assert_true(got[i].t_ms == expected_pairs[i].t_ms);
            assert_true(got[i].v == expected_pairs[i].v || (isnan(got[i].v) && isnan(expected_pairs[i].v)));
        }
        assert_int_equal(next(&f), JSON_KEY);
        assert_int_equal(next(&f), JSON_NUMBER);
        assert_int_equal(next(&f), JSON_END_OBJECT);
        assert_int_equal(next(&f), JSON_END);
        feeder_free(&f);
    }
}

/* The members of an object, one by one where that is possible: name=value; then what is left of it, as tokens. */
static void members(struct buf *out, struct str doc, size_t piece, unsigned *at_once)
{
    struct feeder f;
    struct str name, value;
    enum json_token token;
    feeder_init(&f, doc, piece);
    while ((token = json_next(&f.r)) != JSON_END && token != JSON_ERROR) {
        if (token == JSON_MORE)
            feed(&f);
        else if (token == JSON_KEY)
            buf_printf(out, "%.*s=", STR_ARG(f.r.text));
        else if (token == JSON_STRING)
            buf_printf(out, "%.*s,", STR_ARG(f.r.text));
        else
            buf_printf(out, "%d,", token);
        for (; json_member(&f.r, &name, &value); ++*at_once)
            buf_printf(out, "%.*s=%.*s,", STR_ARG(name), STR_ARG(value));
    }
    buf_printf(out, "%d %s", token, f.r.err.text);
    feeder_free(&f);
}

/* A document in one piece has so many members or items that are read at once; in any pieces it reads the same. */
static void reads_the_same_in_pieces(void (*read)(struct buf *out, struct str doc, size_t piece, unsigned *at_once),
                                     struct str doc, unsigned expected)
{
    struct buf whole = {0}, said = {0};
    unsigned at_once = 0, none = 0;
    read(&whole, doc, doc.n, &at_once);
    assert_int_equal(at_once, expected);
    for (size_t piece = 1; piece < doc.n; piece++) { /* bytes one by one are read by tokens alone */
        buf_clear(&said);
        read(&said, doc, piece, &none);
        assert_string_equal(buf_z(&said), buf_z(&whole));
    }
    buf_free(&whole);
    buf_free(&said);
}

static void test_members(void **state UNUSED)
{
    static const struct { const char *doc; unsigned at_once; } docs[] = {
        {"{\"a\":\"b\",\"__name__\":\"a longer value\",\"\":\"\",\"1234567\":\"12345678\"}", 4},
        {"{\"a\":\"b\",\"c\":1,\"d\":\"e\",\"f\":{\"g\":\"h\"},\"i\":[\"j\",\"k\"],\"l\":\"m\"}", 4},
        {"{\"a\":\"q\\\"uote\",\"gr\xc3\xbcn\":\"b\",\"c\":\"12345678\xc3\xbc\",\"d\":\"\\u0041\",\"e\":\"f\"}", 1},
        {"{ \"a\" : \"b\" , \"c\" : \"d\" }", 0}, {"[\"a\",\"b\",\"c\"]", 0},
        {"{\"a\":\"b\",\"c\"}", 1}, {"{\"a\":\"b\",}", 1}, {"{\"a\":\"b\"\"c\":\"d\"}", 1}, {"{\"a\":\"b\",\"c\":\"d", 1},
        {"{\"a\":\"tab\there\"}", 0}, {"{\"a\":\"b\"},\"c\":\"d\"", 1}};
    for (size_t i = 0; i < LEN(docs); i++)
        reads_the_same_in_pieces(members, str_of(docs[i].doc), docs[i].at_once);
}

/* The same of the items of lists, of which the caller reads {} itself. */
static void items(struct buf *out, struct str doc, size_t piece, unsigned *at_once)
{
    struct feeder f;
    enum json_token token, before = JSON_END;
    feeder_init(&f, doc, piece);
    while ((token = json_next(&f.r)) != JSON_END && token != JSON_ERROR) {
        if (token == JSON_MORE) {
            feed(&f);
        } else {
            bool empty = before == JSON_OBJECT && token == JSON_END_OBJECT;
            out->n -= empty ? strlen("d,") : 0; /* what stands for JSON_OBJECT */
            if (empty)
                buf_add_z(out, "{},");
            else
                buf_printf(out, "%c,", 'a' + (int)token);
            before = token;
        }
        for (; str_starts(json_items(&f.r), STR("{}")); ++*at_once) {
            json_item_read(&f.r, 2);
            buf_add_z(out, "{},");
            before = JSON_END;
        }
    }
    buf_printf(out, "%d %s", token, f.r.err.text);
    feeder_free(&f);
}

static void test_items(void **state UNUSED)
{
    static const struct { const char *doc; unsigned at_once; } docs[] = {
        {"[{},{},{}]", 3}, {"[ {} , {}, [{}], 1, {}]", 4}, {"[{\"a\":[{},{}],\"b\":{}},{}]", 3}, {"{}", 0}, {"{\"a\":{}}", 0},
        {"[{}{}]", 1}, {"[{},]", 1}, {"[,{}]", 0}, {"[{} , , {}]", 1}, {"[{}", 1}, {"[{}]{}", 1}, {"[{},{}}", 2}};
    for (size_t i = 0; i < LEN(docs); i++)
        reads_the_same_in_pieces(items, str_of(docs[i].doc), docs[i].at_once);
}

static void test_pair(void **state UNUSED)
{
    static const struct { const char *doc; bool is_pair; double v; int64_t ms; } docs[] = {
        {"{\"value\":[1600000000.123,\"1.5\"]}", true, 1.5, 1600000000123}, {"{\"value\":[1.6e9,\"+Inf\"]}", true, INFINITY, 1600000000000},
        {"{\"value\" : [ 1 , \"2\" ] }", true, 2, 1000}, {"{\"value\":[1,\"\\u0032\"]}", false, 0, 0},
        {"{\"value\":[1,2]}", false, 0, 0}, {"{\"value\":1}", false, 0, 0}, {"{\"value\":[1,\"2\",3]}", false, 0, 0}};
    for (size_t i = 0; i < LEN(docs); i++) {
        struct json_reader r;
        struct json_pair pair;
        struct str doc = str_of(docs[i].doc);
        json_reader_init(&r);
        json_feed(&r, doc.p, doc.n);
        assert_int_equal(json_next(&r), JSON_OBJECT);
        assert_false(json_pair(&r, &pair));
        assert_int_equal(json_next(&r), JSON_KEY);
        assert_int_equal(json_pair(&r, &pair), docs[i].is_pair);
        if (docs[i].is_pair) {
            assert_true(pair.v == docs[i].v);
            assert_true(pair.t_ms == docs[i].ms);
        } else { /* nothing was read */
            assert_int_not_equal(json_skip(&r), JSON_ERROR);
        }
        assert_int_equal(json_next(&r), JSON_END_OBJECT);
        json_reader_free(&r);
    }
}

static void test_pairs_empty(void **state UNUSED)
{
    struct feeder f;
    struct json_pair got;
    enum json_token last;
    feeder_init(&f, STR("[ ]"), 1);
    assert_int_equal(next(&f), JSON_ARRAY);
    assert_int_equal(all_pairs(&f, &got, 1, 1, &last), 0);
    assert_int_equal(last, JSON_END_ARRAY);
    assert_int_equal(next(&f), JSON_END);
    feeder_free(&f);
}

static void test_pairs_bad(void **state UNUSED)
{
    static const char *const bad[] = {
        "[[1,\"\\u0031\"]]", "[[1,\"x\"]]", "[[1,\"\"]]", "[[1,2]]", "[[\"1\",\"2\"]]", "[[1]]", "[[1,\"2\",3]]",
        "[[1,\"2\"],]", "[,[1,\"2\"]]", "[[1,\"2\"][3,\"4\"]]", "[1,\"2\"]", "[[1,\"2\"]", "[[1,\"2\"",
        "[[NaN,\"2\"]]", "[[1e300,\"2\"]]", "[[01,\"2\"]]", "[[1.,\"2\"]]", "[[+1,\"2\"]]", "[[,\"2\"]]",
        "[[1,\"1 \"]]", "[null]", "[{}]", "[[1,null]]", "[[1,\"1_0\"]]", "[[.5,\"1\"]]", "[[-,\"1\"]]",
    };
    for (size_t i = 0; i < LEN(bad) * 2; i++) {
        struct feeder f;
        struct json_pair got[4];
        enum json_token last;
        feeder_init(&f, str_of(bad[i / 2]), 1 + i % 2 * 100);
        assert_int_equal(next(&f), JSON_ARRAY);
        all_pairs(&f, got, LEN(got), LEN(got), &last);
        if (last != JSON_ERROR)
            fail_msg("%s is taken for pairs", bad[i / 2]);
        assert_int_equal(f.r.err.kind, ERR_BAD_DATA);
        assert_int_equal(json_next(&f.r), JSON_ERROR);
        feeder_free(&f);
    }
}

/* Damaged bytes: any answer will do, in bounded steps; the sanitizers look on. */
static void test_damaged(void **state UNUSED)
{
    srand(4);
    for (int i = 0; i < 20000; i++) {
        char doc[sizeof pairs_doc];
        memcpy(doc, pairs_doc, sizeof doc);
        for (int k = rand() % 4; k >= 0; k--)
            doc[(size_t)rand() % sizeof doc] = "\"\\[]{},:e.-+0 9\xffN\0"[rand() % 18];
        struct feeder f;
        feeder_init(&f, str_n(doc, sizeof doc - 1), 1 + (size_t)rand() % 40);
        for (enum json_token token = JSON_MORE; token != JSON_END && token != JSON_ERROR;) {
            struct json_pair got[3];
            token = next(&f);
            if (token == JSON_ARRAY)
                all_pairs(&f, got, LEN(got), 2, &token);
        }
        feeder_free(&f);
    }
}

/* What the writer escapes, the reader reads back. */
static void test_written(void **state UNUSED)
{
    srand(5);
    for (int i = 0; i < 3000; i++) {
        char text[40];
        size_t n = 0;
        while (n < 30 && rand() % 16)
            n += utf8_encode(text + n, (uint32_t)rand() % (rand() % 2 ? 0x80 : 0x110000));
        struct buf b = {0};
        struct json_writer w = {.out = &b};
        json_html_str(&w, str_n(text, n));
        struct feeder f;
        feeder_init(&f, buf_str(&b), 1 + (size_t)rand() % 10);
        assert_int_equal(next(&f), JSON_STRING);
        assert_true(str_eq(f.r.text, str_n(text, n)));
        feeder_free(&f);
        buf_free(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokens),    cmocka_unit_test(test_pieces),  cmocka_unit_test(test_scalars),
        cmocka_unit_test(test_bad),       cmocka_unit_test(test_limits),  cmocka_unit_test(test_skip),
        cmocka_unit_test(test_lines),     cmocka_unit_test(test_pairs),   cmocka_unit_test(test_pairs_empty),
        cmocka_unit_test(test_members),   cmocka_unit_test(test_items),   cmocka_unit_test(test_pair),
        cmocka_unit_test(test_pairs_bad), cmocka_unit_test(test_damaged), cmocka_unit_test(test_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
