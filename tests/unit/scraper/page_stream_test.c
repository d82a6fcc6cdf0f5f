// SPDX-License-Identifier: Apache-2.0
/* Pages that are written while they arrive, and what is left of those that fail late. What they have in common with
 * complete pages is in the other tests (THRICE). */
#include "page_fixture.h"

#define IN_PARTS(yaml) \
    WITH(yaml);        \
    f.part = 5

#define OWN "{instance=\"i:1\", job=\"j\"}"

static void a_late_error_leaves_a_part_whose_series_end(void **state)
{
    IN_PARTS("job_name: j");
    assert_true(feed_show(&f, &s, "a 1\nb 1\nc 1\n", 1000));
    assert_false(feed_show(&f, &s, "b 2\nd 2\ne 2\n}\n", 2000));
    assert_string_equal(f.page.result.err.text, "line 4: expected a metric name, a comment or an empty line, got `}` in `}`");
    assert_line(&f.sink, "b" OWN " 2 @2000");
    assert_line(&f.sink, "d" OWN " 2 @2000");
    for (const char *name = "abcd"; *name; name++) {
        char line[64];
        snprintf(line, sizeof line, "%c" OWN " stale @2001", *name);
        assert_line(&f.sink, line);
    }
    assert_lines(&f.sink, "e" OWN " 2 @2000", 0); /* read together with the invalid line */
    assert_int_equal(f.sink.samples, 6);
    assert_int_equal(s.last.n, 0);
    DONE;
}

static void the_error_has_the_number_of_the_line(void **state)
{
    IN_PARTS("job_name: j");
    assert_false(feed_show(&f, &s, "# HELP a b\n\n# c\na 1\nb x\n", 1000));
    assert_string_equal(f.page.result.err.text, "line 5: expected a value, got `x` in `b x`");
    DONE;
}

static void values_with_line_feeds_arrive_in_parts(void **state)
{
    IN_PARTS("job_name: j");
    assert_true(feed_show(&f, &s, "a{b=\"1\n2\n}{\n3\"} 1\nc 1\n", 1000));
    assert_line(&f.sink, "a{b=\"1\\n2\\n}{\\n3\", instance=\"i:1\", job=\"j\"} 1 @1000");
    assert_line(&f.sink, "c" OWN " 1 @1000");
    DONE;
}

static void nothing_may_follow_the_end_of_openmetrics(void **state)
{
    IN_PARTS("job_name: j");
    f.format = EXPOSITION_OPENMETRICS;
    assert_true(feed_show(&f, &s, "a 1\n# EOF\n", 1000));
    assert_true(feed_show(&f, &s, "a 2\n# EOF", 2000));
    assert_false(feed_show(&f, &s, "a 3\n# EOF\nb 3\n", 3000));
    assert_string_equal(f.page.result.err.text, "line 3: expected nothing after # EOF, got `b 3` in `# EOF`");
    assert_true(feed_show(&f, &s, "a 4\n# EOF\n", 4000));
    assert_false(feed_show(&f, &s, "a 5\n", 5000));
    assert_string_equal(f.page.result.err.text, "data does not end with # EOF");
    DONE;
}

static void metadata_are_those_of_all_parts(void **state)
{
    IN_PARTS("job_name: j");
    static const char text[] = "# HELP a The first.\n# TYPE a counter\na 1\n# HELP b The second.\nb 1\n";
    assert_true(feed_show(&f, &s, text, 1000));
    uint64_t hash = f.page.result.metadata_hash;
    f.part = 0;
    assert_true(feed_show(&f, &s, text, 2000));
    assert_int_equal(f.page.result.metadata_hash, hash);
    DONE;
}

/* Of 80,000 series half are others than before: the set of series grows while it is used. */
static void many_series_are_compared(void **state)
{
    enum { SERIES = 80000 }; /* more than the lane keeps memory for */
    IN_PARTS("job_name: j");
    struct buf text = {0};
    f.part = 64 << 10;
    for (int from = 0; from <= SERIES; from += SERIES / 2) {
        buf_clear(&text);
        for (int i = from; i < from + SERIES; i++)
            buf_printf(&text, "a{i=\"%d\"} 1\n", i);
        buf_printf(&text, "a{i=\"%d\"} 2\n", from + SERIES / 4);
        assert_true(feed_show(&f, &s, buf_z(&text), 1000 + from));
        assert_int_equal(f.page.result.added, from ? SERIES / 2 : SERIES);
        assert_int_equal(f.page.result.duplicates, 1);
        assert_int_equal(f.page.markers.markers, from ? SERIES / 2 : 0);
    }
    buf_free(&text);
    DONE;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(a_late_error_leaves_a_part_whose_series_end), BOTH(the_error_has_the_number_of_the_line),
        BOTH(values_with_line_feeds_arrive_in_parts),      BOTH(nothing_may_follow_the_end_of_openmetrics),
        BOTH(metadata_are_those_of_all_parts),             BOTH(many_series_are_compared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
