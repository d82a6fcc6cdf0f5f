// SPDX-License-Identifier: Apache-2.0
/* Remote write 2.0 as it is sent: what receivers of all kinds make of it, and when it falls back to 1.0. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/text/duration.h"
#include "tests/unit/log_capture.h"
#include "writer/send/response.h"
#include "writer/writer_internal.h"
#include "writer_fixture.h"

static struct destination *form_destination(void) { return fixture.writer->destinations[0]; }
static bool sends_2(void) { return atomic_load(&form_destination()->write_2); }

static bool all_are_dropped(void) { return fixture_status().dropped_samples == fixture_samples(1); }

static struct destination_conf conf_2(void)
{
    struct destination_conf d = fixture_destination(&fixture.a, "a", 2);
    d.protobuf_message = WRITE_MESSAGE_2;
    return d;
}

static void form_push(int64_t step)
{
    fixture_push(step, step, true);
    fixture_await(&fixture.a, fixture_samples(step));
}

static void version_2_is_sent(void **state UNUSED)
{
    struct destination_conf d = conf_2();
    fixture_start_with(&d, 1);
    for (int64_t step = 1; step <= 3; step++)
        form_push(step);
    assert_true(sends_2());
    assert_int_equal(atomic_load(&fixture.a.write_2_requests), atomic_load(&fixture.a.requests));
    assert_true(http_server_last_contains(&fixture.a.server, "X-Prometheus-Remote-Write-Version: 2.0.0"));
    assert_true(http_server_last_contains(&fixture.a.server, "Content-Encoding: snappy"));
    fixture_check(&fixture.a, 1, 3);
    assert_int_equal(fixture_status().dropped_samples, 0);
    assert_int_equal(atomic_load(&form_destination()->unconfirmed_samples), 0);
    fixture_stop(1000);
}

/* 415, the 400 of a decoder, and a success that says nothing of what was written: the block is sent as 1.0, and so are all
 * others for an hour. */
static void version_1_when_2_is_not_known(void **state UNUSED)
{
    static const struct { enum receiver_write_2 kind; const char *text; } kinds[] = {
        {WRITE_2_REFUSED, NULL}, {WRITE_2_MALFORMED, "proto: illegal wireType 7"}, {WRITE_2_IGNORED, NULL}};
    fixture.n_lanes = 1;
    struct destination_conf d = conf_2();
    fixture_start_with(&d, 1);
    int64_t step = 1;
    for (size_t i = 0; i < LEN(kinds); i++) {
        atomic_store(&fixture.a.text, kinds[i].text);
        atomic_store(&fixture.a.write_2, (int)kinds[i].kind);
        form_push(step++);
        assert_false(sends_2());
        assert_true(http_server_last_contains(&fixture.a.server, "X-Prometheus-Remote-Write-Version: 0.1.0"));
        int before = atomic_load(&fixture.a.write_2_requests);
        form_push(step++);
        atomic_store(&fixture.a.write_2, WRITE_2_KNOWN);
        form_push(step++);
        assert_int_equal(atomic_load(&fixture.a.write_2_requests), before);
        clock_advance(3600000);
        form_push(step++); /* the first block may still be 1.0 */
        fixture_wait_until(sends_2);
        form_push(step++);
        assert_true(atomic_load(&fixture.a.write_2_requests) > before);
    }
    fixture_check(&fixture.a, 1, step - 1);
    assert_int_equal(fixture_status().dropped_samples, 0);
    fixture_stop(1000);
}

/* Without a proof the version remains: a 415 also to 1.0 has another reason. */
static void a_415_to_both_proves_nothing(void **state UNUSED)
{
    fixture.n_lanes = 1;
    struct destination_conf d = conf_2();
    fixture_start_with(&d, 1);
    atomic_store(&fixture.a.status, 415);
    fixture_push(1, 1, true);
    fixture_wait_until(all_are_dropped);
    assert_true(sends_2());
    fixture_stop(1000);
}

static void samples_that_are_not_written_are_counted(void **state UNUSED)
{
    fixture.n_lanes = 1;
    struct destination_conf d = conf_2();
    d.queue.shards = 1;
    fixture_start_with(&d, 1);
    atomic_store(&fixture.a.unwritten, 3);
    form_push(1); /* accepted: a loss that the receiver does not speak of */
    unsigned requests = atomic_load(&fixture.a.requests);
    assert_int_equal(atomic_load(&form_destination()->unconfirmed_samples), 3 * requests);
    assert_int_equal(fixture_status().dropped_samples, 0);
    fixture_stop(1000);
}

static int refuse_none(struct receiver *r UNUSED, const struct received *samples UNUSED, size_t n UNUSED) { return 400; }

/* 400 with headers that count none: nothing can be stored of the block, and no part of it is tried. */
static void a_partial_write_is_final(void **state UNUSED)
{
    fixture.n_lanes = 1;
    struct destination_conf d = conf_2();
    d.queue.shards = 1;
    fixture_start_with(&d, 1);
    atomic_store(&fixture.a.check, refuse_none);
    fixture_push(1, 1, true);
    fixture_wait_until(all_are_dropped);
    assert_true(atomic_load(&fixture.a.requests) <= 4); /* the blocks of the push, each once */
    assert_true(sends_2());
    fixture_stop(1000);
}

/* Blocks of either version that wait on disk are sent in the version of the new configuration. */
static void a_backlog_changes_its_version(void **state UNUSED)
{
    struct destination_conf first = fixture_destination(&fixture.a, "a", 2), second = conf_2();
    fixture_start_with(&first, 1);
    atomic_store(&fixture.a.status, 503);
    fixture_push(1, 2, true);
    fixture_apply(&second, 1);
    fixture_push(3, 4, true);
    fixture_stop(0);
    fixture_start_with(&second, 1);
    atomic_store(&fixture.a.status, 204);
    fixture_await(&fixture.a, fixture_samples(4));
    assert_true(http_server_last_contains(&fixture.a.server, "proto=io.prometheus.write.v2.Request"));
    fixture_stop(1000);
    fixture_start_with(&second, 1);
    atomic_store(&fixture.a.status, 503);
    fixture_push(5, 6, true);
    fixture_stop(0);
    fixture_start_with(&first, 1);
    atomic_store(&fixture.a.status, 204);
    fixture_await(&fixture.a, fixture_samples(6));
    assert_false(http_server_last_contains(&fixture.a.server, "proto="));
    fixture_check(&fixture.a, 1, 6);
    fixture_stop(1000);
}

static void responses_to_version_2(void **state UNUSED)
{
    static const struct { int status; const char *text; bool has_written; enum response_class entry; } cases[] = {
        {204, "", true, RESPONSE_DELIVERED}, {200, "", false, RESPONSE_RECODE}, {415, "", false, RESPONSE_RECODE},
        {415, "", true, RESPONSE_RECODE},
        {400, "out of order sample", true, RESPONSE_PARTLY_STORED}, {400, "bad", true, RESPONSE_PARTLY_STORED},
        {400, "out of order sample", false, RESPONSE_REJECTED}, {400, "no", false, RESPONSE_RECODE},
        {400, "snappy: corrupt input", false, RESPONSE_RECODE}, {400, "proto: wrong wireType = 2", false, RESPONSE_RECODE},
        {400, "cannot unmarshal request", false, RESPONSE_RECODE},
        {500, "", true, RESPONSE_RETRY}, {503, "", false, RESPONSE_RETRY}, {429, "", false, RESPONSE_RETRY},
        {413, "", false, RESPONSE_TOO_LARGE}};
    struct block_form form = {MESSAGE_WRITE_2, CODEC_SNAPPY};
    for (size_t i = 0; i < LEN(cases); i++) {
        struct write_response r = {cases[i].status, str_of(cases[i].text), cases[i].has_written, 0};
        if (response_classify(&r, form) != cases[i].entry)
            fail_msg("%d \"%s\"", cases[i].status, cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(version_2_is_sent),
        FIXTURE_TEST(version_1_when_2_is_not_known),
        FIXTURE_TEST(a_415_to_both_proves_nothing),
        FIXTURE_TEST(samples_that_are_not_written_are_counted),
        FIXTURE_TEST(a_partial_write_is_final),
        FIXTURE_TEST(a_backlog_changes_its_version),
        cmocka_unit_test(responses_to_version_2),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
