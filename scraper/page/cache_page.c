// SPDX-License-Identifier: Apache-2.0
#include "scraper/page/cache_page.h"

/* With spells_bounds the labels of a line depend on the last TYPE line. */
static void cache_page_set_type(struct cache_page *p, enum bounds_type type, struct buf *out)
{
    static const char *const names[] = {"gauge", "histogram", "summary"};
    if (type != p->type)
        buf_printf(out, "# TYPE _ %s\n", names[type]);
    p->type = type;
}

static void cache_page_add(struct str text, uint32_t id, struct buf *out)
{
    buf_add_str(out, text);
    buf_add_z(out, id & ID_TIMED ? " 1 1\n" : " 1\n");
}

static enum bounds_type entry_bounds(const struct template_entry *e)
{
    return e->types >> BOUNDS_OTHER & 1 ? BOUNDS_OTHER : e->types >> BOUNDS_HISTOGRAM & 1 ? BOUNDS_HISTOGRAM
                                                                                          : BOUNDS_SUMMARY;
}

bool cache_page_some(struct cache_page *p, const struct scrape_cache *x, struct interner *in, size_t lines,
                     struct buf *out)
{
    for (; p->at < x->n && lines > 0; p->at++, lines--) {
        uint32_t id = x->ids[p->at];
        if (id_uncached(id)) {
            const struct uncached *u = &x->uncached[p->uncached++];
            struct str text = scrape_cache_next_text(x, in, &p->texts);
            if (text.n == 0 || uncached_dropped(u))
                continue;
            cache_page_set_type(p, uncached_type(u), out);
            cache_page_add(text, id, out);
        } else if (!x->templates->entries[id_entry(id)]->dropped) {
            cache_page_set_type(p, entry_bounds(x->templates->entries[id_entry(id)]), out);
            cache_page_add(template_group_text(x->templates, id_entry(id)), id, out);
        }
    }
    return p->at < x->n;
}

void cache_page_end(struct cache_page *p)
{
    buf_free(&p->texts.frame);
    *p = (struct cache_page){0};
}
