// SPDX-License-Identifier: Apache-2.0
/* Tables with open addressing, three quarters full at most. */
#include "writer/pipeline/relabel_cache.h"

enum { FIRST_CAP = 16 };

static struct relabel_table *relabel_table_of(const struct relabel_cache *c, uint64_t hash)
{
    return &c->tables[hash >> 56 & (RELABEL_TABLES - 1)];
}

void relabel_cache_free(struct relabel_cache *c)
{
    for (size_t i = 0; c->tables && i < RELABEL_TABLES; i++) {
        mem_free(c->tables[i].entries);
        buf_free(&c->tables[i].texts);
    }
    mem_free(c->tables);
    c->tables = NULL;
}

/* The entry of the hash, or the empty one where it belongs. */
static struct relabel_entry *relabel_cache_slot(struct relabel_entry *slots, size_t cap, uint64_t hash)
{
    size_t i = hash & (cap - 1);
    while (slots[i].n_kind != RELABEL_ENTRY_NONE && slots[i].hash != hash)
        i = (i + 1) & (cap - 1);
    return &slots[i];
}

static void relabel_table_grow(struct relabel_table *t)
{
    uint32_t cap = t->cap ? t->cap * 2 : FIRST_CAP;
    struct relabel_entry *slots = mem_zalloc(cap * sizeof *slots);
    for (size_t i = 0; i < t->cap; i++)
        if (t->entries[i].n_kind != RELABEL_ENTRY_NONE)
            *relabel_cache_slot(slots, cap, t->entries[i].hash) = t->entries[i];
    mem_free(t->entries);
    t->entries = slots;
    t->cap = cap;
}

static void relabel_table_clear(struct relabel_table *t)
{
    memset(t->entries, 0, t->cap * sizeof *t->entries);
    t->n = 0;
    buf_clear(&t->texts);
}

enum relabel_result relabel_cache_get(const struct relabel_cache *c, uint64_t hash, struct labels in,
                                      struct labels *out)
{
    if (c->tables == NULL)
        return RELABEL_ENTRY_NONE;
    const struct relabel_table *t = relabel_table_of(c, hash);
    if (t->cap == 0)
        return RELABEL_ENTRY_NONE;
    const struct relabel_entry *e = relabel_cache_slot(t->entries, t->cap, hash);
    *out = in;
    if ((e->n_kind & 3) == RELABEL_ENTRY_CHANGED) {
        memcpy(&out->count, t->texts.p + e->at, sizeof out->count);
        out->p = (const uint8_t *)t->texts.p + e->at + sizeof out->count;
        out->n = e->n_kind >> 2;
    }
    return (enum relabel_result)(e->n_kind & 3);
}

void relabel_cache_put(struct relabel_cache *c, uint64_t hash, struct labels in, bool kept, struct labels out)
{
    if (c->tables == NULL)
        c->tables = mem_zalloc(RELABEL_TABLES * sizeof *c->tables);
    struct relabel_table *t = relabel_table_of(c, hash);
    if (t->n >= RELABEL_TABLE_ENTRIES || t->texts.n > RELABEL_TABLE_BYTES)
        relabel_table_clear(t);
    if (t->n * 4 >= t->cap * 3)
        relabel_table_grow(t);
    struct relabel_entry *e = relabel_cache_slot(t->entries, t->cap, hash);
    t->n++;
    e->hash = hash;
    if (!kept) {
        e->n_kind = RELABEL_ENTRY_DROPPED;
    } else if (labels_equal(in, out)) {
        e->n_kind = RELABEL_ENTRY_SAME;
    } else {
        e->at = (uint32_t)t->texts.n;
        e->n_kind = out.n << 2 | RELABEL_ENTRY_CHANGED;
        buf_add(&t->texts, &out.count, sizeof out.count);
        buf_add(&t->texts, out.p, out.n);
    }
}
