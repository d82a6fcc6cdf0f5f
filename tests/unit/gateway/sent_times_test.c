// SPDX-License-Identifier: Apache-2.0
#include "gateway/cluster/sent_times.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static void test_a_note_counts_when_its_time_is_delivered(void **state UNUSED)
{
    struct sent_notes n = {0};
    sent_notes_settle(&n, 1000);
    assert_int_equal(n.until, 0);
    sent_notes_add(&n, (struct sent_note){.at = 1000, .complete = 900}); /* a slow scrape holds it up */
    sent_notes_add(&n, (struct sent_note){.at = 1200, .complete = 1190});
    sent_notes_settle(&n, 999);
    assert_int_equal(n.until, 0);
    sent_notes_settle(&n, 1199);
    assert_int_equal(n.until, 900);
    sent_notes_settle(&n, 1100); /* what is delivered stays so */
    assert_int_equal(n.until, 900);
    sent_notes_settle(&n, 1200);
    assert_int_equal(n.until, 1190);
}

static void test_old_notes_make_room(void **state UNUSED)
{
    struct sent_notes n = {0};
    for (int64_t t = 1; t <= 3 * SENT_NOTES; t++)
        sent_notes_add(&n, (struct sent_note){t, t});
    sent_notes_settle(&n, 2 * SENT_NOTES); /* delivered before the oldest note: not known */
    assert_int_equal(n.until, 0);
    sent_notes_settle(&n, 2 * SENT_NOTES + 5);
    assert_int_equal(n.until, 2 * SENT_NOTES + 5);
}

static void test_records_are_read_back(void **state UNUSED)
{
    struct buf text = {0};
    int64_t until;
    sent_record_write(STR("p1"), 1764000000123, &text);
    assert_true(sent_record_read(buf_str(&text), STR("p1"), &until));
    assert_int_equal(until, 1764000000123);
    assert_false(sent_record_read(buf_str(&text), STR("p2"), &until));
    assert_false(sent_record_read(STR("{\"boot\": \"p1\"}"), STR("p1"), &until));
    assert_false(sent_record_read(STR("{\"boot\": \"p1\", \"until\": -5}"), STR("p1"), &until));
    assert_false(sent_record_read(STR("no JSON"), STR("p1"), &until));
    assert_int_equal(until, 0);
    buf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_note_counts_when_its_time_is_delivered),
                                       cmocka_unit_test(test_old_notes_make_room), cmocka_unit_test(test_records_are_read_back)};
    return cmocka_run_group_tests_name("sent_times", tests, NULL, NULL);
}
