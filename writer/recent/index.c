// SPDX-License-Identifier: Apache-2.0
/* Postings as maps of label name to value to series ids; a few ids are stored in the posting itself.
 */
#include "writer/recent/index.h"

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
    p->n = p->cap = 0;
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
        memcpy(ids, p->at.few, p->n * sizeof *ids);
    x->bytes += ids_bytes(cap) - ids_bytes(p->cap);
    p->at.ids = ids;
    p->cap = cap;
}

static void shrink(struct index *x, struct posting *p)
{
    uint32_t *ids = p->at.ids, cap = p->n > POSTING_FEW ? p->n : 0;
    x->bytes -= ids_bytes(p->cap) - ids_bytes(cap);
    p->cap = cap;
    if (cap) {
        p->at.ids = mem_realloc(ids, cap * sizeof *ids);
    } else {
        memcpy(p->at.few, ids, p->n * sizeof *ids);
        mem_free(ids);
    }
}

void index_add(struct index *x, struct labels labels, uint32_t id)
{
    struct labels_iter it = labels_iter(labels);
    struct label l;
    while (labels_next(&it, &l)) {
        struct posting *p = posting_for(x, l);
        if (p->n == (p->cap ? p->cap : POSTING_FEW))
            posting_grow(x, p);
        (p->cap ? p->at.ids : p->at.few)[p->n++] = id;
    }
}

static void prune_posting(struct index *x, struct posting *p, index_removed_fn *gone, const void *arg)
{
    uint32_t *ids = p->cap ? p->at.ids : p->at.few, kept = 0;
    for (uint32_t i = 0; i < p->n; i++)
        if (!gone(arg, ids[i]))
            ids[kept++] = ids[i];
    p->n = kept;
    if (p->cap > POSTING_FEW && kept * 2 < p->cap)
        shrink(x, p);
}

static void prune_values(struct index *x, struct name_postings *names, index_removed_fn *gone, const void *arg)
{
    struct posting **empty = NULL;
    size_t n_empty = 0, cap = 0;
    for (struct map_entry *e = map_next(&names->values, NULL); e; e = map_next(&names->values, e)) {
        struct posting *p = e->value.p;
        prune_posting(x, p, gone, arg);
        if (p->n == 0) {
            mem_grow(&empty, &cap, n_empty + 1, sizeof *empty);
            empty[n_empty++] = p;
        }
    }
    for (size_t i = 0; i < n_empty; i++) {
        map_remove(&names->values, posting_value(empty[i]));
        x->bytes -= posting_bytes(empty[i]);
        free_posting(empty[i]);
    }
    mem_free(empty);
}

void index_prune(struct index *x, index_removed_fn *gone, const void *arg)
{
    struct name_postings **empty = NULL;
    size_t n_empty = 0, cap = 0;
    for (struct map_entry *e = map_next(&x->names, NULL); e; e = map_next(&x->names, e)) {
        struct name_postings *names = e->value.p;
        prune_values(x, names, gone, arg);
        if (names->values.n == 0) {
            mem_grow(&empty, &cap, n_empty + 1, sizeof *empty);
            empty[n_empty++] = names;
        }
    }
    for (size_t i = 0; i < n_empty; i++) {
        map_remove(&x->names, empty[i]->name);
        x->bytes -= name_bytes(empty[i]);
        free_name(empty[i]);
    }
    mem_free(empty);
}

const struct name_postings *index_name(const struct index *x, struct str name) { return map_get(&x->names, name); }
