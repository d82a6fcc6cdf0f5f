// SPDX-License-Identifier: Apache-2.0
/* Our writer and reader of remote write bodies, judged by protobuf-c. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "model/remote.pb-c.h"
#include "model/remote_write.h"
#include "tests/unit/model/rng.h"
#include "tests/unit/model/scratch.h"
#include "base/hash.h"
#include "base/protobuf.h"
#include "base/varint.h"

static struct labels random_labels(uint64_t *seed)
{
    static const char *const names[] = {"__name__", "a", "instance", "job", "le", "mode", "ünï", "zone"};
    struct labels_builder b = {0};
    builder_add(&b, STR("always"), STR("x"));
    for (size_t i = 0; i < LEN(names); i++) {
        size_t n = rng_below(seed, 3) == 0 ? 0 : 1 + rng_below(seed, rng_below(seed, 20) ? 20 : 300);
        char *value = arena_bytes(&arena, n);
        for (size_t k = 0; k < n; k++)
            value[k] = (char)rng_below(seed, 128);
        builder_set(&b, str_of(names[i]), str_n(value, n));
    }
    struct labels l = builder_labels(&b, &arena);
    builder_free(&b);
    return l;
}

static struct sample random_sample(uint64_t *seed)
{
    static const int64_t times[] = {0, 1, -1, 127, 128, 1735689600123, INT64_MIN, INT64_MAX};
    static const double values[] = {0, 1, -1.5, 1e300, INFINITY};
    struct sample s = {times[rng_below(seed, LEN(times))], values[rng_below(seed, LEN(values))]};
    if (rng_below(seed, 10) == 0)
        s.v = stale_nan();
    return s;
}

static struct str random_exemplar(uint64_t *seed)
{
    struct buf b = {0};
    labels_append(&b, STR("trace"), arena_printf(&arena, "%u", (unsigned)rng_below(seed, 1000)));
    pb_add_double(&b, 2, 1.0 + (double)rng_below(seed, 1000));
    pb_add_int(&b, 3, 1735689600000);
    struct str s = arena_str(&arena, buf_str(&b));
    buf_free(&b);
    return s;
}

static struct str random_histogram(uint64_t *seed)
{
    struct buf b = {0};
    pb_add_double(&b, 2, 1.0 + (double)rng_below(seed, 1000));
    pb_add_int(&b, 15, -1 - (int64_t)rng_below(seed, 1000));
    struct str s = arena_str(&arena, buf_str(&b));
    buf_free(&b);
    return s;
}

struct one {
    struct labels labels;
    struct sample samples[5];
    size_t n_samples;
    struct str hists[2];
    size_t n_hists;
    struct str exemplars[2];
    size_t n_exemplars;
};

static struct one random_series(uint64_t *seed)
{
    struct one o = {.labels = random_labels(seed), .n_samples = rng_below(seed, 6)};
    for (size_t i = 0; i < o.n_samples; i++)
        o.samples[i] = random_sample(seed);
    o.n_hists = rng_below(seed, 3);
    for (size_t i = 0; i < o.n_hists; i++)
        o.hists[i] = random_histogram(seed);
    o.n_exemplars = rng_below(seed, 3);
    for (size_t i = 0; i < o.n_exemplars; i++)
        o.exemplars[i] = random_exemplar(seed);
    return o;
}

static const struct metadata some_metadata[] = {
    {STR("up"), STR("Is it up? \"yes\"\n"), STR(""), METRIC_GAUGE},
    {STR("bytes_total"), STR(""), STR("bytes"), METRIC_COUNTER},
    {STR("odd"), STR(""), STR(""), METRIC_UNKNOWN},
};

static struct buf random_body(uint64_t *seed, struct one *series, size_t n)
{
    struct buf body = {0};
    for (size_t i = 0; i < n; i++) {
        struct one *o = &series[i];
        *o = random_series(seed);
        if (o->n_hists == 0 && o->n_exemplars == 0)
            rw_append_series(&body, o->labels, o->samples, o->n_samples);
        else
            rw_append_full(&body, o->labels, &(struct rw_contents){.samples = o->samples, .n_samples = o->n_samples,
                                                                   .hists = o->hists, .n_hists = o->n_hists,
                                                                   .exemplars = o->exemplars,
                                                                   .n_exemplars = o->n_exemplars});
    }
    for (size_t i = 0; i < LEN(some_metadata); i++)
        rw_append_metadata(&body, &some_metadata[i]);
    return body;
}

static void assert_bytes(ProtobufCBinaryData got, struct str want)
{
    assert_int_equal(got.len, want.n);
    assert_true(str_eq(str_n(got.data, got.len), want));
}

static void assert_series(const Pb__TimeSeries *got, const struct one *want)
{
    assert_int_equal(got->n_labels, want->labels.count);
    struct labels_iter it = labels_iter(want->labels);
    struct label l;
    for (size_t i = 0; labels_next(&it, &l); i++) {
        assert_bytes(got->labels[i]->name, l.name);
        assert_bytes(got->labels[i]->value, l.value);
    }
    assert_int_equal(got->n_samples, want->n_samples);
    for (size_t i = 0; i < want->n_samples; i++) {
        assert_true(double_bits(got->samples[i]->value) == double_bits(want->samples[i].v));
        assert_true(got->samples[i]->timestamp == want->samples[i].t);
    }
    assert_int_equal(got->n_histograms, want->n_hists);
    assert_int_equal(got->n_exemplars, want->n_exemplars);
    for (size_t i = 0; i < want->n_hists; i++)
        assert_true(got->histograms[i]->timestamp == rw_hist_time(want->hists[i]));
}

/* protobuf-c reads what we wrote, and writes the same bytes. */
static void test_judged_by_protobuf(void **state UNUSED)
{
    uint64_t seed = 1;
    for (int round = 0; round < 300; round++) {
        struct one series[8];
        size_t n = rng_below(&seed, LEN(series));
        struct buf body = random_body(&seed, series, n);
        Pb__WriteRequest *r = pb__write_request__unpack(NULL, body.n, (uint8_t *)body.p);
        assert_non_null(r);
        assert_int_equal(r->n_timeseries, n);
        for (size_t i = 0; i < n; i++)
            assert_series(r->timeseries[i], &series[i]);
        assert_int_equal(r->n_metadata, LEN(some_metadata));
        assert_bytes(r->metadata[0]->help, some_metadata[0].help);
        assert_int_equal(pb__write_request__get_packed_size(r), body.n);
        uint8_t *again = mem_alloc(body.n);
        pb__write_request__pack(r, again);
        assert_memory_equal(again, body.p, body.n);
        mem_free(again);
        pb__write_request__free_unpacked(r, NULL);
        buf_free(&body);
    }
}

static void test_round_trip(void **state UNUSED)
{
    uint64_t seed = 2;
    struct rw_walk w;
    rw_walk_init(&w);
    for (int round = 0; round < 300; round++) {
        struct one series[8];
        size_t n = rng_below(&seed, LEN(series));
        struct buf body = random_body(&seed, series, n);
        rw_walk_start(&w, buf_str(&body));
        for (size_t i = 0; i < n; i++) {
            const struct one *o = &series[i];
            assert_int_equal(rw_walk_next(&w), RW_SERIES);
            assert_true(w.labels_ok && labels_equal(w.labels, o->labels));
            assert_ptr_equal(w.labels.p, w.label_bytes); /* in place */
            assert_int_equal(w.n_samples, o->n_samples);
            assert_true(o->n_samples == 0 || memcmp(w.samples, o->samples, o->n_samples * sizeof *o->samples) == 0);
            assert_int_equal(w.n_hists, o->n_hists);
            assert_int_equal(w.n_exemplars, o->n_exemplars);
            for (size_t k = 0; k < o->n_hists; k++)
                assert_true(str_eq(w.hists[k], o->hists[k]));
            for (size_t k = 0; k < o->n_exemplars; k++)
                assert_true(str_eq(w.exemplars[k], o->exemplars[k]));
        }
        for (size_t i = 0; i < LEN(some_metadata); i++) {
            assert_int_equal(rw_walk_next(&w), RW_METADATA);
            assert_true(str_eq(w.metadata.family, some_metadata[i].family)
                        && str_eq(w.metadata.help, some_metadata[i].help));
            assert_true(str_eq(w.metadata.unit, some_metadata[i].unit) && w.metadata.type == some_metadata[i].type);
        }
        assert_int_equal(rw_walk_next(&w), RW_END);
        assert_int_equal(rw_walk_next(&w), RW_END);
        buf_free(&body);
    }
    rw_walk_free(&w);
}

static enum rw_item walk_bytes(struct rw_walk *w, struct str body)
{
    rw_walk_start(w, body);
    return rw_walk_next(w);
}

static void assert_rebuilt(struct str body, const char *want)
{
    struct rw_walk w;
    rw_walk_init(&w);
    assert_int_equal(walk_bytes(&w, body), RW_SERIES);
    assert_true(w.labels_ok);
    struct buf text = {0};
    labels_print(&text, w.labels);
    assert_string_equal(buf_z(&text), want);
    assert_int_equal(rw_walk_next(&w), RW_END);
    buf_free(&text);
    rw_walk_free(&w);
}

static void test_rebuilds_labels(void **state UNUSED)
{
    /* order */
    assert_rebuilt(STR("\x0a\x10\x0a\x06\x0a\x01" "b\x12\x01x\x0a\x06\x0a\x01" "a\x12\x01y"), "{a=\"y\", b=\"x\"}");
    /* an empty value, and a value field left out */
    assert_rebuilt(STR("\x0a\x14\x0a\x05\x0a\x01"
                       "b\x12\x00\x0a\x03\x0a\x01"
                       "c\x0a\x06\x0a\x01"
                       "a\x12\x01y"),
                   "{a=\"y\"}");
    /* the value first; a sample in between; an unknown field */
    assert_rebuilt(STR("\x0a\x16\x0a\x06\x0a\x01"
                       "a\x12\x01y\x12\x02\x10\x05\x48\x01\x0a\x06\x12\x01"
                       "z\x0a\x01"
                       "b"),
                   "{a=\"y\", b=\"z\"}");
    /* a padded length */
    assert_rebuilt(STR("\x0a\x09\x0a\x86\x00\x0a\x01" "a\x12\x01y"), "{a=\"y\"}");
}

static void assert_refused(struct str body, const char *want)
{
    struct rw_walk w;
    rw_walk_init(&w);
    assert_int_equal(walk_bytes(&w, body), RW_SERIES);
    assert_false(w.labels_ok);
    assert_string_equal(w.reason, want);
    rw_walk_free(&w);
}

static void test_refuses_labels(void **state UNUSED)
{
    assert_refused(STR("\x0a\x10\x0a\x06\x0a\x01"
                       "a\x12\x01x\x0a\x06\x0a\x01"
                       "a\x12\x01y"),
                   "duplicate label name");
    assert_refused(STR("\x0a\x02\x12\x00"), "no labels");
    assert_refused(STR("\x0a\x00"), "no labels");
    assert_refused(STR("\x0a\x07\x0a\x05\x0a\x01" "a\x12\x00"), "no labels");
    assert_refused(STR("\x0a\x05\x0a\x03\x12\x01x"), "label name is empty");
    assert_refused(STR("\x0a\x08\x0a\x06\x0a\x01" "a\x12\x01\xff"), "label value is not UTF-8");
    assert_refused(STR("\x0a\x08\x0a\x06\x0a\x01\xff\x12\x01x"), "label name is not UTF-8");
    struct buf series = {0}, body = {0};
    for (unsigned i = 0; i <= LABELS_MAX_COUNT; i++)
        labels_append(&series, arena_printf(&arena, "l%06u", i), STR("x"));
    pb_add_bytes(&body, 1, buf_str(&series));
    assert_refused(buf_str(&body), "too many labels");
    buf_free(&series);
    buf_free(&body);
}

/* In steps, each item is the same as at once. */
static void test_steps(void **state UNUSED)
{
    enum { SAMPLES = 1000, STEP = 64 };
    struct sample samples[SAMPLES];
    struct labels labels;
    struct buf wire = {0}, body = {0};
    struct rw_walk w;
    for (int i = 0; i < SAMPLES; i++)
        samples[i] = (struct sample){.t = i, .v = i};
    labels_append(&wire, STR("__name__"), STR("m"));
    labels_append(&wire, STR("a"), STR("b"));
    assert_true(labels_check((const uint8_t *)wire.p, wire.n, &labels));
    rw_append_series(&body, labels, samples, SAMPLES);
    rw_append_series(&body, labels, samples, 1);
    rw_append_metadata(&body, &(struct metadata){.family = STR("m"), .help = STR("h")});
    rw_walk_init(&w);
    rw_walk_start(&w, buf_str(&body));
    unsigned steps = 1;
    for (; rw_walk_some(&w, STEP) == RW_MORE; steps++)
        assert_true(w.n_samples <= steps * STEP);
    assert_int_equal(steps, (SAMPLES + 2 + STEP - 1) / STEP);
    assert_int_equal(w.n_samples, SAMPLES);
    assert_true(w.labels_ok && labels_equal(w.labels, labels));
    for (int i = 0; i < SAMPLES; i++)
        assert_true(w.samples[i].t == i && w.samples[i].v == i);
    assert_int_equal(rw_walk_some(&w, STEP), RW_SERIES);
    assert_int_equal(w.n_samples, 1);
    assert_int_equal(rw_walk_some(&w, STEP), RW_METADATA);
    assert_int_equal(rw_walk_some(&w, STEP), RW_END);
    rw_walk_start(&w, str_first(buf_str(&body), body.n / 2));
    enum rw_item item;
    while ((item = rw_walk_some(&w, STEP)) == RW_MORE) {
    }
    assert_int_equal(item, RW_ERROR); /* the series is longer than the body */
    assert_int_equal(rw_walk_some(&w, STEP), RW_ERROR);
    rw_walk_free(&w);
    buf_free(&wire);
    buf_free(&body);
}

static void assert_damaged(struct str body, const char *want)
{
    struct rw_walk w;
    rw_walk_init(&w);
    assert_int_equal(walk_bytes(&w, body), RW_ERROR);
    assert_int_equal(rw_walk_next(&w), RW_ERROR);
    assert_string_equal(w.err.text, want);
    rw_walk_free(&w);
}

static void test_says_what_is_damaged(void **state UNUSED)
{
    assert_damaged(STR("\x0a\x05\x0a"), "corrupted remote write body at byte 0: truncated or malformed field");
    assert_damaged(STR("\x0a\x03\x0a\x09x"), "corrupted remote write body at byte 2: truncated or malformed field");
    assert_damaged(STR("\x0a\x04\x12\x02\x08\x01"),
                   "corrupted remote write body at byte 6: sample field of the wrong type");
    assert_damaged(STR("\x0a\x03\x12\x01\x09"), "corrupted remote write body at byte 4: truncated or malformed sample");
    assert_damaged(STR("\x08\x01"), "corrupted remote write body at byte 2: field of the wrong type");
    assert_damaged(STR("\x0a\x02\x10\x01"), "corrupted remote write body at byte 0: series field of the wrong type");
    assert_damaged(STR("\x1a\x03\x12\x09x"), "corrupted remote write body at byte 2: truncated or malformed field");
    assert_damaged(STR("\x0a\x04\x22\x02\x10\x80"), "corrupted remote write body at byte 4: truncated or malformed field");
}

static void assert_same_in_steps(struct rw_walk *w, struct str body, size_t fields, enum rw_item want, size_t n_series)
{
    struct err err = w->err;
    enum rw_item item;
    rw_walk_start(w, body);
    while ((item = rw_walk_some(w, fields)) != RW_END && item != RW_ERROR)
        n_series -= item == RW_SERIES;
    assert_int_equal(item, want);
    assert_int_equal(n_series, 0);
    if (item == RW_ERROR)
        assert_string_equal(w->err.text, err.text);
}

/* Of all that a walk finds in each series. */
static uint64_t walk_digest(struct rw_walk *w, size_t fields)
{
    struct buf all = {0};
    enum rw_item item;
    while ((item = rw_walk_some(w, fields)) == RW_SERIES || item == RW_METADATA || item == RW_MORE) {
        if (item != RW_SERIES)
            continue;
        buf_printf(&all, "%d %u %zu %zu %zu ", w->labels_ok, w->labels_ok ? w->labels.count : 0, w->n_samples, w->n_hists, w->n_exemplars);
        buf_add(&all, w->labels.p, w->labels_ok ? w->labels.n : 0);
        buf_add(&all, w->samples, w->n_samples * sizeof *w->samples);
    }
    uint64_t digest = hash_bytes(all.p, all.n);
    buf_free(&all);
    return digest;
}

static void assert_same_again(struct str body)
{
    struct rw_walk once, twice;
    rw_walk_init(&once);
    rw_walk_init(&twice);
    twice.twice = true;
    rw_walk_start(&once, body);
    rw_walk_start(&twice, body);
    uint64_t digest = walk_digest(&once, 1); /* nothing is in the usual form then */
    assert_int_equal(walk_digest(&twice, SIZE_MAX), digest);
    rw_walk_again(&twice);
    assert_int_equal(walk_digest(&twice, SIZE_MAX), digest);
    rw_walk_free(&once);
    rw_walk_free(&twice);
}

/* A body that is walked twice, the second time with what is known of its labels: series in the usual form between others. */
static void test_walked_twice(void **state UNUSED)
{
    uint64_t seed = 5;
    for (int round = 0; round < 300; round++) {
        struct buf body = {0};
        for (int i = 0; i < 20; i++) {
            struct one o = random_series(&seed);
            struct sample plain[3] = {{1, 1.5}, {1735689600123, -1}, {INT64_MAX, 1e300}};
            bool other = rng_below(&seed, 3) == 0;
            rw_append_full(&body, o.labels, &(struct rw_contents){.samples = plain, .n_samples = rng_below(&seed, 4),
                                                                  .hists = o.hists, .n_hists = other ? o.n_hists : 0});
        }
        assert_same_again(buf_str(&body));
        buf_free(&body);
    }
}

/* Damaged bodies: never out of bounds (AddressSanitizer looks on), what is accepted is canonical, and protobuf-c agrees
 * wherever we find no fault. */
static void test_damaged_bodies(void **state UNUSED)
{
    uint64_t seed = 3;
    struct one series[4];
    struct buf good = random_body(&seed, series, LEN(series));
    struct rw_walk w;
    rw_walk_init(&w);
    unsigned accepted = 0, refused = 0;
    for (int round = 0; round < 20000; round++) {
        struct str bad = rng_damage(&seed, buf_str(&good), 5, STR_NONE);
        rw_walk_start(&w, bad);
        enum rw_item item;
        size_t n_series = 0;
        while ((item = rw_walk_next(&w)) == RW_SERIES || item == RW_METADATA) {
            struct labels again;
            n_series += item == RW_SERIES;
            assert_true(item == RW_METADATA || !w.labels_ok || labels_check(w.labels.p, w.labels.n, &again));
        }
        assert_same_in_steps(&w, bad, (size_t)round % 7 + 1, item, n_series);
        if (item == RW_END)
            assert_same_again(bad);
        if (item == RW_END) {
            Pb__WriteRequest *r = pb__write_request__unpack(NULL, bad.n, (const uint8_t *)bad.p);
            assert_true(r == NULL || r->n_timeseries == n_series);
            if (r)
                pb__write_request__free_unpacked(r, NULL);
        }
        *(item == RW_END ? &accepted : &refused) += 1;
        mem_free((char *)bad.p);
    }
    assert_true(accepted > 1000 && refused > 1000);
    rw_walk_free(&w);
    buf_free(&good);
}

static void test_fields(void **state UNUSED)
{
    static const uint64_t numbers[] = {
        0, 1, 127, 128, 16383, 16384, UINT32_MAX, (uint64_t)1 << 56, (uint64_t)1 << 63, UINT64_MAX};
    struct buf b = {0};
    for (size_t i = 0; i < LEN(numbers); i++) {
        buf_clear(&b);
        pb_add_varint(&b, numbers[i]);
        assert_int_equal(b.n, varint_size(numbers[i]));
        buf_clear(&b);
        pb_add_int(&b, 16, (int64_t)numbers[i]);
        struct pb_field f;
        const uint8_t *p = (const uint8_t *)b.p;
        assert_true(pb_next(&p, p + b.n, &f));
        assert_true(f.number == 16 && f.wire == 0 && f.value == numbers[i]);
        assert_false(pb_next(&p, p, &f));
        for (size_t n = 1; n < b.n; n++) {
            p = (const uint8_t *)b.p;
            assert_false(pb_next(&p, p + n, &f));
            assert_ptr_equal(p, b.p);
        }
    }
    static const struct str bad[] = {
        {"\x03", 1}, {"\x0c", 1}, {"\x0e", 1}, {"\x00\x01", 2}, {"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11},
        {"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11}, {"\x0d\x00\x00", 3}, {"\x80\x80\x80\x80\x10\x00", 6},
    };
    for (size_t i = 0; i < LEN(bad); i++) {
        struct pb_field f;
        const uint8_t *p = (const uint8_t *)bad[i].p;
        assert_false(pb_next(&p, p + bad[i].n, &f));
        assert_ptr_equal(p, bad[i].p);
    }
    buf_free(&b);
}

static void test_limited_buffer(void **state UNUSED)
{
    struct labels l = labels_from(&arena, &(struct label){STR("a"), STR("b")}, 1);
    struct buf out = {.max = 40};
    rw_append_series(&out, l, &(struct sample){1, 1}, 1);
    size_t n = out.n;
    assert_true(n > 0 && !out.over);
    rw_append_series(&out, l, &(struct sample){1, 1}, 1);
    assert_true(out.over && out.n == n); /* nothing of it was written */
    buf_free(&out);
    out.max = 0;
    static char help[20000];
    struct metadata m = {.family = STR("up"), .help = str_n(help, sizeof help), .unit = STR("s"), .type = METRIC_GAUGE};
    rw_append_metadata(&out, &m);
    struct buf exact = {.max = out.n};
    rw_append_metadata(&exact, &m);
    assert_true(!exact.over && str_eq(buf_str(&exact), buf_str(&out)));
    struct buf less = {.max = out.n - 1};
    rw_append_metadata(&less, &m);
    assert_true(less.over && less.n == 0);
    buf_free(&out);
    buf_free(&exact);
    buf_free(&less);
}

static void test_type_names(void **state UNUSED)
{
    for (unsigned t = METRIC_UNKNOWN; t <= METRIC_STATESET; t++)
        assert_int_equal(metric_type_parse(str_of(metric_type_name((enum metric_type)t))), t);
    assert_int_equal(metric_type_parse(STR("untyped")), METRIC_UNKNOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_judged_by_protobuf),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_rebuilds_labels),
        cmocka_unit_test(test_refuses_labels),
        cmocka_unit_test(test_says_what_is_damaged),
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_walked_twice),
        cmocka_unit_test(test_damaged_bodies),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_limited_buffer),
        cmocka_unit_test(test_type_names),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
