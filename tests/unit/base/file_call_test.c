// SPDX-License-Identifier: Apache-2.0
#include "base/os/file_call.h"

#include "base/os/file_work.h"
#include "base/text/duration.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdatomic.h>
#include <unistd.h>

static atomic_bool gate_open;
static atomic_int ran, released;

static void run_at_gate(void *arg)
{
    while (!atomic_load(&gate_open))
        usleep(1000);
    *(int *)arg = 7;
    atomic_fetch_add(&ran, 1);
}

static void release_int(void *arg)
{
    mem_free(arg);
    atomic_fetch_add(&released, 1);
}

static void a_call_that_ends_gives_its_argument_back(void **state UNUSED)
{
    int *n = mem_zalloc(sizeof *n);
    atomic_store(&gate_open, true);
    assert_true(file_call(&(struct file_call){run_at_gate, release_int, n}, 5000));
    assert_int_equal(*n, 7);
    assert_int_equal(released, 0);
    mem_free(n);
}

static void a_call_that_hangs_is_left_alone(void **state UNUSED)
{
    atomic_store(&gate_open, false);
    int64_t began = clock_mono_ms();
    assert_false(file_call(&(struct file_call){run_at_gate, release_int, mem_zalloc(sizeof(int))}, 50));
    assert_in_range(clock_mono_ms() - began, 50, 2000);
    assert_int_equal(released, 0);
    atomic_store(&gate_open, true);
    for (began = clock_mono_ms(); released == 0 && clock_mono_ms() - began < 5000;)
        usleep(1000);
    assert_int_equal(released, 1);
    assert_int_equal(ran, 2);
    file_work_await_threads(1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_that_ends_gives_its_argument_back),
        cmocka_unit_test(a_call_that_hangs_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
