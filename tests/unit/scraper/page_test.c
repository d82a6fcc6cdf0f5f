// SPDX-License-Identifier: Apache-2.0
/* Pages of a target, one after the other: what is written, what becomes stale. */
#include "scraper/page.h"

#include "recording_sink.h"

#include <stdlib.h>
#include <string.h>

/* ---- one target, fed page by page ---- */

struct feed {
    struct arena arena;
    struct loop *loop;
    struct job_set *job_set;
    struct scrape_job job;
    struct running_job *run;
    struct interner interner;
    struct recorder sink;
    struct page page;
};
struct source {
    struct target_labels labels;
    void *tables;
    struct template_group *templates;
    struct scrape_cache last;
    uint64_t id;
};

static void feed_open(struct feed *f, const char *yaml)
{
    struct err err;
    memset(f, 0, sizeof *f);
    must_load_job(&f->arena, yaml, &f->job);
    f->loop = loop_new();
    f->job_set = job_set_new(f->loop);
    f->run = running_job_new(f->job_set, &f->job, &err);
    assert_non_null(f->run);
    interner_init(&f->interner);
    recorder_init(&f->sink);
    page_init(&f->page, &f->interner, &f->sink.sink);
}

static void feed_close(struct feed *f)
{
    assert_int_equal(f->interner.template_groups.n, 0);
    assert_int_equal(f->interner.private_bytes, 0);
    page_free(&f->page);
    interner_free(&f->interner);
    recorder_free(&f->sink);
    f->job_set->synchronous = true;
    running_job_unref(f->run);
    job_set_unref(f->job_set);
    loop_free(f->loop);
    arena_free(&f->arena);
}

static struct source source_open(struct feed *f, const struct label *labels, size_t n)
{
    struct labels wire = labels_from(&f->arena, labels, n);
    struct source s = {.tables = mem_alloc(target_labels_size(wire.count)), .id = labels_hash(wire)};
    target_labels_init(&s.labels, s.tables, wire);
    s.templates = template_group_get(&f->interner, f->run, &s.labels);
    return s;
}

static struct source standard_source(struct feed *f)
{
    return source_open(f, (struct label[]){{STR("job"), STR("j")}, {STR("instance"), STR("i:1")}}, 2);
}

static void source_close(struct feed *f, struct source *s)
{
    scrape_cache_clear(&s->last, &f->interner);
    template_group_unref(&f->interner, s->templates);
    mem_free(s->tables);
}

static bool show(struct feed *f, struct source *s, const char *text, int64_t t)
{
    struct page *p = &f->page;
    recorder_forget(&f->sink);
    page_start(p, s->id, &s->labels, s->templates, &s->last, str_of(text), t);
    enum page_state state;
    while ((state = page_parse(p, 3)) == PAGE_MORE) {
    }
    if (state == PAGE_INVALID) {
        while (page_end(p, 3)) {
        }
        markers_end_all(&p->markers, s->id, &s->labels, &s->last, t);
        return false;
    }
    while (page_compare(p, 3)) {
    }
    while (page_write(p)) {
    }
    while (page_mark_vanished(p, t)) {
    }
    while (page_update_cache(p, 3)) {
    }
    while (page_end(p, 3)) {
    }
    return true;
}

/* Each test runs twice: with everything kept, and with a budget of nothing, so that every text is cold. */
#define WITH(yaml)                                                        \
    struct feed f;                                                        \
    feed_open(&f, yaml);                                                  \
    f.interner.private_max = *state ? 0 : INTERN_PRIVATE_MAX;             \
    struct source s = standard_source(&f)
#define DONE           \
    source_close(&f, &s); \
    feed_close(&f)

static void samples_get_the_labels_of_the_target(void **state)
{
    WITH("job_name: j");
    assert_true(show(&f, &s, "# TYPE m counter\nm 1\nm{a=\"b\",z=\"y\"} 2.5 \nx{Z=\"\"} NaN\n", 1000));
    assert_line(&f.sink, "m{instance=\"i:1\", job=\"j\"} 1 @1000");
    assert_line(&f.sink, "m{a=\"b\", instance=\"i:1\", job=\"j\", z=\"y\"} 2.5 @1000");
    assert_line(&f.sink, "x{instance=\"i:1\", job=\"j\"} NaN @1000");
    assert_int_equal(f.sink.samples, 3);
    assert_int_equal(f.sink.source, s.id);
    assert_int_equal(f.page.result.added, 3);
    assert_true(show(&f, &s, "# TYPE m counter\nm 2\nm{a=\"b\",z=\"y\"} 3\nx{Z=\"\"} 4\n", 2000));
    assert_true(f.page.reader.same);
    assert_line(&f.sink, "m{a=\"b\", instance=\"i:1\", job=\"j\", z=\"y\"} 3 @2000");
    assert_int_equal(f.sink.samples, 3);
    assert_int_equal(f.page.result.added, 0);
    DONE;
}

static void a_series_that_goes_ends_once(void **state)
{
    WITH("job_name: j");
    assert_true(show(&f, &s, "a 1\nb 1\nc 1\nd 1\n", 1000));
    assert_true(show(&f, &s, "a 2\nd 2\n", 2000));
    assert_line(&f.sink, "b{instance=\"i:1\", job=\"j\"} stale @2000");
    assert_line(&f.sink, "c{instance=\"i:1\", job=\"j\"} stale @2000");
    assert_int_equal(f.sink.samples, 4);
    assert_true(show(&f, &s, "a 3\nd 3\n", 3000));
    assert_int_equal(f.sink.samples, 2);
    assert_true(show(&f, &s, "a 4\nb 4\nd 4\n", 4000));
    assert_int_equal(f.page.result.added, 1);
    assert_int_equal(f.sink.samples, 3);
    assert_line(&f.sink, "b{instance=\"i:1\", job=\"j\"} 4 @4000");
    DONE;
}

static void another_order_is_no_end(void **state)
{
    WITH("job_name: j");
    assert_true(show(&f, &s, "m{a=\"1\",b=\"2\"} 1\nn 1\n", 1000));
    assert_true(show(&f, &s, "n 2\nm{b=\"2\",a=\"1\"} 2\n", 2000));
    assert_int_equal(f.sink.samples, 2);
    assert_int_equal(recorder_containing(&f.sink, "stale"), 0);
    assert_int_equal(f.page.result.added, 0);
    DONE;
}

static void of_two_texts_that_are_one_series_the_first_counts(void **state)
{
    WITH("{job_name: j, metric_relabel_configs: [{regex: cpu, action: labeldrop}]}");
    assert_true(show(&f, &s, "m{cpu=\"0\"} 1\nm{cpu=\"1\"} 2\n", 1000));
    assert_int_equal(f.page.result.duplicates, 1);
    assert_line(&f.sink, "m{instance=\"i:1\", job=\"j\"} 1 @1000");
    assert_int_equal(f.sink.samples, 1);
    assert_true(show(&f, &s, "m{cpu=\"0\"} 3\nm{cpu=\"1\"} 4\n", 2000)); /* the same page once more */
    assert_line(&f.sink, "m{instance=\"i:1\", job=\"j\"} 3 @2000");
    assert_int_equal(f.sink.samples, 1);
    assert_true(show(&f, &s, "m{cpu=\"1\"} 5\n", 3000)); /* one text goes, the series lives */
    assert_line(&f.sink, "m{instance=\"i:1\", job=\"j\"} 5 @3000");
    assert_int_equal(f.sink.samples, 1);
    assert_true(show(&f, &s, "n 1\n", 4000));
    assert_line(&f.sink, "m{instance=\"i:1\", job=\"j\"} stale @4000");
    assert_true(show(&f, &s, "n 1\nn 2\n", 5000)); /* one text twice */
    assert_int_equal(f.sink.samples, 1);
    assert_true(show(&f, &s, "\n", 6000));
    assert_int_equal(f.sink.samples, 1);
    DONE;
}

static void labels_of_the_page_are_moved_or_honored(void **state)
{
    WITH("job_name: j");
    assert_true(show(&f, &s, "m{job=\"own\",exported_job=\"x\"} 1\nn{instance=\"\"} 1\n", 1000));
    assert_line(&f.sink, "m{exported_exported_job=\"own\", exported_job=\"x\", instance=\"i:1\", job=\"j\"} 1 @1000");
    assert_line(&f.sink, "n{instance=\"i:1\", job=\"j\"} 1 @1000");
    DONE;
}

static void honored_labels_win(void **state)
{
    WITH("{job_name: j, honor_labels: true}");
    assert_true(show(&f, &s, "m{job=\"own\"} 1\nn{instance=\"\"} 1\no 1\n", 1000));
    assert_line(&f.sink, "m{instance=\"i:1\", job=\"own\"} 1 @1000");
    assert_line(&f.sink, "n{job=\"j\"} 1 @1000");
    assert_line(&f.sink, "o{instance=\"i:1\", job=\"j\"} 1 @1000");
    /* a label of the page with the target's value is the same series as one without it */
    assert_true(show(&f, &s, "m{job=\"own\"} 2\nn{instance=\"\"} 2\no{job=\"j\"} 2\n", 2000));
    assert_int_equal(f.sink.samples, 3);
    assert_int_equal(f.page.result.added, 0);
    DONE;
}

static void automatic_series_of_a_page_are_renamed(void **state)
{
    WITH("job_name: j");
    assert_true(show(&f, &s, "up 7\nup{a=\"b\"} 8\nscrape_duration_seconds{} 9\n{\"scrape_timeout_seconds\"} 1\n",
                     1000));
    assert_line(&f.sink, "exported_scrape_duration_seconds{instance=\"i:1\", job=\"j\"} 9 @1000");
    assert_line(&f.sink, "exported_scrape_timeout_seconds{instance=\"i:1\", job=\"j\"} 1 @1000");
    assert_line(&f.sink, "exported_up{instance=\"i:1\", job=\"j\"} 7 @1000");
    assert_line(&f.sink, "up{a=\"b\", instance=\"i:1\", job=\"j\"} 8 @1000");
    DONE;
}

static void rules_drop_and_rewrite(void **state)
{
    WITH("job_name: j\n"
         "metric_relabel_configs:\n"
         "- {source_labels: [__name__], regex: 'go_.*', action: drop}\n"
         "- {source_labels: [instance], regex: '(.*):.*', target_label: host}\n"
         "- {regex: instance, action: labeldrop}\n");
    assert_true(show(&f, &s, "go_a 1\nm 1\ngo_b 1\n", 1000));
    assert_line(&f.sink, "m{host=\"i\", job=\"j\"} 1 @1000");
    assert_int_equal(f.sink.samples, 1);
    assert_int_equal(f.page.result.scraped, 3);
    assert_int_equal(f.page.result.post_relabeling, 1);
    assert_int_equal(f.page.result.added, 1);
    assert_true(show(&f, &s, "go_a 1\nm 2\ngo_b 1\n", 2000));
    assert_true(f.page.reader.same);
    assert_true(show(&f, &s, "m 2\n", 3000));
    assert_int_equal(f.sink.samples, 1); /* no markers for what was dropped */
    DONE;
}

static void a_broken_page_writes_nothing_and_ends_all(void **state)
{
    WITH("job_name: j");
    assert_true(show(&f, &s, "a 1\nb 1\n", 1000));
    assert_false(show(&f, &s, "a 2\nb 2\nc{ 2\nd 2\n", 2000));
    assert_non_null(strstr(f.page.result.err.text, "line 3"));
    assert_int_equal(f.sink.samples, 2);
    assert_line(&f.sink, "a{instance=\"i:1\", job=\"j\"} stale @2000");
    assert_false(show(&f, &s, "c{ 2\n", 3000));
    assert_int_equal(f.sink.samples, 0);
    assert_true(show(&f, &s, "a 2\nb 2\n", 4000));
    assert_int_equal(f.page.result.added, 2);
    DONE;
}

/* Another target fails, and loses all it had, while a page that shows the same texts is half read. */
static void a_target_ends_while_a_page_is_read(void **state)
{
    WITH("job_name: j");
    struct marker_writer stale;
    struct page *p = &f.page;
    struct source other = source_open(&f, (struct label[]){{STR("job"), STR("j")}, {STR("instance"), STR("i:2")}}, 2);
    marker_writer_init(&stale, &f.interner, &f.sink.sink);
    assert_true(show(&f, &other, "a 1\nb 1\nc 1\n", 1000));
    page_start(p, s.id, &s.labels, s.templates, &s.last, STR("a 2\nb 2\nc 2\nd 2\n"), 2000);
    assert_int_equal(page_parse(p, 2), PAGE_MORE);
    recorder_forget(&f.sink);
    markers_end_all(&stale, other.id, &other.labels, &other.last, 2000);
    assert_int_equal(stale.markers, 3);
    assert_line(&f.sink, "a{instance=\"i:2\", job=\"j\"} stale @2000");
    recorder_forget(&f.sink);
    assert_int_equal(page_parse(p, 100), PAGE_COMPLETE);
    while (page_compare(p, 3)) {
    }
    while (page_write(p)) {
    }
    while (page_mark_vanished(p, 2000)) {
    }
    while (page_update_cache(p, 3)) {
    }
    while (page_end(p, 3)) {
    }
    assert_line(&f.sink, "a{instance=\"i:1\", job=\"j\"} 2 @2000");
    assert_line(&f.sink, "b{instance=\"i:1\", job=\"j\"} 2 @2000");
    assert_line(&f.sink, "d{instance=\"i:1\", job=\"j\"} 2 @2000");
    assert_int_equal(f.sink.samples, 4);
    marker_writer_free(&stale);
    source_close(&f, &other);
    DONE;
}

static void limits_fail_the_page(void **state)
{
    WITH("{job_name: j, label_limit: 4, label_name_length_limit: 8, label_value_length_limit: 5}");
    assert_true(show(&f, &s, "m{a=\"1\"} 1\n", 1000));
    assert_false(show(&f, &s, "m{a=\"1\",b=\"2\"} 1\n", 2000));
    assert_non_null(strstr(f.page.result.err.text, "label_limit exceeded (metric: m, number of labels: 5, limit: 4)"));
    assert_false(show(&f, &s, "m{a23456789=\"1\"} 1\n", 3000));
    assert_false(show(&f, &s, "m{a=\"123456\"} 1\n", 4000));
    assert_int_equal(f.sink.samples, 0);
    DONE;
}

/* Whatever rules make of it, a series stays one that can be sent. */
static void rules_may_not_make_a_monster(void **state)
{
    WITH("job_name: j\nmetric_relabel_configs:\n- {action: labelmap, regex: 'l(.*)', replacement: 'm$1'}\n");
    struct buf text = {0};
    buf_add_z(&text, "m{");
    for (int i = 0; i < LABELS_MAX_COUNT - 100; i++)
        buf_printf(&text, "%sl%d=\"x\"", i ? "," : "", i);
    buf_add_z(&text, "} 1\n");
    assert_false(show(&f, &s, buf_z(&text), 1000));
    assert_non_null(strstr(f.page.result.err.text, "label set too large"));
    buf_free(&text);
    DONE;
}

static void own_timestamps_have_no_end(void **state)
{
    WITH("job_name: j");
    assert_true(show(&f, &s, "a 1 500\na 2 600\nb 1\nc 1 700\n", 1000));
    assert_line(&f.sink, "a{instance=\"i:1\", job=\"j\"} 1 @500");
    assert_line(&f.sink, "a{instance=\"i:1\", job=\"j\"} 2 @600");
    assert_int_equal(f.page.result.duplicates, 0);
    assert_true(show(&f, &s, "c 1\n", 2000));
    assert_int_equal(recorder_containing(&f.sink, "stale"), 1);
    assert_line(&f.sink, "b{instance=\"i:1\", job=\"j\"} stale @2000");
    assert_true(show(&f, &s, "b 1\n", 3000)); /* c came without a timestamp the last time */
    assert_line(&f.sink, "c{instance=\"i:1\", job=\"j\"} stale @3000");
    DONE;
}

static void timestamps_may_be_ignored(void **state)
{
    WITH("{job_name: j, honor_timestamps: false}");
    assert_true(show(&f, &s, "a 1 500\n", 1000));
    assert_line(&f.sink, "a{instance=\"i:1\", job=\"j\"} 1 @1000");
    assert_true(show(&f, &s, "\n", 2000));
    assert_line(&f.sink, "a{instance=\"i:1\", job=\"j\"} stale @2000");
    DONE;
}

static void a_busy_sink_takes_nothing(void **state)
{
    WITH("job_name: j");
    assert_true(show(&f, &s, "a 1\nb 1\n", 1000));
    f.sink.busy = true;
    assert_true(show(&f, &s, "a 2\nb 2\n", 2000));
    assert_int_equal(f.page.result.busy, 2);
    f.sink.busy = false;
    assert_true(show(&f, &s, "a 3\nb 3\n", 3000));
    assert_int_equal(f.sink.samples, 2);
    assert_true(f.page.reader.same);
    DONE;
}

static void broken_lines_are_stepped_over_in_the_other_dialect(void **state)
{
    WITH("job_name: j");
    f.job.broken_lines_fail = false;
    assert_true(show(&f, &s, "a 1\n}{ 2\nb 1\n", 1000));
    assert_int_equal(f.sink.samples, 2);
    assert_int_equal(f.page.result.invalid_lines, 1);
    for (int64_t t = 2000; t <= 3000; t += 1000) { /* lines that no series comes of */
        assert_true(show(&f, &s, "a 1\nm{a=\"1\",a=\"2\"} 1\nm{a=\"\xff\"} 1\nb 1\n", t));
        assert_int_equal(f.sink.samples, 2);
        assert_int_equal(f.page.result.invalid_lines, 2);
        assert_int_equal(f.page.result.scraped, 2);
    }
    DONE;
}

static void names_may_have_any_bytes_with_vmagents_rules(void **state)
{
    WITH("job_name: j");
    f.job.broken_lines_fail = false;
    f.job.page.any_names = true;
    for (int64_t t = 1000; t <= 2000; t += 1000) {
        assert_true(show(&f, &s, "# TYPE a.b counter\na.b 1\na-b 1\n1a 1\n\u00fcber{l.b=\"v\"} 1\nd{ x-y = \"v\" ,1x=\"w\"} 1\n"
                                 "ok{a=\"1\"b=\"2\"} 1\n\xff 1\n=,{} 1\n", t));
        assert_int_equal(f.page.result.invalid_lines, 1); /* not UTF-8 */
        assert_int_equal(f.sink.samples, 7);
    }
    assert_line(&f.sink, "{\"a.b\", instance=\"i:1\", job=\"j\"} 1 @2000");
    assert_line(&f.sink, "{\"\u00fcber\", instance=\"i:1\", job=\"j\", \"l.b\"=\"v\"} 1 @2000");
    DONE;
}

static void labels_with_two_underscores_end_with_vmagents_rules(void **state)
{
    WITH("job_name: j\nmetric_relabel_configs: [{target_label: __tmp, replacement: x},\n"
         "{source_labels: [__tmp, __x], target_label: seen}]");
    f.job.page.drops_reserved = true;
    assert_true(show(&f, &s, "n{__x=\"1\",b=\"2\"} 1\n", 1000));
    assert_line(&f.sink, "n{b=\"2\", instance=\"i:1\", job=\"j\", seen=\"x;1\"} 1 @1000");
    DONE;
}

/* What Prometheus 3 stores of the text format: the last TYPE line decides. */
static void bounds_are_spelled_as_prometheus_does(void **state)
{
    static const char *const page =
        "before{le=\"1\",quantile=\"1\"} 1\n# TYPE h histogram\nh{le=\"1\"} 1\nh{le=\"0.10\"} 1\nh{le=\"1e6\"} 1\n"
        "h{le=\"+Inf\"} 1\nh{le=\"inf\"} 1\nh{le=\"x\"} 1\nh{le=\"1e999\"} 1\nh{le=\"-0\"} 1\nh{quantile=\"1\"} 1\n"
        "# TYPE s summary\ns{quantile=\"1\"} 1\ns{quantile=\"0.5\"} 1\ns{le=\"5\"} 1\n# TYPE c counter\nc{le=\"1\"} 1\n";
    static const char *const labels[] = {
        "before{instance=\"i:1\", job=\"j\", le=\"1\", quantile=\"1\"}", "h{instance=\"i:1\", job=\"j\", le=\"1.0\"}",
        "h{instance=\"i:1\", job=\"j\", le=\"0.1\"}", "h{instance=\"i:1\", job=\"j\", le=\"1e+06\"}",
        "h{instance=\"i:1\", job=\"j\", le=\"+Inf\"}", "h{instance=\"i:1\", job=\"j\", le=\"x\"}",
        "h{instance=\"i:1\", job=\"j\", le=\"1e999\"}", "h{instance=\"i:1\", job=\"j\", le=\"0.0\"}",
        "h{instance=\"i:1\", job=\"j\", quantile=\"1\"}", "s{instance=\"i:1\", job=\"j\", quantile=\"1.0\"}",
        "s{instance=\"i:1\", job=\"j\", quantile=\"0.5\"}", "s{instance=\"i:1\", job=\"j\", le=\"5\"}",
        "c{instance=\"i:1\", job=\"j\", le=\"1\"}"};
    WITH("job_name: j");
    f.job.page.spells_bounds = true;
    for (int64_t t = 1000; t <= 3000; t += 1000) {
        assert_true(show(&f, &s, page, t));
        assert_int_equal(f.page.result.duplicates, 1); /* le="inf" is le="+Inf" */
        assert_int_equal(f.sink.samples, LEN(labels));
        for (size_t i = 0; i < LEN(labels); i++) {
            char line[200];
            snprintf(line, sizeof line, "%s 1 @%lld", labels[i], (long long)t);
            assert_line(&f.sink, line);
        }
    }
    DONE;
}

/* The same text under another TYPE line is another series, and the old one ends. */
static void a_changed_type_changes_the_spelling(void **state)
{
    WITH("job_name: j");
    f.job.page.spells_bounds = true;
    assert_true(show(&f, &s, "# TYPE m histogram\nm{le=\"1\"} 1\n", 1000));
    for (int64_t t = 2000; t <= 3000; t += 1000) {
        assert_true(show(&f, &s, "# TYPE m untyped\nm{le=\"1\"} 1\n", t));
        assert_int_equal(f.sink.samples, t == 2000 ? 2 : 1);
        assert_line(&f.sink, t == 2000 ? "m{instance=\"i:1\", job=\"j\", le=\"1\"} 1 @2000"
                                       : "m{instance=\"i:1\", job=\"j\", le=\"1\"} 1 @3000");
    }
    assert_true(show(&f, &s, "# TYPE m histogram\nm{le=\"1\"} 1\n", 4000));
    assert_line(&f.sink, "m{instance=\"i:1\", job=\"j\", le=\"1.0\"} 1 @4000");
    assert_line(&f.sink, "m{instance=\"i:1\", job=\"j\", le=\"1\"} stale @4000");
    assert_true(show(&f, &s, "", 5000));
    assert_line(&f.sink, "m{instance=\"i:1\", job=\"j\", le=\"1.0\"} stale @5000");
    assert_int_equal(f.sink.samples, 1);
    DONE;
}

/* Pages grow, shrink and change at random places; a naive model says what must be written. */
static void random_pages_agree_with_a_model(void **state)
{
    enum { N = 60, ROUNDS = 400 };
    bool now[N], before[N] = {0};
    unsigned seed = 5;
    WITH("job_name: j");
    for (int round = 1; round <= ROUNDS; round++) {
        struct buf text = {0};
        for (int i = 0; i < N; i++) {
            now[i] = rand_r(&seed) % 20 ? before[i] : rand_r(&seed) % 2;
            if (now[i])
                buf_printf(&text, "m%d{i=\"%d\"} %d\n", i % 7, i, round);
        }
        f.interner.private_max = rand_r(&seed) % 4 ? f.interner.private_max : (size_t)(rand_r(&seed) % 12000);
        assert_true(show(&f, &s, buf_z(&text), round));
        for (int i = 0; i < N; i++) {
            char line[100];
            snprintf(line, sizeof line, "m%d{i=\"%d\", instance=\"i:1\", job=\"j\"} %d @%d", i % 7, i, round, round);
            assert_lines(&f.sink, line, now[i]);
            snprintf(line, sizeof line, "m%d{i=\"%d\", instance=\"i:1\", job=\"j\"} stale @%d", i % 7, i, round);
            assert_lines(&f.sink, line, before[i] && !now[i]);
        }
        memcpy(before, now, sizeof now);
        buf_free(&text);
    }
    DONE;
}

static void a_large_page_goes_in_batches(void **state)
{
    enum { N = 2 * PAGE_BATCH + 10 };
    struct buf text = {0};
    WITH("job_name: j");
    for (int i = 0; i < N; i++)
        buf_printf(&text, "m{i=\"%d\"} 1\n", i);
    assert_true(show(&f, &s, buf_z(&text), 1000));
    assert_int_equal(f.sink.samples, N);
    assert_int_equal(f.sink.batches, N / PAGE_BATCH_CHANGED + 1);
    assert_true(show(&f, &s, buf_z(&text), 2000));
    assert_int_equal(f.sink.samples, N);
    assert_int_equal(f.sink.batches, 3);
    assert_true(show(&f, &s, "m{i=\"5\"} 2\n", 3000));
    assert_int_equal(f.sink.samples, N);
    assert_int_equal(recorder_containing(&f.sink, "stale"), N - 1);
    assert_lines(&f.sink, "m{i=\"1009\", instance=\"i:1\", job=\"j\"} stale @3000", 1);
    buf_free(&text);
    DONE;
}

static void targets_share_texts_and_keep_their_labels(void **state UNUSED)
{
    struct feed f;
    feed_open(&f, "job_name: j\nmetric_relabel_configs: [{source_labels: [zone], target_label: copy}]");
    struct source a = source_open(&f, (struct label[]){{STR("instance"), STR("a")}, {STR("zone"), STR("z1")}}, 2);
    struct source b = source_open(&f, (struct label[]){{STR("instance"), STR("longer")}, {STR("zone"), STR("z1")}}, 2);
    struct source c = source_open(&f, (struct label[]){{STR("instance"), STR("c")}, {STR("zone"), STR("z2")}}, 2);
    assert_ptr_equal(a.templates, b.templates);
    assert_ptr_not_equal(a.templates, c.templates); /* the rules read zone */
    assert_true(show(&f, &a, "m{x=\"1\"} 1\n", 1000));
    size_t one = f.interner.private_bytes;
    assert_true(one > 0);
    assert_true(show(&f, &b, "m{x=\"1\"} 2\n", 1000));
    assert_line(&f.sink, "m{copy=\"z1\", instance=\"longer\", x=\"1\", zone=\"z1\"} 2 @1000");
    assert_int_equal(f.interner.private_bytes, 0); /* shared now */
    assert_true(show(&f, &c, "m{x=\"1\"} 3\n", 1000));
    assert_line(&f.sink, "m{copy=\"z2\", instance=\"c\", x=\"1\", zone=\"z2\"} 3 @1000");
    source_close(&f, &b);
    source_close(&f, &c);
    assert_int_equal(f.interner.private_bytes, one);
    source_close(&f, &a);
    feed_close(&f);
}

static void a_shared_text_is_kept_beyond_the_budget(void **state UNUSED)
{
    struct feed f;
    feed_open(&f, "job_name: j");
    f.interner.private_max = 0;
    struct source a = source_open(&f, (struct label[]){{STR("instance"), STR("a")}}, 1);
    struct source b = source_open(&f, (struct label[]){{STR("instance"), STR("b")}}, 1);
    assert_true(show(&f, &a, "m 1\nonly_a 1\n", 1000));
    assert_int_equal(f.page.result.uncached_lines, 2);
    assert_true(show(&f, &b, "m 1\nonly_b 1\n", 1000));
    assert_int_equal(f.page.result.uncached_lines, 1);
    assert_true(show(&f, &a, "m 2\nonly_a 2\n", 2000));
    assert_int_equal(f.page.result.uncached_lines, 1);
    assert_int_equal(f.sink.samples, 2);
    assert_int_equal(f.page.result.added, 0);
    assert_true(show(&f, &a, "\n", 3000));
    assert_line(&f.sink, "only_a{instance=\"a\"} stale @3000");
    assert_line(&f.sink, "m{instance=\"a\"} stale @3000");
    source_close(&f, &a);
    source_close(&f, &b);
    feed_close(&f);
}

static void new_rules_keep_what_they_do_not_change(void **state UNUSED)
{
    struct feed f;
    struct err err;
    struct scrape_job other;
    feed_open(&f, "job_name: j");
    struct source s = standard_source(&f);
    assert_true(show(&f, &s, "a 1\nb 1\n", 1000));
    must_load_job(&f.arena,
                  "{job_name: j, metric_relabel_configs: [{source_labels: [__name__], regex: b, action: drop}]}",
                  &other);
    struct running_job *run = running_job_new(f.job_set, &other, &err);
    struct template_group *c = template_group_get(&f.interner, run, &s.labels);
    template_group_unref(&f.interner, s.templates);
    s.templates = c;
    assert_true(show(&f, &s, "a 2\nb 2\n", 2000));
    assert_int_equal(f.page.result.added, 0);
    assert_line(&f.sink, "a{instance=\"i:1\", job=\"j\"} 2 @2000");
    assert_line(&f.sink, "b{instance=\"i:1\", job=\"j\"} stale @2000");
    assert_int_equal(f.sink.samples, 2);
    source_close(&f, &s);
    running_job_unref(run);
    feed_close(&f);
}

#define BOTH(test) {#test, test, NULL, NULL, NULL}, {#test " (cold)", test, NULL, NULL, (void *)1}
int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(samples_get_the_labels_of_the_target),
        BOTH(a_series_that_goes_ends_once),
        BOTH(another_order_is_no_end),
        BOTH(of_two_texts_that_are_one_series_the_first_counts),
        BOTH(labels_of_the_page_are_moved_or_honored),
        BOTH(honored_labels_win),
        BOTH(automatic_series_of_a_page_are_renamed),
        BOTH(rules_drop_and_rewrite),
        BOTH(a_broken_page_writes_nothing_and_ends_all),
        BOTH(a_target_ends_while_a_page_is_read),
        BOTH(limits_fail_the_page),
        BOTH(rules_may_not_make_a_monster),
        BOTH(own_timestamps_have_no_end),
        BOTH(timestamps_may_be_ignored),
        BOTH(a_busy_sink_takes_nothing),
        BOTH(broken_lines_are_stepped_over_in_the_other_dialect),
        BOTH(names_may_have_any_bytes_with_vmagents_rules),
        BOTH(labels_with_two_underscores_end_with_vmagents_rules),
        BOTH(bounds_are_spelled_as_prometheus_does),
        BOTH(a_changed_type_changes_the_spelling),
        BOTH(random_pages_agree_with_a_model),
        BOTH(a_large_page_goes_in_batches),
        cmocka_unit_test(targets_share_texts_and_keep_their_labels),
        cmocka_unit_test(a_shared_text_is_kept_beyond_the_budget),
        cmocka_unit_test(new_rules_keep_what_they_do_not_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
