// SPDX-License-Identifier: Apache-2.0
/* Splits rejected blocks, so that one rejected sample does not cost its block, and one rejected block does not stall
 * its shard.
 *
 * A rejected block is split by series, the last series by samples, and the halves are sent in order: an accepted half
 * is done, a rejected one is split again. The pieces replace the block at the head of the shard, so order is kept.
 * Bounds:
 *
 * 1. A block costs at most 2 * log2(series) + 16 requests. A piece is split only while the remaining requests suffice
 *    for both halves and for all other pieces of the block; otherwise it is dropped, and the others still get one
 *    request each. So several rejected series may take some valid neighbours with them, but every piece is sent at
 *    least once.
 * 2. After a 413 the limit counts requests since the last accepted piece: a receiver with a small size limit gets a
 *    block in as many pieces as needed, without pauses after the first accepted one; a receiver that responds 413 to
 *    everything ends the block.
 * 3. Each rejection is followed by a pause: min_backoff, doubled after every eight requests of the block.
 * 4. After a block of which nothing was accepted, the next block's limit is halved, down to 8.
 */
#include "writer/send/destination_lane.h"

#include "base/telemetry/log.h"

enum { SPARE_REQUESTS = 16, LEAST_REQUESTS = 8, REQUESTS_PER_PAUSE = 8, MOST_DOUBLINGS = 3 };

unsigned bisect_limit(uint32_t n_series, unsigned rejected_blocks)
{
    unsigned log2 = 0;
    while (log2 < 32 && (uint64_t)1 << log2 < n_series)
        log2++;
    unsigned limit = (2 * log2 + SPARE_REQUESTS) >> (rejected_blocks < 8 ? rejected_blocks : 8);
    return limit > LEAST_REQUESTS ? limit : LEAST_REQUESTS;
}

static struct bisect *bisect_of_head(struct shard *s)
{
    struct bisect *t = &s->bisect;
    if (t->seq != shard_head_seq(s))
        *t = (struct bisect){.seq = shard_head_seq(s), .rejected_blocks = t->rejected_blocks};
    return t;
}

void bisect_count_request(struct shard *s) { bisect_of_head(s)->requests++; }

void bisect_accepted(struct shard *s)
{
    struct bisect *t = bisect_of_head(s);
    t->accepted = true;
    t->rejected_blocks = 0;
    if (t->by_size)
        t->requests = 0;
}

static int64_t pause_after(const struct shard *s)
{
    if (s->bisect.by_size && s->bisect.accepted)
        return 0;
    unsigned doublings = s->bisect.requests / REQUESTS_PER_PAUSE;
    int64_t pause = s->lane->settings->min_backoff << (doublings < MOST_DOUBLINGS ? doublings : MOST_DOUBLINGS);
    return pause < s->lane->settings->max_backoff ? pause : s->lane->settings->max_backoff;
}

static void log_drop(struct shard *s, const struct block_summary *sum, int status, const char *why)
{
    struct quarantine *z = queue_quarantine(s->dest->queue);
    bool kept = quarantine_add(z, shard_head(s));
    log_error("remote_write", "samples rejected by the destination; dropped", "name", s->dest->name,
              "quarantine", kept ? z->dir : "none", LOG_I64("status", status), LOG_U64("samples", shard_head(s)->n_samples),
              LOG_U64("series", sum->n_series), "example", sum->example, "response", why);
}

static void bisect_drop(struct shard *s, const struct block_summary *sum, enum drop_reason reason, int status,
                        const char *why)
{
    struct bisect *t = &s->bisect;
    log_drop(s, sum, status, why);
    destination_count_dropped(s->dest, shard_head(s), reason);
    destination_note_error(s->dest, loop_now(s->lane->loop), why);
    if (shard_pieces(s) == 1 && !t->accepted)
        t->rejected_blocks++;
    shard_finish_head(s);
}

static bool halve_head(struct shard *s)
{
    struct err err;
    struct block *half[2];
    bool affordable = s->bisect.requests + shard_pieces(s) + 1 <= s->bisect.limit;
    if (!affordable || !block_split(s->lane->packer, shard_head(s), half, &err))
        return false;
    shard_replace_head(s, half, 2);
    return true;
}

bool bisect_divide(struct shard *s)
{
    struct err err;
    struct block *half[2];
    struct block_summary sum;
    block_summarize(s->lane->packer, shard_head(s), &sum);
    if (shard_pieces(s) > 1 || sum.n_series < 2 || !block_split(s->lane->packer, shard_head(s), half, &err))
        return false;
    shard_replace_head(s, half, 2);
    return true;
}

void bisect_rejected(struct shard *s, enum drop_reason reason, int status, const char *why)
{
    struct bisect *t = bisect_of_head(s);
    struct block_summary sum;
    block_summarize(s->lane->packer, shard_head(s), &sum);
    if (t->limit == 0)
        t->limit = bisect_limit(sum.n_series, t->rejected_blocks);
    t->by_size |= reason == DROPPED_TOO_LARGE;
    s->resent = NOT_RESENT; /* the form was not the reason */
    destination_lane_up(s);
    if (!halve_head(s))
        bisect_drop(s, &sum, reason, status, why);
    shard_pause(s, pause_after(s));
}

void bisect_drop_head(struct shard *s, int status, const char *why)
{
    struct block_summary sum;
    bisect_of_head(s);
    block_summarize(s->lane->packer, shard_head(s), &sum);
    bisect_drop(s, &sum, DROPPED_REJECTED, status, why);
}
