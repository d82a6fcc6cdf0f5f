// SPDX-License-Identifier: Apache-2.0
#include "base/os/file_work.h"
#include "base/os/watched_file.h"

#include "base/buf.h"
#include "base/os/thread.h"
#include "base/telemetry/log.h"
#include "base/telemetry/stats.h"
#include "base/text/duration.h"
#include "tests/unit/files.h"
#include "tests/unit/threads.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PERIOD_MS = 100, SOON_MS = 5000 };

static char dir[] = "/tmp/sluice-watched-XXXXXX";
static char path_a[64], path_b[64];
static int log_pipe[2];

/* Looks at path_a wait in the hook while this FIFO's other end is closed. */
static char gate[64];
static bool gate_closed;

static void hang_at_gate(const char *path)
{
    if (strcmp(path, path_a) == 0)
        close(open(gate, O_RDONLY));
}

static void close_gate(void)
{
    gate_closed = true;
    watched_file_set_look_hook(hang_at_gate);
}

/* Lets those pass that wait already. */
static void open_gate(void)
{
    watched_file_set_look_hook(NULL);
    close(open(gate, O_RDWR | O_NONBLOCK));
    gate_closed = false;
}

static int make_folder(void **state UNUSED)
{
    watched_file_register_stats();
    watched_file_set_period(PERIOD_MS);
    if (mkdtemp(dir) == NULL)
        return -1;
    snprintf(path_a, sizeof path_a, "%s/a", dir);
    snprintf(path_b, sizeof path_b, "%s/b", dir);
    snprintf(gate, sizeof gate, "%s/gate", dir);
    return 0;
}

static int remove_folder(void **state UNUSED) { return rmdir(dir); }

static int set_up(void **state UNUSED)
{
    if (pipe2(log_pipe, O_NONBLOCK) < 0 || mkfifo(gate, 0600) < 0)
        return -1;
    log_setup(LOG_INFO, LOG_LOGFMT, log_pipe[1]);
    return 0;
}

static int tear_down(void **state UNUSED)
{
    if (gate_closed)
        open_gate();
    file_work_await_threads(200);
    log_setup(LOG_INFO, LOG_LOGFMT, 2);
    close(log_pipe[0]);
    close(log_pipe[1]);
    unlink(path_a);
    unlink(path_b);
    unlink(gate);
    return 0;
}

static bool has_text(struct watched_file *f, const char *text)
{
    struct file_text *t = watched_file_text(f, NULL);
    bool same = t && strcmp(t->text, text) == 0 && t->n == strlen(text);
    file_text_unref(t);
    return same;
}

static bool soon_has_text(struct watched_file *f, const char *text)
{
    for (int64_t began = clock_mono_ms(); clock_mono_ms() - began < SOON_MS; usleep(10000))
        if (has_text(f, text))
            return true;
    return false;
}

static void assert_error(struct watched_file *f, const char *part)
{
    struct err err = {0};
    assert_null(watched_file_text(f, &err));
    if (strstr(err.text, part) == NULL)
        fail_msg("no \"%s\" in: %s", part, err.text);
    assert_int_equal(err.kind, ERR_BAD_GATEWAY);
}

static double errors(void)
{
    struct buf out = {0};
    stats_render(&out, false);
    const char *at = strstr(buf_z(&out), "sluice_file_refresh_errors_total ");
    double n = at ? strtod(strchr(at, ' '), NULL) : -1;
    buf_free(&out);
    return n;
}

/* Lines logged since the last call that have this text. */
static size_t logged(const char *part)
{
    static char text[65536];
    ssize_t n = read(log_pipe[0], text, sizeof text - 1);
    size_t found = 0;
    text[n > 0 ? n : 0] = 0;
    for (const char *at = text; (at = strstr(at, part)) != NULL; at++)
        found++;
    return found;
}

static void a_changed_file_is_read_again(void **state UNUSED)
{
    replace_file(path_a, " first \n");
    replace_file(path_b, "bytes\n\n");
    struct watched_file *a = watched_file_new(path_a, WATCHED_LINE), *b = watched_file_new(path_b, WATCHED_BYTES);
    assert_true(has_text(a, "first"));
    assert_true(has_text(b, "bytes\n\n"));
    struct file_text *held = watched_file_text(a, NULL);
    replace_file(path_a, "second");
    assert_true(soon_has_text(a, "second"));
    assert_string_equal(held->text, "first");
    file_text_unref(held);
    replace_file(path_a, "");
    assert_true(soon_has_text(a, ""));
    watched_file_free(a);
    watched_file_free(b);
}

static void a_deleted_file_keeps_its_content(void **state UNUSED)
{
    replace_file(path_a, "kept");
    struct watched_file *a = watched_file_new(path_a, WATCHED_LINE);
    double before = errors();
    assert_int_equal(unlink(path_a), 0);
    for (int64_t began = clock_mono_ms(); errors() < before + 2 && clock_mono_ms() - began < SOON_MS; usleep(10000)) {}
    assert_true(errors() >= before + 2);
    assert_true(has_text(a, "kept"));
    assert_int_equal(logged("its last content stays in use"), 1);
    replace_file(path_a, "back");
    assert_true(soon_has_text(a, "back"));
    usleep(50000);
    assert_int_equal(logged("is read again"), 1);
    watched_file_free(a);
}

static void a_file_that_comes_later_is_read(void **state UNUSED)
{
    struct watched_file *a = watched_file_new(path_a, WATCHED_LINE);
    assert_error(a, path_a);
    assert_error(a, "No such file");
    assert_int_equal(logged("requests that need it fail"), 1);
    replace_file(path_a, "here");
    assert_true(soon_has_text(a, "here"));
    watched_file_free(a);
}

static void odd_files_are_refused(void **state UNUSED)
{
    static const char *const bad[] = {"two\nlines", "a\rb"};
    for (size_t i = 0; i < LEN(bad); i++) {
        replace_file(path_a, bad[i]);
        struct watched_file *a = watched_file_new(path_a, WATCHED_LINE);
        assert_error(a, "more than one line");
        watched_file_free(a);
    }
    FILE *f = fopen(path_a, "w");
    for (int i = 0; i < 70000; i++)
        fputc('x', f);
    fclose(f);
    struct watched_file *a = watched_file_new(path_a, WATCHED_LINE), *b = watched_file_new(path_a, WATCHED_BYTES);
    assert_error(a, "is over 64 KiB");
    struct file_text *t = watched_file_text(b, NULL);
    assert_non_null(t);
    assert_int_equal(t->n, 70000);
    file_text_unref(t);
    watched_file_free(a);
    watched_file_free(b);
    struct watched_file *folder = watched_file_new(dir, WATCHED_BYTES), *fifo = watched_file_new(gate, WATCHED_LINE);
    assert_error(folder, "not a plain file");
    assert_error(fifo, "not a plain file");
    watched_file_free(folder);
    watched_file_free(fifo);
}

static void a_file_that_hangs_holds_nobody(void **state UNUSED)
{
    replace_file(path_a, "slow");
    replace_file(path_b, "quick");
    close_gate();
    double before = errors();
    int64_t began = clock_mono_ms();
    struct watched_file *a = watched_file_new(path_a, WATCHED_LINE);
    assert_in_range(clock_mono_ms() - began, 150, 2000);
    assert_error(a, "not read yet");
    struct watched_file *also = watched_file_new(path_a, WATCHED_BYTES); /* a second look that hangs */
    struct watched_file *b = watched_file_new(path_b, WATCHED_LINE);
    assert_true(soon_has_text(b, "quick"));
    replace_file(path_b, "changed");
    assert_true(soon_has_text(b, "changed"));
    for (began = clock_mono_ms(); errors() < before + 2 && clock_mono_ms() - began < SOON_MS; usleep(10000)) {}
    assert_int_equal(errors(), before + 2);
    assert_error(a, "not read yet");
    open_gate();
    assert_true(soon_has_text(a, "slow"));
    assert_true(soon_has_text(also, "slow"));
    assert_int_equal(logged("hangs; its last content"), 2);
    watched_file_free(a);
    watched_file_free(also);
    watched_file_free(b);
}

static void a_file_that_begins_to_hang_keeps_its_content(void **state UNUSED)
{
    replace_file(path_a, "slow");
    replace_file(path_b, "quick");
    struct watched_file *a = watched_file_new(path_a, WATCHED_LINE), *b = watched_file_new(path_b, WATCHED_LINE);
    close_gate();
    usleep(3 * PERIOD_MS * 1000); /* it is looked at meanwhile */
    replace_file(path_a, "later");
    replace_file(path_b, "changed");
    assert_true(soon_has_text(b, "changed"));
    assert_true(has_text(a, "slow"));
    watched_file_free(a); /* while a thread looks at it */
    watched_file_free(b);
    int64_t began = clock_mono_ms();
    file_work_await_threads(200);
    assert_in_range(clock_mono_ms() - began, 0, 2000);
}

static bool soon_has_file_threads(unsigned least, unsigned most)
{
    int64_t began = clock_mono_ms();
    for (unsigned n; clock_mono_ms() - began < SOON_MS; usleep(1000))
        if ((n = count_threads_named("files")) >= least && n <= most)
            return true;
    return false;
}

static void users_share_and_threads_end(void **state UNUSED)
{
    assert_true(soon_has_file_threads(0, 0)); /* those of earlier tests end */
    replace_file(path_a, "shared");
    struct watched_file *a = watched_file_new(path_a, WATCHED_LINE), *again = watched_file_new(path_a, WATCHED_LINE);
    assert_ptr_equal(a, again);
    assert_true(soon_has_file_threads(1, 2));
    watched_file_free(a);
    assert_true(has_text(again, "shared"));
    watched_file_free(again);
    file_work_await_threads(SOON_MS);
    assert_true(soon_has_file_threads(0, 0));
}

static atomic_bool stop_taking;

static void take_texts(void *arg)
{
    struct watched_file *f = arg;
    while (!atomic_load(&stop_taking)) {
        struct file_text *t = watched_file_text(f, NULL);
        if (t == NULL || t->n != 5 || strlen(t->text) != 5)
            abort();
        file_text_unref(t);
        usleep(50);
    }
}

static void threads_take_whole_contents(void **state UNUSED)
{
    replace_file(path_a, "one 1");
    struct watched_file *a = watched_file_new(path_a, WATCHED_LINE);
    struct thread *takers[4];
    for (size_t i = 0; i < LEN(takers); i++)
        takers[i] = thread_start("taker", take_texts, a);
    replace_file(path_a, "two 2");
    assert_true(soon_has_text(a, "two 2"));
    atomic_store(&stop_taking, true);
    for (size_t i = 0; i < LEN(takers); i++)
        thread_join(takers[i]);
    watched_file_free(a);
}

#define WITH_FILES(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FILES(users_share_and_threads_end), /* counts threads: the first */
        WITH_FILES(a_changed_file_is_read_again),
        WITH_FILES(a_deleted_file_keeps_its_content),
        WITH_FILES(a_file_that_comes_later_is_read),
        WITH_FILES(odd_files_are_refused),
        WITH_FILES(a_file_that_hangs_holds_nobody),
        WITH_FILES(a_file_that_begins_to_hang_keeps_its_content),
        WITH_FILES(threads_take_whole_contents),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
