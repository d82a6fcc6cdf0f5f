// SPDX-License-Identifier: Apache-2.0
/* Time until a queue is full, and the warning about it.
 *
 * Estimate. A sample is taken every ten seconds and kept for five minutes: the remaining space is divided by the rate
 * at which it shrinks. Two limits are evaluated, and the sooner one is reported: max_disk_bytes with the growth of the
 * queue, and the free space of the file system with its decline, including that caused by other programs.
 *
 * Warning. It begins when less than a tenth (and less than 1 GiB) of the file system is free, when four fifths of
 * max_disk_bytes are used, or when the queue will be full within an hour. It is repeated every ten minutes, and its end
 * is logged.
 */
#include "writer/queue/queue_space.h"

#include "base/telemetry/log.h"
#include "base/text/num.h"

#include <math.h>
#include <string.h>
#include <sys/statvfs.h>

enum { WARN_SECONDS = 3600, WARN_AGAIN_MS = 600000, FULL_FOR_MS = 60000, MIN_RATE_MS = 30000 };
static const uint64_t low_space = 1 << 30;

void queue_space_init(struct queue_space *s)
{
    atomic_init(&s->free, UINT64_MAX);
    atomic_init(&s->until_full, INFINITY);
}

void queue_space_measure(struct queue_space *s, const char *dir)
{
    struct statvfs fs;
    if (statvfs(dir, &fs) != 0)
        return;
    s->total = (uint64_t)fs.f_blocks * fs.f_frsize;
    atomic_store(&s->free, (uint64_t)fs.f_bavail * fs.f_frsize);
}

static void space_sample(struct queue_space *s, uint64_t bytes, int64_t now)
{
    if (s->n > 0 && now - s->samples[s->n - 1].at < SPACE_EVERY_MS)
        return;
    if (s->n == SPACE_SAMPLES)
        memmove(s->samples, s->samples + 1, --s->n * sizeof s->samples[0]);
    s->samples[s->n].at = now;
    s->samples[s->n].bytes = bytes;
    s->samples[s->n++].free = atomic_load(&s->free);
}

static double seconds_for(uint64_t left, double change, double ms)
{
    return change > 0 ? (double)left / (change / ms) / 1000 : INFINITY;
}

double queue_space_seconds(const struct queue_space *s, const struct queue_space_use *use, int64_t now)
{
    if (s->full_at > 0 && now - s->full_at < FULL_FOR_MS)
        return 0;
    if (s->n == 0 || now - s->samples[0].at < MIN_RATE_MS)
        return INFINITY;
    double ms = (double)(now - s->samples[0].at);
    uint64_t left = use->max_bytes > use->bytes ? use->max_bytes - use->bytes : 0, free = atomic_load(&s->free);
    double limit = use->max_bytes == 0 ? INFINITY
                                       : seconds_for(left, (double)use->bytes - (double)s->samples[0].bytes, ms);
    double disk = seconds_for(free, (double)s->samples[0].free - (double)free, ms);
    return limit < disk ? limit : disk;
}

static bool space_is_low(const struct queue_space *s, const struct queue_space_use *use)
{
    uint64_t free = atomic_load(&s->free);
    return (free < s->total / 10 && free < low_space) || (use->max_bytes > 0 && use->bytes > use->max_bytes / 5 * 4) ||
           (use->bytes > 0 && atomic_load(&s->until_full) < WARN_SECONDS);
}

static void format_bytes(char text[24], uint64_t n) { text[num_format_u64(text, n)] = 0; }

static void log_low_space(struct queue_space *s, const struct queue_space_use *use, int64_t now)
{
    char limit[24], seconds[24];
    double until = atomic_load(&s->until_full);
    s->warned = true;
    s->warned_at = now;
    format_bytes(limit, use->max_bytes);
    format_bytes(seconds, isfinite(until) ? (uint64_t)until : 0);
    log_warn("queue", use->keep_all ? "queue is almost full; when it is full, pushes are refused with 429; "
                                      "free disk space or raise max_disk_bytes"
                                    : "queue is almost full; when it is full, the oldest samples are dropped; "
                                      "free disk space or raise max_disk_bytes",
             "dir", use->dir, LOG_U64("free_bytes", atomic_load(&s->free)), LOG_U64("pending_bytes", use->bytes),
             "max_disk_bytes", use->max_bytes ? limit : "none", "seconds_until_full", isfinite(until) ? seconds : "unknown");
}

void queue_space_update(struct queue_space *s, const struct queue_space_use *use, int64_t now)
{
    if (use->bytes > 0 || atomic_load(&s->free) < low_space || now - s->measured_at >= SPACE_EVERY_MS) {
        queue_space_measure(s, use->dir);
        s->measured_at = now;
    }
    space_sample(s, use->bytes, now);
    atomic_store(&s->until_full, queue_space_seconds(s, use, now));
    bool low = space_is_low(s, use);
    if (low && (!s->warned || now - s->warned_at >= WARN_AGAIN_MS))
        log_low_space(s, use, now);
    if (low || !s->warned)
        return;
    s->warned = false;
    log_info("queue", "queue has enough disk space again", "dir", use->dir);
}
