// SPDX-License-Identifier: Apache-2.0
#include "writer/failover.h"

#include "base/telemetry/log.h"
#include "base/text/duration.h"
#include "writer/failover_file.h"

enum {
    TICK_MS = 200,
    FILE_MS = 5000,       /* longest wait for the disk */
    WINDOW_LEAD_MS = 60000, /* samples may be older or newer than their block by as much */
    BEHIND_MS = 5000      /* a block that is pending for longer */
};

struct failover {
    struct writer *writer;
    struct destination *backup;
    struct backup_pair *pair;
    int64_t after, hold;
    enum failover_state state;
    int64_t deadline;              /* mono ms: of LOADING and RECORDING */
    int64_t failed_at;             /* mono ms: when the primary had an old block last */
    struct failover_file *file;
    bool loads, saves, unsaved;    /* the file is being read or written; the windows have changed since */
    bool failing;                  /* the last write failed */
    int64_t retry_at;
    struct loop_timer tick;
    /* under the writer's lock */
    struct failover_windows windows;
    bool known;                    /* the file was read */
    uint64_t switches;
    int64_t since;                 /* Unix ms: of SENDING, else 0 */
    char *primary;
};

/* --- windows -------------------------------------------------------------------------------------------------------- */

static void failover_add_window(struct failover *f, struct failover_window w)
{
    mutex_lock(&f->writer->lock);
    failover_windows_add(&f->windows, w);
    mutex_unlock(&f->writer->lock);
    f->unsaved = true;
}

/* Of what the primary has not acknowledged all was sent, but for what the backup has not accepted yet. Samples that are
 * newer than now may have been sent before a restart. */
static void failover_end_window(struct failover *f, int64_t now)
{
    int64_t pending = destination_oldest_pending(f->backup), until = pending > 0 && pending < now ? pending : now;
    int64_t end = now + WINDOW_LEAD_MS;
    mutex_lock(&f->writer->lock);
    struct failover_window *open = failover_windows_open(&f->windows);
    if (open) {
        open->to = end > open->from ? end : open->from;
        open->full_to = until - WINDOW_LEAD_MS;
    }
    mutex_unlock(&f->writer->lock);
    f->unsaved = true;
}

/* Samples that were older, or newer, than expected. */
static void failover_extend_window(struct failover *f)
{
    int64_t from = atomic_load(&f->pair->sent_min), to = atomic_load(&f->pair->sent_max);
    if (from <= to && !failover_windows_contain(&f->windows, from, to))
        failover_add_window(f, (struct failover_window){from, to, FAILOVER_NOT_FULL});
}

/* --- the file ------------------------------------------------------------------------------------------------------- */

static void failover_loaded(struct failover *f, int64_t now)
{
    struct failover_windows read;
    struct err err;
    if (!failover_file_take(f->file, &read, now, &err))
        log_error("remote_write", "cannot read the file of failovers; queries read everything until now from the backup, "
                  "too", "name", f->backup->name, "err", err.text);
    mutex_lock(&f->writer->lock);
    for (unsigned i = 0; i < read.n; i++)
        failover_windows_add(&f->windows, read.items[i]);
    f->known = true;
    mutex_unlock(&f->writer->lock);
}

static void failover_saved(struct failover *f)
{
    struct err err;
    bool ok = failover_file_saved(f->file, &err);
    f->saves = false;
    if (!ok) {
        f->unsaved = true;
        f->retry_at = clock_mono_ms() + 1000;
    }
    if (!ok && !f->failing)
        log_error("remote_write", "cannot write the file of failovers; retrying, and after a crash queries may not read "
                  "their times from the backup", "name", f->backup->name, "err", err.text);
    f->failing = !ok;
}

/* True: nothing is being read or written. */
static bool failover_tend_file(struct failover *f, int64_t now)
{
    if ((f->loads || f->saves) && failover_file_busy(f->file))
        return false;
    if (f->loads)
        failover_loaded(f, now);
    f->loads = false;
    if (f->saves)
        failover_saved(f);
    if (!f->unsaved || (f->failing && clock_mono_ms() < f->retry_at))
        return true;
    failover_file_save(f->file, &f->windows);
    f->saves = true;
    f->unsaved = false;
    return false;
}

/* --- switching ------------------------------------------------------------------------------------------------------ */

static void failover_set_since(struct failover *f, int64_t since)
{
    mutex_lock(&f->writer->lock);
    f->switches += since > 0;
    f->since = since;
    mutex_unlock(&f->writer->lock);
}

static void failover_set_sending(struct failover *f, int64_t now)
{
    failover_set_since(f, now);
    f->state = FAILOVER_SENDING;
    f->failed_at = clock_mono_ms();
    backup_pair_open(f->pair);
    destination_kick_lanes(f->backup);
}

/* Unix ms from which on the backup gets all samples: those newer than the last response of its primary. A primary that
 * is a backup itself has only what its own window has completely. */
static int64_t failover_full_from(const struct failover *f, int64_t now)
{
    struct failover *of = f->pair->primary->failover;
    const struct failover_window *open = of ? failover_windows_open(&of->windows) : NULL;
    int64_t accepted = atomic_load(&f->pair->primary->last_ok), from = (accepted > 0 ? accepted : now) + WINDOW_LEAD_MS;
    return open && open->full_from > from ? open->full_from : from;
}

static void failover_begin(struct failover *f, int64_t oldest, int64_t now)
{
    backup_pair_keep(f->pair);
    failover_add_window(f, (struct failover_window){oldest - WINDOW_LEAD_MS, FAILOVER_OPEN, failover_full_from(f, now),
                                                    FAILOVER_OPEN});
    f->state = FAILOVER_RECORDING;
    f->deadline = clock_mono_ms() + FILE_MS;
    log_warn("remote_write", "destination does not accept samples; its backup sends them", "name",
             f->pair->primary->name, "backup", f->backup->name, LOG_TIME("since", oldest),
             LOG_DURATION("for", (now - oldest) / 1000 * 1000));
}

static void failover_stand_by(struct failover *f)
{
    backup_pair_close(f->pair);
    f->state = FAILOVER_STANDBY;
    destination_kick_lanes(f->backup);
}

static void failover_end(struct failover *f, int64_t now)
{
    failover_extend_window(f);
    failover_end_window(f, now);
    failover_stand_by(f);
    int64_t since = f->since;
    failover_set_since(f, 0);
    log_info("remote_write", "destination has accepted all samples for failover_hold; its backup stops sending", "name",
             f->pair->primary->name, "backup", f->backup->name, LOG_TIME("since", since),
             LOG_DURATION("after", (now - since) / 1000 * 1000));
}

/* Unix ms since when the oldest block of the primary is pending, 0: it is not pending for long. A primary that is a
 * backup itself has nothing to send before it sends. */
static int64_t failover_oldest(const struct failover *f, int64_t now)
{
    const struct failover *of = f->pair->primary->failover;
    int64_t oldest = destination_oldest_pending(f->pair->primary), since = oldest;
    if (of && of->state != FAILOVER_SENDING)
        return 0;
    if (of && of->since > since)
        since = of->since;
    return oldest > 0 && now - since >= f->after ? oldest : 0;
}

/* Blocks of the backup are removed when the primary's are delivered; those that were missed, here. */
static void failover_remove_needless(const struct failover *f)
{
    if (atomic_load(&f->backup->pending_blocks) > 0 || queue_bytes(f->backup->queue) > 0)
        destination_kick_lanes(f->backup);
}

static void failover_step(struct failover *f, bool file_idle, int64_t now)
{
    int64_t oldest = failover_oldest(f, now), mono = clock_mono_ms();
    switch (f->state) {
    case FAILOVER_LOADING:
        if (failover_windows_open(&f->windows))
            failover_set_sending(f, now);
        else if (file_idle || mono >= f->deadline)
            failover_stand_by(f);
        break;
    case FAILOVER_STANDBY:
        failover_extend_window(f); /* by a block that was in flight */
        if (oldest > 0)
            failover_begin(f, oldest, now);
        else
            failover_remove_needless(f);
        break;
    case FAILOVER_RECORDING:
        if ((file_idle && !f->unsaved) || mono >= f->deadline)
            failover_set_sending(f, now);
        break;
    case FAILOVER_SENDING:
        f->failed_at = oldest > 0 ? mono : f->failed_at;
        failover_extend_window(f);
        if (mono - f->failed_at >= f->hold)
            failover_end(f, now);
        break;
    }
}

static void failover_run_tick(struct loop_timer *timer)
{
    struct failover *f = CONTAINER(timer, struct failover, tick);
    int64_t now = loop_now(f->writer->env.main);
    failover_step(f, failover_tend_file(f, now), now);
    loop_timer_in(f->writer->env.main, timer, TICK_MS);
}

/* --- configuration -------------------------------------------------------------------------------------------------- */

struct backup_pair *failover_pair(const struct writer *w, struct destination *primary, struct destination *backup)
{
    struct backup_pair *have = topology_pair(w->topology, backup);
    return have && have->primary == primary ? backup_pair_ref(have) : backup_pair_new(primary, backup, w->env.n_lanes);
}

static struct failover *failover_new(struct writer *w, struct destination *backup)
{
    struct failover *f = mem_zalloc(sizeof *f);
    struct buf dir = {0};
    f->writer = w;
    f->backup = backup;
    f->tick.run = failover_run_tick;
    buf_printf(&dir, "%s/%s", w->dir, backup->identity);
    f->file = failover_file_new(buf_z(&dir));
    buf_free(&dir);
    f->loads = true;
    f->deadline = clock_mono_ms() + FILE_MS;
    loop_timer_in(w->env.main, &f->tick, 0);
    return f;
}

/* The window of one that sends stays open on disk. */
static void failover_free(struct failover *f)
{
    loop_timer_stop(f->writer->env.main, &f->tick);
    failover_file_free(f->file);
    backup_pair_unref(f->pair);
    mem_free(f->primary);
    mem_free(f);
}

/* Another primary: what the new one has not acknowledged begins now. */
static void failover_set_pair(struct failover *f, struct backup_pair *p)
{
    if (f->pair == p)
        return;
    if (f->state == FAILOVER_SENDING || f->state == FAILOVER_RECORDING) {
        failover_end_window(f, loop_now(f->writer->env.main));
        failover_set_since(f, 0);
        f->state = FAILOVER_STANDBY;
    }
    backup_pair_unref(f->pair);
    f->pair = backup_pair_ref(p);
    if (f->state == FAILOVER_STANDBY)
        failover_stand_by(f);
}

static const struct destination_conf *failover_conf(const struct writer_plan *plan, const struct destination *d)
{
    for (size_t i = 0; i < plan->n; i++) {
        char *identity = destination_identity(&plan->destinations[i]);
        bool found = strcmp(identity, d->identity) == 0;
        mem_free(identity);
        if (found)
            return &plan->destinations[i];
    }
    return NULL;
}

static void failover_use_pair(struct writer *w, struct destination *d, struct backup_pair *p,
                              const struct destination_conf *c)
{
    struct failover *f = d->failover ? d->failover : failover_new(w, d);
    char *before = f->primary, *name = mem_strdup(p->primary->name);
    failover_set_pair(f, p);
    f->after = c->failover_after;
    f->hold = c->failover_hold;
    mutex_lock(&w->lock);
    f->primary = name;
    d->failover = f;
    mutex_unlock(&w->lock);
    mem_free(before);
}

void failover_use(struct writer *w, const struct topology *p, const struct writer_plan *plan)
{
    for (size_t i = 0; i < w->n; i++) {
        struct destination *d = w->destinations[i];
        struct backup_pair *pair = topology_pair(p, d);
        if (pair) {
            failover_use_pair(w, d, pair, failover_conf(plan, d));
        } else if (d->failover) {
            struct failover *f = d->failover;
            mutex_lock(&w->lock);
            d->failover = NULL;
            mutex_unlock(&w->lock);
            failover_free(f);
        }
    }
}

/* --- any thread, under the writer's lock ------------------------------------------------------------------------------ */

void failover_status(const struct failover *f, int64_t now, struct failover_status *out)
{
    *out = (struct failover_status){.primary = f->primary, .sends = f->since > 0, .since = f->since,
                                    .switches = f->switches, .windows = f->windows.n};
    for (unsigned i = 0; i < f->windows.n; i++) {
        const struct failover_window *w = &f->windows.items[i];
        int64_t to = w->to == FAILOVER_OPEN ? now : w->to;
        out->window_ms += to > w->from ? to - w->from : 0;
    }
}

/* A backup that is behind has the newest samples later. */
struct written failover_written(const struct failover *f, int64_t from, int64_t to)
{
    struct written w = {.backup = true, .some = true};
    int64_t pending = destination_oldest_pending(f->backup);
    if (!f->known)
        return w;
    bool sent = pending == 0 || clock_wall_ms() - pending < BEHIND_MS || to < pending - WINDOW_LEAD_MS;
    w.some = failover_windows_overlap(&f->windows, from, to);
    w.all = sent && failover_windows_full(&f->windows, from, to);
    return w;
}
