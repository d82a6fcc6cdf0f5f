// SPDX-License-Identifier: Apache-2.0
/* The list of blocks that could not be written, with their sums; some of them are also in the lane's memory and do not
 * count as exclusive. */
#include "writer/queue/queue_unwritten.h"

static struct write_job *job_at(const struct list *node) { return CONTAINER(node, struct write_job, node); }

void unwritten_init(struct unwritten *u) { list_init(&u->jobs); }

/* `held` moves with every read of the lane; the bytes are recounted only then. */
static void unwritten_recount(struct queue_shard *s)
{
    struct unwritten *u = &s->unwritten;
    uint64_t held = atomic_load(&s->held);
    if (held == u->exclusive_from)
        return;
    u->exclusive_from = held;
    u->exclusive_bytes = 0;
    for (const struct list *n = u->jobs.next; n != &u->jobs; n = n->next)
        if (job_at(n)->seq >= held)
            u->exclusive_bytes += write_job_bytes(job_at(n));
}

void unwritten_add(struct queue_shard *s, struct write_job *j)
{
    struct unwritten *u = &s->unwritten;
    unwritten_recount(s);
    list_push_back(&u->jobs, &j->node);
    u->bytes += write_job_bytes(j);
    u->samples += j->block->n_samples;
    u->blocks++;
    if (j->seq >= u->exclusive_from)
        u->exclusive_bytes += write_job_bytes(j);
}

void unwritten_add_sum(const struct queue_shard *s, struct block_sum *sum)
{
    sum->blocks += s->unwritten.blocks;
    sum->samples += s->unwritten.samples;
    sum->bytes += s->unwritten.bytes;
}

struct write_job *unwritten_first(const struct queue_shard *s)
{
    return list_empty(&s->unwritten.jobs) ? NULL : job_at(s->unwritten.jobs.next);
}

void unwritten_remove(struct queue_shard *s, struct write_job *j)
{
    struct unwritten *u = &s->unwritten;
    u->bytes -= write_job_bytes(j);
    u->samples -= j->block->n_samples;
    u->blocks--;
    if (j->seq >= u->exclusive_from)
        u->exclusive_bytes -= write_job_bytes(j);
    list_remove(&j->node);
    write_job_free(j);
}

bool unwritten_has(const struct queue_shard *s, uint64_t seq)
{
    return !list_empty(&s->unwritten.jobs) && job_at(s->unwritten.jobs.prev)->seq >= seq;
}

void unwritten_ack(struct queue_shard *s)
{
    for (struct write_job *j; (j = unwritten_first(s)) != NULL && j->seq < s->acked;)
        unwritten_remove(s, j);
}

uint64_t unwritten_exclusive_bytes(struct queue_shard *s)
{
    unwritten_recount(s);
    return s->unwritten.exclusive_bytes;
}

struct write_job *unwritten_first_exclusive(struct queue_shard *s)
{
    if (unwritten_exclusive_bytes(s) == 0)
        return NULL;
    const struct list *n = s->unwritten.jobs.next;
    while (job_at(n)->seq < s->unwritten.exclusive_from)
        n = n->next;
    return job_at(n);
}

void unwritten_read(struct queue_shard *s, struct queue_read *r)
{
    size_t bytes = 0;
    for (unsigned i = 0; i < r->n; i++)
        bytes += r->items[i].block->n;
    const struct list *head = &s->unwritten.jobs;
    for (const struct list *n = head->next; n != head && r->n < LEN(r->items) && bytes < r->max_bytes; n = n->next) {
        const struct write_job *j = job_at(n);
        if (j->seq < r->next)
            continue;
        r->items[r->n].block = block_ref(j->block);
        r->items[r->n++].seq = j->seq;
        r->next = j->seq + 1;
        bytes += j->block->n;
    }
}
