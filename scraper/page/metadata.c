// SPDX-License-Identifier: Apache-2.0
/* Families and lists of families. A list is built only when the hash of a page's metadata lines is new to the lane: its
 * lines become families with HELP, TYPE and UNIT together, then these are looked up among those that other lists have.
 * Both are done in slices, and so is freeing what a list had for itself: a page may have 100,000 families. */
#include "scraper/page/metadata.h"

#include "base/refs.h"
#include "base/text/utf8.h"

enum { FAMILIES_MAX = 100000 }; /* limit per page */

static struct metadata *pending_family(struct metadata_builder *b, struct str name)
{
    bool added;
    struct map_entry *e = map_add(&b->names, name, &added);
    if (!added)
        return &b->items[e->value.u];
    if (b->n == b->cap)
        mem_grow(&b->items, &b->cap, b->n + 1, sizeof *b->items);
    e->value.u = b->n;
    b->items[b->n] = (struct metadata){.family = name};
    return &b->items[b->n++];
}

static void collect_line(struct metadata_builder *b, const struct metadata_line *l)
{
    const char *page = b->page.text.p;
    struct str name = str_n(page + l->name_at, l->name_n), text = str_n(page + l->text_at, l->text_n);
    if (!utf8_valid(name) || !utf8_valid(text))
        return;
    struct metadata *m = pending_family(b, name);
    if (l->kind == EXPOSITION_HELP)
        m->help = exposition_unescape_help(&b->arena, text, b->page.format);
    else if (l->kind == EXPOSITION_TYPE)
        m->type = metric_type_parse(text);
    else
        m->unit = text;
}

static struct str family_key(struct arena *a, const struct metadata *m, uint64_t route)
{
    const char type[2] = {0, (char)('a' + (int)m->type)};
    size_t n = m->family.n + sizeof type + m->help.n + 1 + m->unit.n + sizeof route;
    struct buf b = {.p = arena_bytes(a, n), .cap = n}; /* exact size: never grows */
    buf_add_str(&b, m->family);
    buf_add(&b, type, sizeof type);
    buf_add_str(&b, m->help);
    buf_add_char(&b, 0);
    buf_add_str(&b, m->unit);
    buf_add(&b, &route, sizeof route);
    return buf_str(&b);
}

static struct scrape_family *family_get(struct metadata_store *store, struct arena *a, const struct metadata *m,
                                        uint64_t route, bool *added)
{
    struct str key = family_key(a, m, route);
    struct scrape_family *f = map_get(&store->families, key);
    *added = f == NULL;
    if (f == NULL) {
        f = mem_zalloc(sizeof *f);
        f->refs = 1;
        f->route = route;
        f->key = str_n(mem_dup(key.p, key.n), key.n);
        f->metadata = (struct metadata){.family = str_first(f->key, m->family.n), .type = m->type};
        f->metadata.help = str_first(str_skip(f->key, m->family.n + 2), m->help.n);
        f->metadata.unit = str_first(str_skip(f->key, m->family.n + 2 + m->help.n + 1), m->unit.n);
        map_set(&store->families, f->key, f);
    } else {
        refs_take_own(&f->refs);
    }
    return f;
}

static struct str hash_key(const uint64_t *hash) { return str_n(hash, sizeof *hash); }

struct metadata_list *metadata_find(struct metadata_store *store, uint64_t hash)
{
    struct metadata_list *l = map_get(&store->lists, hash_key(&hash));
    if (l)
        refs_take_own(&l->refs);
    return l;
}

void metadata_build_start(struct metadata_builder *b, struct metadata_store *store, uint64_t hash, uint64_t route,
                          struct page_text page, const struct metadata_line *lines, size_t n)
{
    *b = (struct metadata_builder){
        .store = store, .hash = hash, .route = route, .page = page, .lines = lines, .n_lines = n};
}

bool metadata_collect_some(struct metadata_builder *b, size_t lines)
{
    for (; b->line < b->n_lines && b->n < FAMILIES_MAX && lines > 0; lines--)
        collect_line(b, &b->lines[b->line++]);
    return b->line < b->n_lines && b->n < FAMILIES_MAX;
}

bool metadata_store_some(struct metadata_builder *b, size_t families,
                         void (*learned)(void *arg, const struct metadata *m), void *arg)
{
    if (b->list == NULL) {
        b->list = mem_zalloc(sizeof *b->list + b->n * sizeof b->list->families[0]);
        *b->list = (struct metadata_list){.refs = 1, .hash = b->hash};
    }
    for (; b->list->n < b->n && families > 0; families--) {
        bool added;
        struct scrape_family *f = family_get(b->store, &b->arena, &b->items[b->list->n], b->route, &added);
        b->list->families[b->list->n++] = f;
        if (added && learned)
            learned(arg, &f->metadata);
    }
    return b->list->n < b->n;
}

struct metadata_list *metadata_build_end(struct metadata_builder *b)
{
    struct metadata_list *l = b->list;
    map_set(&b->store->lists, hash_key(&l->hash), l);
    mem_free(b->items);
    map_free(&b->names);
    arena_free(&b->arena);
    *b = (struct metadata_builder){0};
    return l;
}

void metadata_ref(struct metadata_list *l) { refs_take_own(&l->refs); }

void metadata_unref(struct metadata_store *store, struct metadata_list *l)
{
    if (l == NULL || !refs_drop_own(&l->refs))
        return;
    map_remove(&store->lists, hash_key(&l->hash));
    l->next_unused = store->unused;
    store->unused = l;
}

bool metadata_free_unused(struct metadata_store *store, size_t families)
{
    struct metadata_list *l;
    while ((l = store->unused) != NULL) {
        for (; l->n > 0 && families > 0; families--) {
            struct scrape_family *f = l->families[--l->n];
            if (!refs_drop_own(&f->refs))
                continue;
            map_remove(&store->families, f->key);
            mem_free((char *)f->key.p);
            mem_free(f);
        }
        if (l->n > 0)
            return true;
        store->unused = l->next_unused;
        mem_free(l);
    }
    return false;
}

void metadata_free(struct metadata_store *store)
{
    while (metadata_free_unused(store, SIZE_MAX)) {
    }
    map_free(&store->lists);
    map_free(&store->families);
}
