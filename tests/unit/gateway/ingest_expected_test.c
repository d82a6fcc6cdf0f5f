// SPDX-License-Identifier: Apache-2.0
/* Lines that are recognized by their text are compared with the same lines of which nothing is remembered: both report the
 * same series with the same samples, and accept and reject the same. */
#include "base/telemetry/log.h"
#include "gateway/config/flags.h"
#include "gateway/http/http_connection.h"
#include "gateway/ingest/ingest_internal.h"
#include "gateway/services/services.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

extern const struct ingest_format ingest_prometheus, ingest_csv, ingest_influx, ingest_graphite, ingest_opentsdb,
    ingest_opentsdb_http;

enum { SERIES = 24, ROUNDS = 150, FIELDS = 6, LARGE = 1500 };

static struct services services;
static uint64_t seed = 88172645463325252u;

static unsigned random_below(unsigned n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)(seed >> 33) % n;
}

#define ANY_OF(list) list[random_below(LEN(list))]
static const char *const usual_numbers[] = {"1", "0", "-3", "1.5", "1e3", "123456.789", "-0"};
static const char *const odd_numbers[] = {
    "", ".5", "5.", "+1", "0x10", "NaN", "nan", "Inf", "-inf", "01", "1e", "1e+", "1_000", "\"1\"", "1 ", " 1", "1e400", "-",
    ".", "123456789012345678901234567890", "1.2.3", "4.9e-324", "1-2", "--1", "1i", "1u", "1d", "t",
    "\"1e3\"", "1\t", "1e-5", "-0.0"};
static const char *const usual_times[] = {"1700000000", "1700000001", "1700000015000", "1700000000999"};
static const char *const odd_times[] = {
    "", "0", "-1", "1e9", "1700000000.5", "\"1700000000\"", "x", "99999999999999999999", "01700000000",
    "1700000000 ", "+1700000000",
    "4294967296", "9e15", "1699999999999999", "NaN", "-"};

static const char *random_number(void) { return random_below(6) ? ANY_OF(usual_numbers) : ANY_OF(odd_numbers); }
static const char *random_time(void) { return random_below(6) ? ANY_OF(usual_times) : ANY_OF(odd_times); }

/* ---- one of the two ---- */

struct expected_run {
    struct sink sink; /* must be first */
    struct http_connection connection;
    struct ingest_lane lane;
    struct ingest in;
    struct buf reported;
    bool forgets;
    size_t recognized; /* lines */
};

static void note_series(struct sink *s, const struct series_in *in)
{
    struct expected_run *run = CONTAINER(s, struct expected_run, sink);
    buf_add(&run->reported, in->labels.p, in->labels.n);
    for (size_t i = 0; i < in->n_samples; i++) {
        buf_add(&run->reported, &in->samples[i].t, sizeof in->samples[i].t);
        buf_add(&run->reported, &in->samples[i].v, sizeof in->samples[i].v);
    }
}
static void ignore_metadata(struct sink *s UNUSED, const struct metadata *m UNUSED) {}
static const struct sink_ops note_ops = {NULL, note_series, ignore_metadata, NULL, NULL};

static void run_begin(struct expected_run *run, const struct ingest_format *f, const char *form, bool forgets)
{
    struct err err;
    *run = (struct expected_run){.sink = {.ops = &note_ops}, .forgets = forgets};
    struct http_request *r = &run->connection.r;
    arena_init(&run->lane.scratch, 0);
    arena_init(&r->arena, 0);
    run->lane.services = &services;
    run->lane.labels.scratch = &run->lane.scratch;
    r->_connection = &run->connection;
    r->services = &services;
    r->path = STR("/test");
    assert_true(form_parse(&r->arena, &r->form, str_of(form), &err));
    run->in = (struct ingest){.r = r, .services = &services, .format = f, .lane = &run->lane, .labels = &run->lane.labels,
                              .scratch = &run->lane.scratch, .now = 1700000000123, .max_line = 1 << 20, .max_text = 1 << 20,
                              .sink = &run->sink, .phase = INGEST_STORE};
    assert_true(f->begin == NULL || f->begin(&run->in, &err));
}

static void run_end(struct expected_run *run)
{
    if (run->in.format->end)
        run->in.format->end(&run->in);
    series_cache_free(&run->lane.cache);
    builder_free(&run->lane.labels);
    arena_free(&run->lane.scratch);
    arena_free(&run->connection.r.arena);
    buf_free(&run->lane.label_bytes);
    buf_free(&run->connection.r.out);
    buf_free(&run->reported);
}

static bool run_line(struct expected_run *run, struct str line)
{
    struct err err;
    struct arena_mark mark = arena_mark(run->in.scratch);
    if (run->forgets)
        series_cache_free(&run->lane.cache);
    buf_clear(&run->reported);
    run->in.line++;
    run->in.item_labels = 0;
    bool expected = ingest_expected(&run->in, 0).n > 0;
    uint32_t next = run->lane.cache.next, entries = run->lane.cache.n;
    bool ok = run->in.format->line(&run->in, line, &err);
    run->recognized += expected && run->lane.cache.n == entries && run->lane.cache.next != next;
    arena_release(run->in.scratch, mark);
    return ok;
}

static bool run_document(struct expected_run *run, struct str body)
{
    struct err err;
    enum ingest_item item;
    if (run->forgets)
        series_cache_free(&run->lane.cache);
    buf_clear(&run->reported);
    if (!run->in.format->document(&run->in, body, &err))
        return false;
    do {
        run->in.item_labels = 0;
        item = run->in.format->next(&run->in, &err);
    } while (item == INGEST_ITEM);
    return item == INGEST_END;
}

static void expect_same(struct expected_run *fast, struct expected_run *slow, bool fast_ok, bool slow_ok, struct str text)
{
    if (fast_ok != slow_ok || !str_eq(buf_str(&fast->reported), buf_str(&slow->reported)))
        fail_msg("%s, otherwise %s: `%.*s`", fast_ok ? "accepted" : "rejected", slow_ok ? "accepted" : "rejected",
                 STR_ARG(str_first(text, 2000)));
}

/* Now and then a byte is another one, or missing, or there is one more. */
static void change_byte(struct buf *text)
{
    static const char bytes[] = ",;=\"\\{}[] \t01e.-ab:\x80\xff";
    size_t at = text->n > 0 ? random_below((unsigned)text->n) : 0;
    char c = bytes[random_below(sizeof bytes - 1)];
    if (text->n == 0 || random_below(12) > 0)
        return;
    switch (random_below(3)) {
    case 0: text->p[at] = c; break;
    case 1:
        memmove(text->p + at, text->p + at + 1, text->n - at - 1);
        text->n--;
        break;
    default:
        buf_add_char(text, 0);
        memmove(text->p + at + 1, text->p + at, text->n - 1 - at);
        text->p[at] = c;
    }
}

/* ---- lines ---- */

typedef void write_line(struct buf *line, unsigned series);

static void expect_same_lines(const struct ingest_format *f, const char *form, write_line *write, bool recognizes)
{
    struct expected_run fast, slow;
    struct buf line = {0};
    run_begin(&fast, f, form, false);
    run_begin(&slow, f, form, true);
    for (unsigned i = 0; i < ROUNDS * SERIES; i++) {
        unsigned series = random_below(15) ? i % SERIES : random_below(SERIES);
        buf_clear(&line);
        write(&line, series);
        change_byte(&line);
        if (memchr(line.p ? line.p : "", '\n', line.n) || line.n == 0)
            continue;
        bool fast_ok = run_line(&fast, buf_str(&line)), slow_ok = run_line(&slow, buf_str(&line));
        expect_same(&fast, &slow, fast_ok, slow_ok, buf_str(&line));
    }
    assert_true(slow.recognized == 0);
    assert_true(recognizes ? fast.recognized > ROUNDS : true);
    buf_free(&line);
    run_end(&fast);
    run_end(&slow);
}

static const char *const csv_texts[] = {"a", "b", "ab", "", "\"a\"", "\"a,b\"", "\"a\"\"b\"", "a\"b", "\"\"", "1", "\xc3\xa9",
                                        "\xff", "a ", "\"a,\"", "\"a,1,b\""};

/* The columns of labels are those of the series. */
static void write_csv_columns(struct buf *line, unsigned series, const char *kinds)
{
    for (size_t i = 0; kinds[i]; i++) {
        if (i > 0)
            buf_add_char(line, ',');
        buf_add_z(line, kinds[i] == 'm' ? (random_below(20) ? random_number() : "") : kinds[i] == 't' ? random_time()
                        : csv_texts[(series + i * (series / LEN(csv_texts))) % LEN(csv_texts)]);
    }
}
static void write_csv_lmtm(struct buf *line, unsigned series) { write_csv_columns(line, series, "lmtm"); }
static void write_csv_llmmm(struct buf *line, unsigned series) { write_csv_columns(line, series, "llmmm"); }
static void write_csv_ltlml(struct buf *line, unsigned series) { write_csv_columns(line, series, "ltlml"); }
static void write_csv_ml(struct buf *line, unsigned series) { write_csv_columns(line, series, "ml"); }

static void test_csv(void **state UNUSED)
{
    expect_same_lines(&ingest_csv, "format=1:label:l,2:metric:m,3:time:unix_s,4:metric:n", write_csv_lmtm, true);
    expect_same_lines(&ingest_csv, "format=1:label:l,2:metric:m,3:time:unix_ms,4:metric:n", write_csv_lmtm, true);
    expect_same_lines(&ingest_csv, "format=2:label:b,1:label:a,3:metric:m,4:metric:n,5:metric:o", write_csv_llmmm, true);
    expect_same_lines(&ingest_csv, "format=2:label:b,3:metric:m,5:metric:o", write_csv_llmmm, true);
    expect_same_lines(&ingest_csv, "format=1:label:a,2:time:unix_s,4:metric:m", write_csv_ltlml, true);
    expect_same_lines(&ingest_csv, "format=1:label:a,2:time:unix_s,4:metric:m,5:label:b", write_csv_ltlml, false);
    expect_same_lines(&ingest_csv, "format=1:metric:m,2:label:l", write_csv_ml, false);
    expect_same_lines(&ingest_csv, "format=3:metric:m", write_csv_llmmm, false);
}

static const char *const tag_texts[] = {"a", "b", "ab", "a.b", "1", "\xc3\xa9", "a\\,b", "a\\ b", "a=b", "a\"b", "\xff"};
static const char *series_tag(unsigned series) { return tag_texts[series % LEN(tag_texts)]; }

static void write_prometheus_line(struct buf *line, unsigned series)
{
    static const char *const blanks[] = {" ", " ", " ", " ", "  ", "\t", ""};
    buf_printf(line, "m%u", series);
    if (series % 5 > 0)
        buf_printf(line, "{a=\"%s\",b=\"x\"}", series_tag(series));
    buf_printf(line, "%s%s", ANY_OF(blanks), random_number());
    if (random_below(3) > 0)
        buf_printf(line, "%s%s", ANY_OF(blanks), random_time());
}

static void write_graphite_line(struct buf *line, unsigned series)
{
    buf_printf(line, "m%u", series);
    if (series % 3 > 0)
        buf_printf(line, ";t=%s", series_tag(series));
    buf_printf(line, " %s", random_number());
    if (random_below(4) > 0)
        buf_printf(line, " %s", random_time());
}

static void write_influx_line(struct buf *line, unsigned series)
{
    buf_printf(line, "m%u,t=%s f=%s", series % 9, series_tag(series), random_number());
    if (series % 2)
        buf_printf(line, ",g=%s", random_number());
    if (random_below(3) > 0)
        buf_printf(line, " %s", random_time());
}

static void write_opentsdb_line(struct buf *line, unsigned series)
{
    buf_printf(line, "put m%u %s %s t=%s", series % 9, random_time(), random_number(), series_tag(series));
}

static void test_other_lines(void **state UNUSED)
{
    expect_same_lines(&ingest_prometheus, "", write_prometheus_line, true);
    expect_same_lines(&ingest_influx, "", write_influx_line, true);
    expect_same_lines(&ingest_graphite, "", write_graphite_line, true);
    expect_same_lines(&ingest_opentsdb, "", write_opentsdb_line, false);
}

/* ---- data points of OpenTSDB ---- */

static void write_point(struct buf *out, unsigned series)
{
    static const char *const numbers[] = {"1", "-0", "1.5", "1e3", "1E-3", "123456789012345678901234567890",
                                          "1e400", "\"1\""};
    static const char *const times[] = {"1700000000", "1700000015000", "0", "-1", "1.7e9", "\"1700000000\"", "9e15",
                                        "4294967296"};
    static const char *const tags[] = {"a", "b", "ab", "", "\\\\", "\\\"", "\xc3\xa9", "\xff", "}", "\\u0061"};
    const char *v = series >= SERIES || random_below(300) ? ANY_OF(numbers) : ANY_OF(odd_numbers);
    const char *t = random_below(5) ? usual_times[random_below(2)] : ANY_OF(times), *tag = tags[series / 5 % LEN(tags)];
    switch (series % 5) {
    case 0:
        buf_printf(out, "{\"metric\":\"m%u\",\"timestamp\":%s,\"value\":%s,\"tags\":{\"t\":\"%s\"}}", series, t, v, tag);
        break;
    case 1:
        buf_printf(out, "{\"value\":%s,\"metric\":\"m\",\"tags\":{\"t\":\"%s\",\"u\":\"%u\"},\"timestamp\":%s}", v, tag, series, t);
        break;
    case 2:
        buf_printf(out, "{ \"x\":[1,{\"value\":2}], \"timestamp\" : %s, \"value\" : %s,\"metric\":\"m%u\"}", t, v, series);
        break;
    case 3:
        buf_printf(out, "{\"value\":%s,\"value\":7,\"metric\":\"m%u\",\"timestamp\":%s,\"timestamp\":1}", v, series, t);
        break;
    default:
        buf_printf(out, "{\"metric\":\"m\\u0061%u\",\"timestamp\":%s,\"value\":%s\n,\"tags\":{\"t\":\"%s\"}}", series, t, v, tag);
        break;
    }
}

static void write_points(struct buf *body, unsigned n)
{
    static const char *const between[] = {",", ",", ",", " ,\n", ", "};
    buf_clear(body);
    buf_add_char(body, '[');
    for (unsigned i = 0; i < n; i++) {
        if (i > 0)
            buf_add_z(body, ANY_OF(between));
        if (random_below(50) > 0)
            write_point(body, i);
        else
            buf_add_z(body, random_below(2) ? "{\"metric\":\"no value\"}" : "[{}]");
    }
    buf_add_z(body, "]");
}

/* A body that is longer than a part is cut anywhere. */
static void test_points(void **state UNUSED)
{
    struct expected_run fast, slow;
    struct buf body = {0};
    size_t valid = 0;
    run_begin(&fast, &ingest_opentsdb_http, "", false);
    run_begin(&slow, &ingest_opentsdb_http, "", true);
    for (unsigned i = 0; i < 2 * ROUNDS; i++) {
        write_points(&body, i % 30 == 0 ? LARGE : SERIES);
        change_byte(&body);
        bool fast_ok = run_document(&fast, buf_str(&body)), slow_ok = run_document(&slow, buf_str(&body));
        expect_same(&fast, &slow, fast_ok, slow_ok, buf_str(&body));
        valid += fast_ok;
    }
    assert_in_range(valid, ROUNDS, 2 * ROUNDS - 1);
    buf_free(&body);
    run_end(&fast);
    run_end(&slow);
}

static int start_services(void **state UNUSED)
{
    struct err err;
    char program[] = "sluice", *argv[] = {program, NULL};
    log_setup(LOG_ERROR, 0, 2);
    return flags_parse(1, argv, &services.flags, &err) ? 0 : 1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_csv), cmocka_unit_test(test_other_lines),
                                       cmocka_unit_test(test_points)};
    return cmocka_run_group_tests(tests, start_services, NULL);
}
