// SPDX-License-Identifier: Apache-2.0
/* What a remote write response means: statuses beside long bodies, redirects, rejected series, lost responses. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "rig.h"

static bool retried_twice(void) { return rig_status().retries > 1; }

/* A login page behind a 302 takes nothing. */
static void a_redirect_is_no_delivery(void **state UNUSED)
{
    struct destination_conf d = rig_destination(&rig.a, "a", 2);
    atomic_store(&rig.a.status, 302);
    rig_start();
    rig_apply(&d, 1);
    rig_push(1, 2, true);
    rig_wait_until(retried_twice);
    assert_int_equal(rig_status().sent_samples, 0);
    atomic_store(&rig.a.status, 204);
    rig_await(&rig.a, rig_samples(2));
    rig_check(&rig.a, 1, 2);
    rig_stop(1000);
}

static void a_long_body_changes_nothing(void **state UNUSED)
{
    struct destination_conf d = rig_destination(&rig.a, "a", 2);
    atomic_store(&rig.a.status, 200);
    atomic_store(&rig.a.body_size, 70 << 10);
    rig_start();
    rig_apply(&d, 1);
    rig_push(1, 2, true);
    rig_await(&rig.a, rig_samples(2));
    atomic_store(&rig.a.status, 503);
    rig_push(3, 3, true);
    rig_wait_until(retried_twice);
    atomic_store(&rig.a.status, 200);
    rig_await(&rig.a, rig_samples(3));
    rig_check(&rig.a, 1, 3);
    assert_int_equal(rig_status().dropped_samples, 0);
    rig_stop(1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {RIG_TEST(a_redirect_is_no_delivery), RIG_TEST(a_long_body_changes_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
