// SPDX-License-Identifier: Apache-2.0
#include "base/telemetry/log_writer.h"

#include "base/os/thread.h"
#include "base/telemetry/log.h"
#include "base/text/duration.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LINES = 100000, SOON_MS = 30000 };

static int pipe_fds[2];
static struct thread *writing;
static struct buf seen; /* all that was read from the pipe */

static atomic_uint_fast64_t reported;   /* lines; before the report is written */

static void report(uint64_t lines, struct buf *out)
{
    buf_printf(out, "dropped %llu\n", (unsigned long long)lines);
    atomic_fetch_add(&reported, lines);
}

static bool soon_reported(uint64_t lines)
{
    for (int64_t began = clock_mono_ms(); clock_mono_ms() - began < SOON_MS; usleep(1000))
        if (atomic_load(&reported) >= lines)
            return true;
    return false;
}

static void writer_thread(void *arg UNUSED) { log_writer_run(report); }

static int set_up(void **state UNUSED)
{
    buf_clear(&seen);
    atomic_store(&reported, 0);
    if (pipe(pipe_fds) < 0)
        return -1;
    log_writer_set_fd(pipe_fds[1]);
    return (writing = thread_start("log", writer_thread, NULL)) ? 0 : -1;
}

static int tear_down(void **state UNUSED)
{
    log_writer_set_fd(2);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    buf_free(&seen);
    return 0;
}

static void put(const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    log_writer_put(str_of(text));
}

/* Until the writing thread has taken over, lines are written directly. */
static void await_thread(void)
{
    for (int64_t began = clock_mono_ms(); !log_writer_runs(); usleep(1000))
        assert_in_range(clock_mono_ms() - began, 0, SOON_MS);
    put("first\n");
    log_writer_await(SOON_MS);
}

static void read_pipe(void *arg UNUSED)
{
    char bytes[4096];
    for (ssize_t n; (n = read(pipe_fds[0], bytes, sizeof bytes)) > 0;) {
        buf_add(&seen, bytes, (size_t)n);
        if (bytes[n - 1] == 0) {
            seen.n--;
            return;
        }
    }
}

/* Reads what the writing thread writes until it has ended. */
static void read_all(struct thread *reader)
{
    thread_join(writing);
    assert_int_equal(write(pipe_fds[1], "", 1), 1);
    thread_join(reader);
}

static void stop_and_read(void)
{
    struct thread *reader = thread_start("reader", read_pipe, NULL);
    assert_true(log_writer_stop(SOON_MS));
    read_all(reader);
}

static void nobody_waits_for_a_pipe_that_is_not_read(void **state UNUSED)
{
    await_thread();
    uint64_t dropped = log_writer_dropped();
    for (int i = 0; i < LINES; i++)
        put("line %d of a log that nobody reads\n", i);
    dropped = log_writer_dropped() - dropped;
    assert_in_range(dropped, 1, LINES - 1);
    stop_and_read();

    struct str rest = buf_str(&seen), line;
    unsigned long long n = 0, last = 0, said = 0, at;
    int reports = 0;
    while (str_cut(&rest, '\n', &line) && line.n > 0) {
        if (sscanf(line.p, "line %llu", &at) == 1) {
            assert_true(n == 0 || at > last);
            last = at;
            n++;
        } else if (sscanf(line.p, "dropped %llu", &at) == 1) {
            reports++;
            said += at;
        }
    }
    assert_int_equal(said, dropped);
    assert_int_equal(n, LINES - dropped);
    assert_in_range(reports, 1, 2); /* 2: the thread did not run before the buffer was full */
    assert_in_range(seen.n, LOG_WRITER_BYTES, 4 * LOG_WRITER_BYTES);
}

static void the_report_stands_where_the_lines_are_missing(void **state UNUSED)
{
    await_thread();
    uint64_t dropped = log_writer_dropped();
    for (int i = 0; i < LINES; i++)
        put("before %d\n", i);
    struct thread *reader = thread_start("reader", read_pipe, NULL);
    assert_true(soon_reported(log_writer_dropped() - dropped));
    put("after\n");
    assert_true(log_writer_stop(SOON_MS));
    read_all(reader);
    const char *said = NULL; /* the last report: the thread may have run too late for the first lines */
    for (const char *at = buf_z(&seen); (at = strstr(at, "\ndropped ")) != NULL; at++)
        said = at;
    assert_non_null(said);
    assert_string_equal(strchr(said + 1, '\n'), "\nafter\n");
}

static void a_stop_writes_all(void **state UNUSED)
{
    await_thread();
    for (int i = 0; i < 1000; i++)
        put("%d\n", i);
    stop_and_read();
    assert_true(str_ends(buf_str(&seen), STR("\n998\n999\n")));
    put("directly\n");
    char text[16];
    assert_int_equal(read(pipe_fds[0], text, sizeof text), 9);
}

static void a_stop_does_not_wait_for_ever(void **state UNUSED)
{
    await_thread();
    for (int i = 0; i < LINES; i++)
        put("line %d\n", i);
    int64_t began = clock_mono_ms();
    assert_false(log_writer_stop(100));
    uint64_t dropped = log_writer_dropped();
    put("too late\n");
    assert_int_equal(log_writer_dropped(), dropped + 1);
    assert_in_range(clock_mono_ms() - began, 90, SOON_MS);
    read_all(thread_start("reader", read_pipe, NULL)); /* what stood in the buffers is written when it moves again */
    assert_null(strstr(buf_z(&seen), "too late"));
}

static void what_cannot_be_written_is_counted(void **state UNUSED)
{
    await_thread();
    uint64_t dropped = log_writer_dropped();
    log_writer_set_fd(-1);
    put("lost\n");
    assert_true(soon_reported(1));
    assert_int_equal(log_writer_dropped(), dropped + 1);
    usleep(20000); /* on most machines, the report fails too */
    log_writer_set_fd(pipe_fds[1]);
    put("written\n");
    stop_and_read();
    bool in_time = strcmp(buf_z(&seen), "first\ndropped 1\nwritten\n") == 0; /* the descriptor was there before the report */
    if (!in_time)
        assert_string_equal(buf_z(&seen), "first\nwritten\ndropped 1\n");
}

static void a_nonblocking_descriptor_loses_nothing(void **state UNUSED)
{
    assert_int_equal(fcntl(pipe_fds[1], F_SETFL, O_NONBLOCK), 0);
    await_thread();
    uint64_t dropped = log_writer_dropped();
    assert_true(fcntl(pipe_fds[1], F_SETPIPE_SZ, 4096) > 0);
    for (int i = 0; i < 6000; i++) /* more than the pipe holds, less than the buffer */
        put("line %d\n", i);
    stop_and_read();
    assert_int_equal(log_writer_dropped(), dropped);
    assert_true(str_ends(buf_str(&seen), STR("\nline 5999\n")));
}

static void lines_of_any_length_are_written(void **state UNUSED)
{
    static char huge[300000];
    memset(huge, 'x', sizeof huge - 1);
    huge[sizeof huge - 2] = '\n';
    await_thread();
    struct thread *reader = thread_start("reader", read_pipe, NULL);
    put("short\n");
    log_writer_put(str_of(huge));
    log_writer_await(SOON_MS); /* it fills the buffer: the next line would be dropped */
    put("last\n");
    assert_true(log_writer_stop(SOON_MS));
    read_all(reader);
    assert_int_equal(seen.n, strlen("first\nshort\nlast\n") + sizeof huge - 1);
    assert_true(str_ends(buf_str(&seen), STR("x\nlast\n")));
}

static void log_thousand(void *arg)
{
    for (int i = 0; i < 1000; i++)
        put("%c %d\n", *(const char *)arg, i);
}

static void threads_keep_their_order(void **state UNUSED)
{
    static const char names[] = "abcd";
    struct thread *threads[4];
    await_thread();
    for (int i = 0; i < 4; i++)
        threads[i] = thread_start("logger", log_thousand, (void *)(names + i));
    for (int i = 0; i < 4; i++)
        thread_join(threads[i]);
    stop_and_read();
    int next[4] = {0}, at, n = 0;
    char name;
    struct str rest = buf_str(&seen), line;
    while (str_cut(&rest, '\n', &line) && line.n > 0)
        if (sscanf(line.p, "%c %d", &name, &at) == 2) {
            assert_int_equal(at, next[name - 'a']++);
            n++;
        }
    assert_int_equal(n, 4000);
}

/* The pipe is full, so the line cannot be in it yet when the child ends itself. */
static void crash(int about_to)
{
    static const char block[65536];
    struct rlimit no_core = {0};
    setrlimit(RLIMIT_CORE, &no_core);
    log_setup(LOG_INFO, LOG_LOGFMT, pipe_fds[1]);
    if (thread_start("log", log_run, NULL) == NULL || write(pipe_fds[1], block, sizeof block) != sizeof block)
        _exit(1);
    while (!log_writer_runs())
        usleep(1000);
    close(about_to);
    log_error("test", "last words");
    abort();
}

/* Whether the last line arrives if the pipe is read a while after the crash. */
static bool crash_writes_last_line(void)
{
    int status, about_to[2];
    assert_true(pipe(pipe_fds) == 0 && pipe(about_to) == 0);
    pid_t child = fork();
    if (child == 0)
        crash(about_to[1]);
    close(pipe_fds[1]);
    close(about_to[1]);
    struct buf all = {0};
    char bytes[4096];
    assert_int_equal(read(about_to[0], bytes, 1), 0);
    usleep(50000); /* of 200 ms that a crash waits */
    for (ssize_t n; (n = read(pipe_fds[0], bytes, sizeof bytes)) > 0;)
        buf_add(&all, bytes, (size_t)n);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    bool written = str_ends(buf_str(&all), STR("msg=\"last words\"\n"));
    buf_free(&all);
    close(pipe_fds[0]);
    close(about_to[0]);
    return written;
}

static void a_crash_waits_a_moment_for_the_last_lines(void **state UNUSED)
{
    int attempts = 0;
    while (!crash_writes_last_line()) /* on a busy machine, the reader may be too late */
        assert_in_range(++attempts, 1, 20);
}

#define WITH_THREAD(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_crash_waits_a_moment_for_the_last_lines), /* forks: before other threads */
        WITH_THREAD(nobody_waits_for_a_pipe_that_is_not_read),
        WITH_THREAD(the_report_stands_where_the_lines_are_missing),
        WITH_THREAD(a_stop_writes_all),
        WITH_THREAD(a_stop_does_not_wait_for_ever),
        WITH_THREAD(what_cannot_be_written_is_counted),
        WITH_THREAD(a_nonblocking_descriptor_loses_nothing),
        WITH_THREAD(lines_of_any_length_are_written),
        WITH_THREAD(threads_keep_their_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
