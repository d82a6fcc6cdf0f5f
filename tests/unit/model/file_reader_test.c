// SPDX-License-Identifier: Apache-2.0
/* Target files on a file system that hangs: glob() of a pattern below hung/ waits while the gate is closed. */
#include "model/discovery/files/file_reader.h"

#include "base/os/file_work.h"
#include "base/text/duration.h"
#include "tests/unit/files.h"
#include "tests/unit/log_capture.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <dlfcn.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HANG_MS = 150, SOON_MS = 5000 };

static atomic_bool gate_closed;

int glob(const char *pattern, int flags, int (*failed)(const char *path, int why), glob_t *out)
{
    static int (*real)(const char *, int, int (*)(const char *, int), glob_t *);
    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "glob");
    while (strstr(pattern, "/hung/") && atomic_load(&gate_closed))
        usleep(1000);
    return real(pattern, flags, failed, out);
}

struct reader_fixture {
    char dir[40], hung[60], file[100];
    struct loop *loop;
    struct file_reader *reader, *other;
    int news;
};

static void count_news(void *arg) { ((struct reader_fixture *)arg)->news++; }

static struct file_reader *new_reader(struct reader_fixture *f, const char *pattern)
{
    char path[120];
    struct file_reader_env env = {.main = f->loop, .news = count_news, .arg = f, .hang_ms = HANG_MS};
    snprintf(path, sizeof path, "%s/%s", f->dir, pattern);
    return file_reader_new(&env, (struct sd_owner){"job", STR("job")}, str_of(path));
}

static void readers_open(struct reader_fixture *f)
{
    *f = (struct reader_fixture){.dir = "build/file-reader-test-XXXXXX"};
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->hung, sizeof f->hung, "%s/hung", f->dir);
    snprintf(f->file, sizeof f->file, "%s/a.json", f->hung);
    assert_int_equal(mkdir(f->hung, 0700), 0);
    replace_file(f->file, "[{\"targets\": [\"a:1\"]}]");
    f->loop = loop_new();
    f->reader = new_reader(f, "hung/*.json");
    f->other = new_reader(f, "*.json");
    log_capture_start();
}

static void readers_close(struct reader_fixture *f)
{
    if (f->reader)
        file_reader_free(f->reader);
    file_reader_free(f->other);
    atomic_store(&gate_closed, false);
    file_work_await_threads(SOON_MS);
    log_capture_stop();
    loop_free(f->loop);
    assert_int_equal(unlink(f->file) | rmdir(f->hung) | rmdir(f->dir), 0);
}

static void turn_until(struct reader_fixture *f, bool (*is)(const struct file_reader *r), const struct file_reader *r,
                       bool wanted)
{
    for (int64_t began = clock_mono_ms(); is(r) != wanted && clock_mono_ms() - began < SOON_MS;)
        loop_turn(f->loop, 5);
    assert_int_equal(is(r), wanted);
}

static void a_hang_keeps_the_targets_and_holds_no_other(void **state UNUSED)
{
    struct reader_fixture f;
    readers_open(&f);
    file_reader_read(f.reader, NULL, true);
    assert_true(file_reader_awaited(f.reader));
    turn_until(&f, file_reader_awaited, f.reader, false);
    assert_true(file_reader_take_news(f.reader));
    assert_int_equal(file_reader_files(f.reader)->n, 1);

    atomic_store(&gate_closed, true);
    replace_file(f.file, "[{\"targets\": [\"a:22\"]}]");
    file_reader_read(f.reader, NULL, true);
    file_reader_read(f.other, NULL, true);
    turn_until(&f, file_reader_awaited, f.other, false);
    assert_true(file_reader_was_read(f.other));
    turn_until(&f, file_reader_hangs, f.reader, true);
    assert_false(file_reader_awaited(f.reader)); /* nobody waits for it any longer */
    assert_false(file_reader_take_news(f.reader));
    assert_int_equal(file_reader_files(f.reader)->n, 1);
    const char *text = log_capture_text();
    assert_int_equal(text_count(text, "target files do not respond"), 1);
    assert_int_equal(text_count(text, "job=job file=build/file-reader-test"), 1);
    assert_int_equal(text_count(text, "/hung/*.json"), 1);

    for (int i = 0; i < 3; i++) {
        file_reader_read(f.reader, NULL, true); /* as a reload, or a poll */
        assert_false(file_reader_awaited(f.reader));
        usleep(HANG_MS * 1000);
        loop_turn(f.loop, 0);
    }
    assert_int_equal(text_count(log_capture_text(), "respond"), 0);

    atomic_store(&gate_closed, false);
    turn_until(&f, file_reader_hangs, f.reader, false);
    assert_true(file_reader_take_news(f.reader));
    assert_true(str_is(file_reader_files(f.reader)->items[0].groups->items[0].targets.items[0], "a:22"));
    turn_until(&f, file_reader_reads, f.reader, false);
    assert_int_equal(text_count(log_capture_text(), "target files respond again"), 1);
    readers_close(&f);
}

static void a_reader_may_be_freed_while_it_hangs(void **state UNUSED)
{
    struct reader_fixture f;
    readers_open(&f);
    struct dir_watch *dirs = dir_watch_new();
    atomic_store(&gate_closed, true);
    file_reader_read(f.reader, dirs, true);
    dir_watch_unref(dirs);
    turn_until(&f, file_reader_hangs, f.reader, true);
    int news = f.news;
    file_reader_free(f.reader);
    f.reader = NULL;
    atomic_store(&gate_closed, false);
    file_work_await_threads(SOON_MS);
    loop_turn(f.loop, 0);
    assert_int_equal(f.news, news);
    readers_close(&f);
}

/* What is wrong with a file or directory is logged when it begins, and counted each time. */
static void the_same_error_is_logged_once(void **state UNUSED)
{
    struct reader_fixture f;
    char link[100];
    readers_open(&f);
    snprintf(link, sizeof link, "%s/link.json", f.dir);
    assert_int_equal(symlink("nowhere", link), 0);
    for (int i = 0; i < 3; i++) {
        file_reader_read(f.other, NULL, true);
        turn_until(&f, file_reader_awaited, f.other, false);
    }
    assert_int_equal(text_count(log_capture_text(), "cannot load targets file"), 1);
    assert_true(file_reader_files(f.other)->items[0].failing);
    assert_int_equal(unlink(link), 0);
    readers_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hang_keeps_the_targets_and_holds_no_other),
        cmocka_unit_test(a_reader_may_be_freed_while_it_hangs),
        cmocka_unit_test(the_same_error_is_logged_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
