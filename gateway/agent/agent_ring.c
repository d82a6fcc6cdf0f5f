// SPDX-License-Identifier: Apache-2.0
/* dskit's ring.Desc: ingesters = 1, a map of names to {addr = 1, timestamp = 2 (Unix seconds), state = 3, ...}. */
#include "gateway/agent/agent_ring.h"

#include "base/compress.h"
#include "base/etcd/etcd_mirror.h"
#include "base/protobuf.h"
#include "base/telemetry/log.h"

enum {
    RING_BYTES_MAX = 16 << 20,
    RING_CONFIRM_MS = 20000,
    RING_LEAVING = 1, RING_LEFT = 4, /* of a state; ACTIVE, PENDING and JOINING take part, or will soon */
};

struct agent_ring {
    struct etcd *etcd;
    struct etcd_mirror *mirror;
    struct buf key;
    int64_t timeout_ms;
    bool waits, invalid;             /* as last logged */
};

struct ring_agent { struct str name; int64_t timestamp; uint64_t state; };

static bool ring_read_agent(struct str message, struct ring_agent *a)
{
    const uint8_t *p = (const uint8_t *)message.p, *end = p + message.n;
    struct pb_field f;
    while (pb_next(&p, end, &f)) {
        if (f.number == 2 && f.wire == 0)
            a->timestamp = (int64_t)f.value;
        else if (f.number == 3 && f.wire == 0)
            a->state = f.value;
    }
    return p == end;
}

static bool ring_read_entry(struct str message, struct ring_agent *a)
{
    const uint8_t *p = (const uint8_t *)message.p, *end = p + message.n;
    struct pb_field f;
    while (pb_next(&p, end, &f)) {
        if (f.number == 1 && f.wire == 2)
            a->name = f.bytes;
        else if (f.number == 2 && f.wire == 2 && !ring_read_agent(f.bytes, a))
            return false;
    }
    return p == end;
}

static bool ring_takes_part(const struct ring_agent *a, int64_t now, int64_t timeout_ms)
{
    bool alive = timeout_ms == 0 || a->timestamp > (now - timeout_ms) / 1000;
    return a->state != RING_LEAVING && a->state != RING_LEFT && alive;
}

static bool ring_read(struct str plain, int64_t now, int64_t timeout_ms, size_t *n, struct buf *name)
{
    const uint8_t *p = (const uint8_t *)plain.p, *end = p + plain.n;
    struct pb_field f;
    while (pb_next(&p, end, &f)) {
        struct ring_agent a = {0};
        if (f.number != 1 || f.wire != 2)
            continue;
        if (!ring_read_entry(f.bytes, &a))
            return false;
        if (!ring_takes_part(&a, now, timeout_ms))
            continue;
        if (*n == 0)
            buf_add_str(name, a.name);
        ++*n;
    }
    return p == end;
}

bool agent_ring_count(struct str value, int64_t now, int64_t timeout_ms, size_t *n, struct buf *name, struct err *err)
{
    struct buf plain = {0};
    *n = 0;
    bool ok = decompress(CODEC_SNAPPY, NULL, value, RING_BYTES_MAX, &plain, err) &&
              (ring_read(buf_str(&plain), now, timeout_ms, n, name) || err_set(err, ERR_BAD_DATA, "no valid message"));
    buf_free(&plain);
    return ok;
}

/* ---- in etcd ---- */

static void ring_ignore_key(void *arg UNUSED, const struct etcd_key *k UNUSED) {}
static void ring_ignore(void *arg UNUSED) {}

struct agent_ring *agent_ring_new(struct etcd *etcd, struct str prefix, int64_t timeout_ms)
{
    struct agent_ring *r = mem_zalloc(sizeof *r);
    r->etcd = etcd;
    r->timeout_ms = timeout_ms;
    buf_add_str(&r->key, prefix);
    buf_add_z(&r->key, "agent");
    r->mirror = etcd_mirror_new(etcd, &(struct etcd_mirror_conf){
        .prefix = buf_str(&r->key), .confirm_ms = RING_CONFIRM_MS, .wiped = ETCD_WIPED_REMOVE,
        .max_bytes = 2 * RING_BYTES_MAX,
        .put = ring_ignore_key, .removed = ring_ignore_key, .settled = ring_ignore, .state = ring_ignore, .arg = r});
    return r;
}

void agent_ring_free(struct agent_ring *r)
{
    if (r == NULL)
        return;
    etcd_mirror_free(r->mirror);
    etcd_free(r->etcd);
    buf_free(&r->key);
    mem_free(r);
}

static void ring_log(struct agent_ring *r, size_t n, struct str name)
{
    if (n > 0 && !r->waits)
        log_info("agent", "Grafana Agents scrape the stored instances: this member takes targets when the last one has "
                 "stopped", LOG_U64("agents", n), LOG_STR("first", name));
    if (n == 0 && r->waits)
        log_info("agent", "no Grafana Agent scrapes the stored instances any more");
    r->waits = n > 0;
}

bool agent_ring_empty(struct agent_ring *r)
{
    const struct etcd_key *k = etcd_mirror_get(r->mirror, buf_str(&r->key));
    struct buf name = {0};
    struct err err;
    size_t n = 0;
    if (!etcd_mirror_complete(r->mirror))
        return false;
    bool valid = k == NULL || agent_ring_count(k->value, loop_now(etcd_loop(r->etcd)), r->timeout_ms, &n, &name, &err);
    if (!valid && !r->invalid)
        log_warn("agent", "the ring of Grafana Agents cannot be read; not waiting for them",
                 LOG_STR("key", buf_str(&r->key)), "err", err.text);
    r->invalid = !valid;
    n = valid ? n : 0;
    ring_log(r, n, buf_str(&name));
    buf_free(&name);
    return n == 0;
}
