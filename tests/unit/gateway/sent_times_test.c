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

/* A note each 200 ms, and a destination that is behind: what is known is at most a third older than what is delivered. */
static void test_notes_of_a_lagging_destination_become_coarser(void **state UNUSED)
{
    enum { NOTE_MS = 200, HOUR_MS = 3600 * 1000 };
    static const int64_t delays[] = {1000, 12000, 15000, 60000, 600000, HOUR_MS};
    for (size_t i = 0; i < LEN(delays); i++) {
        struct sent_notes n = {0};
        for (int64_t now = NOTE_MS; now <= 3 * HOUR_MS; now += NOTE_MS) {
            int64_t delivered = now - delays[i];
            sent_notes_add(&n, (struct sent_note){now, now});
            sent_notes_settle(&n, delivered);
            assert_true(n.n <= SENT_NOTES && n.until <= (delivered > 0 ? delivered : 0));
            if (now > 2 * delays[i] + delays[i] / 3)
                assert_in_range(delivered - n.until, 0, delays[i] / 3 + NOTE_MS);
        }
    }
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
                                       cmocka_unit_test(test_notes_of_a_lagging_destination_become_coarser),
                                       cmocka_unit_test(test_records_are_read_back)};
    return cmocka_run_group_tests_name("sent_times", tests, NULL, NULL);
}
