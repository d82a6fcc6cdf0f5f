// SPDX-License-Identifier: Apache-2.0
/* What the log tells of an outage, and of a destination that is removed with a backlog. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/telemetry/log.h"
#include "base/text/duration.h"
#include "writer_fixture.h"
#include "writer/writer_internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static char story[64 << 10];
static int log_fd;

/* A line is written ten times a minute at the most: each test has its own minutes. */
static int64_t log_ahead;
static int64_t log_clock(void) { return clock_mono_ms() + log_ahead; }

static void start_logging(void)
{
    char path[300];
    log_ahead += 120000;
    log_set_clock(log_clock);
    log_sweep();
    snprintf(path, sizeof path, "%s/log", fixture.dir);
    log_fd = open(path, O_RDWR | O_CREAT | O_APPEND, 0600);
    assert_true(log_fd >= 0);
    log_setup(LOG_INFO, LOG_LOGFMT, log_fd);
}

static void stop_logging(void)
{
    log_setup(LOG_INFO, LOG_LOGFMT, 2);
    ssize_t n = pread(log_fd, story, sizeof story - 1, 0);
    story[n > 0 ? n : 0] = 0;
    close(log_fd);
}

static unsigned times_logged(const char *text)
{
    unsigned n = 0;
    for (const char *p = story; (p = strstr(p, text)) != NULL; p++)
        n++;
    return n;
}

static void set_outage_period(int64_t ms)
{
    struct destination *d = fixture.writer->destinations[0];
    mutex_lock(&d->lock);
    d->outage.period = ms;
    mutex_unlock(&d->lock);
}

enum { OUTAGE_PERIOD_MS = 100 };
static bool retried_twice(void) { return fixture_status().retries > 1; }
static bool retried_often(void) { return fixture_status().retries > 3; }

static void log_outage(int status)
{
    struct destination_conf d = fixture_destination(&fixture.a, "a", 8);
    start_logging();
    fixture_start();
    fixture_apply(&d, 1);
    set_outage_period(OUTAGE_PERIOD_MS);
    atomic_store(&fixture.a.status, status);
    int64_t began = clock_mono_ms();
    fixture_push(1, 2, true);
    fixture_wait_until(retried_often);
    atomic_store(&fixture.a.status, 204);
    fixture_await(&fixture.a, fixture_samples(2));
    fixture_stop(1000);
    stop_logging();
    assert_in_range(times_logged("remote write still failing"), 1, (clock_mono_ms() - began) / OUTAGE_PERIOD_MS + 1);
    assert_int_equal(times_logged("remote write recovered"), 1);
    assert_true(times_logged(" since=20") >= 2 && times_logged(" pending=") >= 2 && times_logged(" oldest=") >= 2);
    assert_int_equal(times_logged("127.0.0.1"), 0);
}

/* One story of three lanes. */
static void an_outage_is_one_story(void **state UNUSED)
{
    log_outage(503);
    assert_int_equal(times_logged("msg=\"remote write failing"), 1);
    assert_true(times_logged("space_left=") >= 1);
    assert_int_equal(times_logged("level=error"), 0);
}

static bool told_thrice(void)
{
    static char text[1 << 16];
    ssize_t n = pread(log_fd, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = 0;
    const char *p = text;
    for (int i = 0; i < 3 && p; i++)
        p = strstr(p + 1, "remote write still failing");
    return p != NULL;
}

/* The next retry is an hour away. Without a limit, or with one beyond the disk, the queue may have what is free. */
static void an_outage_is_told_whenever_the_retries_are(void **state UNUSED)
{
    struct destination_conf d = fixture_destination(&fixture.a, "a", 8);
    d.queue.min_backoff = d.queue.max_backoff = 3600 * 1000;
    d.max_disk_bytes = 1ll << 60;
    start_logging();
    fixture_start();
    fixture_apply(&d, 1);
    set_outage_period(50);
    atomic_store(&fixture.a.status, 503);
    fixture_push(1, 2, true);
    fixture_wait_until(told_thrice);
    assert_int_equal(fixture_status().retries, 0);
    fixture_stop(20);
    stop_logging();
    assert_int_equal(times_logged("msg=\"remote write failing"), 1);
    assert_true(times_logged("err=\"HTTP 503") >= 4);
    assert_int_equal(times_logged("space_left=unlimited") + times_logged("space_left=1048576.0TiB"), 0);
}

static void bad_credentials_say_what_to_change(void **state UNUSED)
{
    log_outage(401);
    assert_int_equal(times_logged("msg=\"remote write rejected"), 1);
    assert_true(times_logged("remedy=\"check the credentials") >= 2);
    assert_true(times_logged("level=error") >= 2);
}

static void nobody_listens_and_no_url_is_shown(void **state UNUSED)
{
    struct receiver nobody = {.server.port = 1};
    struct destination_conf d = fixture_destination(&nobody, "a", 2);
    start_logging();
    fixture_start();
    fixture_apply(&d, 1);
    fixture_push(1, 1, true);
    fixture_wait_until(retried_twice);
    assert_true(str_is(fixture_status().last_error, "connection refused"));
    fixture_stop(20);
    stop_logging();
    assert_int_equal(times_logged("err=\"connection refused\""), 1);
    assert_int_equal(times_logged("127.0.0.1"), 0);
}

static void a_removed_destination_with_a_backlog_is_logged(void **state UNUSED)
{
    struct destination_conf d[] = {fixture_destination(&fixture.a, "a", 2), fixture_destination(&fixture.b, "b", 2)};
    atomic_store(&fixture.b.status, 503);
    start_logging();
    fixture_start();
    fixture_apply(d, 2);
    fixture_push(1, 1, true);
    fixture_await(&fixture.a, fixture_samples(1));
    fixture_apply(d, 1);
    fixture_stop(1000);
    stop_logging();
    assert_int_equal(times_logged("destination removed with undelivered samples"), 1);
    assert_int_equal(times_logged("name=b dir=b-"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(an_outage_is_one_story), FIXTURE_TEST(an_outage_is_told_whenever_the_retries_are),
        FIXTURE_TEST(bad_credentials_say_what_to_change), FIXTURE_TEST(nobody_listens_and_no_url_is_shown),
        FIXTURE_TEST(a_removed_destination_with_a_backlog_is_logged)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
