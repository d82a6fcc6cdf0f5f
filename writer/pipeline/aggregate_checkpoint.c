// SPDX-License-Identifier: Apache-2.0
#include "writer/pipeline/aggregate_checkpoint.h"

#include "base/text/duration.h"

enum {
    CHECKPOINT_STOP_MS = 2000,
    CHECKPOINT_LATE_MS = 3000 /* after its time, although results follow each other quickly */
};

static void checkpoint_begin(struct aggregate_checkpoint *c, int64_t now)
{
    c->saving = true;
    c->whole = c->appended >= c->whole_bytes || aggregate_file_lost(c->file);
    c->changed = c->begun = c->handed = false;
    c->set = 0;
    c->bytes = 0;
    c->since = now;
    c->full_since = 0;
}

/* What this saving has taken is not written: the next one must be whole. */
static void checkpoint_forget(struct aggregate_checkpoint *c)
{
    buf_clear(&c->frame);
    c->whole_bytes = c->appended = 0;
}

/* pace: the next one begins so much later that CHECKPOINT_RATE is kept. */
static void checkpoint_end(struct aggregate_checkpoint *c, bool pace)
{
    int64_t paced = pace ? (int64_t)(c->bytes * 1000 / CHECKPOINT_RATE) : 0;
    c->saving = false;
    c->due = c->since + (paced > c->interval ? paced : c->interval);
}

/* The next frame of the set; false: it cannot be saved now. */
static bool checkpoint_frame(struct aggregate_checkpoint *c, struct aggregate *a, int64_t now, int64_t end, bool *done)
{
    if (!c->begun && !aggregate_save_begin(a, c->whole))
        return false;
    c->begun = true;
    size_t before = c->frame.n;
    enum aggregate_saving saving = aggregate_save_some(a, now, end, &c->frame);
    c->bytes += c->frame.n - before;
    *done = saving == AGGREGATE_SAVE_DONE;
    return saving != AGGREGATE_SAVE_BROKEN;
}

/* It is begun again later. */
static enum checkpoint_state checkpoint_give_up(struct aggregate_checkpoint *c)
{
    checkpoint_forget(c);
    c->changed = true;
    checkpoint_end(c, true);
    return CHECKPOINT_IDLE;
}

static enum checkpoint_state checkpoint_wait(struct aggregate_checkpoint *c, int64_t now)
{
    if (c->full_since == 0 || now < c->full_since)
        c->full_since = now;
    return now - c->full_since < CHECKPOINT_DISK_MS ? CHECKPOINT_WAITS : checkpoint_give_up(c);
}

static enum checkpoint_state checkpoint_continue(struct aggregate_checkpoint *c, struct aggregate *const *sets,
                                                 unsigned n, int64_t now, int64_t end)
{
    while (c->set < n) {
        bool done = sets[c->set] == NULL;
        if (aggregate_file_full(c->file))
            return checkpoint_wait(c, now);
        c->full_since = 0;
        if (!done && !checkpoint_frame(c, sets[c->set], now, end, &done))
            return checkpoint_give_up(c);
        c->begun = c->begun && !done;
        c->set += done;
        bool last = c->set == n;
        if (c->frame.n >= AGGREGATE_FRAME || (last && c->frame.n > 0)) {
            aggregate_file_add(c->file, &c->frame, (c->handed ? 0 : AGGREGATE_FILE_FIRST) |
                               (last ? AGGREGATE_FILE_LAST : 0) | (c->whole ? AGGREGATE_FILE_WHOLE : 0));
            c->handed = true;
        }
        if (!last && clock_mono_ns() >= end)
            return CHECKPOINT_MORE;
    }
    bool pace = !c->whole || c->appended < c->whole_bytes; /* a whole one has been paced by what was appended before */
    c->appended = c->whole ? 0 : c->appended + c->bytes;
    c->whole_bytes = c->whole ? c->bytes : c->whole_bytes;
    checkpoint_end(c, pace);
    return CHECKPOINT_IDLE;
}

/* flush: results follow. */
static bool checkpoint_begins(struct aggregate_checkpoint *c, bool flush, int64_t now)
{
    if (c->saving || !c->changed || c->saved)
        return false;
    bool due = now >= c->hold ? flush || now >= c->due : flush && now >= c->due + CHECKPOINT_LATE_MS;
    return due && !aggregate_file_busy(c->file) && !aggregate_file_full(c->file);
}

enum checkpoint_state checkpoint_run(struct aggregate_checkpoint *c, struct aggregate *const *sets, unsigned n,
                                     int64_t now, int64_t end)
{
    bool flush = false;
    if (c->file == NULL || c->flushes)
        return CHECKPOINT_IDLE;
    for (unsigned i = 0; i < n; i++)
        flush = flush || (sets[i] && aggregate_results_begin(sets[i], now));
    if (checkpoint_begins(c, flush, now)) {
        c->saved = flush;
        checkpoint_begin(c, now);
    }
    enum checkpoint_state state = c->saving ? checkpoint_continue(c, sets, n, now, end) : CHECKPOINT_IDLE;
    c->flushes = flush && state == CHECKPOINT_IDLE;
    return state;
}

void checkpoint_flushed(struct aggregate_checkpoint *c, int64_t now)
{
    c->saved = false;
    if (!c->flushes)
        return;
    c->flushes = false;
    c->changed = true;
    c->hold = now + c->interval + CHECKPOINT_MARGIN_MS;
}

int64_t checkpoint_due(const struct aggregate_checkpoint *c)
{
    return c->file == NULL || !c->changed ? INT64_MAX : c->due > c->hold ? c->due : c->hold;
}

void checkpoint_finish(struct aggregate_checkpoint *c, struct aggregate *const *sets, unsigned n, int64_t now)
{
    if (c->file == NULL)
        return;
    if (c->saving)
        checkpoint_forget(c);
    checkpoint_begin(c, now);
    for (int64_t until = clock_mono_ms() + CHECKPOINT_STOP_MS; clock_mono_ms() < until;) {
        if (c->saving)
            (void)checkpoint_continue(c, sets, n, now, INT64_MAX);
        if (!c->saving && !aggregate_file_busy(c->file))
            return;
        aggregate_file_wait();
    }
}

void checkpoint_free(struct aggregate_checkpoint *c)
{
    aggregate_file_free(c->file);
    buf_free(&c->frame);
}
