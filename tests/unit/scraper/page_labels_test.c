// SPDX-License-Identifier: Apache-2.0
/* Pages of a target: which labels a series has in the end, by the job, its rules and the dialect. */
#include "page_fixture.h"

#include <stdio.h>
#include <string.h>

static void labels_of_the_page_are_moved_or_honored(void **state)
{
    WITH("job_name: j");
    assert_true(feed_show(&f, &s, "m{job=\"own\",exported_job=\"x\"} 1\nn{instance=\"\"} 1\n", 1000));
    assert_line(&f.sink, "m{exported_exported_job=\"own\", exported_job=\"x\", instance=\"i:1\", job=\"j\"} 1 @1000");
    assert_line(&f.sink, "n{instance=\"i:1\", job=\"j\"} 1 @1000");
    DONE;
}

static void honored_labels_win(void **state)
{
    WITH("{job_name: j, honor_labels: true}");
    assert_true(feed_show(&f, &s, "m{job=\"own\"} 1\nn{instance=\"\"} 1\no 1\n", 1000));
    assert_line(&f.sink, "m{instance=\"i:1\", job=\"own\"} 1 @1000");
    assert_line(&f.sink, "n{job=\"j\"} 1 @1000");
    assert_line(&f.sink, "o{instance=\"i:1\", job=\"j\"} 1 @1000");
    /* a label of the page with the target's value is the same series as one without it */
    assert_true(feed_show(&f, &s, "m{job=\"own\"} 2\nn{instance=\"\"} 2\no{job=\"j\"} 2\n", 2000));
    assert_int_equal(f.sink.samples, 3);
    assert_int_equal(f.page.result.added, 0);
    DONE;
}

static void automatic_series_of_a_page_are_renamed(void **state)
{
    WITH("job_name: j");
    assert_true(feed_show(&f, &s, "up 7\nup{a=\"b\"} 8\nscrape_duration_seconds{} 9\n{\"scrape_timeout_seconds\"} 1\n",
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
    assert_true(feed_show(&f, &s, "go_a 1\nm 1\ngo_b 1\n", 1000));
    assert_line(&f.sink, "m{host=\"i\", job=\"j\"} 1 @1000");
    assert_int_equal(f.sink.samples, 1);
    assert_int_equal(f.page.result.scraped, 3);
    assert_int_equal(f.page.result.post_relabeling, 1);
    assert_int_equal(f.page.result.added, 1);
    assert_true(feed_show(&f, &s, "go_a 1\nm 2\ngo_b 1\n", 2000));
    assert_true(f.page.reader.same);
    assert_true(feed_show(&f, &s, "m 2\n", 3000));
    assert_int_equal(f.sink.samples, 1); /* no markers for what was dropped */
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
    assert_false(feed_show(&f, &s, buf_z(&text), 1000));
    assert_non_null(strstr(f.page.result.err.text, "label set too large"));
    buf_free(&text);
    DONE;
}

static void limits_fail_the_page(void **state)
{
    WITH("{job_name: j, label_limit: 4, label_name_length_limit: 8, label_value_length_limit: 5}");
    assert_true(feed_show(&f, &s, "m{a=\"1\"} 1\n", 1000));
    assert_false(feed_show(&f, &s, "m{a=\"1\",b=\"2\"} 1\n", 2000));
    assert_non_null(strstr(f.page.result.err.text, "label_limit exceeded (metric: m, number of labels: 5, limit: 4)"));
    assert_false(feed_show(&f, &s, "m{a23456789=\"1\"} 1\n", 3000));
    assert_false(feed_show(&f, &s, "m{a=\"123456\"} 1\n", 4000));
    assert_int_equal(f.sink.samples, 0);
    DONE;
}

static void limits_are_those_of_each_target(void **state)
{
    WITH("{job_name: j, label_value_length_limit: 5}");
    const struct label other[] = {{STR("instance"), STR("i:2345")}, {STR("job"), STR("j")}};
    struct source s2 = source_open(&f, other, LEN(other));
    for (int64_t t = 1000; t <= 2000; t += 1000) {
        assert_true(feed_show(&f, &s, "m 1\n", t));
        assert_false(feed_show(&f, &s2, "m 1\n", t));
        assert_non_null(strstr(f.page.result.err.text, "label_value_length_limit exceeded (metric: m, length: 6, limit: 5)"));
    }
    source_close(&f, &s2);
    DONE;
}

static void names_may_have_any_bytes_with_vmagents_rules(void **state)
{
    WITH("job_name: j");
    f.job.broken_lines_fail = false;
    f.job.page.lax = true;
    for (int64_t t = 1000; t <= 2000; t += 1000) {
        assert_true(feed_show(&f, &s, "# TYPE a.b counter\na.b 1\na-b 1\n1a 1\n\u00fcber{l.b=\"v\"} 1\nd{ x-y = \"v\" ,1x=\"w\"} 1\n"
                                 "ok{a=\"1\"b=\"2\"} 1\n\xff 1\n=,{} 1\n", t));
        assert_int_equal(f.page.result.invalid_lines, 2); /* no comma; not UTF-8 */
        assert_int_equal(f.sink.samples, 6);
    }
    assert_line(&f.sink, "{\"a.b\", instance=\"i:1\", job=\"j\"} 1 @2000");
    assert_line(&f.sink, "{\"\u00fcber\", instance=\"i:1\", job=\"j\", \"l.b\"=\"v\"} 1 @2000");
    DONE;
}

static void legacy_names_fail_the_page_and_vmagents_rules_skip_the_others(void **state)
{
    WITH("{job_name: j, metric_name_validation_scheme: legacy}");
    const char *page = "a:b{_x=\"1\"} 1\n{\"a.b\"} 2\nc{\"x.y\"=\"1\"} 3\nd{\"x:y\"=\"1\"} 4\n";
    assert_false(feed_show(&f, &s, page, 1000));
    assert_non_null(strstr(f.page.result.err.text, "invalid name \"a.b\""));
    f.job.broken_lines_fail = false;
    for (int64_t t = 2000; t <= 3000; t += 1000) {
        assert_true(feed_show(&f, &s, page, t));
        assert_int_equal(f.page.result.invalid_lines, 3);
        assert_int_equal(f.sink.samples, 1);
    }
    assert_line(&f.sink, "a:b{_x=\"1\", instance=\"i:1\", job=\"j\"} 1 @3000");
    DONE;
}

static void external_labels_rename_with_vmagents_rules(void **state)
{
    WITH("job_name: j\nlabel_limit: 6");
    static struct str keys[] = {STR("ext"), STR("job")}, values[] = {STR("e"), STR("outer")};
    f.job.external_labels = (struct str_map){.keys = keys, .values = values, .n = 2};
    f.job.page.export_moves = true;
    const struct label other[] = {{STR("instance"), STR("i:2")}, {STR("job"), STR("k")}};
    const char *page = "a 1\nb{ext=\"x\"} 2\nc{instance=\"n\",exported_instance=\"m\"} 3\n";
    assert_false(feed_show(&f, &s, page, 1000)); /* c has seven labels */
    source_close(&f, &s);
    f.job.label_limit = 7;
    s = standard_source(&f);
    struct source s2 = source_open(&f, other, LEN(other));
    assert_true(feed_show(&f, &s, page, 2000));
    assert_line(&f.sink, "a{exported_job=\"j\", ext=\"e\", instance=\"i:1\", job=\"outer\"} 1 @2000");
    assert_line(&f.sink, "b{exported_ext=\"x\", exported_job=\"j\", ext=\"e\", instance=\"i:1\", job=\"outer\"} 2 @2000");
    assert_line(&f.sink, "c{exported_exported_instance=\"m\", exported_instance=\"n\", exported_job=\"j\", ext=\"e\", "
                         "instance=\"i:1\", job=\"outer\"} 3 @2000");
    assert_true(feed_show(&f, &s2, page, 3000)); /* the label that is renamed is its own */
    assert_line(&f.sink, "a{exported_job=\"k\", ext=\"e\", instance=\"i:2\", job=\"outer\"} 1 @3000");
    f.job.honor_labels = true;
    source_close(&f, &s2);
    s2 = source_open(&f, other, LEN(other));
    assert_true(feed_show(&f, &s2, "d{ext=\"x\"} 4\n", 4000));
    assert_line(&f.sink, "d{ext=\"x\", instance=\"i:2\", job=\"k\"} 4 @4000");
    source_close(&f, &s2);
    DONE;
}

static void labels_with_two_underscores_end_with_vmagents_rules(void **state)
{
    WITH("job_name: j\nmetric_relabel_configs: [{target_label: __tmp, replacement: x},\n"
         "{source_labels: [__tmp, __x], target_label: seen}]");
    f.job.page.drops_reserved = true;
    assert_true(feed_show(&f, &s, "n{__x=\"1\",b=\"2\"} 1\n", 1000));
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
        assert_true(feed_show(&f, &s, page, t));
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
    assert_true(feed_show(&f, &s, "# TYPE m histogram\nm{le=\"1\"} 1\n", 1000));
    for (int64_t t = 2000; t <= 3000; t += 1000) {
        assert_true(feed_show(&f, &s, "# TYPE m untyped\nm{le=\"1\"} 1\n", t));
        assert_int_equal(f.sink.samples, t == 2000 ? 2 : 1);
        assert_line(&f.sink, t == 2000 ? "m{instance=\"i:1\", job=\"j\", le=\"1\"} 1 @2000"
                                       : "m{instance=\"i:1\", job=\"j\", le=\"1\"} 1 @3000");
    }
    assert_true(feed_show(&f, &s, "# TYPE m histogram\nm{le=\"1\"} 1\n", 4000));
    assert_line(&f.sink, "m{instance=\"i:1\", job=\"j\", le=\"1.0\"} 1 @4000");
    assert_line(&f.sink, "m{instance=\"i:1\", job=\"j\", le=\"1\"} stale @4000");
    assert_true(feed_show(&f, &s, "", 5000));
    assert_line(&f.sink, "m{instance=\"i:1\", job=\"j\", le=\"1.0\"} stale @5000");
    assert_int_equal(f.sink.samples, 1);
    DONE;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        THRICE(labels_of_the_page_are_moved_or_honored),
        THRICE(honored_labels_win),
        THRICE(automatic_series_of_a_page_are_renamed),
        THRICE(rules_drop_and_rewrite),
        THRICE(rules_may_not_make_a_monster),
        THRICE(limits_fail_the_page),
        THRICE(limits_are_those_of_each_target),
        THRICE(names_may_have_any_bytes_with_vmagents_rules),
        THRICE(legacy_names_fail_the_page_and_vmagents_rules_skip_the_others),
        THRICE(external_labels_rename_with_vmagents_rules),
        THRICE(labels_with_two_underscores_end_with_vmagents_rules),
        THRICE(bounds_are_spelled_as_prometheus_does),
        THRICE(a_changed_type_changes_the_spelling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
