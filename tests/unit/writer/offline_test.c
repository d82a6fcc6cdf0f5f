// SPDX-License-Identifier: Apache-2.0
/* A queue is taken aside beside a process that begins to use it at the same moment: one of both has it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/text/duration.h"
#include "writer/queue/queue_lock.h"
#include "writer/writer.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TAKEN = 120, WAIT_MS = 10000 };

struct user { /* a destination that is added and removed again and again */
    char dir[64], queue[96], token[128];
    struct queue_lock *lock;
    atomic_bool ends;
    atomic_uint rounds;
    atomic_bool lost;
};

static bool token_is_made(const struct user *u)
{
    FILE *f = NULL;
    for (int64_t until = clock_mono_ms() + WAIT_MS; (f = fopen(u->token, "w")) == NULL && clock_mono_ms() < until;)
        ; /* the directory has been moved just now, and is about to come back */
    return f && fclose(f) == 0;
}

static bool token_is_there(const struct user *u)
{
    struct stat st;
    for (int64_t until = clock_mono_ms() + WAIT_MS; stat(u->token, &st) != 0;)
        if (clock_mono_ms() > until)
            return false;
    return true;
}

static void use_queue_once(struct user *u)
{
    queue_lock_add_queue(u->lock, "q-1");
    bool made = mkdir(u->queue, 0755) == 0;
    u->lost = !token_is_made(u);
    usleep(200);
    u->lost = u->lost || !token_is_there(u);
    unlink(u->token);
    if (made)
        rmdir(u->queue);
    queue_lock_remove_queue(u->lock, "q-1");
}

static void *use_queue(void *arg)
{
    struct user *u = arg;
    while (!atomic_load(&u->ends) && !u->lost) {
        use_queue_once(u);
        atomic_fetch_add(&u->rounds, 1);
        usleep(100);
    }
    return NULL;
}

static void a_queue_has_one_user(void **state UNUSED)
{
    struct user u = {.dir = "/tmp/sluice_offlineXXXXXX"};
    struct err err;
    char shard[160];
    pthread_t thread;
    unsigned taken = 0, refused = 0;
    assert_non_null(mkdtemp(u.dir));
    snprintf(u.queue, sizeof u.queue, "%s/q-1", u.dir);
    snprintf(u.token, sizeof u.token, "%s/token", u.queue);
    snprintf(shard, sizeof shard, "%s/g0001-s01", u.queue);
    assert_true(mkdir(u.queue, 0755) == 0 && mkdir(shard, 0755) == 0);
    struct queue_lock_request *r = queue_lock_begin(u.dir, &err);
    assert_true(r && queue_lock_end(r, WAIT_MS, NULL, &u.lock, &err) == QUEUE_OPEN);
    assert_int_equal(pthread_create(&thread, NULL, use_queue, &u), 0);
    while (taken < TAKEN && !u.lost) {
        struct buf aside = {0};
        if (writer_queue_take_aside(str_of(u.dir), "q-1", &aside, &err)) {
            unsigned rounds = atomic_load(&u.rounds);
            while (atomic_load(&u.rounds) < rounds + 2 && !u.lost)
                usleep(100);
            while (!writer_queue_put_back(str_of(u.dir), "q-1", buf_z(&aside), &err) && !u.lost)
                usleep(100);
            taken++;
        } else {
            refused++;
        }
        buf_free(&aside);
    }
    atomic_store(&u.ends, true);
    pthread_join(thread, NULL);
    assert_false(u.lost);
    assert_true(refused > 0);
    queue_lock_free(u.lock);
    snprintf(shard, sizeof shard, "rm -rf %s", u.dir);
    assert_int_equal(system(shard), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_queue_has_one_user)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
