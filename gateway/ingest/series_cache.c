// SPDX-License-Identifier: Apache-2.0
#include "gateway/ingest/series_cache.h"

enum { FIRST_SLOTS = 1024 };

void series_cache_free(struct series_cache *c)
{
    mem_free(c->entries);
    mem_free(c->slots);
    buf_free(&c->bytes);
    *c = (struct series_cache){0};
}

static uint32_t *series_cache_slot(const struct series_cache *c, uint64_t hash)
{
    uint32_t i = (uint32_t)hash & c->mask;
    while (c->slots[i] != 0 && c->entries[c->slots[i] - 1].hash != hash)
        i = (i + 1) & c->mask;
    return &c->slots[i];
}

bool series_cache_get(struct series_cache *c, uint64_t hash, struct labels *out)
{
    uint32_t i = c->next;
    if (i >= c->n || c->entries[i].hash != hash) {
        uint32_t found = c->n > 0 ? *series_cache_slot(c, hash) : 0;
        if (found == 0)
            return false;
        i = found - 1;
    }
    const struct series_cache_entry *e = &c->entries[i];
    c->next = i + 1;
    *out = (struct labels){(const uint8_t *)c->bytes.p + e->at, e->n, e->count};
    return true;
}

static void series_cache_grow(struct series_cache *c)
{
    uint32_t n = c->slots ? 2 * (c->mask + 1) : FIRST_SLOTS;
    mem_free(c->slots);
    c->slots = mem_zalloc(n * sizeof *c->slots);
    c->mask = n - 1;
    for (uint32_t i = 0; i < c->n; i++)
        *series_cache_slot(c, c->entries[i].hash) = i + 1;
}

struct str series_cache_expected(const struct series_cache *c, uint64_t same, size_t i)
{
    if (c->next + i >= c->n)
        return STR_NONE;
    const struct series_cache_entry *e = &c->entries[c->next + i];
    return e->text_n > 0 && e->same == same && e->continues == (i > 0) ? str_n(c->bytes.p + e->at + e->n, e->text_n) : STR_NONE;
}

struct labels series_cache_labels(const struct series_cache *c, size_t i)
{
    const struct series_cache_entry *e = &c->entries[c->next + i];
    return (struct labels){(const uint8_t *)c->bytes.p + e->at, e->n, e->count};
}

void series_cache_advance(struct series_cache *c, size_t n)
{
    c->next += (uint32_t)n;
    if (c->next == c->n)
        c->next = 0; /* the client begins again */
}

void series_cache_put(struct series_cache *c, uint64_t hash, struct labels labels, uint64_t same, struct str text,
                      uint64_t before)
{
    if (c->n == SERIES_CACHE_ENTRIES || labels.n + text.n > SERIES_CACHE_BYTES - c->bytes.n)
        series_cache_free(c);
    if (labels.n == 0 || labels.n + text.n > SERIES_CACHE_BYTES)
        return;
    if (2 * (c->n + 1) > (c->slots ? c->mask + 1 : 0))
        series_cache_grow(c);
    if (c->n == c->cap) {
        size_t cap = c->cap;
        mem_grow(&c->entries, &cap, c->n + 1, sizeof *c->entries);
        c->cap = (uint32_t)cap;
    }
    if (before != 0 && (c->n == 0 || c->entries[c->n - 1].hash != before))
        text = STR_NONE;
    *series_cache_slot(c, hash) = c->n + 1;
    c->entries[c->n++] = (struct series_cache_entry){hash, same, (uint32_t)c->bytes.n, labels.n, labels.count,
                                                     (uint32_t)text.n, before != 0};
    buf_add(&c->bytes, labels.p, labels.n);
    buf_add_str(&c->bytes, text);
    c->next = c->n;
}
