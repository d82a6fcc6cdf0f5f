// SPDX-License-Identifier: Apache-2.0
/* Positions in shared memory: what a process that ends without writing its position files leaves to the next one. */
#include "tests/unit/files.h"
#include "tests/unit/log_capture.h"
#include "queue_fixture.h"
#include "writer/queue/position_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BLOCKS = 5, DELIVERED = 3 };
static char shard_dir[300], position_path[320];

static int table_setup(void **state)
{
    struct statfs fs;
    if (statfs("/dev/shm", &fs) != 0 || fs.f_type != 0x01021994 || access("/dev/shm", W_OK) != 0)
        return -1;
    unsetenv("RUNTIME_DIRECTORY");
    int failed = queue_make_dir(state);
    snprintf(shard_dir, sizeof shard_dir, "%s/queue/g0001-s01/00", queue_dir);
    snprintf(position_path, sizeof position_path, "%s/position", shard_dir);
    return failed;
}

static struct queue_lock *begin_run(void)
{
    struct err err = {0};
    struct queue_lock *lock = NULL;
    struct queue_lock_request *r = queue_lock_begin(queue_dir, &err);
    assert_non_null(r);
    assert_int_equal(queue_lock_end(r, QUEUE_HANG_MS, NULL, &lock, &err), QUEUE_OPEN);
    return lock;
}

static struct queue *open_locked(struct queue_lock *lock)
{
    struct err err = {0};
    char path[300];
    snprintf(path, sizeof path, "%s/queue", queue_dir);
    struct queue *q = queue_open(&(struct queue_options){.dir = path, .lock = lock, .shards = 1}, NULL, &err);
    assert_non_null(q);
    return q;
}

/* A process that has blocks on disk, delivers some of them, and is killed. */
static void run_and_crash(void)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct queue *q = open_locked(begin_run());
        struct queue_read r;
        queue_home = loop_new();
        queue_write_blocks(q, 0, 0, BLOCKS);
        queue_read_from(queue_newest_shard(q, 0), &r, 0); /* they are written */
        queue_ack(queue_newest_shard(q, 0), DELIVERED);
        _exit(queue_position_shared(queue_newest_shard(q, 0)) ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(truncate(position_path, 0), 0); /* as if the io thread had not been scheduled any more */
    assert_int_equal(position_read(shard_dir), 0);
}

static void table_file(char path[128])
{
    char lock[300], text[256] = "", *at;
    snprintf(lock, sizeof lock, "%s/lock", queue_dir);
    FILE *f = fopen(lock, "r");
    assert_non_null(f);
    assert_true(fread(text, 1, sizeof text - 1, f) > 0);
    fclose(f);
    assert_non_null(at = strstr(text, "\npositions "));
    snprintf(path, 128, "/dev/shm/sluice-%.16s", at + strlen("\npositions "));
}

static bool exists(const char *path) { return access(path, F_OK) == 0; }

static void a_crash_leaves_the_last_position(void **state UNUSED)
{
    char table[128];
    run_and_crash();
    table_file(table);
    assert_true(exists(table));
    struct queue_lock *lock = begin_run();
    assert_false(exists(table));
    assert_int_equal(position_read(shard_dir), DELIVERED);
    struct queue *q = open_locked(lock);
    assert_int_equal(queue_shard_state(queue_newest_shard(q, 0)).first, DELIVERED);
    assert_int_equal(queue_backlog(q).blocks, BLOCKS - DELIVERED);
    table_file(table);
    assert_true(exists(table));
    queue_close(q);
    queue_lock_free(lock);
    assert_false(exists(table));
}

/* `sluice queue` locks the directory, too, and reads the position files. */
static void commands_apply_it_too(void **state UNUSED)
{
    struct err err = {0};
    run_and_crash();
    struct queue_lock *lock = queue_lock_new(queue_dir, &err);
    assert_non_null(lock);
    assert_int_equal(position_read(shard_dir), DELIVERED);
    queue_lock_free(lock);
}

/* An older copy of the directory was put back: its numbers may be those of other blocks. */
static void another_position_file_is_left_alone(void **state UNUSED)
{
    char copy[340];
    run_and_crash();
    snprintf(copy, sizeof copy, "%s.copy", position_path);
    assert_int_equal(rename(position_path, copy), 0); /* its inode is not used again */
    write_file(position_path, "");
    queue_lock_free(begin_run());
    assert_int_equal(position_read(shard_dir), 0);
}

static void a_file_that_others_may_write_is_none(void **state UNUSED)
{
    char table[128];
    run_and_crash();
    table_file(table);
    assert_int_equal(chmod(table, 0666), 0);
    queue_lock_free(begin_run());
    assert_int_equal(position_read(shard_dir), 0);
    assert_int_equal(unlink(table), 0);
}

static void a_lost_table_costs_nothing_else(void **state UNUSED)
{
    char table[128];
    run_and_crash();
    table_file(table);
    assert_int_equal(unlink(table), 0);
    struct queue_lock *lock = begin_run();
    struct queue *q = open_locked(lock);
    assert_int_equal(queue_backlog(q).blocks, BLOCKS);
    queue_close(q);
    queue_lock_free(lock);
}

/* Places are used again: generations come and go. */
static void places_are_used_again(void **state UNUSED)
{
    struct position_table *t = position_table_new();
    struct file_identity file = {1, 2};
    assert_non_null(t);
    struct shared_position kept = shared_position_begin(t, "kept", file, 7);
    for (int i = 0; i < 10000; i++) {
        struct shared_position p = shared_position_begin(t, "a/g0001-s01/00", file, 1);
        assert_non_null(p.slot);
        shared_position_end(&p);
    }
    struct shared_position all[1000] = {{0}};
    size_t n = 0;
    while ((all[n] = shared_position_begin(t, "full", file, 1)).slot != NULL)
        n++;
    assert_true(n > 100 && n < 1000);
    shared_position_set(&all[n], 3); /* it has no place */
    while (n-- > 0)
        shared_position_end(&all[n]);
    shared_position_set(&kept, 9);
    shared_position_set(&kept, 8); /* a position never goes back */
    assert_int_equal(atomic_load(&kept.slot->done), 9);
    position_table_delete(t);
    shared_position_set(&kept, 10); /* the memory is there until the last place is left */
    shared_position_end(&kept);
}

int main(void)
{
#define TABLE_TEST(name) cmocka_unit_test_setup_teardown(name, table_setup, queue_remove_dir)
    const struct CMUnitTest tests[] = {
        TABLE_TEST(a_crash_leaves_the_last_position),
        TABLE_TEST(commands_apply_it_too),
        TABLE_TEST(another_position_file_is_left_alone),
        TABLE_TEST(a_file_that_others_may_write_is_none),
        TABLE_TEST(a_lost_table_costs_nothing_else),
        TABLE_TEST(places_are_used_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
