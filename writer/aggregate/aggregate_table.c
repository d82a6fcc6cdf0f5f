// SPDX-License-Identifier: Apache-2.0
/* An open-addressing index of numbers over chunks of records. The index has twice as many slots as records, is searched
 * linearly, and deletes by shifting back. Slots are chosen by the upper bits of the identity times an odd number that
 * the process draws: who chooses the identities cannot choose the slots. These bits are in the slot, too, so that only
 * the record that is looked for is read: records are seldom in a cache. */
#include "writer/aggregate/aggregate_table.h"

#include "base/hash.h"

#include <string.h>

enum { LEAST_SLOTS = 64 };

void table_init(struct aggregate_table *t, size_t record_size)
{
    *t = (struct aggregate_table){.size = (uint32_t)(record_size + 7) & ~7u, .free = TABLE_NONE};
}

void table_free(struct aggregate_table *t)
{
    for (size_t i = 0; i < t->n_chunks; i++)
        mem_free(t->chunks[i]);
    mem_free(t->chunks);
    mem_free(t->slots);
    table_init(t, t->size);
}

static uint64_t table_factor(void)
{
    static uint64_t factor; /* the same for all threads: of a secret that the process draws */
    uint64_t f = __atomic_load_n(&factor, __ATOMIC_RELAXED);
    if (f == 0) {
        f = hash_keyed("aggregate", 9) | 1;
        __atomic_store_n(&factor, f, __ATOMIC_RELAXED);
    }
    return f;
}

static uint32_t table_tag(uint64_t id) { return (uint32_t)(id * table_factor() >> 32); }
static uint32_t slot_home(const struct aggregate_table *t, uint64_t slot)
{
    return (uint32_t)(slot >> 32) & (t->n_slots - 1);
}
static uint32_t slot_number(uint64_t slot) { return (uint32_t)slot - 1; }

uint32_t table_find(const struct aggregate_table *t, uint64_t id)
{
    if (t->n_slots == 0)
        return TABLE_NONE;
    uint32_t tag = table_tag(id), mask = t->n_slots - 1;
    for (uint32_t at = tag & mask; t->slots[at] != 0; at = (at + 1) & mask)
        if (t->slots[at] >> 32 == tag && table_id(t, slot_number(t->slots[at])) == id)
            return slot_number(t->slots[at]);
    return TABLE_NONE;
}

static void table_put(struct aggregate_table *t, uint64_t slot)
{
    uint32_t at = slot_home(t, slot);
    while (t->slots[at] != 0)
        at = (at + 1) & (t->n_slots - 1);
    t->slots[at] = slot;
}

static void table_grow_slots(struct aggregate_table *t)
{
    uint64_t *old = t->slots;
    uint32_t n_old = t->n_slots;
    t->n_slots = n_old ? 2 * n_old : LEAST_SLOTS;
    t->slots = mem_zalloc((size_t)t->n_slots * sizeof *t->slots);
    for (uint32_t i = 0; i < n_old; i++)
        if (old[i] != 0)
            table_put(t, old[i]);
    mem_free(old);
}

uint32_t table_add(struct aggregate_table *t, uint64_t id)
{
    enum { MOST_RECORDS = 1 << 30 };
    if (t->in_slots + 1 > t->n_slots / 4 * 3)
        table_grow_slots(t);
    uint32_t i = t->free;
    if (i != TABLE_NONE) {
        t->free = *(uint32_t *)((char *)table_at(t, i) + sizeof(uint64_t));
    } else {
        if (t->used >= MOST_RECORDS)
            return TABLE_NONE;
        i = t->used++;
        if (i >> TABLE_CHUNK_BITS >= t->n_chunks) {
            mem_grow(&t->chunks, &t->_cap_chunks, t->n_chunks + 1, sizeof *t->chunks);
            t->chunks[t->n_chunks++] = mem_alloc((size_t)TABLE_CHUNK * t->size);
        }
    }
    void *record = table_at(t, i);
    memset(record, 0, t->size);
    *(uint64_t *)record = id;
    table_put(t, (uint64_t)table_tag(id) << 32 | (i + 1));
    t->n++;
    t->in_slots++;
    return i;
}

void table_forget(struct aggregate_table *t, uint32_t i)
{
    uint32_t mask = t->n_slots - 1, at = table_tag(table_id(t, i)) & mask;
    while (slot_number(t->slots[at]) != i)
        at = (at + 1) & mask;
    for (uint32_t next = (at + 1) & mask; t->slots[next] != 0; next = (next + 1) & mask) {
        uint32_t home = slot_home(t, t->slots[next]);
        if (((next - home) & mask) >= ((next - at) & mask)) {
            t->slots[at] = t->slots[next];
            at = next;
        }
    }
    t->slots[at] = 0;
    t->in_slots--;
}

void table_release(struct aggregate_table *t, uint32_t i)
{
    uint64_t *record = table_at(t, i);
    *record = 0;
    *(uint32_t *)(record + 1) = t->free;
    t->free = i;
    t->n--;
}

size_t table_bytes(const struct aggregate_table *t)
{
    return t->n_chunks * TABLE_CHUNK * t->size + (size_t)t->n_slots * sizeof *t->slots;
}
