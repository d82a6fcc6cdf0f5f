// SPDX-License-Identifier: Apache-2.0
#include "gateway/agent/instance_set.h"

#include "base/compress.h"

#include <stdlib.h>

struct instance_jobs { struct arena arena; struct str_list names; };

/* ---- documents ---- */

static struct str instance_copy(struct str s)
{
    char *copy = str_dup(s);
    return str_n(copy, s.n);
}

static bool instance_is_gzip(struct str value) { return value.n > 2 && memcmp(value.p, "\x1f\x8b", 2) == 0; }

struct instance_doc *instance_doc_new(struct str name, struct str value, uint64_t mod_revision, struct err *err)
{
    struct buf text = {0};
    bool ok = instance_is_gzip(value) ? decompress(CODEC_GZIP, NULL, value, INSTANCE_TEXT_MAX, &text, err)
                                      : value.n <= INSTANCE_TEXT_MAX ||
                                            err_set(err, ERR_TOO_LARGE, "it is larger than 8 MiB");
    if (!ok) {
        buf_free(&text);
        return NULL;
    }
    struct instance_doc *d = mem_zalloc(sizeof *d);
    refs_init(&d->refs);
    d->name = instance_copy(name);
    d->text = instance_copy(instance_is_gzip(value) ? buf_str(&text) : value);
    d->mod_revision = mod_revision;
    buf_free(&text);
    return d;
}

struct instance_doc *instance_doc_ref(struct instance_doc *d)
{
    refs_take(&d->refs);
    return d;
}

static void instance_jobs_free(struct instance_jobs *j)
{
    if (j == NULL)
        return;
    arena_free(&j->arena);
    mem_free(j);
}

void instance_doc_unref(struct instance_doc *d)
{
    if (d == NULL || !refs_drop(&d->refs))
        return;
    instance_jobs_free(atomic_load(&d->_jobs));
    mem_free((char *)d->name.p);
    mem_free((char *)d->text.p);
    mem_free(d);
}

static struct instance_jobs *instance_read_jobs(const struct instance_doc *d)
{
    struct instance_jobs *j = mem_zalloc(sizeof *j);
    struct err err;
    arena_init(&j->arena, 0);
    const struct yaml *jobs = yaml_get(yaml_parse(&j->arena, d->text, "instance", &err), "scrape_configs");
    if (jobs == NULL || jobs->kind != YAML_LIST)
        return j;
    j->names.items = ARENA_ARRAY(&j->arena, struct str, jobs->n + 1);
    for (size_t i = 0; i < jobs->n; i++) {
        const struct yaml *name = yaml_get(&jobs->items[i], "job_name");
        if (name && name->kind == YAML_SCALAR)
            j->names.items[j->names.n++] = name->text;
    }
    return j;
}

const struct str_list *instance_doc_jobs(struct instance_doc *d)
{
    struct instance_jobs *known = atomic_load(&d->_jobs);
    if (known == NULL) {
        struct instance_jobs *read = instance_read_jobs(d);
        if (atomic_compare_exchange_strong(&d->_jobs, &known, read))
            known = read;
        else
            instance_jobs_free(read);
    }
    return &known->names;
}

bool instance_encode(struct str text, struct buf *out) { return compress_gzip(out, text, 6, NULL, NULL); }

/* ---- sets ---- */

static int instance_order(const void *a, const void *b)
{
    const struct instance_doc *const *x = a, *const *y = b;
    return str_cmp((*x)->name, (*y)->name);
}

struct instance_set *instance_set_new(struct instance_doc *const *docs, size_t n, uint64_t revision)
{
    struct instance_set *s = mem_zalloc(sizeof *s);
    refs_init(&s->refs);
    s->docs = mem_zalloc((n + 1) * sizeof *s->docs);
    s->n = n;
    s->revision = revision;
    for (size_t i = 0; i < n; i++)
        s->docs[i] = instance_doc_ref(docs[i]);
    qsort(s->docs, n, sizeof *s->docs, instance_order);
    return s;
}

struct instance_set *instance_set_ref(struct instance_set *s)
{
    refs_take(&s->refs);
    return s;
}

void instance_set_unref(struct instance_set *s)
{
    if (s == NULL || !refs_drop(&s->refs))
        return;
    for (size_t i = 0; i < s->n; i++)
        instance_doc_unref(s->docs[i]);
    mem_free(s->docs);
    mem_free(s);
}

struct instance_doc *instance_set_find(const struct instance_set *s, struct str name)
{
    size_t low = 0, high = s ? s->n : 0;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = str_cmp(s->docs[middle]->name, name);
        if (order == 0)
            return s->docs[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static bool instance_list_has(const struct str_list *list, struct str name)
{
    for (size_t i = 0; i < list->n; i++)
        if (str_eq(list->items[i], name))
            return true;
    return false;
}

const struct str *instance_set_duplicate(const struct instance_set *s, struct str name, const struct str_list *jobs)
{
    for (size_t i = 0; s && i < s->n; i++) {
        if (str_eq(s->docs[i]->name, name))
            continue;
        const struct str_list *others = instance_doc_jobs(s->docs[i]);
        for (size_t k = 0; k < others->n; k++)
            if (instance_list_has(jobs, others->items[k]))
                return &others->items[k];
    }
    return NULL;
}
