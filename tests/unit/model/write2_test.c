// SPDX-License-Identifier: Apache-2.0
/* Remote write 2.0 read and made: judged by protobuf-c, made from bodies of 1.0 and back, damaged at every byte, and
 * bodies that claim much memory. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "base/protobuf.h"
#include "model/write2.pb-c.h"
#include "model/write2/write2.h"
#include "tests/unit/model/scratch.h"

static struct labels write2_labels(const char *name, const char *path)
{
    struct label items[] = {{STR(METRIC_NAME), str_of(name)}, {STR("job"), STR("api")}, {STR("path"), str_of(path)}};
    return labels_from(&arena, items, *path ? 3 : 2);
}

static struct str exemplar_of(const char *id)
{
    struct buf b = {0};
    struct label l = {STR("trace_id"), str_of(id)};
    rw_append_exemplar(&b, labels_from(&arena, &l, 1), 0.5, 1000);
    struct str s = arena_str(&arena, buf_str(&b));
    buf_free(&b);
    return s;
}

static struct str histogram_of(uint64_t count, int64_t t)
{
    struct buf b = {0};
    pb_add_int(&b, 1, (int64_t)count);
    pb_add_double(&b, 3, 2.5);
    pb_add_int(&b, 15, t);
    pb_add_int(&b, 17, 77);
    struct str s = arena_str(&arena, buf_str(&b));
    buf_free(&b);
    return s;
}

/* Two counters, one of which has start times and an exemplar, a part of a classic histogram, a native histogram, and a
 * series with samples and histograms; metadata after the first series. */
static struct buf body_1(void)
{
    struct buf b = {0};
    struct sample two[] = {{1000, 1}, {2000, 0}};
    int64_t starts[] = {0, 900};
    struct str exemplar = exemplar_of("abc"), hist = histogram_of(3, 3000);
    rw_append_series(&b, write2_labels("requests_total", "/a"), two, 1);
    rw_append_metadata(&b, &(struct metadata){STR("requests"), STR("Requests so far"), STR("1"), METRIC_COUNTER});
    rw_append_metadata(&b, &(struct metadata){STR("latency"), STR("Time"), STR("seconds"), METRIC_HISTOGRAM});
    rw_append_full(&b, write2_labels("requests_total", "/b"), &(struct rw_contents){two, starts, 2, NULL, 0, &exemplar, 1});
    rw_append_series(&b, write2_labels("latency_sum", ""), two, 1);
    rw_append_full(&b, write2_labels("latency", ""), &(struct rw_contents){.hists = &hist, .n_hists = 1,
                                                                           .exemplars = &exemplar, .n_exemplars = 1});
    rw_append_full(&b, write2_labels("mixed", "/a"), &(struct rw_contents){.samples = two, .n_samples = 2, .hists = &hist,
                                                                           .n_hists = 1});
    rw_append_full(&b, write2_labels("only_exemplars", ""), &(struct rw_contents){.exemplars = &exemplar, .n_exemplars = 1});
    return b;
}

static struct buf body_2(struct rw2_encoder *e, struct str one, size_t *n)
{
    struct buf b = {0};
    struct err err;
    assert_true(rw2_encode(e, one, true, &b, n, &err));
    struct buf again = {0}; /* without trust in the labels */
    assert_true(rw2_encode(e, one, false, &again, n, &err));
    assert_true(str_eq(buf_str(&b), buf_str(&again)));
    buf_free(&again);
    return b;
}

static struct str symbol(const Pb2__Request *r, uint32_t ref)
{
    assert_true(ref < r->n_symbols);
    return str_n(r->symbols[ref].data, r->symbols[ref].len);
}

static void assert_label(const Pb2__Request *r, const Pb2__TimeSeries *s, size_t i, const char *name, const char *value)
{
    assert_true(2 * i + 1 < s->n_labels_refs);
    assert_true(str_is(symbol(r, s->labels_refs[2 * i]), name));
    assert_true(str_is(symbol(r, s->labels_refs[2 * i + 1]), value));
}

static void test_judged_by_protobuf_2(void **state UNUSED)
{
    struct rw2_encoder e = {0};
    struct buf one = body_1();
    size_t n;
    struct buf two = body_2(&e, buf_str(&one), &n);
    assert_int_equal(n, 6); /* the mixed series is two, the one with exemplars only is none */
    Pb2__Request *r = pb2__request__unpack(NULL, two.n, (uint8_t *)two.p);
    assert_non_null(r);
    assert_int_equal(r->n_timeseries, 6);
    assert_int_equal(r->symbols[0].len, 0);
    for (size_t i = 0; i < r->n_symbols; i++) /* each text once */
        for (size_t k = 0; k < i; k++)
            assert_false(str_eq(symbol(r, (uint32_t)i), symbol(r, (uint32_t)k)));
    assert_label(r, r->timeseries[0], 0, "__name__", "requests_total");
    assert_label(r, r->timeseries[0], 1, "job", "api");
    assert_label(r, r->timeseries[0], 2, "path", "/a");
    assert_label(r, r->timeseries[1], 2, "path", "/b");
    for (size_t i = 0; i < 2; i++) { /* the metadata of `requests`, although it comes later */
        assert_int_equal(r->timeseries[i]->metadata->type, METRIC_COUNTER);
        assert_true(str_is(symbol(r, r->timeseries[i]->metadata->help_ref), "Requests so far"));
        assert_true(str_is(symbol(r, r->timeseries[i]->metadata->unit_ref), "1"));
    }
    const Pb2__TimeSeries *started = r->timeseries[1];
    assert_int_equal(started->n_samples, 2);
    assert_true(started->samples[0]->value == 1 && started->samples[0]->timestamp == 1000 &&
                started->samples[0]->start_timestamp == 0);
    assert_true(started->samples[1]->value == 0 && started->samples[1]->timestamp == 2000 &&
                started->samples[1]->start_timestamp == 900);
    assert_int_equal(started->n_exemplars, 1);
    assert_true(started->exemplars[0]->value == 0.5 && started->exemplars[0]->timestamp == 1000);
    assert_int_equal(started->exemplars[0]->n_labels_refs, 2);
    assert_true(str_is(symbol(r, started->exemplars[0]->labels_refs[1]), "abc"));
    assert_int_equal(r->timeseries[2]->metadata->type, METRIC_HISTOGRAM);
    assert_int_equal(r->timeseries[3]->n_histograms, 1);
    assert_true(r->timeseries[3]->histograms[0]->count_int == 3 && r->timeseries[3]->histograms[0]->start_timestamp == 77);
    assert_int_equal(r->timeseries[3]->n_exemplars, 1);
    assert_true(r->timeseries[4]->n_samples == 2 && r->timeseries[4]->n_histograms == 0);
    assert_true(r->timeseries[5]->n_samples == 0 && r->timeseries[5]->n_histograms == 1);
    assert_null(r->timeseries[4]->metadata);
    assert_int_equal(pb2__request__get_packed_size(r), two.n); /* nothing that a proto3 encoder would leave out */
    pb2__request__free_unpacked(r, NULL);
    buf_free(&one);
    buf_free(&two);
    rw2_encoder_free(&e);
}

/* 1.0 -> 2.0 -> 1.0: the same series; the metadata before them. */
static void test_and_back(void **state UNUSED)
{
    struct rw2_encoder e = {0};
    struct rw_walk w, x;
    struct buf one = body_1(), again = {0};
    size_t n;
    struct buf two = body_2(&e, buf_str(&one), &n);
    rw_walk_init(&w);
    rw_walk_init(&x);
    assert_true(rw2_to_rw1(&x, buf_str(&two), &again));
    rw_walk_start(&w, buf_str(&again));
    static const char *const want[] = {"", "requests_total{job=\"api\", path=\"/a\"}",
        "requests_total{job=\"api\", path=\"/b\"}", "", "latency_sum{job=\"api\"}", "latency{job=\"api\"}",
        "mixed{job=\"api\", path=\"/a\"}", "mixed{job=\"api\", path=\"/a\"}"};
    for (size_t i = 0; i < LEN(want); i++) {
        assert_int_equal(rw_walk_next(&w), *want[i] ? RW_SERIES : RW_METADATA);
        struct buf text = {0};
        if (*want[i])
            labels_print(&text, w.labels);
        assert_string_equal(buf_z(&text), want[i]);
        buf_free(&text);
        if (i == 0) /* of the text format's family */
            assert_true(str_is(w.metadata.family, "requests_total") && str_is(w.metadata.help, "Requests so far"));
        if (i == 2)
            assert_true(w.starts && w.starts[0] == 0 && w.starts[1] == 900 && w.n_exemplars == 1
                        && str_eq(w.exemplars[0], exemplar_of("abc")));
        if (i == 3)
            assert_true(str_is(w.metadata.family, "latency") && str_is(w.metadata.unit, "seconds"));
        if (i == 5)
            assert_true(w.n_hists == 1 && str_eq(w.hists[0], histogram_of(3, 3000)));
        if (i == 6)
            assert_null(w.starts);
    }
    assert_int_equal(rw_walk_next(&w), RW_END);
    rw_walk_free(&w);
    rw_walk_free(&x);
    buf_free(&one);
    buf_free(&two);
    buf_free(&again);
    rw2_encoder_free(&e);
}

/* Metadata of an earlier body serves later ones; a changed one replaces it, also in the body that has both. */
/* Blocks are read back, also those whose series have long texts in common. */
static void test_long_texts_and_back(void **state UNUSED)
{
    struct rw2_encoder e = {0};
    struct rw_walk w;
    struct buf one = {0}, two = {0}, again = {0};
    struct err err;
    static char text[50000];
    memset(text, 'x', sizeof text - 1);
    size_t n;
    for (unsigned i = 0; i < 200; i++)
        rw_append_series(&one, write2_labels("m", text), &(struct sample){1000 + i, 1}, 1);
    assert_true(rw2_encode(&e, buf_str(&one), true, &two, &n, &err));
    assert_true(two.n * RW2_MAX_EXPANSION + (1 << 20) < one.n);
    rw_walk_init(&w);
    assert_true(rw2_to_rw1(&w, buf_str(&two), &again));
    assert_true(str_eq(buf_str(&again), buf_str(&one)));
    rw_walk_free(&w);
    buf_free(&one);
    buf_free(&two);
    buf_free(&again);
    rw2_encoder_free(&e);
}

static void test_an_empty_body(void **state UNUSED)
{
    struct rw2_encoder e = {0};
    struct buf none = {0};
    size_t n;
    struct buf two = body_2(&e, buf_str(&none), &n);
    assert_int_equal(n, 0);
    assert_true(rw2_strip_metadata(&e, &none));
    buf_free(&two);
    rw2_encoder_free(&e);
}

static void test_remembers_metadata(void **state UNUSED)
{
    struct rw2_encoder e = {0};
    struct buf one = {0};
    size_t n;
    for (int i = 0; i < 3; i++) {
        buf_clear(&one);
        if (i != 1)
            rw_append_metadata(&one, &(struct metadata){STR("m"), i ? STR("new") : STR("old"), STR(""), METRIC_GAUGE});
        if (i != 0)
            rw_append_series(&one, write2_labels("m", "/"), &(struct sample){1, 1}, 1);
        struct buf two = body_2(&e, buf_str(&one), &n);
        Pb2__Request *r = pb2__request__unpack(NULL, two.n, (uint8_t *)two.p);
        assert_int_equal(n, i ? 1 : 0);
        assert_true(i == 0 || str_is(symbol(r, r->timeseries[0]->metadata->help_ref), i == 1 ? "old" : "new"));
        pb2__request__free_unpacked(r, NULL);
        buf_free(&two);
    }
    static char help[RW2_FAMILIES_BYTES / 8];
    for (unsigned i = 0; i < 20; i++) { /* over the limit all is forgotten */
        struct metadata m = {arena_printf(&arena, "f%u", i), str_n(help, sizeof help), STR(""), METRIC_GAUGE};
        rw2_families_set(&e.families, &m);
        assert_non_null(rw2_families_find(&e.families, m.family));
        assert_true(e.families.bytes <= RW2_FAMILIES_BYTES);
    }
    assert_null(rw2_families_find(&e.families, STR("m")));
    buf_free(&one);
    rw2_encoder_free(&e);
}

static void test_families(void **state UNUSED)
{
    struct rw2_families f = {0};
    static const struct { const char *name; enum metric_type type; } known[] = {
        {"h", METRIC_HISTOGRAM}, {"s", METRIC_SUMMARY}, {"c", METRIC_COUNTER}, {"g", METRIC_GAUGE}, {"i", METRIC_INFO},
        {"gh", METRIC_GAUGEHISTOGRAM}, {"x_total", METRIC_COUNTER}};
    static const struct { const char *series, *family; } cases[] = {
        {"h", "h"}, {"h_bucket", "h"}, {"h_sum", "h"}, {"h_count", "h"}, {"h_total", NULL}, {"s_count", "s"},
        {"s_bucket", NULL}, {"c_total", "c"}, {"g_total", NULL}, {"g_sum", NULL}, {"i_info", "i"}, {"gh_gsum", "gh"},
        {"x_total", "x_total"}, {"x", NULL}, {"_sum", NULL}, {"", NULL}};
    for (size_t i = 0; i < LEN(known); i++)
        rw2_families_set(&f, &(struct metadata){.family = str_of(known[i].name), .type = known[i].type});
    for (size_t i = 0; i < LEN(cases); i++) {
        const struct metadata *m = rw2_families_find(&f, str_of(cases[i].series));
        assert_true(cases[i].family ? m && str_is(m->family, cases[i].family) : m == NULL);
    }
    assert_true(str_is(rw2_family_name(STR("h_bucket"), METRIC_HISTOGRAM), "h"));
    assert_true(str_is(rw2_family_name(STR("c_total"), METRIC_COUNTER), "c_total"));
    assert_true(str_is(rw2_family_name(STR("g_sum"), METRIC_GAUGE), "g_sum"));
    assert_true(str_is(rw2_family_name(STR("_sum"), METRIC_SUMMARY), "_sum"));
    rw2_families_free(&f);
}

/* ---- bodies of others ---- */

static void add_symbols(struct buf *b, const char *const *texts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        pb_add_bytes(b, 4, str_of(texts[i]));
}

static void add_series(struct buf *b, const uint8_t *refs, size_t n, struct str rest)
{
    struct buf s = {0};
    pb_add_bytes(&s, 1, str_n(refs, n));
    buf_add_str(&s, rest);
    pb_add_bytes(b, 5, buf_str(&s));
    buf_free(&s);
}
#define REFS(...) (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})

static void assert_rejected(const uint8_t *refs, size_t n, struct str rest, const char *why)
{
    static const char *const texts[] = {"", "__name__", "m", "b", "\xff", "a"};
    struct rw_walk w;
    struct buf b = {0};
    add_symbols(&b, texts, LEN(texts));
    add_series(&b, refs, n, rest);
    rw_walk_init(&w);
    rw2_walk_start(&w, buf_str(&b));
    assert_int_equal(rw_walk_next(&w), RW_SERIES);
    if (why) {
        assert_false(w.labels_ok);
        assert_string_equal(w.reason, why);
    } else {
        struct buf text = {0};
        assert_true(w.labels_ok);
        labels_print(&text, w.labels);
        assert_string_equal(buf_z(&text), "m{a=\"m\", b=\"a\"}");
        buf_free(&text);
    }
    assert_int_equal(rw_walk_next(&w), RW_END);
    rw_walk_free(&w);
    buf_free(&b);
}

static void test_labels_of_others(void **state UNUSED)
{
    struct str sample = STR("\x12\x0b\x09\0\0\0\0\0\0\xf0\x3f\x10\x05");
    assert_rejected(REFS(1, 2, 5, 2, 3, 5), sample, NULL);
    assert_rejected(REFS(3, 5, 1, 2, 5, 2), sample, NULL); /* not sorted */
    assert_rejected(REFS(1, 2, 3, 0, 5, 2, 3, 5), sample, "duplicate label name");
    assert_rejected(REFS(1, 2, 3), sample, "odd number of label references");
    assert_rejected(REFS(1, 6), sample, "label reference beyond the symbols");
    assert_rejected(REFS(1, 4), sample, "label value is not UTF-8");
    assert_rejected(REFS(4, 1), sample, "label name is not UTF-8");
    assert_rejected(REFS(0, 1), sample, "label name is empty");
    assert_rejected(REFS(1, 0), sample, "no labels");
    assert_rejected(REFS(1, 2), STR("\x2a\x02\x18\x09"), "metadata reference beyond the symbols");
    assert_rejected(REFS(1, 2), STR("\x2a\x02\x18\x04"), "metadata is not UTF-8");
    /* references that are not packed, in two fields */
    assert_rejected(REFS(1, 2, 5, 2), STR("\x08\x03\x08\x05"), NULL);
}

/* The symbols after the series, a start time of an earlier draft, a bad exemplar among good ones. */
static void test_forms_of_others(void **state UNUSED)
{
    static const char *const texts[] = {"", "__name__", "m", "trace_id", "x"};
    struct rw_walk w;
    struct buf b = {0}, rest = {0};
    buf_add_str(&rest, STR("\x12\x0b\x09\0\0\0\0\0\0\xf0\x3f\x10\x05"));
    buf_add_str(&rest, STR("\x22\x04\x0a\x02\x03\x04" "\x22\x04\x0a\x02\x03\x09" "\x22\x00"));
    buf_add_str(&rest, STR("\x30\x03"));
    add_series(&b, REFS(1, 2), buf_str(&rest));
    add_symbols(&b, texts, LEN(texts));
    rw_walk_init(&w);
    rw2_walk_start(&w, buf_str(&b));
    for (int twice = 0; twice < 2; twice++, rw_walk_again(&w)) {
        assert_int_equal(rw_walk_next(&w), RW_SERIES);
        assert_true(w.labels_ok && w.n_samples == 1 && w.samples[0].v == 1 && w.samples[0].t == 5);
        assert_true(w.starts && w.starts[0] == 3);
        assert_int_equal(w.n_exemplars, 2);
        assert_int_equal(w.bad_exemplars, 1);
        assert_string_equal(w.bad_exemplar, "label reference beyond the symbols");
        assert_int_equal(rw_walk_next(&w), RW_END);
    }
    rw_walk_free(&w);
    buf_free(&b);
    buf_free(&rest);
}

static enum rw_item walk_all(struct rw_walk *w, struct str body, size_t step)
{
    enum rw_item item;
    rw2_walk_start(w, body);
    while ((item = rw_walk_some(w, step)) != RW_END && item != RW_ERROR)
        ;
    return item;
}

/* Cut at every byte and changed at every byte: read to an end, in steps as at once. Each cut is seen. */
static void test_damaged_2(void **state UNUSED)
{
    struct rw2_encoder e = {0};
    struct rw_walk w;
    struct buf one = body_1();
    size_t n, cuts = 0;
    struct buf two = body_2(&e, buf_str(&one), &n);
    rw_walk_init(&w);
    assert_int_equal(walk_all(&w, buf_str(&two), SIZE_MAX), RW_END);
    for (size_t i = 0; i < two.n; i++) {
        char *exact = mem_dup(two.p, i); /* so that a sanitizer sees a read beyond it */
        enum rw_item item = walk_all(&w, str_n(exact, i), SIZE_MAX);
        assert_int_equal(walk_all(&w, str_n(exact, i), 1), item);
        cuts += item == RW_ERROR;
        mem_free(exact);
    }
    assert_true(cuts + e.n_symbols + n >= two.n); /* all but those between two fields */
    for (size_t i = 0; i < two.n; i++)
        for (unsigned bit = 0; bit < 8; bit++) {
            two.p[i] = (char)(two.p[i] ^ (1 << bit));
            enum rw_item item = walk_all(&w, buf_str(&two), SIZE_MAX);
            assert_int_equal(walk_all(&w, buf_str(&two), 1), item);
            two.p[i] = (char)(two.p[i] ^ (1 << bit));
        }
    rw_walk_free(&w);
    buf_free(&one);
    buf_free(&two);
    rw2_encoder_free(&e);
}

static void assert_bomb(struct buf *b, const char *why)
{
    struct rw_walk w;
    rw_walk_init(&w);
    assert_int_equal(walk_all(&w, buf_str(b), SIZE_MAX), RW_ERROR);
    assert_non_null(strstr(w.err.text, why));
    assert_true(w._two._cap_symbols <= 2 * RW2_MAX_SYMBOLS && w._label_buf.cap <= 4 * LABELS_MAX_BYTES);
    rw_walk_free(&w);
    buf_free(b);
}

static void test_bombs(void **state UNUSED)
{
    struct buf b = {0};
    for (unsigned i = 0; i <= RW2_MAX_SYMBOLS; i++)
        buf_add_str(&b, STR("\x22\x00"));
    assert_bomb(&b, "more than 1048576 symbols");
    /* a long text in many labels, and in many exemplars */
    static char text[100000];
    memset(text, 'x', sizeof text);
    for (int exemplars = 0; exemplars < 2; exemplars++) {
        add_symbols(&b, (const char *[]){"", "__name__"}, 2);
        pb_add_bytes(&b, 4, str_n(text, sizeof text));
        for (unsigned i = 0; i < 1000; i++)
            add_series(&b, REFS(1, 2), exemplars ? STR("\x22\x04\x0a\x02\x01\x02") : STR(""));
        assert_bomb(&b, "64 times as large");
    }
    /* as the metadata of many families */
    add_symbols(&b, (const char *[]){"", "__name__"}, 2);
    pb_add_bytes(&b, 4, str_n(text, sizeof text));
    for (unsigned i = 3; i < 128; i++) {
        char name[8];
        snprintf(name, sizeof name, "m%u", i);
        add_symbols(&b, (const char *[]){name}, 1);
        add_series(&b, REFS(1, (uint8_t)i), STR("\x2a\x02\x18\x02"));
    }
    assert_bomb(&b, "64 times as large");
    /* in many exemplars of one series of a large body */
    struct buf rest = {0};
    for (unsigned i = 0; i < 50; i++)
        buf_add_str(&rest, STR("\x22\x04\x0a\x02\x01\x02"));
    add_symbols(&b, (const char *[]){"", "__name__"}, 2);
    pb_add_bytes(&b, 4, str_n(text, sizeof text));
    add_series(&b, REFS(1, 2), buf_str(&rest));
    assert_bomb(&b, "longer than 4 MiB");
    buf_free(&rest);
    pb_add_bytes(&b, 4, STR("x"));
    assert_bomb(&b, "the first symbol is not the empty text");
    buf_add_str(&b, STR("\x20\x01"));
    assert_bomb(&b, "wrong type");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_judged_by_protobuf_2), cmocka_unit_test(test_and_back),
        cmocka_unit_test(test_long_texts_and_back),
        cmocka_unit_test(test_an_empty_body),        cmocka_unit_test(test_remembers_metadata),
         cmocka_unit_test(test_families),
        cmocka_unit_test(test_labels_of_others),     cmocka_unit_test(test_forms_of_others),
        cmocka_unit_test(test_damaged_2),            cmocka_unit_test(test_bombs),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
