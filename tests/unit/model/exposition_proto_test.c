// SPDX-License-Identifier: Apache-2.0
/* Protobuf exposition: what becomes of families, as text and as messages beside it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/protobuf.h"
#include "base/varint.h"
#include "model/exposition/exposition_proto.h"
#include "model/histogram/histogram.h"
#include "model/remote_write.h"
#include "tests/unit/model/rng.h"
#include "tests/unit/model/page_extras.h"

/* ---- writing families ---- */

static struct buf body;
static struct buf family, metric, value, item;

static void label(struct buf *to, unsigned field, struct str name, struct str text)
{
    struct buf pair = {0};
    pb_add_bytes(&pair, 1, name);
    pb_add_bytes(&pair, 2, text);
    pb_add_bytes(to, field, buf_str(&pair));
    buf_free(&pair);
}

static void begin_family(struct str name, int type)
{
    buf_clear(&family);
    pb_add_bytes(&family, 1, name);
    pb_add_int(&family, 3, type);
}

/* The metric so far gets the value so far as this field. */
static void end_metric(unsigned field)
{
    pb_add_bytes(&metric, field, buf_str(&value));
    pb_add_bytes(&family, 4, buf_str(&metric));
    buf_clear(&metric);
    buf_clear(&value);
}

static void end_family(void)
{
    pb_add_varint(&body, family.n);
    buf_add_str(&body, buf_str(&family));
}

static void exemplar(struct buf *to, unsigned field, struct str trace, double v, int64_t seconds)
{
    buf_clear(&item);
    label(&item, 1, STR("trace"), trace);
    pb_add_double(&item, 2, v);
    if (seconds) {
        struct buf time = {0};
        pb_add_int(&time, 1, seconds);
        pb_add_int(&time, 2, 5999999);
        pb_add_bytes(&item, 3, buf_str(&time));
        buf_free(&time);
    }
    struct buf message = item;
    item = (struct buf){0};
    pb_add_bytes(to, field, buf_str(&message));
    buf_free(&message);
}

static void bucket(double bound, int64_t count, struct str trace, int64_t seconds)
{
    struct buf b = {0};
    pb_add_int(&b, 1, count);
    pb_add_double(&b, 2, bound);
    if (trace.p)
        exemplar(&b, 3, trace, bound / 2, seconds);
    pb_add_bytes(&value, 3, buf_str(&b));
    buf_free(&b);
}

static void span(unsigned field, int offset, int length)
{
    struct buf s = {0};
    pb_add_int(&s, 1, (int64_t)zigzag(offset));
    pb_add_int(&s, 2, length);
    pb_add_bytes(&value, field, buf_str(&s));
    buf_free(&s);
}

/* ---- reading the page ---- */

/* The text, and a line for each extra: the series, then `exemplar @t` or `histogram count schema hint @t`. */
static struct buf convert(struct str bytes, struct proto_page_options options)
{
    struct proto_page p;
    struct buf out = {0};
    enum copy_state state;
    proto_page_init(&p);
    proto_page_start(&p, bytes, &options);
    while ((state = proto_page_convert(&p, 1)) == COPY_MORE) {
    }
    struct page_text page = page_copy_text(&p.copy, EXPOSITION_TEXT);
    struct exposition e;
    enum exposition_kind kind;
    exposition_start(&e, state == COPY_COMPLETE ? page.text : STR_NONE);
    while ((kind = exposition_next(&e)) != EXPOSITION_END)
        if (kind == EXPOSITION_ERROR)
            fail_msg("%s", e.err.text);
    if (state == COPY_COMPLETE)
        buf_add_str(&out, page.text);
    else
        buf_printf(&out, "error %s\n", p.copy.err.text);
    if (state == COPY_COMPLETE)
        print_page_extras(&out, &page);
    proto_page_free(&p);
    return out;
}

static void assert_converts(struct proto_page_options options, const char *want)
{
    struct buf got = convert(buf_str(&body), options);
    assert_string_equal(buf_z(&got), want);
    buf_free(&got);
}

static const struct proto_page_options usual = {.t = 17, .own_times = true, .max_bytes = 1 << 20, .max_schema = 8};

static int clear(void **state UNUSED)
{
    struct buf *all[] = {&body, &family, &metric, &value, &item};
    for (size_t i = 0; i < LEN(all); i++)
        buf_free(all[i]);
    return 0;
}

/* ---- tests ---- */

static void add_counter(void)
{
    begin_family(STR("requests"), 0);
    pb_add_bytes(&family, 2, STR("line\n\\ \"q\""));
    pb_add_bytes(&family, 5, STR("s"));
    label(&metric, 1, STR("code"), STR("2\"0\\0\n"));
    label(&metric, 1, STR("a.b"), STR("c"));
    pb_add_int(&metric, 6, 1234);
    pb_add_double(&value, 1, 0.1);
    exemplar(&value, 2, STR("x"), 1, 9);
    end_metric(3);
    pb_add_double(&value, 1, 2);
    exemplar(&value, 2, STR("y"), 1, 0);
    end_metric(3);
    end_family();
}

static void test_plain_types(void **state UNUSED)
{
    add_counter();
    begin_family(STR("a.gauge"), 1);
    label(&metric, 1, STR("l"), STR("v"));
    pb_add_double(&value, 1, (double)-INFINITY);
    end_metric(2);
    end_metric(2); /* the value 0 */
    end_family();
    begin_family(STR("u"), 3);
    pb_add_double(&value, 1, (double)NAN);
    end_metric(5);
    end_family();
    begin_family(STR("empty"), 1);
    end_family();
    assert_converts(usual,
        "# HELP requests line\\n\\\\ \"q\"\n# TYPE requests counter\n# UNIT requests s\n"
        "requests{code=\"2\\\"0\\\\0\\n\",\"a.b\"=\"c\"} 0.1 1234\n"
        "requests{} 2\n"
        "# TYPE \"a.gauge\" gauge\n{\"a.gauge\",l=\"v\"} -Inf\n{\"a.gauge\"} 0\n"
        "# TYPE u unknown\nu{} NaN\n"
        "requests{code=\"2\\\"0\\\\0\\n\",\"a.b\"=\"c\"}: exemplar @9005\n"
        "requests{}: exemplar @17\n");
}

static void add_summary(void)
{
    begin_family(STR("s"), 2);
    label(&metric, 1, STR("l"), STR("v"));
    pb_add_int(&value, 1, 7);
    pb_add_double(&value, 2, 1.5);
    pb_add_double(&item, 1, 0.5);
    pb_add_double(&item, 2, 3);
    pb_add_bytes(&value, 3, buf_str(&item));
    end_metric(4);
    end_family();
}

static void add_histogram(bool native, int type)
{
    begin_family(STR("h"), type);
    pb_add_int(&value, 1, 3);
    pb_add_double(&value, 2, 1.5);
    bucket(1, 2, STR("b"), 4);
    bucket(1e6, 3, STR("c"), 0);
    if (native) {
        pb_add_int(&value, 5, (int64_t)zigzag(2));
        pb_add_double(&value, 6, 0.001);
        pb_add_int(&value, 7, 1);
        span(12, -1, 2);
        pb_add_int(&value, 13, (int64_t)zigzag(1));
        pb_add_int(&value, 13, (int64_t)zigzag(0));
    }
    end_metric(7);
    end_family();
}

static void test_summaries_and_histograms(void **state UNUSED)
{
    add_summary();
    add_histogram(false, 4);
    assert_converts(usual,
        "# TYPE s summary\ns_count{l=\"v\"} 7\ns_sum{l=\"v\"} 1.5\ns{l=\"v\",quantile=\"0.5\"} 3\n"
        "# TYPE h histogram\nh_count{} 3\nh_sum{} 1.5\nh_bucket{le=\"1.0\"} 2\nh_bucket{le=\"1e+06\"} 3\n"
        "h_bucket{le=\"+Inf\"} 3\n"
        "h_bucket{le=\"1.0\"}: exemplar @4005\nh_bucket{le=\"1e+06\"}: exemplar @17\n");
}

static void test_native_histograms(void **state UNUSED)
{
    add_histogram(true, 4);
    struct proto_page_options options = usual;
    static const char *const classic =
        "h_count{} 3\nh_sum{} 1.5\nh_bucket{le=\"1.0\"} 2\nh_bucket{le=\"1e+06\"} 3\nh_bucket{le=\"+Inf\"} 3\n";
    struct buf want = {0};
    buf_printf(&want, "# TYPE h histogram\n%sh_bucket{le=\"1.0\"}: exemplar @4005\nh_bucket{le=\"1e+06\"}: exemplar @17\n",
               classic);
    assert_converts(options, buf_z(&want));
    options.native = true; /* only exemplars with a time */
    assert_converts(options, "# TYPE h histogram\nh{} 0\nh{}: histogram 3 2 0 @17\nh{}: exemplar @4005\n");
    options.classic_too = true;
    buf_clear(&want);
    buf_printf(&want, "# TYPE h histogram\nh{} 0\n%sh{}: histogram 3 2 0 @17\nh{}: exemplar @4005\n"
                      "h_bucket{le=\"1.0\"}: exemplar @4005\nh_bucket{le=\"1e+06\"}: exemplar @17\n", classic);
    assert_converts(options, buf_z(&want));
    buf_free(&want);
    clear(NULL);
    add_histogram(true, 5);
    options.classic_too = false;
    assert_converts(options, "# TYPE h gaugehistogram\nh{} 0\nh{}: histogram 3 2 3 @17\nh{}: exemplar @4005\n");
}

/* Buckets are merged until the schema and their number are allowed; counts stay whole numbers. */
static void test_coarser_histograms(void **state UNUSED)
{
    struct proto_page_options options = usual;
    options.native = true;
    add_histogram(true, 4); /* schema 2, two buckets */
    options.max_schema = 1;
    assert_converts(options, "# TYPE h histogram\nh{} 0\nh{}: histogram 3 1 0 @17\nh{}: exemplar @4005\n");
    options.max_schema = 8;
    options.bucket_limit = 2;
    assert_converts(options, "# TYPE h histogram\nh{} 0\nh{}: histogram 3 2 0 @17\nh{}: exemplar @4005\n");
    options.bucket_limit = 1;
    assert_converts(options, "# TYPE h histogram\nh{} 0\nh{}: histogram 3 1 0 @17\nh{}: exemplar @4005\n");
    clear(NULL);
    begin_family(STR("far"), 4);
    pb_add_int(&value, 1, 3);
    pb_add_int(&value, 5, (int64_t)zigzag(0));
    for (int side = 0; side < 2; side++) {
        span(side ? 12 : 9, 1, 1);
        pb_add_int(&value, side ? 13 : 10, (int64_t)zigzag(side + 1));
    }
    end_metric(7);
    end_family();
    assert_converts(options, "error metric family \"far\": native_histogram_bucket_limit exceeded\n");
}

/* Counts beyond 2^53 are not exact: what is merged gets the float form. */
static void test_coarser_histograms_with_large_counts(void **state UNUSED)
{
    struct proto_page_options options = usual;
    options.native = true;
    options.max_schema = 0;
    begin_family(STR("h"), 4);
    pb_add_int(&value, 1, -2); /* 2^64 - 2 */
    pb_add_int(&value, 5, (int64_t)zigzag(1));
    span(12, 1, 2);
    pb_add_int(&value, 13, (int64_t)zigzag(INT64_MAX));
    pb_add_int(&value, 13, (int64_t)zigzag(0));
    end_metric(7);
    end_family();
    assert_converts(options, "# TYPE h histogram\nh{} 0\nh{}: histogram 1.84467e+19 0 0 @17\n");
}

/* A sum with the bits of the stale marker is an ordinary NaN, in both kinds of native histograms. */
static void test_sums_are_no_stale_markers(void **state UNUSED)
{
    for (int custom = 0; custom < 2; custom++) {
        struct proto_page p;
        struct histogram h;
        struct err err;
        int64_t t;
        clear(NULL);
        begin_family(STR("h"), 4);
        pb_add_int(&value, 1, 3);
        pb_add_double(&value, 2, stale_nan());
        if (custom)
            bucket(1, 3, STR_NONE, 0);
        else
            span(12, 0, 1);
        if (!custom)
            pb_add_int(&value, 13, (int64_t)zigzag(3));
        end_metric(7);
        end_family();
        proto_page_init(&p);
        proto_page_start(&p, buf_str(&body), &(struct proto_page_options){
            .native = true, .custom = custom, .t = 1, .max_bytes = 1000, .max_schema = 8});
        assert_int_equal(proto_page_convert(&p, 10), COPY_COMPLETE);
        assert_int_equal(p.copy.n_extras, 1);
        assert_true(histogram_decode(&arena, (const uint8_t *)p.copy.messages.p, p.copy.messages.n, &t, &h, &err));
        assert_true(isnan(h.sum) && !histogram_is_stale(&h));
        proto_page_free(&p);
    }
}

/* Classic histograms as native ones, start times, and types and units as labels. */
static void test_what_jobs_may_want(void **state UNUSED)
{
    struct proto_page_options options = usual;
    options.custom = options.starts = options.family_labels = true;
    struct buf start = {0};
    pb_add_int(&start, 1, 5);
    pb_add_int(&start, 2, 6000000);
    add_histogram(false, 4);
    assert_converts(options, "# TYPE h histogram\nh{__type__=\"histogram\"} 0\n"
                    "h{__type__=\"histogram\"}: histogram 3 -53 0 @17, sum 1.5, bounds 1 1e+06, buckets 0:2 1:1\n"
                    "h{__type__=\"histogram\"}: exemplar @4005\n");
    clear(NULL);
    begin_family(STR("c_seconds"), 0);
    pb_add_bytes(&family, 5, STR("seconds"));
    label(&metric, 1, STR("__type__"), STR("own"));
    label(&metric, 1, STR("a"), STR("b"));
    pb_add_double(&value, 1, 2);
    pb_add_bytes(&value, 3, buf_str(&start));
    end_metric(3);
    end_family();
    assert_converts(options, "# TYPE c_seconds counter\n# UNIT c_seconds seconds\n"
                    "c_seconds{__type__=\"counter\",__unit__=\"seconds\",a=\"b\"} 2\n"
                    "c_seconds{__type__=\"counter\",__unit__=\"seconds\",a=\"b\"}: start 5006\n");
    options.bucket_limit = 1;
    clear(NULL);
    add_histogram(false, 4);
    assert_converts(options, "error metric family \"h\": native_histogram_bucket_limit exceeded\n");
    buf_free(&start);
}

/* The integer form and its exemplars, and the float form, in which the sum of the buckets is not checked. */
static void test_float_histograms_with_their_own_exemplars(void **state UNUSED)
{
    struct proto_page_options options = usual;
    options.native = true;
    begin_family(STR("f"), 4);
    pb_add_double(&value, 4, 2.5);
    pb_add_double(&value, 6, 0.1);
    span(12, 3, 1);
    pb_add_double(&value, 14, 2.5);
    bucket(1, 2, STR("b"), 4);
    exemplar(&value, 16, STR("own"), 1, 8);
    exemplar(&value, 16, STR("timeless"), 1, 0);
    pb_add_int(&metric, 6, 1000);
    end_metric(7);
    end_family();
    assert_converts(options, "# TYPE f histogram\nf{} 0 1000\nf{}: histogram 2.5 0 0 @1000\nf{}: exemplar @8005\n");
}

static void test_errors(void **state UNUSED)
{
    struct proto_page_options options = usual;
    options.native = true;
    begin_family(STR("h"), 4);
    pb_add_int(&value, 1, 3);
    span(12, 0, 2);
    pb_add_int(&value, 13, (int64_t)zigzag(1));
    end_metric(7);
    end_family();
    assert_converts(options, "error metric family \"h\": native histogram: spans do not match the number of bucket counts\n");
    clear(NULL);
    begin_family(STR("x"), 9);
    end_metric(5);
    end_family();
    assert_converts(usual, "error metric family \"x\": unknown metric type\n");
    clear(NULL);
    begin_family(STR(""), 3);
    end_metric(5);
    end_family();
    assert_converts(usual, "error metric family \"\": the name is empty or not UTF-8\n");
    clear(NULL);
    add_histogram(false, 4);
    options.max_bytes = 60;
    assert_converts(options, "error the response would have more than 60 bytes as text\n");
}

/* Cut off or damaged anywhere: an error or another page, and nothing is read outside of it. */
static void test_damaged_pages(void **state UNUSED)
{
    struct proto_page_options options = usual;
    options.native = options.classic_too = options.custom = options.starts = options.family_labels = true;
    add_counter();
    add_summary();
    add_histogram(true, 4);
    size_t complete = 0;
    for (size_t n = 0; n < body.n; n++) {
        char *cut = mem_dup(body.p, n ? n : 1);
        struct buf got = convert(str_n(cut, n), options);
        complete += str_find_str(buf_str(&got), STR("error ")) == got.n;
        buf_free(&got);
        mem_free(cut);
    }
    assert_int_equal(complete, 3); /* no family, one, two */
    uint64_t seed = 1;
    unsigned errors = 0;
    for (int round = 0; round < 20000; round++) {
        struct str bad = rng_damage(&seed, buf_str(&body), 4, str_n("\0\x01\x08\x0a\x12\x1a\x22\xff", 8));
        struct buf got = convert(bad, options);
        errors += str_starts(buf_str(&got), STR("error "));
        buf_free(&got);
        mem_free((char *)bad.p);
        arena_reset(&arena);
    }
    assert_true(errors > 1000 && errors < 19999);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_plain_types, clear),
        cmocka_unit_test_teardown(test_summaries_and_histograms, clear),
        cmocka_unit_test_teardown(test_native_histograms, clear),
        cmocka_unit_test_teardown(test_float_histograms_with_their_own_exemplars, clear),
        cmocka_unit_test_teardown(test_coarser_histograms, clear),
        cmocka_unit_test_teardown(test_coarser_histograms_with_large_counts, clear),
        cmocka_unit_test_teardown(test_sums_are_no_stale_markers, clear),
        cmocka_unit_test_teardown(test_what_jobs_may_want, clear),
        cmocka_unit_test_teardown(test_errors, clear),
        cmocka_unit_test_teardown(test_damaged_pages, clear),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
