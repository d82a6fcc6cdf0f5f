// SPDX-License-Identifier: Apache-2.0
/* The request as protobuf-c reads it; answers as remote write's own code writes them. */
#include "gateway/upstream/decode/remote_read.h"

#include "base/protobuf.h"
#include "base/compress.h"
#include "model/remote.pb-c.h"
#include "tests/unit/gateway/responses.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

enum { MAX = 1 << 20 };
static enum blocks_refusal refusal;

static bool bytes_are(ProtobufCBinaryData b, const char *text) { return str_is(str_n(b.data, b.len), text); }

static void request(void **state UNUSED)
{
    const struct matcher m[] = {{.type = MATCH_EQ, .name = STR("__name__"), .value = STR("up")},
        {.type = MATCH_NRE, .name = STR("a"), .value = STR("b.*")}};
    const struct select sel = {.kind = SELECT_RANGE, .t_min = 1000, .t_max = 61000, .start = 61000, .end = 61000,
        .window = 60000, .func = "rate"};
    struct buf packed = {0}, plain = {0};
    struct err err;
    read_request(&packed, m, 2, (struct labels){0}, &sel, true);
    assert_true(decompress(CODEC_SNAPPY, NULL, buf_str(&packed), MAX, &plain, &err));
    Pb__ReadRequest *r = pb__read_request__unpack(NULL, plain.n, (const uint8_t *)plain.p);
    assert_non_null(r);
    assert_int_equal(r->n_queries, 1);
    assert_int_equal(r->n_accepted_response_types, 2);
    assert_int_equal(r->accepted_response_types[0], PB__READ_REQUEST__RESPONSE_TYPE__STREAMED_XOR_CHUNKS);
    assert_int_equal(r->accepted_response_types[1], PB__READ_REQUEST__RESPONSE_TYPE__SAMPLES);
    Pb__Query *q = r->queries[0];
    assert_true(q->start == 1000 && q->end == 61000 && q->n_matchers == 2);
    assert_true(q->matchers[0]->type == PB__MATCHER__TYPE__EQ && bytes_are(q->matchers[0]->name, "__name__") &&
                bytes_are(q->matchers[0]->value, "up"));
    assert_true(q->matchers[1]->type == PB__MATCHER__TYPE__NRE && bytes_are(q->matchers[1]->value, "b.*"));
    assert_true(q->hints->range == 60000 && bytes_are(q->hints->func, "rate"));
    pb__read_request__free_unpacked(r, NULL);
    buf_free(&packed);
    buf_free(&plain);
}

static void assert_matcher(const Pb__Matcher *m, int type, const char *name, const char *value)
{
    assert_int_equal(m->type, type);
    assert_true(bytes_are(m->name, name) && bytes_are(m->value, value));
}

/* External labels a and b: four queries, by which of them series have of their own; a plain matcher that equals an
 * external label would be dropped by the server. */
static void request_with_external_labels(void **state UNUSED)
{
    struct responses t;
    struct buf packed = {0}, plain = {0};
    const struct label external[] = {{STR("a"), STR("x.y")}, {STR("b"), STR("2")}};
    const struct matcher m[] = {{.type = MATCH_EQ, .name = STR("a"), .value = STR("x.y")},
        {.type = MATCH_EQ, .name = STR("b"), .value = STR("3")}};
    const struct select sel = {.kind = SELECT_RANGE, .t_min = 1000, .t_max = 61000, .func = ""};
    responses_begin(&t);
    read_request(&packed, m, 2, labels_from(&t.arena, external, 2), &sel, false);
    assert_true(decompress(CODEC_SNAPPY, NULL, buf_str(&packed), MAX, &plain, &t.err));
    Pb__ReadRequest *r = pb__read_request__unpack(NULL, plain.n, (const uint8_t *)plain.p);
    assert_non_null(r);
    assert_int_equal(r->n_queries, 4);
    for (unsigned own = 0; own < 4; own++) {
        Pb__Matcher **got = r->queries[own]->matchers;
        assert_int_equal(r->queries[own]->n_matchers, 4);
        assert_matcher(got[0], PB__MATCHER__TYPE__RE, "a", "x\\.y");
        assert_matcher(got[1], PB__MATCHER__TYPE__EQ, "b", "3");
        assert_matcher(got[2], own & 1 ? PB__MATCHER__TYPE__RE : PB__MATCHER__TYPE__NEQ, "a",
                       own & 1 ? "x\\.y" : "x.y");
        assert_matcher(got[3], own & 2 ? PB__MATCHER__TYPE__RE : PB__MATCHER__TYPE__NEQ, "b", "2");
    }
    pb__read_request__free_unpacked(r, NULL);
    buf_free(&packed);
    buf_free(&plain);
    responses_end(&t);
}

/* ReadResponse{results: [QueryResult{timeseries: ...}]}, where a QueryResult has the bytes of a WriteRequest. */
static void respond(struct buf *packed, const struct buf *result)
{
    struct buf response = {0};
    pb_add_bytes(&response, 1, buf_str(result));
    compress_snappy(packed, buf_str(&response));
    buf_free(&response);
}

static void response(void **state UNUSED)
{
    struct responses t;
    struct buf result = {0}, packed = {0}, wire = {0};
    responses_begin(&t);
    const struct label names[] = {{STR("__name__"), STR("m")}, {STR("a"), STR("1")}};
    const struct sample samples[] = {{1000, 1.5}, {2000, stale_nan()}, {9000, 9}};
    const struct histogram h = {.schema = 0, .count = 3, .sum = 4, .zero_count = 3, .zero_threshold = 1e-128};
    struct labels labels = labels_from(&t.arena, names, 2);
    rw_append_series(&result, labels, samples, 3);
    histogram_encode(&wire, &h, 3000);
    struct str message = buf_str(&wire);
    rw_append_full(&result, labels_from(&t.arena, names, 1), &(struct rw_contents){.hists = &message, .n_hists = 1});
    respond(&packed, &result);
    t.response.t_max = 5000;
    for (size_t piece = 1; piece <= packed.n; piece += packed.n - 1) {
        t.response.n = 0;
        assert_true(responses_feed(remote_read_decoder_new(&t.response, MAX, &refusal), buf_str(&packed), piece, &t.err));
        assert_string_equal(responses_text(&t), "m{a=\"1\"} 1.5@1000 stale@2000; m h(3)@3000");
    }
    buf_free(&result);
    buf_free(&packed);
    buf_free(&wire);
    responses_end(&t);
}

/* The second result is for series that have the label themselves. */
static void external_labels(void **state UNUSED)
{
    struct responses t;
    struct buf added = {0}, own = {0}, response = {0}, packed = {0};
    responses_begin(&t);
    const struct label names[] = {{STR("__name__"), STR("m")}, {STR("a"), STR("1")}};
    const struct sample samples[] = {{1000, 1.5}};
    struct labels labels = labels_from(&t.arena, names, 2);
    t.response.external = labels_from(&t.arena, names + 1, 1);
    rw_append_series(&added, labels, samples, 1);
    rw_append_series(&own, labels, samples, 1);
    pb_add_bytes(&response, 1, buf_str(&added));
    pb_add_bytes(&response, 1, buf_str(&own));
    compress_snappy(&packed, buf_str(&response));
    assert_true(responses_feed(remote_read_decoder_new(&t.response, MAX, &refusal), buf_str(&packed), packed.n, &t.err));
    assert_string_equal(responses_text(&t), "m 1.5@1000; m{a=\"1\"} 1.5@1000");
    buf_free(&added);
    buf_free(&own);
    buf_free(&response);
    buf_free(&packed);
    responses_end(&t);
}

static void broken_histograms_name_the_series(void **state UNUSED)
{
    struct responses t;
    responses_begin(&t);
    const struct label names[] = {{STR("__name__"), STR("m")}, {STR("a"), STR("1")}};
    struct { struct histogram h; const char *want; } cases[] = {
        {{.schema = HISTOGRAM_CUSTOM, .count = 1}, "series m{a=\"1\"}: a native histogram with custom buckets lacks "
         "their bounds"},
        {{.schema = 9}, "series m{a=\"1\"}: native histogram: unknown schema"}};
    for (size_t i = 0; i < LEN(cases); i++) {
        struct buf result = {0}, packed = {0}, wire = {0};
        histogram_encode(&wire, &cases[i].h, 3000);
        struct str message = buf_str(&wire);
        rw_append_full(&result, labels_from(&t.arena, names, 2), &(struct rw_contents){.hists = &message, .n_hists = 1});
        respond(&packed, &result);
        assert_false(responses_feed(remote_read_decoder_new(&t.response, MAX, &refusal), buf_str(&packed), packed.n, &t.err));
        assert_int_equal(t.err.kind, ERR_BAD_GATEWAY);
        assert_non_null(strstr(t.err.text, cases[i].want));
        buf_free(&result);
        buf_free(&packed);
        buf_free(&wire);
    }
    responses_end(&t);
}

static void what_is_wrong(void **state UNUSED)
{
    struct responses t;
    struct buf damaged = {0}, result = {0}, big = {0};
    responses_begin(&t);
    assert_false(responses_feed(remote_read_decoder_new(&t.response, MAX, &refusal), STR("not snappy at all"), 100, &t.err));
    assert_int_equal(t.err.kind, ERR_BAD_GATEWAY);
    compress_snappy(&damaged, STR("\x0a\x7fshort"));
    assert_false(responses_feed(remote_read_decoder_new(&t.response, MAX, &refusal), buf_str(&damaged), 100, &t.err));
    assert_non_null(strstr(t.err.text, "corrupted"));
    rw_append_series(&result, (struct labels){0}, &(struct sample){1, 1}, 1);
    respond(&big, &result);
    assert_false(responses_feed(remote_read_decoder_new(&t.response, MAX, &refusal), buf_str(&big), 100, &t.err));
    assert_non_null(strstr(t.err.text, "invalid labels"));
    assert_false(responses_feed(remote_read_decoder_new(&t.response, 8, &refusal), buf_str(&big), 100, &t.err));
    buf_free(&damaged);
    buf_free(&result);
    buf_free(&big);
    responses_end(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(request), cmocka_unit_test(response),
        cmocka_unit_test(request_with_external_labels), cmocka_unit_test(external_labels),
        cmocka_unit_test(broken_histograms_name_the_series),
        cmocka_unit_test(what_is_wrong)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
