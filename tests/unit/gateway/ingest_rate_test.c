// SPDX-License-Identifier: Apache-2.0
#include "gateway/ingest/ingest_rate.h"

#include "base/text/duration.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static enum sink_status accept_batch(struct sink *s UNUSED, const struct sink_batch *b UNUSED) { return SINK_OK; }
static void ignore_series(struct sink *s UNUSED, const struct series_in *in UNUSED) {}
static void commit_batch(struct sink *s UNUSED, void (*done)(void *arg, bool ok), void *arg)
{
    if (done)
        done(arg, true);
}
static const struct sink_ops accepting = {accept_batch, ignore_series, NULL, commit_batch, NULL};

static void take_samples(struct sink *s, size_t n)
{
    assert_int_equal(sink_begin(s, &(struct sink_batch){.bytes = 1}), SINK_OK);
    sink_series(s, &(struct series_in){.n_samples = n});
    sink_commit(s, NULL, NULL);
}

/* Whether pushes wait after this time. */
static bool rate_waits_after(struct ingest_rate *r, int64_t ms)
{
    clock_advance(ms);
    return ingest_rate_wait(r) > 0;
}

static void test_bucket(void **state UNUSED)
{
    struct sink to = {.ops = &accepting};
    struct ingest_rate *r = ingest_rate_new(100, 1);
    struct sink *s = ingest_rate_sink(r, 0, &to);
    assert_int_equal(ingest_rate_wait(r), 0);
    take_samples(s, 90);
    assert_int_equal(ingest_rate_wait(r), 0);
    take_samples(s, 1010); /* ten seconds more than there is */
    assert_true(rate_waits_after(r, 0));
    assert_in_range(ingest_rate_wait(r), 1, 1000);
    assert_true(rate_waits_after(r, 9000));
    assert_false(rate_waits_after(r, 2000));
    ingest_rate_free(r);
}

static void test_debt_is_limited(void **state UNUSED)
{
    struct sink to = {.ops = &accepting};
    struct ingest_rate *r = ingest_rate_new(1, 1);
    struct sink *s = ingest_rate_sink(r, 0, &to);
    for (int i = 0; i < 30; i++)
        take_samples(s, 40);
    assert_true(rate_waits_after(r, 50000));
    assert_false(rate_waits_after(r, 11000));
    take_samples(s, 500); /* one batch alone */
    assert_true(rate_waits_after(r, 480000));
    assert_false(rate_waits_after(r, 21000));
    ingest_rate_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bucket), cmocka_unit_test(test_debt_is_limited)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
