#include "writer/recent/index.h"

#include <stdlib.h>

static void free_text(struct str s) { mem_free((void *)(uintptr_t)s.p); } /* a copy of our own */

static void free_posting(struct posting *p)
{
    free_text(p->value);
    mem_free(p->ids);
    mem_free(p);
}

static void free_name(struct name_postings *names)
{
    for (struct map_entry *e = map_next(&names->values, NULL); e; e = map_next(&names->values, e))
        free_posting(e->value.p);
    map_free(&names->values);
    free_text(names->name);
    mem_free(names);
}

void index_free(struct index *x)
{
    for (struct map_entry *e = map_next(&x->names, NULL); e; e = map_next(&x->names, e))
        free_name(e->value.p);
    map_free(&x->names);
    x->bytes = 0;
}

static struct str copy(struct str s) { return (struct str){str_dup(s), s.n}; }

static size_t name_bytes(const struct name_postings *names) { return sizeof *names + names->name.n + sizeof(struct map_entry) * 2; }

static size_t posting_bytes(const struct posting *p)
{
    return sizeof *p + p->value.n + sizeof(struct map_entry) * 2 + p->_cap * sizeof *p->ids;
}

static struct posting *posting_for(struct index *x, struct label l)
{
    struct name_postings *names = map_get(&x->names, l.name);
    if (names == NULL) {
        names = mem_zalloc(sizeof *names);
        names->name = copy(l.name);
        map_set(&x->names, names->name, names);
        x->bytes += name_bytes(names);
    }
    struct posting *p = map_get(&names->values, l.value);
    if (p == NULL) {
        p = mem_zalloc(sizeof *p);
        p->value = copy(l.value);
        map_set(&names->values, p->value, p);
        x->bytes += posting_bytes(p);
    }
    return p;
}

static void resize(struct index *x, struct posting *p, size_t cap)
{
    x->bytes -= p->_cap * sizeof *p->ids;
    p->ids = mem_realloc(p->ids, cap * sizeof *p->ids);
    p->_cap = cap;
    x->bytes += p->_cap * sizeof *p->ids;
}

void index_add(struct index *x, struct labels labels, uint32_t id)
{
    struct labels_iter it = labels_iter(labels);
    struct label l;
    while (labels_next(&it, &l)) {
        struct posting *p = posting_for(x, l);
        if (p->n == p->_cap)
            resize(x, p, p->_cap ? p->_cap * 2 : 2);
        p->ids[p->n++] = id;
    }
}

static void prune_values(struct index *x, struct name_postings *names, bool (*gone)(const void *arg, uint32_t id), const void *arg)
{
    struct posting **empty = NULL;
    size_t n_empty = 0, cap = 0;
    for (struct map_entry *e = map_next(&names->values, NULL); e; e = map_next(&names->values, e)) {
        struct posting *p = e->value.p;
        size_t kept = 0;
        for (size_t i = 0; i < p->n; i++)
            if (!gone(arg, p->ids[i]))
                p->ids[kept++] = p->ids[i];
        p->n = kept;
        if (kept == 0) {
            mem_grow(&empty, &cap, n_empty + 1, sizeof *empty);
            empty[n_empty++] = p;
        } else if (kept * 4 < p->_cap) {
            resize(x, p, kept * 2);
        }
    }
    for (size_t i = 0; i < n_empty; i++) {
        map_remove(&names->values, empty[i]->value);
        x->bytes -= posting_bytes(empty[i]);
        free_posting(empty[i]);
    }
    mem_free(empty);
}

void index_prune(struct index *x, bool (*gone)(const void *arg, uint32_t id), const void *arg)
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

const struct posting *index_find(const struct index *x, struct str name, struct str value)
{
    const struct name_postings *names = index_name(x, name);
    return names ? map_get(&names->values, value) : NULL;
}

static int by_id(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

struct choice { const struct posting **postings; size_t n, total; };

/* The postings of every value that a matcher accepts, when they can be told: =, or =~ over a finite set or the name's values. */
static bool accepted(const struct index *x, struct arena *a, const struct matcher *m, struct choice *out)
{
    *out = (struct choice){0};
    if ((m->type != MATCH_EQ && m->type != MATCH_RE) || matcher_matches_empty(m))
        return false;
    const struct name_postings *names = index_name(x, m->name);
    if (names == NULL)
        return true;
    size_t n_literals = 0;
    const struct str *literals = m->type == MATCH_EQ ? &m->value : regex_literals(m->re, &n_literals);
    n_literals = m->type == MATCH_EQ ? 1 : n_literals;
    out->postings = ARENA_ARRAY(a, const struct posting *, literals ? n_literals : names->values.n);
    for (size_t i = 0; literals && i < n_literals; i++) {
        const struct posting *p = map_get(&names->values, literals[i]);
        if (p)
            out->postings[out->n++] = p, out->total += p->n;
    }
    if (literals == NULL)
        for (struct map_entry *e = map_next(&names->values, NULL); e; e = map_next(&names->values, e))
            if (matcher_value(m, e->key)) {
                struct posting *p = e->value.p;
                out->postings[out->n++] = p, out->total += p->n;
            }
    return true;
}

bool index_candidates(const struct index *x, struct arena *a, const struct matcher *m, size_t n, const uint32_t **ids, size_t *n_ids)
{
    struct choice best = {.total = SIZE_MAX};
    for (size_t i = 0; i < n; i++) {
        struct choice c;
        if (accepted(x, a, &m[i], &c) && c.total < best.total)
            best = c;
    }
    if (best.total == SIZE_MAX)
        return false;
    uint32_t *all = ARENA_ARRAY(a, uint32_t, best.total);
    size_t at = 0;
    for (size_t i = 0; i < best.n; i++) {
        memcpy(all + at, best.postings[i]->ids, best.postings[i]->n * sizeof *all);
        at += best.postings[i]->n;
    }
    if (best.n > 1)
        qsort(all, at, sizeof *all, by_id);
    *ids = all;
    *n_ids = at;
    return true;
}
