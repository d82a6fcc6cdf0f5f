// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/gateway/responses.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static bool decode(struct responses *t, const char *text, size_t piece)
{
    responses_begin(t);
    t->response.packs = piece % 2;
    return responses_feed(export_decoder_new(&t->response), str_of(text), piece, &t->err);
}

static void is(const char *text, const char *want)
{
    for (size_t piece = 1; piece < 80; piece += piece < 40 ? 1 : 17) {
        struct responses t;
        if (!decode(&t, text, piece))
            fail_msg("in pieces of %zu: %s", piece, t.err.text);
        assert_true(response_unite(&t.response, &t.err));
        assert_string_equal(responses_text(&t), want);
        responses_end(&t);
    }
}

static void fails(const char *text, const char *words)
{
    struct responses t;
    assert_false(decode(&t, text, 11));
    assert_non_null(strstr(t.err.text, words));
    assert_int_equal(t.err.kind, ERR_BAD_GATEWAY);
    responses_end(&t);
}

static void lines(void **state UNUSED)
{
    is("{\"metric\":{\"__name__\":\"m\",\"a\":\"2\"},\"values\":[1e300],\"timestamps\":[1795320252784]}\n"
       "{\"metric\":{\"__name__\":\"m\",\"a\":\"1\"},\"values\":[1,\"Infinity\",\"-Infinity\",2.5,null],\"timestamps\":[1,2,3,4,5]}\n",
       "m{a=\"2\"} 1e+300@1795320252784; m{a=\"1\"} 1@1 +Inf@2 -Inf@3 2.5@4 stale@5");
    is("", "");
}

static void pieces_of_one_series(void **state UNUSED)
{
    is("{\"metric\":{\"a\":\"1\"},\"values\":[3,4],\"timestamps\":[3,4]}\n{\"metric\":{\"a\":\"2\"},\"values\":[9],\"timestamps\":[1]}\n"
       "{\"metric\":{\"a\":\"1\"},\"values\":[1,2],\"timestamps\":[1,2]}",
       "{a=\"1\"} 1@1 2@2 3@3 4@4; {a=\"2\"} 9@1");
}

static void newest_samples_of_a_packed_series(void **state UNUSED)
{
    struct responses t;
    struct buf values = {0}, times = {0}, text = {0};
    for (int i = 0; i < 1000; i++) {
        buf_printf(&values, "%s%d", i ? "," : "", i * 3);
        buf_printf(&times, "%s%d", i ? "," : "", i * 15000);
    }
    buf_printf(&text, "{\"metric\":{\"a\":\"1\"},\"values\":[%s],\"timestamps\":[%s]}", buf_z(&values), buf_z(&times));
    assert_true(decode(&t, buf_z(&text), 1001));
    struct series s = response_newest(&t.response, 0, &t.arena);
    assert_in_range(s.n_samples, CHUNK_SAMPLES, 2 * CHUNK_SAMPLES);
    assert_int_equal(s.samples[s.n_samples - 1].t, 999 * 15000);
    assert_true(s.samples[s.n_samples - 1].v == 999 * 3);
    assert_true(response_series(&t.response, 0, &t.arena).n_samples == 1000 && t.response.series[0].n_samples == 1000);
    responses_end(&t);
    buf_free(&values);
    buf_free(&times);
    buf_free(&text);
}

static void what_is_wrong(void **state UNUSED)
{
    fails("{\"metric\":{\"a\":\"1\"},\"values\":[3,4],\"timestamps\":[3]}", "2 values and 1 timestamps");
    fails("{\"metric\":{\"a\":\"1\"},\"values\":[3,4],\"timestamps\":[4,3]}", "out of order");
    fails("{\"metric\":{\"a\":\"1\"},\"values\":[3,4],\"times", "unexpected end of input");
    fails("{\"metric\":{\"a\":\"1\"},\"values\":[\"x\"],\"timestamps\":[3]}", "unexpected JSON");
    fails("[]", "unexpected JSON");
    fails("unsupported path requested", "invalid JSON");
}

static void samples_that_were_written_twice(void **state UNUSED)
{
    is("{\"metric\":{\"a\":\"1\"},\"values\":[NaN,2,2,7,5,null,6,8,null,null],\"timestamps\":[1,2,2,3,3,4,4,5,5,6]}",
       "{a=\"1\"} stale@1 2@2 7@3 6@4 8@5 stale@6");
}

static void two_series_that_became_one(void **state UNUSED)
{
    struct responses t;
    responses_begin(&t);
    const struct label label = {STR("a"), STR("x")};
    struct label_view view = view_of_labels(&t.arena, labels_from(&t.arena, &label, 1));
    t.response.view = &view;
    struct str text = STR("{\"metric\":{\"a\":\"1\"},\"values\":[1,2],\"timestamps\":[1,5]}\n"
                          "{\"metric\":{\"a\":\"2\"},\"values\":[3],\"timestamps\":[3]}");
    assert_true(responses_feed(export_decoder_new(&t.response), text, 30, &t.err));
    assert_false(response_unite(&t.response, &t.err));
    assert_non_null(strstr(t.err.text, "duplicate series {a=\"x\"}"));
    assert_int_equal(t.err.kind, ERR_EXEC);
    responses_end(&t);
}

static void duplicates_of_the_server(void **state UNUSED)
{
    struct responses t;
    responses_begin(&t);
    struct str text = STR("{\"metric\":{\"a\":\"1\"},\"values\":[1,2],\"timestamps\":[1,5]}\n"
                          "{\"metric\":{\"a\":\"1\"},\"values\":[3],\"timestamps\":[3]}");
    assert_true(responses_feed(export_decoder_new(&t.response), text, 30, &t.err));
    assert_false(response_unite(&t.response, &t.err));
    assert_string_equal(t.err.text, "duplicate series {a=\"1\"} in the response"); /* no label of ours made it one */
    assert_int_equal(t.err.kind, ERR_BAD_GATEWAY);
    responses_end(&t);
}

static void duplicates_of_the_server_in_a_group_with_labels(void **state UNUSED)
{
    struct responses t;
    responses_begin(&t);
    const struct label label = {STR("g"), STR("x")};
    struct label_view view = view_of_labels(&t.arena, labels_from(&t.arena, &label, 1));
    t.response.view = &view;
    struct str text = STR("{\"metric\":{\"a\":\"2\"},\"values\":[1],\"timestamps\":[1]}\n"
                          "{\"metric\":{\"a\":\"2\"},\"values\":[1],\"timestamps\":[2]}\n" /* a part of the same series */
                          "{\"metric\":{\"a\":\"1\"},\"values\":[1,2],\"timestamps\":[1,5]}\n"
                          "{\"metric\":{\"a\":\"1\"},\"values\":[3],\"timestamps\":[3]}");
    t.response.packs = true;
    assert_true(responses_feed(export_decoder_new(&t.response), text, 30, &t.err));
    assert_false(response_unite(&t.response, &t.err));
    assert_string_equal(t.err.text, "duplicate series {a=\"1\", g=\"x\"} in the response");
    assert_int_equal(t.err.kind, ERR_BAD_GATEWAY);
    responses_end(&t);
}

static void larger_than_the_budget(void **state UNUSED)
{
    struct responses t;
    responses_begin(&t);
    t.response.budget = 2 * sizeof(struct sample);
    assert_true(responses_feed(export_decoder_new(&t.response),
                               STR("{\"metric\":{},\"values\":[1,2],\"timestamps\":[1,2]}"), 5, &t.err));
    assert_false(responses_feed(export_decoder_new(&t.response), STR("{\"metric\":{},\"timestamps\":[1,2,3]"), 5,
                                &t.err));
    assert_int_equal(t.err.kind, ERR_LIMIT);
    responses_end(&t);
}

/* Two replicas, told apart by a label that is dropped: `a` in two parts, `b` fills its gap. The order of lines does not
 * matter. */
static void stored_replicas(void **state UNUSED)
{
    static const char *const lines[] = {
        "{\"metric\":{\"r\":\"b\"},\"values\":[7,7,7,7,7,7],\"timestamps\":[12000,22000,32000,42000,52000,62000]}\n",
        "{\"metric\":{\"r\":\"a\"},\"values\":[3,3],\"timestamps\":[50000,60000]}\n",
        "{\"metric\":{\"r\":\"a\"},\"values\":[1,1],\"timestamps\":[10000,20000]}\n"};
    static const struct view_rule drop = {VIEW_LABELDROP, {"r", 1}, {0}};
    static const struct merge_rule rule = {.ms = MERGE_DEFAULT_MS, .automatic = true};
    for (size_t first = 0; first < LEN(lines); first++) {
        struct responses t;
        struct label_view view;
        responses_begin(&t);
        assert_true(view_make(&view, &t.arena, (struct labels){0}, &drop, 1, &(struct str_list){0}, &t.err));
        t.response.view = &view;
        t.response.rule = &rule;
        t.response.t_min = 0;
        t.response.t_max = 70000;
        struct decoder *d = export_decoder_new(&t.response);
        for (size_t i = 0; i < LEN(lines); i++)
            assert_true(d->feed(d, str_of(lines[(first + i) % LEN(lines)]), &t.err));
        assert_true(d->finish(d, &t.err));
        d->free(d);
        assert_true(response_unite(&t.response, &t.err));
        assert_string_equal(responses_text(&t), "{} 1@10000 1@20000 7@32000 7@42000 3@50000 3@60000");
        responses_end(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(lines), cmocka_unit_test(newest_samples_of_a_packed_series),
        cmocka_unit_test(pieces_of_one_series),
        cmocka_unit_test(samples_that_were_written_twice), cmocka_unit_test(larger_than_the_budget),
        cmocka_unit_test(two_series_that_became_one), cmocka_unit_test(stored_replicas),
        cmocka_unit_test(duplicates_of_the_server),
        cmocka_unit_test(duplicates_of_the_server_in_a_group_with_labels), cmocka_unit_test(what_is_wrong)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
