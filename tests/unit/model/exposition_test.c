// SPDX-License-Identifier: Apache-2.0
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/text/num.h"
#include "model/exposition/exposition.h"
#include "model/remote_write.h"
#include "tests/unit/model/cases.h"
#include "tests/unit/model/rng.h"
#include "tests/unit/model/scratch.h"

/* How a caller guesses the next series: not at all, always right (the texts of a first reading), or always wrong. */
enum guess { GUESS_NONE, GUESS_RIGHT, GUESS_WRONG };
struct reading { enum exposition_format format; bool lax; };
static const struct reading PLAIN = {EXPOSITION_TEXT, false}, OPENMETRICS = {EXPOSITION_OPENMETRICS, false},
                            LAX = {EXPOSITION_TEXT, true};

/* As it is sent: the message of a series that has nothing else. */
static void print_exemplar(struct buf *out, struct str text)
{
    struct labels_builder b = {.scratch = &arena};
    struct buf message = {0}, body = {0};
    buf_add_z(out, " #");
    if (exposition_exemplar(text, 17, &b, &message)) {
        struct str exemplar = buf_str(&message);
        struct rw_walk w;
        rw_append_full(&body, (struct labels){0}, &(struct rw_contents){.exemplars = &exemplar, .n_exemplars = 1});
        rw_walk_init(&w);
        rw_walk_start(&w, buf_str(&body));
        assert_int_equal(rw_walk_next(&w), RW_SERIES);
        assert_true(w.n_exemplars == 1 && str_eq(w.exemplars[0], exemplar));
        rw_walk_free(&w);
        struct labels labels = {(const uint8_t *)message.p, 0, 0}; /* the message begins with them */
        struct labels_iter it = {(const uint8_t *)message.p, (const uint8_t *)message.p + message.n};
        for (struct label l; it.p < it.end && *it.p == 0x0a && labels_next(&it, &l); )
            labels = (struct labels){labels.p, (uint32_t)(it.p - labels.p), labels.count + 1};
        double value;
        memcpy(&value, labels.p + labels.n + 1, 8);
        buf_add_char(out, ' ');
        labels_print(out, labels);
        buf_add_char(out, ' ');
        buf_add_num(out, value);
        buf_printf(out, " @%lld", (long long)rw_exemplar_time(exemplar));
    } else {
        buf_add_z(out, " not valid");
    }
    buf_free(&message);
    buf_free(&body);
    builder_free(&b);
}

static void print_series(struct buf *out, const struct exposition *e)
{
    struct labels_builder b = {.scratch = &arena};
    struct err err = {0};
    if (exposition_labels(e->series, e->lax, &b, &err)) {
        labels_print(out, builder_labels(&b, &arena));
        buf_add_char(out, ' ');
        buf_add_num(out, e->value);
        if (e->has_t)
            buf_printf(out, " @%lld", (long long)e->t);
        if (e->exemplar.n > 0)
            print_exemplar(out, e->exemplar);
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

static void start(struct exposition *e, struct str page, struct reading how)
{
    exposition_start(e, page);
    e->format = how.format;
    e->lax = how.lax;
}

static size_t texts_of(struct str page, struct reading how, struct str *texts, size_t most)
{
    struct exposition e;
    size_t n = 0;
    start(&e, page, how);
    for (enum exposition_kind k; (k = exposition_next(&e)) != EXPOSITION_END && (how.lax || k != EXPOSITION_ERROR); )
        if (k == EXPOSITION_SERIES && n < most)
            texts[n++] = e.series;
        else if (k == EXPOSITION_ERROR)
            exposition_skip_line(&e);
    return n;
}

/* The page as text, entry by entry; *hits: how many guesses were right. */
static struct buf read_page(struct str page, struct reading how, enum guess guess, size_t *hits)
{
    struct str texts[1024];
    size_t n = guess == GUESS_RIGHT ? texts_of(page, how, texts, LEN(texts)) : 0, i = 0;
    struct buf out = {0};
    struct exposition e;
    start(&e, page, how);
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
        if (!how.lax)
            return out;
        exposition_skip_line(&e);
    }
}

static bool page_reads_as(const struct one_case *c, struct str page, struct reading how, enum guess guess)
{
    size_t hits;
    struct buf got = read_page(page, how, guess, &hits);
    bool same = str_eq(buf_str(&got), c->parts[1].text);
    if (!same)
        print_error("%s:%u: %.*s (guess %d)\n--- got\n%s--- want\n%.*s", c->file, c->line, STR_ARG(c->name), (int)guess,
                    buf_z(&got), STR_ARG(c->parts[1].text));
    buf_free(&got);
    return same;
}

static void read_cases(const char *path, struct reading how)
{
    struct cases cases;
    struct one_case c;
    unsigned n = 0, bad = 0;
    assert_true(cases_open(&cases, path));
    for (; cases_next(&cases, &c); n++) {
        assert_int_equal(c.n, 2);
        struct str page = c.parts[0].text;
        for (enum guess g = GUESS_NONE; g <= GUESS_WRONG; g++) {
            char *copy = mem_dup(page.p, page.n); /* alone, for AddressSanitizer */
            bad += !page_reads_as(&c, str_n(copy, page.n), how, g);
            bool last_feed_is_optional = how.format == EXPOSITION_TEXT || str_ends(page, STR("# EOF\n"));
            if (g == GUESS_NONE && page.n > 0 && page.p[page.n - 1] == '\n' && last_feed_is_optional)
                bad += !page_reads_as(&c, str_n(copy, page.n - 1), how, g);
            mem_free(copy);
        }
    }
    assert_true(n > 15);
    assert_int_equal(bad, 0);
}

static void test_cases(void **state UNUSED) { read_cases("tests/exposition/prometheus.test", PLAIN); }

static void test_cases_openmetrics(void **state UNUSED)
{
    read_cases("tests/exposition/openmetrics.test", OPENMETRICS);
}

static void test_cases_of_vmagent(void **state UNUSED) { read_cases("tests/exposition/vmagent.test", LAX); }

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

static const char openmetrics[] =
    "# TYPE x histogram\n"
    "# UNIT x_seconds seconds\n"
    "# HELP x A \\\"quoted\\\" word.\n"
    "x_bucket{le=\"+Inf\"} 7 1700000000.5 # {trace_id=\"ab\",n=\"\\n\"} 0.5 1.6e9\n"
    "x_sum 1.5e-07\n"
    "x_count 7 # {} 1\n"
    "{\"a.b\",c=\"d\"} NaN\n"
    "# EOF\n";

/* Reads the page cut after each of its bytes, with right and wrong guesses, each alone for AddressSanitizer. */
static void read_cut(struct str whole, struct reading how)
{
    for (size_t n = 0; n <= whole.n; n++) {
        char *cut = mem_dup(whole.p, n);
        size_t hits;
        struct buf plain = read_page(str_n(cut, n), how, GUESS_NONE, &hits);
        for (enum guess g = GUESS_RIGHT; g <= GUESS_WRONG; g++) {
            struct buf guessed = read_page(str_n(cut, n), how, g, &hits);
            assert_true(str_eq(buf_str(&guessed), buf_str(&plain)));
            buf_free(&guessed);
        }
        /* a page that was cut off is never a shorter page; its last line feed may be missing */
        bool error = str_find_str(buf_str(&plain), STR("error ")) < plain.n;
        if (how.format == EXPOSITION_OPENMETRICS)
            assert_true(error == (n + 1 < whole.n));
        buf_free(&plain);
        mem_free(cut);
    }
}

static void test_cut_pages(void **state UNUSED)
{
    read_cut(str_n(openmetrics, sizeof openmetrics - 1), OPENMETRICS);
    read_cut(str_n(page, sizeof page - 1), PLAIN);
    read_cut(str_n(page, sizeof page - 1), LAX);
}

static void test_known_series_hit(void **state UNUSED)
{
    size_t hits;
    struct buf out = read_page(STR(page), PLAIN, GUESS_RIGHT, &hits);
    assert_int_equal(hits, 6); /* all of them: the guess is made again behind metadata */
    buf_free(&out);
    out = read_page(STR(openmetrics), OPENMETRICS, GUESS_RIGHT, &hits);
    assert_int_equal(hits, 4);
    buf_free(&out);
}

/* A line whose text is known must be valid all the same: OpenMetrics has one space before the value. */
static void test_known_series_before_a_tab(void **state UNUSED)
{
    struct exposition e;
    bool hit;
    start(&e, STR("a\t1\n# EOF\n"), OPENMETRICS);
    assert_int_equal(exposition_next_known(&e, STR("a"), &hit), EXPOSITION_ERROR);
    assert_false(hit);
    start(&e, STR("a\t1\n"), PLAIN);
    assert_int_equal(exposition_next_known(&e, STR("a"), &hit), EXPOSITION_SERIES);
    assert_true(hit);
}

/* Damaged pages: all guesses read the same, and nothing is read outside the page. */
static void read_damaged(struct str good, struct reading how)
{
    uint64_t seed = 1;
    unsigned errors = 0;
    static const char likely[] = "\"\\{},= \n#0x_\xff";
    for (int round = 0; round < 20000; round++) {
        struct str bad = rng_damage(&seed, good, 4, str_n(likely, sizeof likely));
        size_t hits;
        struct buf plain = read_page(bad, how, GUESS_NONE, &hits);
        for (enum guess g = GUESS_RIGHT; g <= GUESS_WRONG; g++) {
            struct buf guessed = read_page(bad, how, g, &hits);
            assert_true(str_eq(buf_str(&guessed), buf_str(&plain)));
            buf_free(&guessed);
        }
        errors += str_find_str(buf_str(&plain), STR("error ")) < plain.n;
        buf_free(&plain);
        mem_free((char *)bad.p);
    }
    assert_true(errors > 5000 && errors < 19999);
}

static void test_damaged_pages(void **state UNUSED)
{
    read_damaged(str_n(page, sizeof page - 1), PLAIN);
    read_damaged(str_n(openmetrics, sizeof openmetrics - 1), OPENMETRICS);
    read_damaged(str_n(page, sizeof page - 1), LAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_cases_openmetrics),
        cmocka_unit_test(test_cases_of_vmagent),
        cmocka_unit_test(test_cut_pages),
        cmocka_unit_test(test_bytes_that_no_file_shows),
        cmocka_unit_test(test_nan_is_never_the_stale_marker),
        cmocka_unit_test(test_known_series_hit),
        cmocka_unit_test(test_known_series_before_a_tab),
        cmocka_unit_test(test_damaged_pages),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
