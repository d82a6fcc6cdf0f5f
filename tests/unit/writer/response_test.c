// SPDX-License-Identifier: Apache-2.0
/* What a remote write response means: statuses beside long bodies, redirects, rejected series, lost responses. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/text/duration.h"
#include "writer_fixture.h"
#include "writer/send/bisect.h"
#include "writer/send/response.h"
#include "writer/writer_internal.h"

static bool retried_twice(void) { return fixture_status().retries > 1; }

/* A login page behind a 302 takes nothing. */
static void a_redirect_is_no_delivery(void **state UNUSED)
{
    struct destination_conf d = fixture_destination(&fixture.a, "a", 2);
    atomic_store(&fixture.a.status, 302);
    fixture_start();
    fixture_apply(&d, 1);
    fixture_push(1, 2, true);
    fixture_wait_until(retried_twice);
    assert_int_equal(fixture_status().sent_samples, 0);
    atomic_store(&fixture.a.status, 204);
    fixture_await(&fixture.a, fixture_samples(2));
    fixture_check(&fixture.a, 1, 2);
    fixture_stop(1000);
}

static void a_long_body_changes_nothing(void **state UNUSED)
{
    struct destination_conf d = fixture_destination(&fixture.a, "a", 2);
    atomic_store(&fixture.a.status, 200);
    atomic_store(&fixture.a.body_size, 70 << 10);
    fixture_start();
    fixture_apply(&d, 1);
    fixture_push(1, 2, true);
    fixture_await(&fixture.a, fixture_samples(2));
    atomic_store(&fixture.a.status, 503);
    fixture_push(3, 3, true);
    fixture_wait_until(retried_twice);
    atomic_store(&fixture.a.status, 200);
    fixture_await(&fixture.a, fixture_samples(3));
    fixture_check(&fixture.a, 1, 3);
    assert_int_equal(fixture_status().dropped_samples, 0);
    fixture_stop(1000);
}

/* --- retries ------------------------------------------------------------------------------------------------------ */

static bool retried_thrice(void) { return fixture_status().retries >= 3; }
static bool all_lanes_fail(void)
{
    struct destination *d = fixture.writer->destinations[0];
    mutex_lock(&d->lock);
    bool all = d->probe.lanes == FIXTURE_LANES;
    mutex_unlock(&d->lock);
    return all;
}

/* However many lanes and shards have something to send. */
static void an_outage_costs_one_request_a_backoff(void **state UNUSED)
{
    enum { BACKOFF = 300 };
    struct destination_conf d = fixture_destination(&fixture.a, "a", 2 * FIXTURE_LANES);
    d.queue.min_backoff = d.queue.max_backoff = BACKOFF;
    fixture_start_with(&d, 1);
    for (int round = 0; round < 2; round++) {
        int64_t begin = clock_mono_ms(), step = 10 * round;
        unsigned long long before = fixture_status().retries;
        atomic_store(&fixture.a.status, 503);
        fixture_push(step + 1, step + 10, true);
        fixture_wait_until(all_lanes_fail);
        if (round == 0) {
            fixture_wait_until(retried_thrice);
            assert_true(clock_mono_ms() - begin >= 3 * BACKOFF);
        }
        before = fixture_status().retries;
        atomic_store(&fixture.a.status, 204); /* a retry may be in flight, then the next one succeeds */
        fixture_await(&fixture.a, fixture_samples(step + 10));
        assert_in_range(fixture_status().retries - before, 0, 2);
    }
    fixture_check(&fixture.a, 1, 20);
    fixture_stop(1000);
}

/* The lane may send what it may in a second at once, and exceed it by a block. */
static void a_rate_limit_holds(void **state UNUSED)
{
    enum { RATE = 8000, STEPS = 12 };
    struct destination_conf d = fixture_destination(&fixture.a, "a", 1);
    d.protocol = PROTOCOL_SNAPPY;
    d.rate_limit = RATE;
    fixture.n_lanes = 1;
    int64_t begin = clock_mono_ms();
    fixture_start_with(&d, 1);
    for (int64_t t = 1; t <= STEPS; t++)
        fixture_push(t, t, true);
    fixture_await(&fixture.a, fixture_samples(STEPS));
    int64_t most = RATE * (clock_mono_ms() - begin + 1000) / 1000;
    fixture_check(&fixture.a, 1, STEPS);
    uint64_t sent = fixture_status().sent_bytes;
    assert_true(sent > 3 * RATE); /* enough for the limit to matter */
    assert_true((int64_t)sent <= most + (int64_t)(sent / STEPS));
    fixture_stop(1000);
}

/* --- the codec ---------------------------------------------------------------------------------------------------- */

static bool zstd_is_used(void) { return fixture_status().zstd; }

static void push_and_await(int64_t step)
{
    fixture_push(step, step, true);
    fixture_await(&fixture.a, fixture_samples(step));
}

/* A 400 that names the encoding is proof, one that does not is from the third block on; zstd is tried again. */
static void snappy_needs_proof_and_is_not_for_ever(void **state UNUSED)
{
    static const char *const texts[] = {"snappy: corrupt input", NULL};
    fixture.n_lanes = 1;
    struct destination_conf d = fixture_destination(&fixture.a, "a", 1);
    fixture_start_with(&d, 1);
    atomic_store(&fixture.a.zstd_status, 400);
    int64_t step = 1;
    for (size_t i = 0; i < LEN(texts); i++) {
        atomic_store(&fixture.a.text, texts[i]);
        atomic_store(&fixture.a.no_zstd, true);
        unsigned long long before = atomic_load(&fixture.writer->destinations[0]->sent_blocks);
        do
            push_and_await(step++); /* a block or several */
        while (fixture_status().zstd);
        assert_true(atomic_load(&fixture.writer->destinations[0]->sent_blocks) - before >= (texts[i] ? 1 : 3));
        atomic_store(&fixture.a.no_zstd, false);
        push_and_await(step++);
        assert_false(fixture_status().zstd);
        clock_advance(3600000);
        push_and_await(step++); /* it is snappy, and the next one is not */
        fixture_wait_until(zstd_is_used);
        push_and_await(step++);
        assert_true(http_server_last_contains(&fixture.a.server, "Content-Encoding: zstd"));
    }
    fixture_check(&fixture.a, 1, step - 1);
    assert_int_equal(fixture_status().dropped_samples, 0);
    fixture_stop(1000);
}

/* --- the tables --------------------------------------------------------------------------------------------------- */

struct verdict_case { int status; const char *text; enum codec codec; enum response_class entry; };

static void statuses_and_words(void **state UNUSED)
{
    static const struct verdict_case cases[] = {
        {200, "out of order sample", CODEC_SNAPPY, RESPONSE_DELIVERED},
        {204, "", CODEC_ZSTD, RESPONSE_DELIVERED},
        {302, "", CODEC_SNAPPY, RESPONSE_RETRY},
        {400, "no", CODEC_SNAPPY, RESPONSE_REJECTED},
        {400, "unknown encoding", CODEC_ZSTD, RESPONSE_RECODE},
        {400, "out of bounds", CODEC_ZSTD, RESPONSE_REJECTED},
        {400, "failed pushing to ingester: user=1: the sample has been rejected (err-mimir-sample-out-of-order)",
         CODEC_SNAPPY, RESPONSE_PARTLY_STORED},
        {400, "user=fake: err: out of order sample. timestamp=1, series={a=\"b\"}", CODEC_ZSTD, RESPONSE_PARTLY_STORED},
        {400, "user=1: per-user series limit of 10 exceeded", CODEC_SNAPPY, RESPONSE_PARTLY_STORED},
        {400, "send data to ingesters: failed pushing to ingester a-1: user=1: per-user series limit of 10 exceeded "
              "(err-mimir-max-series-per-user). To adjust ...", CODEC_ZSTD, RESPONSE_PARTLY_STORED},
        {400, "received a sample whose timestamp is too far in the future (err-mimir-too-far-in-future)", CODEC_ZSTD,
         RESPONSE_PARTLY_STORED},
        {400, "label value too long for metric: \"a\" label value: \"b\"", CODEC_SNAPPY, RESPONSE_PARTLY_STORED},
        {400, "timestamp too new: 1 metric: \"a\"", CODEC_SNAPPY, RESPONSE_PARTLY_STORED},
        {400, "duplicate sample for timestamp, series {user=\"me\"}", CODEC_SNAPPY, RESPONSE_REJECTED},
        {400, "invalid labels for series {__name__=\"a\", user=\"me\"}", CODEC_SNAPPY, RESPONSE_REJECTED},
        {400, "the incoming push request has been rejected because its message size of 100 bytes is larger than the "
              "allowed limit of 50 bytes (err-mimir-distributor-max-write-message-size).", CODEC_SNAPPY,
         RESPONSE_TOO_LARGE},
        {400, "received message larger than max (100 vs 50)", CODEC_SNAPPY, RESPONSE_TOO_LARGE},
        {400, "too big unpacked request; mustn't exceed `-maxInsertRequestSize=50` bytes; got 100 bytes", CODEC_ZSTD,
         RESPONSE_TOO_LARGE},
        {400, "failed pushing to partition 1: the write request contains a timeseries or metadata item which is larger "
              "that the maximum allowed size of 9 bytes (err-mimir-distributor-max-write-request-data-item-size)",
         CODEC_ZSTD, RESPONSE_REJECTED},
        {400, "the maximum number of high-availability (HA) clusters has been reached for this tenant (limit: 1) "
              "(err-mimir-tenant-too-many-ha-clusters)", CODEC_ZSTD, RESPONSE_DROP},
        {401, "", CODEC_SNAPPY, RESPONSE_RETRY}, {403, "", CODEC_SNAPPY, RESPONSE_RETRY},
        {404, "", CODEC_SNAPPY, RESPONSE_RETRY}, {408, "", CODEC_SNAPPY, RESPONSE_RETRY},
        {429, "too old sample", CODEC_SNAPPY, RESPONSE_RETRY},
        {405, "", CODEC_SNAPPY, RESPONSE_DROP}, {410, "", CODEC_SNAPPY, RESPONSE_DROP},
        {409, "store locally for endpoint: conflict", CODEC_SNAPPY, RESPONSE_PARTLY_STORED},
        {413, "", CODEC_ZSTD, RESPONSE_TOO_LARGE},
        {415, "", CODEC_ZSTD, RESPONSE_RECODE}, {415, "", CODEC_SNAPPY, RESPONSE_DROP},
        {422, "", CODEC_SNAPPY, RESPONSE_REJECTED},
        {500, "", CODEC_SNAPPY, RESPONSE_RETRY},
        {500, "write to WAL: no space left on device", CODEC_SNAPPY, RESPONSE_RETRY},
        {500, "histogram's observation count should equal the number of observations found in the buckets",
         CODEC_SNAPPY, RESPONSE_REJECTED},
        {500, "3 observations found in buckets: Histogram has a bucket whose observation count is negative",
         CODEC_SNAPPY, RESPONSE_REJECTED},
        {500, "label name \"a\" is not unique: invalid sample", CODEC_SNAPPY, RESPONSE_REJECTED},
        {500, "native histograms are disabled", CODEC_SNAPPY, RESPONSE_REJECTED},
        {500, "histogram_quantile failed", CODEC_SNAPPY, RESPONSE_RETRY},
        {502, "", CODEC_SNAPPY, RESPONSE_RETRY}, {503, "overloaded", CODEC_SNAPPY, RESPONSE_RETRY}};
    for (size_t i = 0; i < LEN(cases); i++) {
        struct write_response r = {cases[i].status, str_of(cases[i].text)};
        if (response_classify(&r, block_form_1(cases[i].codec)) != cases[i].entry)
            fail_msg("%d \"%s\"", cases[i].status, cases[i].text);
    }
    assert_true(response_about_time(STR("xx Out of order sample")));
    assert_true(response_about_time(STR("duplicate sample for timestamp")));
    assert_true(response_about_time(STR("too old sample")));
    assert_false(response_about_time(STR("out of bounds: too far in the future")));
    assert_true(response_blames_encoding(&(struct write_response){400, STR("cannot unmarshal: Snappy: corrupt input")}));
    assert_true(response_blames_encoding(&(struct write_response){415, STR_NONE}));
    assert_false(response_blames_encoding(&(struct write_response){400, STR("out of bounds")}));
    assert_false(response_blames_encoding(&(struct write_response){500, STR("zstd")}));
    assert_non_null(response_remedy(401));
    assert_non_null(response_remedy(302));
    assert_null(response_remedy(503));
}

static void requests_for_a_block(void **state UNUSED)
{
    assert_int_equal(bisect_limit(1, 0), 16);
    assert_int_equal(bisect_limit(2000, 0), 38);
    assert_int_equal(bisect_limit(2048, 0), 38);
    assert_int_equal(bisect_limit(2000, 1), 19);
    assert_int_equal(bisect_limit(2000, 100), 8);
}

/* --- rejected samples --------------------------------------------------------------------------------------------- */

enum { LIMIT = 2 * 10 + 16, BLOCKS = FIXTURE_LANES }; /* of 600 series; a step is one block or one a lane */

static uint64_t series_hash(const char *i, const char *lane)
{
    struct label items[] = {{STR(METRIC_NAME), STR("m")}, {STR("i"), str_of(i)}, {STR("lane"), str_of(lane)}};
    return labels_hash(labels_from(&fixture.arena, items, 3));
}

static uint64_t bad_series;
static atomic_int rejection;

static int reject_bad_series(struct receiver *r UNUSED, const struct received *samples, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (samples[i].series == bad_series)
            return atomic_load(&rejection);
    return 0;
}

static void start_rejecting_with(int status, const char *text, int64_t shards)
{
    struct destination_conf d = fixture_destination(&fixture.a, "a", shards);
    d.protocol = PROTOCOL_SNAPPY;
    d.queue.min_backoff = 1;
    bad_series = series_hash("113", "1");
    atomic_store(&rejection, status);
    atomic_store(&fixture.a.text, text);
    atomic_store(&fixture.a.check, reject_bad_series);
    fixture_start();
    fixture_apply(&d, 1);
}

static void start_rejecting(int status, const char *text) { start_rejecting_with(status, text, 1); }

static void add_quarantined(void *arg, const struct queue_report *r)
{
    if (str_ends(str_of(r->name), STR(QUARANTINE_SUFFIX)))
        *(uint64_t *)arg += r->samples;
}

static uint64_t quarantined_samples(void)
{
    uint64_t samples = 0;
    struct err err;
    if (!writer_queues_read(str_of(fixture.dir), NULL, true, add_quarantined, &samples, &err))
        fail_msg("%s", err.text);
    return samples;
}

static void expect_only_the_bad_dropped(int64_t steps)
{
    for (int64_t t = 1; t <= steps; t++) {
        fixture_push(t, t, true);
        fixture_await(&fixture.a, fixture_samples(t) - (size_t)t);
    }
    fixture_stop(1000);
    assert_in_range(atomic_load(&fixture.a.server.requests), 1, (BLOCKS + LIMIT) * (unsigned)steps);
    assert_int_equal(quarantined_samples(), steps);
}

static void one_rejected_sample_costs_itself(void **state UNUSED)
{
    start_rejecting(400, "out of bounds");
    expect_only_the_bad_dropped(3);
}

static void a_500_that_blames_content_stalls_nothing(void **state UNUSED)
{
    start_rejecting(500, "histogram has a bucket whose observation count is negative");
    expect_only_the_bad_dropped(3);
}

static size_t expected_drops;
static bool all_dropped(void) { return fixture_status().dropped_samples == expected_drops; }

static void await_all_but_the_bad(int64_t steps)
{
    fixture_await(&fixture.a, fixture_samples(steps) - (size_t)steps);
    fixture_stop(1000);
    assert_int_equal(quarantined_samples(), steps);
}

/* Nothing says that the block is at fault but that others are delivered, or, of one shard, its other pieces. */
static void a_block_that_always_fails_stalls_nothing(void **state UNUSED)
{
    start_rejecting_with(500, "internal error", 6);
    for (int64_t t = 1; t <= 2; t++)
        fixture_push(t, t, true);
    await_all_but_the_bad(2);
}

static void a_block_that_always_fails_alone_is_narrowed_down(void **state UNUSED)
{
    fixture.n_lanes = 1;
    start_rejecting_with(500, "internal error", 1);
    fixture_push(1, 1, true);
    await_all_but_the_bad(1);
}

/* A destination that fails for everything has every sample in the end. */
static bool retried_for_long(void) { return fixture_status().retries > 40; }
static void a_destination_that_always_fails_loses_nothing(void **state UNUSED)
{
    struct destination_conf d = fixture_destination(&fixture.a, "a", 2);
    d.queue.min_backoff = d.queue.max_backoff = 5;
    atomic_store(&fixture.a.status, 500);
    fixture_start_with(&d, 1);
    for (int64_t t = 1; t <= 3; t++)
        fixture_push(t, t, true);
    fixture_wait_until(retried_for_long);
    atomic_store(&fixture.a.status, 204);
    fixture_await(&fixture.a, fixture_samples(3));
    fixture_check(&fixture.a, 1, 3);
    assert_int_equal(fixture_status().dropped_samples, 0);
    fixture_stop(1000);
    assert_int_equal(quarantined_samples(), 0);
}

/* Over the limit the oldest are deleted; what is there is a queue that can be read. */
static void a_quarantine_has_a_limit(void **state UNUSED)
{
    struct destination_conf d = fixture_destination(&fixture.a, "a", 1);
    d.max_quarantine_bytes = 16 << 10;
    d.protocol = PROTOCOL_SNAPPY;
    fixture.n_lanes = 1;
    atomic_store(&fixture.a.status, 405); /* without a split */
    fixture_start_with(&d, 1);
    for (int64_t t = 1; t <= 12; t++) {
        fixture_push(t, t, true);
        expected_drops = fixture_samples(t);
        fixture_wait_until(all_dropped);
    }
    fixture_stop(1000);
    uint64_t kept = quarantined_samples();
    assert_in_range(kept, FIXTURE_SERIES, fixture_samples(11));
}

static int reject_all(struct receiver *r UNUSED, const struct received *samples UNUSED, size_t n UNUSED)
{
    return atomic_load(&rejection);
}

static void expect_everything_dropped(int status)
{
    start_rejecting(status, "no");
    atomic_store(&fixture.a.check, reject_all);
    for (int64_t t = 1; t <= 3; t++) {
        fixture_push(t, t, true);
        expected_drops = fixture_samples(t);
        fixture_wait_until(all_dropped);
    }
    assert_in_range(atomic_load(&fixture.a.server.requests), 1, 3 * BLOCKS * LIMIT);
    atomic_store(&fixture.a.check, NULL);
    fixture_push(4, 4, true);
    fixture_await(&fixture.a, fixture_samples(1));
    fixture_stop(1000);
}

static void requests_that_reject_everything_are_bounded(void **state UNUSED) { expect_everything_dropped(400); }
static void requests_that_are_all_too_large_are_bounded(void **state UNUSED) { expect_everything_dropped(413); }

static size_t expected_sent;
static bool all_sent(void) { return fixture_status().sent_samples == expected_sent; }

/* A receiver that stores the rest of a block: halving it again would only repeat that. */
static void partial_writers_get_one_request(void **state UNUSED)
{
    start_rejecting(400, "user=1: err-mimir-sample-out-of-order");
    fixture_push(1, 1, true);
    expected_sent = fixture_samples(1);
    fixture_wait_until(all_sent);
    assert_in_range(atomic_load(&fixture.a.server.requests), 1, BLOCKS);
    assert_int_equal(fixture_status().dropped_samples, 0);
    fixture_stop(1000);
}

/* --- blocks in doubt ---------------------------------------------------------------------------------------------- */

/* As Mimir or an old Prometheus: what is there already is rejected. */
static int reject_stored(struct receiver *r, const struct received *samples, size_t n)
{
    size_t before = (size_t)(samples - r->samples);
    for (size_t i = 0; i < before && n > 0; i++)
        if (r->samples[i].series == samples[0].series && r->samples[i].sample.t >= samples[0].sample.t)
            return 400;
    return 0;
}

static void start_losing(int lost)
{
    struct destination_conf d = fixture_destination(&fixture.a, "a", 1);
    d.protocol = PROTOCOL_SNAPPY;
    atomic_store(&fixture.a.text, "duplicate sample for timestamp");
    atomic_store(&fixture.a.check, reject_stored);
    atomic_store(&fixture.a.lost, lost);
    fixture_start();
    fixture_apply(&d, 1);
}

static void a_lost_response_and_then_a_duplicate_is_a_delivery(void **state UNUSED)
{
    start_losing(1);
    fixture_push(1, 1, true);
    expected_sent = fixture_samples(1);
    fixture_wait_until(all_sent);
    assert_int_equal(receiver_count(&fixture.a), fixture_samples(1));
    assert_int_equal(fixture_status().dropped_samples, 0);
    fixture_stop(1000);
}

static bool all_stored(void) { return receiver_count(&fixture.a) > 0 && fixture_status().retries > 0; }

static void a_block_in_flight_at_the_stop_is_in_doubt(void **state UNUSED)
{
    start_losing(1000);
    fixture_push(1, 1, true);
    fixture_wait_until(all_stored);
    fixture_stop(20);
    start_losing(0);
    fixture_await(&fixture.a, fixture_samples(1));
    assert_int_equal(fixture_status().dropped_samples, 0);
    fixture_stop(1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statuses_and_words), cmocka_unit_test(requests_for_a_block),
        FIXTURE_TEST(a_redirect_is_no_delivery), FIXTURE_TEST(an_outage_costs_one_request_a_backoff),
        FIXTURE_TEST(a_rate_limit_holds), FIXTURE_TEST(snappy_needs_proof_and_is_not_for_ever),
        FIXTURE_TEST(a_long_body_changes_nothing),
        FIXTURE_TEST(one_rejected_sample_costs_itself), FIXTURE_TEST(a_500_that_blames_content_stalls_nothing),
        FIXTURE_TEST(a_block_that_always_fails_stalls_nothing), FIXTURE_TEST(a_quarantine_has_a_limit),
        FIXTURE_TEST(a_block_that_always_fails_alone_is_narrowed_down),
        FIXTURE_TEST(a_destination_that_always_fails_loses_nothing),
        FIXTURE_TEST(requests_that_reject_everything_are_bounded),
        FIXTURE_TEST(requests_that_are_all_too_large_are_bounded),
        FIXTURE_TEST(partial_writers_get_one_request), FIXTURE_TEST(a_lost_response_and_then_a_duplicate_is_a_delivery),
        FIXTURE_TEST(a_block_in_flight_at_the_stop_is_in_doubt)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
