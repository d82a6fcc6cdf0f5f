// SPDX-License-Identifier: Apache-2.0
/* Log lines of an outage: beginning, one a minute, end. */
#include "writer/send/destination_lane.h"

#include "base/telemetry/log.h"
#include "base/text/duration.h"
#include "writer/send/response.h"

#include <stdio.h>

static void outage_print_bytes(struct buf *b, uint64_t n)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double v = (double)n;
    size_t i = 0;
    for (; v >= 1024 && i + 1 < LEN(units); i++)
        v /= 1024;
    buf_printf(b, i ? "%.1f%s" : "%.0f%s", v, units[i]);
}

/* Remaining capacity: the smaller of the queue's limit and the file system's free space. */
static void add_space(struct buf *b, uint64_t limit, uint64_t queued, uint64_t free)
{
    uint64_t space = limit == 0 ? UINT64_MAX : limit > queued ? limit - queued : 0;
    if (free < space)
        space = free;
    if (space == UINT64_MAX)
        buf_add_z(b, "unlimited");
    else
        outage_print_bytes(b, space);
}

/* What the lines of an outage tell, in whole seconds. */
struct outage_facts { int64_t since, lasting, oldest; struct buf pending, space; };

static struct outage_facts outage_facts(const struct destination_lane *dl, const struct outage *o)
{
    struct destination *d = dl->dest;
    uint64_t memory = atomic_load_explicit(&d->pending_bytes, memory_order_relaxed), disk = queue_bytes(d->queue);
    int64_t oldest = destination_oldest_pending(d), now = loop_now(dl->loop);
    struct outage_facts f = {.since = o->since / 1000 * 1000,
                             .lasting = (loop_mono(dl->loop) - o->since_mono) / 1000 * 1000,
                             .oldest = oldest > 0 && oldest < now ? (now - oldest) / 1000 * 1000 : 0};
    outage_print_bytes(&f.pending, disk > memory ? disk : memory);
    add_space(&f.space, dl->settings->max_disk_bytes, disk, queue_free_bytes(d->queue));
    return f;
}

static void outage_facts_free(struct outage_facts *f)
{
    buf_free(&f->pending);
    buf_free(&f->space);
}

static void log_begin(const struct destination_lane *dl, int status, const char *why)
{
    const char *remedy = response_remedy(status);
    if (remedy)
        log_error("remote_write",
                  "remote write rejected; queueing samples and retrying until this is fixed",
                  "name", dl->dest->name, "err", why, "remedy", remedy);
    else
        log_warn("remote_write", "remote write failing; queueing samples and retrying", "name", dl->dest->name,
                 "err", why);
}

static void log_still(struct destination_lane *dl, const struct outage *o)
{
    struct outage_facts f = outage_facts(dl, o);
    const char *remedy = response_remedy(o->status);
    LOG_AT(remedy ? LOG_ERROR : LOG_WARN, "remote_write", "remote write still failing; queueing samples and retrying",
           "name", dl->dest->name, LOG_TIME("since", f.since), LOG_DURATION("for", f.lasting),
           LOG_STR("pending", buf_str(&f.pending)), LOG_DURATION("oldest", f.oldest),
           LOG_STR("space_left", buf_str(&f.space)), "err", o->why, "remedy", remedy ? remedy : "none");
    outage_facts_free(&f);
}

void outage_failed(struct destination_lane *dl, int status, const char *why)
{
    struct destination *d = dl->dest;
    bool joins = !dl->failing;
    mutex_lock(&d->lock);
    struct outage *o = &d->outage;
    bool begins = o->lanes == 0;
    if (joins)
        o->lanes++;
    if (begins) {
        o->since = loop_now(dl->loop);
        o->since_mono = o->logged_mono = loop_mono(dl->loop);
    }
    o->status = status;
    snprintf(o->why, sizeof o->why, "%s", why);
    int64_t due = o->logged_mono + o->period;
    mutex_unlock(&d->lock);
    dl->failing = true;
    if (joins)
        loop_timer_at(dl->loop, &dl->outage, due);
    if (begins)
        log_begin(dl, status, why);
}

void outage_timer_run(struct loop_timer *timer)
{
    struct destination_lane *dl = CONTAINER(timer, struct destination_lane, outage);
    struct destination *d = dl->dest;
    int64_t now = loop_mono(dl->loop);
    mutex_lock(&d->lock);
    bool due = now - d->outage.logged_mono >= d->outage.period;
    if (due)
        d->outage.logged_mono = now;
    struct outage copy = d->outage;
    mutex_unlock(&d->lock);
    loop_timer_at(dl->loop, timer, copy.logged_mono + copy.period);
    if (due)
        log_still(dl, &copy);
}

/* True: this was the last failing lane. */
static bool outage_remove_lane(struct destination_lane *dl, struct outage *copy)
{
    struct destination *d = dl->dest;
    if (!dl->failing)
        return false;
    dl->failing = false;
    loop_timer_stop(dl->loop, &dl->outage);
    mutex_lock(&d->lock);
    bool last = --d->outage.lanes == 0;
    *copy = d->outage;
    mutex_unlock(&d->lock);
    return last;
}

void outage_over(struct destination_lane *dl)
{
    struct outage o;
    if (!outage_remove_lane(dl, &o))
        return;
    struct outage_facts f = outage_facts(dl, &o);
    log_info("remote_write", "remote write recovered; sending queued samples", "name", dl->dest->name,
             LOG_TIME("since", f.since), LOG_DURATION("after", f.lasting), LOG_STR("pending", buf_str(&f.pending)),
             LOG_DURATION("oldest", f.oldest));
    outage_facts_free(&f);
}

void outage_leave(struct destination_lane *dl)
{
    struct outage o;
    outage_remove_lane(dl, &o);
}
