// SPDX-License-Identifier: Apache-2.0
/* Pages of several targets: texts that they share, and a change of the rules. */
#include "page_fixture.h"

static void targets_share_texts_and_keep_their_labels(void **state UNUSED)
{
    struct feed f;
    feed_open(&f, "job_name: j\nmetric_relabel_configs: [{source_labels: [zone], target_label: copy}]");
    struct source a = source_open(&f, (struct label[]){{STR("instance"), STR("a")}, {STR("zone"), STR("z1")}}, 2);
    struct source b = source_open(&f, (struct label[]){{STR("instance"), STR("longer")}, {STR("zone"), STR("z1")}}, 2);
    struct source c = source_open(&f, (struct label[]){{STR("instance"), STR("c")}, {STR("zone"), STR("z2")}}, 2);
    assert_ptr_equal(a.templates, b.templates);
    assert_ptr_not_equal(a.templates, c.templates); /* the rules read zone */
    assert_true(feed_show(&f, &a, "m{x=\"1\"} 1\n", 1000));
    size_t one = f.interner.private_bytes;
    assert_true(one > 0);
    assert_true(feed_show(&f, &b, "m{x=\"1\"} 2\n", 1000));
    assert_line(&f.sink, "m{copy=\"z1\", instance=\"longer\", x=\"1\", zone=\"z1\"} 2 @1000");
    assert_int_equal(f.interner.private_bytes, 0); /* shared now */
    assert_true(feed_show(&f, &c, "m{x=\"1\"} 3\n", 1000));
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
    assert_true(feed_show(&f, &a, "m 1\nonly_a 1\n", 1000));
    assert_int_equal(f.page.result.uncached_lines, 2);
    assert_true(feed_show(&f, &b, "m 1\nonly_b 1\n", 1000));
    assert_int_equal(f.page.result.uncached_lines, 1);
    assert_true(feed_show(&f, &a, "m 2\nonly_a 2\n", 2000));
    assert_int_equal(f.page.result.uncached_lines, 1);
    assert_int_equal(f.sink.samples, 2);
    assert_int_equal(f.page.result.added, 0);
    assert_true(feed_show(&f, &a, "\n", 3000));
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
    assert_true(feed_show(&f, &s, "a 1\nb 1\n", 1000));
    must_load_job(&f.arena,
                  "{job_name: j, metric_relabel_configs: [{source_labels: [__name__], regex: b, action: drop}]}",
                  &other);
    struct running_job *run = running_job_new(f.job_set, &other, &err);
    struct template_group *c = template_group_get(&f.interner, run, &s.labels, 0);
    template_group_unref(&f.interner, s.templates);
    s.templates = c;
    assert_true(feed_show(&f, &s, "a 2\nb 2\n", 2000));
    assert_int_equal(f.page.result.added, 0);
    assert_line(&f.sink, "a{instance=\"i:1\", job=\"j\"} 2 @2000");
    assert_line(&f.sink, "b{instance=\"i:1\", job=\"j\"} stale @2000");
    assert_int_equal(f.sink.samples, 2);
    source_close(&f, &s);
    running_job_unref(run);
    feed_close(&f);
}

/* A page of `lines` series with an own label value. */
static void show_page_of(struct feed *f, struct source *s, int lines, const char *own)
{
    struct buf text = {0};
    for (int i = 0; i < lines; i++)
        buf_printf(&text, "node_cpu_seconds_total{cpu=\"%d\",mode=\"mode%d\",pod=\"%s\"} %d\n", i / 10, i % 10, own, i);
    assert_true(feed_show(f, s, buf_z(&text), 1000));
    buf_free(&text);
}

static size_t bytes_kept(const struct source *s)
{
    return s->last.cap * sizeof *s->last.ids + s->last.n_uncached * sizeof *s->last.uncached + s->last.texts.cap;
}

/* What the head of scrape_cache.h promises, for pages that are small. */
static void a_series_takes_few_bytes(void **state UNUSED)
{
    enum { LINES = 100, SHARED = 8, UNSHARED = 24 };
    struct feed f;
    feed_open(&f, "job_name: j");
    f.interner.private_max = 0;
    struct source a = source_open(&f, (struct label[]){{STR("instance"), STR("a")}}, 1);
    struct source b = source_open(&f, (struct label[]){{STR("instance"), STR("b")}}, 1);
    show_page_of(&f, &a, LINES, "web-7d4b9c6f5-x2x4z");
    assert_int_equal(f.page.result.uncached_lines, LINES);
    assert_in_range(bytes_kept(&a), 1, UNSHARED * LINES);
    show_page_of(&f, &b, LINES, "web-7d4b9c6f5-x2x4z");
    assert_in_range(f.page.result.uncached_lines, 0, LINES / 20); /* lines that share a slot of `seen` by chance */
    assert_in_range(bytes_kept(&b), 1, SHARED * LINES);
    source_close(&f, &a);
    source_close(&f, &b);
    feed_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(targets_share_texts_and_keep_their_labels),
        cmocka_unit_test(a_shared_text_is_kept_beyond_the_budget),
        cmocka_unit_test(new_rules_keep_what_they_do_not_change),
        cmocka_unit_test(a_series_takes_few_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
