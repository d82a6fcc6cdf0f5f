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

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(times_are_seconds), BOTH(an_exemplar_is_sent_once), BOTH(dropped_series_have_no_exemplars),
        BOTH(what_the_queue_refuses_is_sent_later), BOTH(a_page_without_its_end_is_invalid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
