// SPDX-License-Identifier: Apache-2.0
/* Postings as maps of label name to value to series ids; a few ids are stored in the posting itself.
 */
#include "writer/recent/index.h"

enum { POSTING_SHORT = 64 };

static struct str posting_value(const struct posting *p) { return str_n(p->value, p->value_bytes); }

static void free_posting(struct posting *p)
{
    if (p->cap)
        mem_free(p->at.ids);
    mem_free(p);
}

static void free_name(struct name_postings *names)
{
    for (struct map_entry *e = map_next(&names->values, NULL); e; e = map_next(&names->values, e))
        free_posting(e->value.p);
    map_free(&names->values);
    mem_free((void *)(uintptr_t)names->name.p); /* our copy */
    mem_free(names);
}

void index_free(struct index *x)
{
    for (struct map_entry *e = map_next(&x->names, NULL); e; e = map_next(&x->names, e))
        free_name(e->value.p);
    map_free(&x->names);
    x->bytes = 0;
}

static size_t name_bytes(const struct name_postings *names)
{
    return mem_block(sizeof *names) + mem_block(names->name.n + 1) + sizeof(struct map_entry) * 2;
}

static size_t ids_bytes(uint32_t cap) { return cap ? mem_block(cap * sizeof(uint32_t)) : 0; }

static size_t posting_bytes(const struct posting *p)
{
    size_t own = mem_block(offsetof(struct posting, value) + p->value_bytes);
    return own + sizeof(struct map_entry) * 2 + ids_bytes(p->cap);
}

static struct name_postings *name_for(struct index *x, struct str name)
{
    struct name_postings *names = map_get(&x->names, name);
    if (names)
        return names;
    names = mem_zalloc(sizeof *names);
    names->name = str_n(str_dup(name), name.n);
    map_set(&x->names, names->name, names);
    x->bytes += name_bytes(names);
    return names;
}

static struct posting *posting_for(struct index *x, struct label l)
{
    struct name_postings *names = name_for(x, l.name);
    struct posting *p = map_get(&names->values, l.value);
    if (p)
        return p;
    p = mem_alloc(offsetof(struct posting, value) + l.value.n);
    p->n = p->cap = p->gone = 0;
    p->value_bytes = (uint32_t)l.value.n;
    memcpy(p->value, l.value.p, l.value.n);
    map_set(&names->values, posting_value(p), p);
    x->bytes += posting_bytes(p);
    return p;
}

/* Grows by half, not twofold: the posting of most series is as large as all others together. */
static void posting_grow(struct index *x, struct posting *p)
{
    uint32_t cap = p->n + p->n / 2 + 1, *ids = mem_realloc(p->cap ? p->at.ids : NULL, cap * sizeof *ids);
    if (p->cap == 0)
        memcpy(ids, p->at.inline_ids, p->n * sizeof *ids);
    x->bytes += ids_bytes(cap) - ids_bytes(p->cap);
    p->at.ids = ids;
    p->cap = cap;
}

static void index_shrink(struct index *x, struct posting *p)
{
    uint32_t *ids = p->at.ids, cap = p->n > POSTING_INLINE ? p->n : 0;
    x->bytes -= ids_bytes(p->cap) - ids_bytes(cap);
    p->cap = cap;
    if (cap) {
        p->at.ids = mem_realloc(ids, cap * sizeof *ids);
    } else {
        memcpy(p->at.inline_ids, ids, p->n * sizeof *ids);
        mem_free(ids);
    }
}

void index_add(struct index *x, struct labels labels, uint32_t id)
{
    struct labels_iter it = labels_iter(labels);
    struct label l;
    while (labels_next(&it, &l)) {
        struct posting *p = posting_for(x, l);
        if (p->n == (p->cap ? p->cap : POSTING_INLINE))
            posting_grow(x, p);
        (p->cap ? p->at.ids : p->at.inline_ids)[p->n++] = id;
    }
}

static void posting_fit(struct index *x, struct posting *p)
{
    if (p->cap > POSTING_INLINE && p->n * 2 < p->cap)
        index_shrink(x, p);
}

static void posting_take_out(struct index *x, struct posting *p, uint32_t id, const struct index_owner *o)
{
    uint32_t *ids = p->cap ? p->at.ids : p->at.inline_ids, i = 0;
    while (i < p->n && ids[i] != id)
        i++;
    if (i == p->n)
        return;
    memmove(ids + i, ids + i + 1, (p->n - i - 1) * sizeof *ids);
    p->n--;
    posting_fit(x, p);
    o->released(o->arg, id);
}

static void posting_take_out_gone(struct index *x, struct posting *p, const struct index_owner *o)
{
    uint32_t *ids = p->cap ? p->at.ids : p->at.inline_ids, kept = 0;
    for (uint32_t i = 0; i < p->n; i++)
        if (o->is_gone(o->arg, ids[i]))
            o->released(o->arg, ids[i]);
        else
            ids[kept++] = ids[i];
    p->n = kept;
    p->gone = 0;
    posting_fit(x, p);
}

/* A quarter of a long posting's ids pays for looking at all of them. */
static void posting_remove(struct index *x, struct posting *p, uint32_t id, const struct index_owner *o)
{
    if (p->n <= POSTING_SHORT) {
        posting_take_out(x, p, id, o);
        return;
    }
    p->gone++;
    if (p->gone < p->n && (p->gone < p->n / 4 || x->room == 0))
        return;
    x->room -= p->n < x->room ? p->n : x->room;
    posting_take_out_gone(x, p, o);
}

static void forget_value(struct index *x, struct name_postings *names, struct posting *p)
{
    map_remove(&names->values, posting_value(p));
    x->bytes -= posting_bytes(p);
    x->emptied++;
    free_posting(p);
    if (names->values.n > 0)
        return;
    map_remove(&x->names, names->name);
    x->bytes -= name_bytes(names);
    free_name(names);
}

void index_remove(struct index *x, struct labels labels, uint32_t id, const struct index_owner *o)
{
    struct labels_iter it = labels_iter(labels);
    struct label l;
    while (labels_next(&it, &l)) {
        struct name_postings *names = map_get(&x->names, l.name);
        struct posting *p = map_get(&names->values, l.value);
        posting_remove(x, p, id, o);
        if (p->n == 0)
            forget_value(x, names, p);
    }
}

const struct name_postings *index_name(const struct index *x, struct str name) { return map_get(&x->names, name); }
