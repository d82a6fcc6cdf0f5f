// SPDX-License-Identifier: Apache-2.0
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/text/num.h"
#include "model/exposition.h"
#include "model/series.h"
#include "tests/unit/model/cases.h"
#include "tests/unit/model/rng.h"
#include "tests/unit/model/scratch.h"

/* How a caller guesses the next series: not at all, always right (the texts of a first reading), or always wrong. */
enum guess { GUESS_NONE, GUESS_RIGHT, GUESS_WRONG };

static void print_series(struct buf *out, const struct exposition *e)
{
    struct labels_builder b = {.scratch = &arena};
    struct err err = {0};
    if (exposition_labels(e->series, false, &b, &err)) {
        labels_print(out, builder_labels(&b, &arena));
        buf_add_char(out, ' ');
        buf_add_num(out, e->value);
        if (e->has_t)
            buf_printf(out, " @%lld", (long long)e->t);
    } else {
        buf_printf(out, "labels error: %s", err.text);
    }
    buf_add_char(out, '\n');
    builder_free(&b);
}

static void print_entry(struct buf *out, enum exposition_kind kind, const struct exposition *e)
{
    static const char *const words[] = {
        [EXPOSITION_HELP] = "HELP", [EXPOSITION_TYPE] = "TYPE", [EXPOSITION_UNIT] = "UNIT"};
    if (kind == EXPOSITION_SERIES)
        print_series(out, e);
    else if (kind == EXPOSITION_ERROR)
        buf_printf(out, "error %s\n", e->err.text);
    else
        buf_printf(out, "%s %.*s %.*s\n", words[kind], STR_ARG(e->name), STR_ARG(e->text));
}

static size_t texts_of(struct str page, struct str *texts, size_t most)
{
    struct exposition e;
    size_t n = 0;
    exposition_start(&e, page);
    for (enum exposition_kind k; (k = exposition_next(&e)) != EXPOSITION_END && k != EXPOSITION_ERROR; )
        if (k == EXPOSITION_SERIES && n < most)
            texts[n++] = e.series;
    return n;
}

/* The page as text, entry by entry; *hits: how many guesses were right. */
static struct buf read_page(struct str page, enum guess guess, size_t *hits)
{
    struct str texts[1024];
    size_t n = guess == GUESS_RIGHT ? texts_of(page, texts, LEN(texts)) : 0, i = 0;
    struct buf out = {0};
    struct exposition e;
    exposition_start(&e, page);
    *hits = 0;
    for (;;) {
        bool hit = false;
        struct str known = guess == GUESS_NONE ? STR_NONE : i < n ? texts[i] : STR("wrong");
        enum exposition_kind kind = guess == GUESS_NONE ? exposition_next(&e) : exposition_next_known(&e, known, &hit);
        *hits += hit;
        if (kind == EXPOSITION_END)
            return out;
        i += kind == EXPOSITION_SERIES;
        print_entry(&out, kind, &e);
        if (kind != EXPOSITION_ERROR)
            continue;
        struct err before = e.err;
        assert_int_equal(exposition_next(&e), EXPOSITION_ERROR);
        assert_string_equal(e.err.text, before.text);
        return out;
    }
}

static bool page_reads_as(const struct one_case *c, struct str page, enum guess guess)
{
    size_t hits;
    struct buf got = read_page(page, guess, &hits);
    bool same = str_eq(buf_str(&got), c->parts[1].text);
    if (!same)
        print_error("%s:%u: %.*s (guess %d)\n--- got\n%s--- want\n%.*s", c->file, c->line, STR_ARG(c->name), (int)guess,
                    buf_z(&got), STR_ARG(c->parts[1].text));
    buf_free(&got);
    return same;
}

static void test_cases(void **state UNUSED)
{
    struct cases cases;
    struct one_case c;
    unsigned n = 0, bad = 0;
    assert_true(cases_open(&cases, "tests/exposition/prometheus.test"));
    for (; cases_next(&cases, &c); n++) {
        assert_int_equal(c.n, 2);
        struct str page = c.parts[0].text;
        for (enum guess g = GUESS_NONE; g <= GUESS_WRONG; g++) {
            char *copy = mem_dup(page.p, page.n); /* alone, for AddressSanitizer */
            bad += !page_reads_as(&c, str_n(copy, page.n), g);
            if (g == GUESS_NONE && page.n > 0 && page.p[page.n - 1] == '\n') /* the last line feed may be missing */
                bad += !page_reads_as(&c, str_n(copy, page.n - 1), g);
            mem_free(copy);
        }
    }
    assert_true(n > 30);
    assert_int_equal(bad, 0);
}

static void assert_error(struct str page, const char *want)
{
    struct exposition e;
    exposition_start(&e, page);
    assert_int_equal(exposition_next(&e), EXPOSITION_ERROR);
    assert_non_null(strstr(e.err.text, want));
}

static void test_bytes_that_no_file_shows(void **state UNUSED)
{
    assert_error(STR("a 1\r\n"), "expected a value");
    assert_error(STR("a 1 2\r\n"), "expected the end of the line");
    assert_error(STR("\r\n"), "expected a metric name");
    assert_error(STR("# TYPE a counter\r\n"), "unknown metric type");
    assert_error(STR("\0a 1\n"), "expected a metric name");
    assert_error(STR("a\0 1\n"), "expected a value");
    assert_error(STR("# HELP a \xff\n"), "not UTF-8");
    struct labels_builder b = {.scratch = &arena};
    struct err err;
    assert_false(exposition_labels(STR("a{b=\"\xff\"}"), false, &b, &err));
    assert_false(exposition_labels(STR("{\"\xff\"}"), false, &b, &err));
    assert_false(exposition_labels(STR("a{b=\"c\"} "), false, &b, &err));
    assert_false(exposition_labels(STR("a{b=\"c\""), false, &b, &err));
    assert_true(exposition_labels(STR("a{b=\"\0\"}"), false, &b, &err));
    builder_free(&b);
}

static void test_nan_is_never_the_stale_marker(void **state UNUSED)
{
    struct exposition e;
    exposition_start(&e, STR("a NaN\na -nan\n"));
    assert_int_equal(exposition_next(&e), EXPOSITION_SERIES);
    assert_true(double_bits(e.value) == NORMAL_NAN_BITS);
    exposition_start(&e, STR_NONE);
    assert_int_equal(exposition_next(&e), EXPOSITION_END);
}

static const char page[] =
    "# HELP node_cpu_seconds_total Seconds the CPUs spent in each mode.\n"
    "# TYPE node_cpu_seconds_total counter\n"
    "node_cpu_seconds_total{cpu=\"0\",mode=\"idle\"} 123456.78\n"
    "node_cpu_seconds_total{cpu=\"0\",mode=\"iowait\"} 1.5e-07\n"
    "node_boot_time_seconds 1.7356896e+09\n"
    "node_info{release=\"6.1.0-\\\"18\\\"\",path=\"C:\\\\x\"} 1 1735689600123\n"
    "{\"a.b\",c=\"d\"} NaN\n"
    "# TYPE x_bucket histogram\n"
    "x_bucket{le=\"+Inf\"} 7 # {trace_id=\"abc\"} 0.5\n";

static void test_known_series_hit(void **state UNUSED)
{
    size_t hits;
    struct buf out = read_page(STR(page), GUESS_RIGHT, &hits);
    assert_int_equal(hits, 6); /* all of them: the guess is made again behind metadata */
    buf_free(&out);
}

/* Damaged pages: all guesses read the same, and nothing is read outside the page. */
static void test_damaged_pages(void **state UNUSED)
{
    uint64_t seed = 1;
    unsigned errors = 0;
    static const char likely[] = "\"\\{},= \n#0x_\xff";
    for (int round = 0; round < 20000; round++) {
        struct str bad = rng_damage(&seed, str_n(page, sizeof page - 1), 4, str_n(likely, sizeof likely));
        size_t hits;
        struct buf plain = read_page(bad, GUESS_NONE, &hits);
        for (enum guess g = GUESS_RIGHT; g <= GUESS_WRONG; g++) {
            struct buf guessed = read_page(bad, g, &hits);
            assert_true(str_eq(buf_str(&guessed), buf_str(&plain)));
            buf_free(&guessed);
        }
        errors += str_find_str(buf_str(&plain), STR("error line")) < plain.n;
        buf_free(&plain);
        mem_free((char *)bad.p);
    }
    assert_true(errors > 5000 && errors < 19000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_bytes_that_no_file_shows),
        cmocka_unit_test(test_nan_is_never_the_stale_marker),
        cmocka_unit_test(test_known_series_hit),
        cmocka_unit_test(test_damaged_pages),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
