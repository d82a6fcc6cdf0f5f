// SPDX-License-Identifier: Apache-2.0
/* Pages of OpenMetrics: exemplars, times in seconds, and pages without their end. */
#include "page_fixture.h"

#include <string.h>

static void times_are_seconds(void **state)
{
    WITH("job_name: j");
    f.format = EXPOSITION_OPENMETRICS;
    assert_true(feed_show(&f, &s, "a 1 1.5\nb 2\n# EOF\n", 9000));
    assert_line(&f.sink, "a{instance=\"i:1\", job=\"j\"} 1 @1500");
    assert_line(&f.sink, "b{instance=\"i:1\", job=\"j\"} 2 @9000");
    DONE;
}

static void an_exemplar_is_sent_once(void **state)
{
    WITH("job_name: j");
    f.format = EXPOSITION_OPENMETRICS;
    assert_true(feed_show(&f, &s, "a_total 1 # {t=\"1\"} 1 1\nb_total 1 # {t=\"2\"} 1\nc_total 1\n# EOF\n", 2000));
    assert_line(&f.sink, "a_total{instance=\"i:1\", job=\"j\"} exemplar @1000");
    assert_line(&f.sink, "b_total{instance=\"i:1\", job=\"j\"} exemplar @2000");
    assert_int_equal(f.sink.exemplars, 2);
    /* the same lines with the same exemplars */
    assert_true(feed_show(&f, &s, "a_total 2 # {t=\"1\"} 1 1\nb_total 2 # {t=\"2\"} 1\nc_total 2\n# EOF\n", 3000));
    assert_int_equal(f.sink.samples, 3);
    assert_int_equal(f.sink.exemplars, 0);
    /* one is new, and a line before the other has gone */
    assert_true(feed_show(&f, &s, "b_total 3 # {t=\"2\"} 1\nc_total 3 # {t=\"1\"} 1 1\n# EOF\n", 4000));
    assert_line(&f.sink, "c_total{instance=\"i:1\", job=\"j\"} exemplar @1000");
    assert_int_equal(f.sink.exemplars, 1);
    assert_true(feed_show(&f, &s, "c_total 4 # {t=\"3\"} 1 4\nb_total 4 # {t=\"2\"} 1\n# EOF\n", 5000));
    assert_line(&f.sink, "c_total{instance=\"i:1\", job=\"j\"} exemplar @4000");
    assert_int_equal(f.sink.exemplars, 1);
    /* a page without any; then it is new again */
    assert_true(feed_show(&f, &s, "b_total 5\n# EOF\n", 6000));
    assert_int_equal(f.sink.exemplars, 0);
    assert_true(feed_show(&f, &s, "b_total 6 # {t=\"2\"} 1\n# EOF\n", 7000));
    assert_line(&f.sink, "b_total{instance=\"i:1\", job=\"j\"} exemplar @7000");
    DONE;
}

static void dropped_series_have_no_exemplars(void **state)
{
    WITH("{job_name: j, metric_relabel_configs: [{source_labels: [__name__], regex: a_total, action: drop}]}");
    f.format = EXPOSITION_OPENMETRICS;
    assert_true(feed_show(&f, &s, "a_total 1 # {} 1 1\nb_total 1 # {} 2 2\nb_total 2 # {} 3 3\n# EOF\n", 9000));
    assert_line(&f.sink, "b_total{instance=\"i:1\", job=\"j\"} exemplar @2000");
    assert_int_equal(f.sink.exemplars, 1);
    DONE;
}

static void what_the_queue_refuses_is_sent_later(void **state)
{
    WITH("job_name: j");
    f.format = EXPOSITION_OPENMETRICS;
    f.sink.busy = true;
    assert_true(feed_show(&f, &s, "a_total 1 # {} 1 1\n# EOF\n", 1000));
    f.sink.busy = false;
    assert_true(feed_show(&f, &s, "a_total 1 # {} 1 1\n# EOF\n", 2000));
    assert_int_equal(f.sink.exemplars, 1);
    DONE;
}

static void a_page_without_its_end_is_invalid(void **state)
{
    WITH("job_name: j");
    f.format = EXPOSITION_OPENMETRICS;
    assert_true(feed_show(&f, &s, "a 1\n# EOF\n", 1000));
    assert_false(feed_show(&f, &s, "a 2\n", 2000));
    assert_string_equal(f.page.result.err.text, "data does not end with # EOF");
    assert_line(&f.sink, "a{instance=\"i:1\", job=\"j\"} stale @2000");
    f.job.broken_lines_fail = false;
    assert_true(feed_show(&f, &s, "a 3\n!\n# EOF\n", 3000));
    assert_int_equal(f.page.result.invalid_lines, 1);
    assert_false(feed_show(&f, &s, "a 4\n!\n", 4000));
    assert_false(feed_show(&f, &s, "a 4\nb", 5000));
    DONE;
}

static const char restarted[] = "# TYPE c counter\nc_total 5\nc_created 4\n# TYPE g gauge\ng 1\n"
                                "# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_count 2\nh_created 4\n# EOF\n";

static void start_times_become_zeros(void **state)
{
    WITH("job_name: j");
    f.format = EXPOSITION_OPENMETRICS;
    f.rewrites = true;
    f.options = (struct page_rewrite_options){.starts = true, .custom = true};
    f.starts = (struct start_times){.zeros = true, .after = 3999};
    assert_true(feed_show(&f, &s, restarted, 5000));
    assert_line(&f.sink, "c_total{instance=\"i:1\", job=\"j\"} 0 @4000");
    assert_line(&f.sink, "c_total{instance=\"i:1\", job=\"j\"} 5 @5000");
    assert_line(&f.sink, "h{instance=\"i:1\", job=\"j\"} histogram 0 1 @4000");
    assert_line(&f.sink, "h{instance=\"i:1\", job=\"j\"} histogram 2 0 @5000");
    assert_int_equal(f.sink.samples, 3);
    f.starts.after = 4000; /* the last sample has this time */
    assert_true(feed_show(&f, &s, restarted, 6000));
    assert_int_equal(f.sink.samples, 2);
    assert_int_equal(recorder_containing(&f.sink, "@4000"), 0);
    f.starts.after = 0;
    assert_true(feed_show(&f, &s, restarted, 4000)); /* a sample cannot begin at its own time */
    assert_int_equal(f.sink.samples, 2);
    DONE;
}

static void start_times_are_sent(void **state)
{
    WITH("job_name: j");
    f.format = EXPOSITION_OPENMETRICS;
    f.rewrites = true;
    f.options = (struct page_rewrite_options){.starts = true, .custom = true, .family_labels = true};
    f.starts = (struct start_times){.sent = true, .zeros = true, .after = 3999};
    for (int again = 0; again < 2; again++) {
        assert_true(feed_show(&f, &s, restarted, 5000 + again));
        assert_lines(&f.sink, "c_total{__type__=\"counter\", instance=\"i:1\", job=\"j\"} 0 @4000", !again);
        assert_lines(&f.sink, "h{__type__=\"histogram\", instance=\"i:1\", job=\"j\"} histogram 0 1 @4000", !again);
        f.starts.after = 5000;
    }
    assert_line(&f.sink, "c_total{__type__=\"counter\", instance=\"i:1\", job=\"j\"} 5 @5001 since 4000");
    assert_line(&f.sink, "h{__type__=\"histogram\", instance=\"i:1\", job=\"j\"} histogram 2 0 @5001 since 4000");
    assert_line(&f.sink, "g{__type__=\"gauge\", instance=\"i:1\", job=\"j\"} 1 @5001");
    assert_true(feed_show(&f, &s, restarted, 3000)); /* one that lies after the sample says nothing */
    assert_int_equal(recorder_containing(&f.sink, "since"), 0);
    assert_true(feed_show(&f, &s, "# EOF\n", 6000));
    assert_int_equal(recorder_containing(&f.sink, "stale @6000"), 3);
    DONE;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        THRICE(times_are_seconds), THRICE(an_exemplar_is_sent_once), THRICE(dropped_series_have_no_exemplars),
        THRICE(what_the_queue_refuses_is_sent_later), BOTH(a_page_without_its_end_is_invalid),
        THRICE(start_times_become_zeros), THRICE(start_times_are_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
