// SPDX-License-Identifier: Apache-2.0
/* The ring as Grafana Agents write it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/compress.h"
#include "base/protobuf.h"
#include "gateway/agent/agent_ring.h"

static void ring_add(struct buf *ring, const char *name, int64_t timestamp, int64_t state)
{
    struct buf desc = {0}, entry = {0};
    const uint8_t tokens[] = {0xff, 0x01, 0x05};
    pb_add_bytes(&desc, 1, STR("10.0.0.1:12346"));
    pb_add_int(&desc, 2, timestamp);
    pb_add_int(&desc, 3, state);
    pb_add_bytes(&desc, 6, str_n(tokens, sizeof tokens));
    pb_add_bytes(&desc, 7, STR("zone"));
    pb_add_bytes(&entry, 1, str_of(name));
    pb_add_bytes(&entry, 2, buf_str(&desc));
    pb_add_bytes(ring, 1, buf_str(&entry));
    buf_free(&desc);
    buf_free(&entry);
}

static bool ring_count_within(int64_t timeout_ms, struct str plain, size_t *n, struct buf *first)
{
    struct buf value = {0};
    struct err err;
    compress_snappy(&value, plain);
    buf_clear(first);
    bool ok = agent_ring_count(buf_str(&value), 1000000000, timeout_ms, n, first, &err);
    buf_free(&value);
    return ok;
}

static bool ring_count(struct str plain, size_t *n, struct buf *first) { return ring_count_within(60000, plain, n, first); }

static void those_that_take_part(void **state UNUSED)
{
    struct buf ring = {0}, first = {0};
    size_t n = 9;
    assert_true(ring_count(STR(""), &n, &first));
    assert_int_equal(n, 0);
    ring_add(&ring, "left", 999999, 4);
    ring_add(&ring, "leaving", 999999, 1);
    ring_add(&ring, "killed", 999000, 0);
    ring_add(&ring, "edge", 999940, 0);
    assert_true(ring_count(buf_str(&ring), &n, &first));
    assert_int_equal(n, 0);
    ring_add(&ring, "active", 999941, 0);
    ring_add(&ring, "pending", 1000500, 2);
    ring_add(&ring, "joining", 999990, 3);
    assert_true(ring_count(buf_str(&ring), &n, &first));
    assert_int_equal(n, 3);
    assert_true(str_is(buf_str(&first), "active"));
    assert_true(ring_count_within(0, buf_str(&ring), &n, &first)); /* without heartbeat_timeout */
    assert_int_equal(n, 5);
    buf_free(&ring);
    buf_free(&first);
}

static void what_is_no_ring(void **state UNUSED)
{
    struct buf ring = {0}, first = {0};
    struct err err;
    size_t n;
    assert_false(agent_ring_count(STR("x"), 0, 60000, &n, &first, &err));
    ring_add(&ring, "agent", 999999, 0);
    for (size_t cut = 1; cut < ring.n; cut++)
        assert_false(ring_count(str_first(buf_str(&ring), cut), &n, &first));
    buf_free(&ring);
    buf_free(&first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(those_that_take_part), cmocka_unit_test(what_is_no_ring)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
