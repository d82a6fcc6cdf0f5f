// SPDX-License-Identifier: Apache-2.0
#include "base/buf.h"
#include "tests/unit/gateway/responses.h"

#include <stdio.h>

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static bool decode(struct responses *t, const char *text, size_t piece)
{
    responses_begin(t);
    return responses_feed(json_decoder_new(&t->response), str_of(text), piece, &t->err);
}

static void is(const char *text, const char *want)
{
    for (size_t piece = 1; piece < strlen(text) + 20; piece += piece < 40 ? 1 : 17) {
        struct responses t;
        if (!decode(&t, text, piece))
            fail_msg("in pieces of %zu: %s", piece, t.err.text);
        assert_string_equal(responses_text(&t), want);
        responses_end(&t);
    }
}

static void fails(const char *text, const char *words)
{
    for (size_t piece = 1; piece < 60; piece += 7) {
        struct responses t;
        assert_false(decode(&t, text, piece));
        assert_non_null(strstr(t.err.text, words));
        assert_int_equal(t.err.kind, ERR_BAD_GATEWAY);
        responses_end(&t);
    }
}

static void matrix(void **state UNUSED)
{
    is("{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":[{\"metric\":{\"__name__\":\"m\",\"a\":\"1\"},"
       "\"values\":[[1,\"1\"],[2.5,\"NaN\"],[3,\"+Inf\"]]},{\"metric\":{\"__name__\":\"m\",\"a\":\"\\u00e4\"},\"values\":[[7,\"-0.5\"]]}]}}",
       "m{a=\"1\"} 1@1000 NaN@2500 +Inf@3000; m{a=\"\xc3\xa4\"} -0.5@7000");
}

static void vector(void **state UNUSED)
{
    is("{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[{\"metric\":{},\"value\":[1600000000.123,\"42\"]}]}}",
       "{} 42@1600000000123");
}

static void unsorted_labels_and_unknown_keys(void **state UNUSED)
{
    is("{\"isPartial\":false,\"data\":{\"stats\":{\"a\":[1,{}]},\"result\":[{\"values\":[[1,\"1\"]],\"other\":null,\"metric\":{\"b\":\"2\",\"a\":\"1\",\"c\":\"\"}}],"
       "\"resultType\":\"matrix\"},\"status\":\"success\"}",
       "{a=\"1\", b=\"2\"} 1@1000");
}

static void empty(void **state UNUSED)
{
    is("{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[]}}", "");
    is("{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":null}}", "");
}

static bool decode_as(struct responses *t, struct decoder *(*decoder)(struct response *a), const char *text,
                      const struct query_ctx *q)
{
    responses_begin(t);
    t->response.work.q = q;
    t->response.secrets = (struct response_secrets){.group = STR("g"), .shown = STR("http://a")};
    return responses_feed(decoder(&t->response), str_of(text), 5, &t->err);
}

static void notes_name_their_server(void **state UNUSED)
{
    struct responses t;
    assert_true(decode_as(&t, json_decoder_new,
                          "{\"status\":\"success\",\"warnings\":[\"disk\",\"PromQL warning: x\",\"results truncated due to limit\"],"
                          "\"infos\":[\"PromQL info: y\",\"z\"],\"data\":{\"result\":[]}}", NULL));
    assert_int_equal(t.notes.warnings.n, 3);
    assert_true(str_is(t.notes.warnings.items[0], "server group \"g\": http://a: disk"));
    assert_true(str_is(t.notes.warnings.items[1], "PromQL warning: x"));
    assert_true(str_is(t.notes.warnings.items[2], "results truncated due to limit"));
    assert_true(str_is(t.notes.infos.items[0], "PromQL info: y"));
    assert_true(str_is(t.notes.infos.items[1], "server group \"g\": http://a: z"));
    assert_false(t.notes.partial);
    responses_end(&t);
}

static void partial_responses(void **state UNUSED)
{
    static const char *const texts[] = {
        "{\"status\":\"success\",\"isPartial\":true,\"data\":{\"result\":[]}}",
        "{\"data\":{\"isPartial\":true,\"result\":[]},\"isPartial\":false,\"status\":\"success\"}",
        "{\"isPartial\":[true],\"data\":{\"result\":[]},\"status\":\"success\"}",
    };
    const struct query_ctx allows = {.partial = PARTIAL_AS_CONFIGURED}, denies = {.partial = PARTIAL_DENIED};
    for (size_t i = 0; i < LEN(texts); i++) {
        struct responses t;
        assert_true(decode_as(&t, json_decoder_new, texts[i], &allows));
        assert_int_equal(t.notes.partial, i == 0);
        assert_int_equal(t.notes.warnings.n, i == 0);
        responses_end(&t);
        assert_int_equal(decode_as(&t, json_decoder_new, texts[i], &denies), i > 0);
        assert_int_equal(t.err.kind, i == 0 ? ERR_UNAVAILABLE : ERR_NONE);
        responses_end(&t);
    }
}

static void notes_come_along(void **state UNUSED)
{
    struct responses t;
    assert_true(decode(&t, "{\"status\":\"success\",\"data\":{\"result\":[]},\"warnings\":[\"w1\",\"w2\"],\"infos\":[\"i\"]}", 3));
    assert_int_equal(t.notes.warnings.n, 2);
    assert_int_equal(t.notes.infos.n, 1);
    responses_end(&t);
}

static void histograms_are_noticed(void **state UNUSED)
{
    struct responses t;
    assert_true(decode(&t, "{\"status\":\"success\",\"data\":{\"result\":[{\"metric\":{},\"histograms\":[[1,{\"count\":\"1\",\"buckets\":[[0,\"1\",\"2\",\"1\"]]}]]}]}}", 9));
    assert_true(t.response.lossy);
    responses_end(&t);
}

static void window_and_group_labels(void **state UNUSED)
{
    struct responses t;
    responses_begin(&t);
    const struct label label = {STR("dc"), STR("x")};
    struct label_view view = view_of_labels(&t.arena, labels_from(&t.arena, &label, 1));
    t.response.view = &view;
    t.response.t_min = 2000;
    t.response.t_max = 3000;
    assert_true(responses_feed(json_decoder_new(&t.response),
        STR("{\"status\":\"success\",\"data\":{\"result\":[{\"metric\":{\"dc\":\"old\",\"z\":\"1\"},\"values\":[[1,\"1\"],[2,\"2\"],[3,\"3\"],[4,\"4\"]]},"
            "{\"metric\":{\"z\":\"2\"},\"values\":[[1,\"1\"]]}]}}"), 1000, &t.err));
    assert_string_equal(responses_text(&t), "{dc=\"x\", z=\"1\"} 2@2000 3@3000");
    responses_end(&t);
}

static void what_is_wrong(void **state UNUSED)
{
    fails("{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":[{\"metric\":{},\"values\":[[1,\"1\"],",
          "unexpected end of input");
    fails("{\"status\":\"success\",\"data\":{\"result\":[{\"metric\":{},\"values\":[[1,\"x\"]]}]}}",
          "invalid sample value");
    fails("{\"status\":\"success\",\"data\":{\"result\":[{\"metric\":{},\"values\":[[2,\"1\"],[1,\"1\"]]}]}}",
          "out of order");
    fails("{\"status\":\"success\",\"data\":{\"result\":[{\"metric\":{},\"values\":[[1,\"1\"],[1,\"2\"]]}]}}",
          "out of order");
    fails("{\"status\":\"success\",\"data\":{\"result\":[{\"values\":[[2,\"1\"]]}]}}", "without \"metric\"");
    fails("{\"status\":\"success\",\"data\":{\"result\":[3]}}", "unexpected JSON");
    fails("{\"status\":\"success\",\"data\":{\"result\":[{\"metric\":{\"a\":1}}]}}", "unexpected JSON");
    fails("{\"status\":\"error\",\"errorType\":\"execution\",\"error\":\"boom\"}", "boom");
    fails("{\"message\":\"Unauthorized\"}", "no result");
    fails("{\"status\":\"success\"}", "no result");
    static const char *const values[] = {"[1]", "[1,2]", "[\"2\",1]", "[[1,\"2\"]]", "[1,\"2\",3]", "[1e300,\"2\"]", "null"};
    for (size_t i = 0; i < LEN(values); i++) {
        char text[128];
        snprintf(text, sizeof text, "{\"status\":\"success\",\"data\":{\"result\":[{\"metric\":{},\"value\":%s}]}}", values[i]);
        fails(text, "unexpected JSON");
    }
    fails("<html>", "invalid JSON");
    fails("", "unexpected end of input");
}

static void many_pairs(void **state UNUSED)
{
    struct buf text = {0};
    struct responses t;
    buf_add_z(&text, "{\"status\":\"success\",\"data\":{\"result\":[{\"metric\":{\"a\":\"b\"},\"values\":[");
    for (int i = 1; i <= 20000; i++)
        buf_printf(&text, "%s[%d,\"%d.5\"]", i > 1 ? "," : "", i, i);
    buf_add_z(&text, "]}]}}");
    responses_begin(&t);
    assert_true(responses_feed(json_decoder_new(&t.response), buf_str(&text), 16384, &t.err));
    assert_int_equal(t.response.series[0].n_samples, 20000);
    assert_true(t.response.series[0].samples[19999].t == 20000000 && t.response.series[0].samples[19999].v == 20000.5);
    responses_end(&t);
    responses_begin(&t);
    t.response.budget = 10000 * sizeof(struct sample);
    assert_false(responses_feed(json_decoder_new(&t.response), buf_str(&text), 16384, &t.err));
    assert_int_equal(t.err.kind, ERR_LIMIT);
    responses_end(&t);
    buf_free(&text);
}

/* Fed again and again, `more` is refused before 5 MiB have arrived. */
static void fails_early(const char *head, const char *more, const char *words)
{
    struct responses t;
    size_t n = strlen(head);
    responses_begin(&t);
    t.response.t_max = 1000000;
    struct decoder *d = json_decoder_new(&t.response);
    assert_true(d->feed(d, str_of(head), &t.err));
    while (n < 5 << 20 && d->feed(d, str_of(more), &t.err))
        n += strlen(more);
    assert_non_null(strstr(t.err.text, words));
    assert_int_equal(t.err.kind, ERR_BAD_GATEWAY);
    d->free(d);
    responses_end(&t);
}

#define RESULTS "{\"status\":\"success\",\"data\":{\"result\":["
static void without_an_end(void **state UNUSED)
{
    char blanks[1000];
    memset(blanks, ' ', sizeof blanks);
    blanks[sizeof blanks - 1] = 0;
    fails_early("{\"status\":\"success\",", blanks, "too much white space");
    fails_early("{\"status\":\"success\",\"more\":[1", ",[2,{\"a\":\"xxxxxxxxxxxxxxxxxxxx\"}]", "values of unknown keys");
    fails_early("{\"status\":\"success\"", ",\"more\":[2,{\"a\":\"xxxxxxxxxxxxxxxxxxxx\"}]", "values of unknown keys");
    fails_early(RESULTS "{\"metric\":{\"a\":\"b\"},\"values\":[[1,\"2\"]", ",[2,\"1\"],[3,\"1\"],[2.5,\"1\"]",
                "samples of {a=\"b\"} are out of order");
    fails_early(RESULTS "{\"metric\":{\"a\":\"b\"},\"value\":[1,\"2\"]}", ",{\"metric\":{\"a\":\"b\"},\"value\":[1,\"2\"]}",
                "duplicate series {a=\"b\"}");
}

/* Of the samples after the window at most one is kept while they arrive. */
static void late_samples_cost_no_memory(void **state UNUSED)
{
    struct responses t;
    struct buf text = {0};
    struct err err = {0};
    responses_begin(&t);
    t.response.t_max = 3000;
    t.response.budget = 10000 * sizeof(struct sample);
    struct decoder *d = json_decoder_new(&t.response);
    assert_true(d->feed(d, STR(RESULTS "{\"metric\":{\"a\":\"b\"},\"values\":[[1,\"1\"],[2,\"2\"],[3,\"3\"]"), &err));
    for (int i = 4; i < 100000; i++) {
        buf_printf(&text, ",[%d,\"%d\"]", i, i);
        if (i % 1000 == 0) {
            assert_true(d->feed(d, buf_str(&text), &err));
            buf_clear(&text);
        }
    }
    assert_true(d->feed(d, STR("]}]}}"), &err) && d->finish(d, &err));
    assert_string_equal(responses_text(&t), "{a=\"b\"} 1@1000 2@2000 3@3000");
    d->free(d);
    buf_free(&text);
    responses_end(&t);
}

static void more_points_than_steps(void **state UNUSED)
{
    struct responses t;
    responses_begin(&t);
    t.response.most_points = 2;
    const char *text = RESULTS "{\"metric\":{},\"values\":[[1,\"1\"],[2,\"2\"]]}]}}";
    assert_true(responses_feed(json_decoder_new(&t.response), str_of(text), 7, &t.err));
    text = RESULTS "{\"metric\":{\"a\":\"b\"},\"values\":[[1,\"1\"],[2,\"2\"],[3,\"3\"]]}]}}";
    assert_false(responses_feed(json_decoder_new(&t.response), str_of(text), 7, &t.err));
    assert_non_null(strstr(t.err.text, "more points than the 2 steps"));
    responses_end(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matrix), cmocka_unit_test(vector), cmocka_unit_test(unsorted_labels_and_unknown_keys), cmocka_unit_test(empty),
        cmocka_unit_test(notes_name_their_server),
        cmocka_unit_test(partial_responses),
        cmocka_unit_test(notes_come_along), cmocka_unit_test(histograms_are_noticed), cmocka_unit_test(window_and_group_labels),
        cmocka_unit_test(what_is_wrong), cmocka_unit_test(many_pairs), cmocka_unit_test(without_an_end),
        cmocka_unit_test(late_samples_cost_no_memory), cmocka_unit_test(more_points_than_steps)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
