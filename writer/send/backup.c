// SPDX-License-Identifier: Apache-2.0
#include "writer/send/backup.h"

#include "writer/send/destination_lane.h"

/* --- pairs -------------------------------------------------------------------------------------------------------- */

struct backup_pair *backup_pair_new(struct destination *primary, struct destination *backup, unsigned n_lanes)
{
    struct backup_pair *p = mem_zalloc(sizeof *p);
    refs_init(&p->refs);
    p->primary = primary;
    p->backup = backup;
    atomic_init(&p->keeps, true);
    atomic_init(&p->lanes_behind, n_lanes);
    atomic_init(&p->sent_min, INT64_MAX);
    atomic_init(&p->sent_max, INT64_MIN);
    return p;
}

struct backup_pair *backup_pair_ref(struct backup_pair *p)
{
    if (p)
        refs_take(&p->refs);
    return p;
}

void backup_pair_unref(struct backup_pair *p)
{
    if (p && refs_drop(&p->refs))
        mem_free(p);
}

void backup_pair_keep(struct backup_pair *p) { atomic_store(&p->keeps, true); }

void backup_pair_open(struct backup_pair *p)
{
    backup_pair_keep(p);
    atomic_store(&p->sent_min, INT64_MAX);
    atomic_store(&p->sent_max, INT64_MIN);
    atomic_store(&p->sends, true);
}

void backup_pair_close(struct backup_pair *p)
{
    atomic_store(&p->sends, false);
    atomic_store(&p->keeps, false);
}

/* --- the blocks before ---------------------------------------------------------------------------------------------- */

/* Whether this lane's shards of the primary have delivered what they had. */
static void backup_check_lane(struct destination_lane *primary)
{
    struct destination_lane *backup = primary->backup;
    if (!backup->pair_behind)
        return;
    for (size_t i = 0; i < primary->n; i++)
        if (shard_position(primary->shards[i]) < primary->shards[i]->pair_end)
            return;
    backup->pair_behind = false;
    if (atomic_fetch_sub(&backup->pair->lanes_behind, 1) == 1)
        destination_kick_lanes(backup->dest);
}

/* A shard whose newest block was delivered has nothing to wait for, though it may be read back. */
void backup_lane_use(struct destination_lane *backup, struct backup_pair *p)
{
    struct destination_lane *primary = p ? p->primary->per_lane[backup->index] : NULL;
    if (primary)
        primary->backup = backup;
    if (p == backup->pair)
        return;
    backup->pair = p;
    for (size_t i = 0; i < backup->n; i++) {
        struct backup_shard *b = &backup->shards[i]->backup;
        b->n = 0; /* the shards that they point to may be freed */
        b->unmatched_end = backup->shards[i]->next_seq;
    }
    for (size_t i = 0; primary && i < primary->n; i++)
        primary->shards[i]->pair_end = primary->shards[i]->next_seq;
    backup->pair_behind = p != NULL;
    if (primary)
        backup_check_lane(primary);
}

/* --- matching blocks ---------------------------------------------------------------------------------------------- */

static void backup_forget_runs(struct backup_shard *b, uint64_t position)
{
    size_t gone = 0;
    while (gone < b->n && b->runs[gone].end <= position)
        gone++;
    if (gone > 0)
        memmove(b->runs, b->runs + gone, (b->n - gone) * sizeof *b->runs);
    b->n -= gone;
}

void backup_match_newest(struct shard *s, const struct shard *primary)
{
    struct backup_shard *b = &s->backup;
    uint64_t seq = s->next_seq - 1, primary_seq = primary->next_seq - 1;
    struct backup_run *last = b->n > 0 ? &b->runs[b->n - 1] : NULL;
    if (last && last->primary == primary && last->end == seq && primary_seq - last->primary_first == seq - last->first) {
        last->end = seq + 1;
        return;
    }
    backup_forget_runs(b, shard_position(s));
    mem_grow(&b->runs, &b->_cap, b->n + 1, sizeof *b->runs);
    b->runs[b->n++] = (struct backup_run){seq, seq + 1, primary, primary_seq};
}

static uint64_t backup_run_delivered(const struct backup_run *r)
{
    uint64_t at = shard_position(r->primary);
    if (at <= r->primary_first)
        return r->first;
    return at - r->primary_first < r->end - r->first ? r->first + (at - r->primary_first) : r->end;
}

uint64_t backup_needless_until(struct shard *s)
{
    struct destination_lane *dl = s->lane;
    struct backup_shard *b = &s->backup;
    if (dl->pair == NULL || atomic_load(&dl->pair->keeps))
        return 0;
    if (atomic_load(&dl->pair->lanes_behind) > 0 && shard_position(s) < b->unmatched_end)
        return 0;
    uint64_t until = b->unmatched_end;
    for (size_t i = 0; i < b->n; i++) {
        uint64_t delivered = backup_run_delivered(&b->runs[i]);
        if (delivered > until)
            until = delivered;
        if (delivered < b->runs[i].end)
            break;
    }
    backup_forget_runs(b, until);
    return until;
}

void backup_primary_moved(const struct shard *primary)
{
    struct destination_lane *backup = primary->lane->backup;
    if (backup == NULL)
        return;
    backup_check_lane(primary->lane);
    for (size_t i = backup->n; i-- > 0;) /* the newest generation is the last */
        if (backup->shards[i]->index == primary->index && !shard_empty(backup->shards[i]))
            shard_kick(backup->shards[i]);
}

void backup_shard_free(struct backup_shard *b) { mem_free(b->runs); }

/* --- sending ------------------------------------------------------------------------------------------------------ */

bool backup_may_send(const struct shard *s)
{
    return s->lane->pair == NULL || atomic_load(&s->lane->pair->sends);
}

static void backup_lower(atomic_llong *to, int64_t t)
{
    long long have = atomic_load_explicit(to, memory_order_relaxed);
    while (t < have && !atomic_compare_exchange_weak(to, &have, t))
        ;
}

static void backup_raise(atomic_llong *to, int64_t t)
{
    long long have = atomic_load_explicit(to, memory_order_relaxed);
    while (t > have && !atomic_compare_exchange_weak(to, &have, t))
        ;
}

void backup_note_sent(const struct shard *s)
{
    struct backup_pair *p = s->lane->pair;
    const struct block *b = s->entries[s->head].block;
    if (p == NULL || b->n_samples == 0)
        return;
    backup_lower(&p->sent_min, b->t_min);
    backup_raise(&p->sent_max, b->t_max);
}

/* A backup that sends no longer retries nothing. */
void backup_lane_gate_changed(struct destination_lane *backup)
{
    if (backup->pair == NULL || atomic_load(&backup->pair->sends))
        return;
    for (struct list *node; (node = list_pop_front(&backup->waiting)) != NULL;)
        CONTAINER(node, struct shard, node)->state = SHARD_IDLE;
    destination_lane_leave(backup);
}
