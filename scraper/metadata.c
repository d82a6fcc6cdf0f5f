// SPDX-License-Identifier: Apache-2.0
/* Metadata is parsed from a page in a second pass, only when the hash of its metadata lines is new to the lane. */
#include "scraper/metadata.h"

#include "base/refs.h"
#include "base/text/utf8.h"
#include "model/exposition.h"

enum { FAMILIES_MAX = 100000 }; /* limit per page */

struct metadata_collector { struct metadata *items; size_t n, cap; struct map names; struct arena arena; };

static struct metadata *pending_family(struct metadata_collector *p, struct str name)
{
    bool added;
    struct map_entry *e = map_add(&p->names, name, &added);
    if (!added)
        return &p->items[e->value.u];
    if (p->n == p->cap)
        mem_grow(&p->items, &p->cap, p->n + 1, sizeof *p->items);
    e->value.u = p->n;
    p->items[p->n] = (struct metadata){.family = name};
    return &p->items[p->n++];
}

/* Unescapes \\ and \n of a HELP line. */
static struct str exposition_unescape_help(struct arena *a, struct str s)
{
    char *to = arena_bytes(a, s.n);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        char next = i + 1 < s.n ? s.p[i + 1] : 0;
        bool escape = s.p[i] == '\\' && (next == '\\' || next == 'n');
        to[n++] = !escape ? s.p[i] : next == 'n' ? '\n' : next;
        i += escape;
    }
    return str_n(to, n);
}

static void scrape_metadata_collect(struct metadata_collector *p, struct str page)
{
    struct exposition e;
    exposition_start(&e, page);
    e.any_names = true; /* the page was validated by the rules of its job before */
    for (enum exposition_kind kind; (kind = exposition_next(&e)) != EXPOSITION_END; ) {
        if (p->n == FAMILIES_MAX)
            return;
        if (kind == EXPOSITION_ERROR)
            exposition_skip_line(&e);
        if (kind == EXPOSITION_ERROR || kind == EXPOSITION_SERIES || !utf8_valid(e.name) || !utf8_valid(e.text))
            continue;
        struct metadata *m = pending_family(p, e.name);
        if (kind == EXPOSITION_HELP)
            m->help = exposition_unescape_help(&p->arena, e.text);
        else if (kind == EXPOSITION_TYPE)
            m->type = metric_type_parse(e.text);
        else
            m->unit = e.text;
    }
}

static struct str family_key(struct arena *a, const struct metadata *m)
{
    const char type[2] = {0, (char)('a' + (int)m->type)};
    size_t n = m->family.n + sizeof type + m->help.n + 1 + m->unit.n;
    struct buf b = {.p = arena_bytes(a, n), .cap = n}; /* exact size: never grows */
    buf_add_str(&b, m->family);
    buf_add(&b, type, sizeof type);
    buf_add_str(&b, m->help);
    buf_add_char(&b, 0);
    buf_add_str(&b, m->unit);
    return buf_str(&b);
}

static struct scrape_family *family_get(struct metadata_store *store, struct arena *a, const struct metadata *m,
                                        bool *added)
{
    struct str key = family_key(a, m);
    struct scrape_family *f = map_get(&store->families, key);
    *added = f == NULL;
    if (f == NULL) {
        f = mem_zalloc(sizeof *f);
        f->key = str_n(mem_dup(key.p, key.n), key.n);
        f->metadata = (struct metadata){.family = str_first(f->key, m->family.n), .type = m->type};
        f->metadata.help = str_first(str_skip(f->key, m->family.n + 2), m->help.n);
        f->metadata.unit = str_skip(f->key, f->key.n - m->unit.n);
        f->refs = 1;
        map_set(&store->families, f->key, f);
    } else {
        refs_take_own(&f->refs);
    }
    return f;
}

static struct str hash_key(const uint64_t *hash) { return str_n(hash, sizeof *hash); }

static struct metadata_list *list_new(struct metadata_store *store, uint64_t hash, struct metadata_collector *p,
                                      void (*learned)(void *arg, const struct metadata *m), void *arg)
{
    struct metadata_list *l = mem_zalloc(sizeof *l + p->n * sizeof l->families[0]);
    *l = (struct metadata_list){.refs = 1, .hash = hash, .n = (uint32_t)p->n};
    for (size_t i = 0; i < p->n; i++) {
        bool added;
        l->families[i] = family_get(store, &p->arena, &p->items[i], &added);
        if (added && learned)
            learned(arg, &l->families[i]->metadata);
    }
    map_set(&store->lists, hash_key(&l->hash), l);
    return l;
}

struct metadata_list *metadata_get(struct metadata_store *store, uint64_t hash, struct str page,
                                   void (*learned)(void *arg, const struct metadata *m), void *arg)
{
    if (hash == 0)
        return NULL;
    struct metadata_list *l = map_get(&store->lists, hash_key(&hash));
    if (l) {
        refs_take_own(&l->refs);
        return l;
    }
    struct metadata_collector p = {0};
    scrape_metadata_collect(&p, page);
    l = list_new(store, hash, &p, learned, arg);
    mem_free(p.items);
    map_free(&p.names);
    arena_free(&p.arena);
    return l;
}

void metadata_unref(struct metadata_store *store, struct metadata_list *l)
{
    if (l == NULL || !refs_drop_own(&l->refs))
        return;
    for (uint32_t i = 0; i < l->n; i++) {
        struct scrape_family *f = l->families[i];
        if (!refs_drop_own(&f->refs))
            continue;
        map_remove(&store->families, f->key);
        mem_free((char *)f->key.p);
        mem_free(f);
    }
    map_remove(&store->lists, hash_key(&l->hash));
    mem_free(l);
}

void metadata_free(struct metadata_store *store)
{
    map_free(&store->lists);
    map_free(&store->families);
}
