// SPDX-License-Identifier: Apache-2.0
/* What the parts of a job's discovery have become: targets, and dropped ones, of which keep_dropped_targets are stored
 * for pages. */
#include "scraper/pool_internal.h"

static struct str part_key(const void *const *part) { return str_n(part, sizeof *part); }

struct pool_part *pool_get_part(struct pool *p, const void *part)
{
    bool added;
    struct map_entry *e = map_add(&p->parts, part_key(&part), &added);
    if (!added)
        return e->value.p;
    struct pool_part *new = mem_zalloc(sizeof *new);
    new->part = part;
    e->key = part_key(&new->part);
    e->value.p = new;
    return new;
}

/* ---- what is dropped ---- */

/* The last one takes its place. */
static void pool_remove_dropped(struct pool *p, size_t at)
{
    struct pool_dropped *d = &p->dropped[at];
    d->part->shown--;
    mem_free((uint8_t *)d->discovered.p);
    mem_free(d->error);
    *d = p->dropped[--p->n_dropped];
    if (at < p->n_dropped && d->found_at > 0)
        d->part->found[d->found_at - 1].shown = (uint32_t)at + 1;
}

static void part_clear_dropped(struct pool *p, struct pool_part *part)
{
    p->dropped_total -= part->dropped;
    p->invalid_total -= part->invalid;
    p->elsewhere_total -= part->elsewhere;
    for (size_t i = p->n_dropped; i-- > 0 && part->shown > 0;)
        if (p->dropped[i].part == part)
            pool_remove_dropped(p, i);
    part->dropped = part->invalid = part->elsewhere = 0;
}

static void part_count_elsewhere(struct pool *p, struct pool_part *part, bool more)
{
    p->elsewhere_total += more ? 1 : (size_t)-1;
    part->elsewhere += more ? 1 : (size_t)-1;
}

void pool_drop(struct pool *p, struct pool_part *part, struct labels discovered, bool invalid, const char *error,
               size_t found_at)
{
    *(invalid ? &p->invalid_total : &p->dropped_total) += 1;
    *(invalid ? &part->invalid : &part->dropped) += 1;
    if (found_at > 0 && !invalid)
        part_count_elsewhere(p, part, true);
    if (p->n_dropped >= (size_t)p->conf->keep_dropped_targets || p->conf->targets_kept.without_discovered)
        return;
    if (p->n_dropped == p->dropped_cap)
        mem_grow(&p->dropped, &p->dropped_cap, p->n_dropped + 1, sizeof *p->dropped);
    struct pool_dropped *d = &p->dropped[p->n_dropped++];
    *d = (struct pool_dropped){part, discovered, invalid, error ? mem_strdup(error) : NULL, found_at};
    d->discovered.p = mem_dup(discovered.p, discovered.n);
    part->shown++;
    if (found_at > 0)
        part->found[found_at - 1].shown = (uint32_t)p->n_dropped;
}

void pool_undrop(struct pool *p, struct pool_part *part, struct pool_found *found)
{
    p->dropped_total--;
    part->dropped--;
    part_count_elsewhere(p, part, false);
    if (found->shown > 0)
        pool_remove_dropped(p, found->shown - 1);
    found->shown = 0;
}

void pool_drop_invalid(struct pool *p, struct pool_part *part, struct pool_found *found)
{
    struct pool_dropped *d = found->shown > 0 ? &p->dropped[found->shown - 1] : NULL;
    p->invalid_total--;
    part->invalid--;
    p->dropped_total++;
    part->dropped++;
    found->invalid = false;
    part_count_elsewhere(p, part, true);
    if (d == NULL)
        return;
    mem_free(d->error);
    d->error = NULL;
    d->invalid = false;
}

/* ---- where targets were found ---- */

size_t pool_part_add_source(struct pool_part *part, const struct sd_found *from)
{
    part->sources = mem_realloc(part->sources, (part->n_sources + 1) * sizeof *part->sources);
    part->sources[part->n_sources] = (struct pool_source){from->mechanism, from->meta, str_of(str_dup(from->source)),
                                                          sd_groups_ref(from->groups)};
    return part->n_sources++;
}

struct pool_found *pool_part_add_found(struct pool_part *part, const struct pool_found *found)
{
    if (part->n_found == part->found_cap)
        mem_grow(&part->found, &part->found_cap, part->n_found + 1, sizeof *part->found);
    part->found[part->n_found] = *found;
    return &part->found[part->n_found++];
}

void pool_set_due(struct pool *p, struct pool_part *part, struct pool_found *found, bool due)
{
    size_t at = (size_t)(found - part->found);
    if (due && at < part->due_from)
        part->due_from = at; /* also one that was due before the last change */
    if (found->due == due)
        return;
    found->due = due;
    p->n_due += due ? 1 : (size_t)-1;
    part->n_due += due ? 1 : (size_t)-1;
}

static void part_clear_found(struct pool *p, struct pool_part *part)
{
    for (size_t i = 0; i < part->n_sources; i++) {
        mem_free((char *)part->sources[i].text.p);
        sd_groups_unref(part->sources[i].groups);
    }
    p->n_due -= part->n_due;
    part->n_found = part->n_sources = part->n_due = part->due_from = 0;
}

/* ---- life ---- */

void pool_part_clear(struct pool *p, struct pool_part *part)
{
    part_clear_dropped(p, part);
    part_clear_found(p, part);
}

static void pool_part_free(struct pool *p, struct pool_part *part)
{
    part_clear_found(p, part);
    mem_free(part->targets.items);
    mem_free(part->found);
    mem_free(part->sources);
    mem_free(part);
}

void pool_part_remove(struct pool *p, struct pool_part *part)
{
    pool_part_clear(p, part);
    map_remove(&p->parts, part_key(&part->part));
    pool_part_free(p, part);
}

void pool_clear_parts(struct pool *p)
{
    for (size_t i = 0; i < p->n_dropped; i++) {
        mem_free((uint8_t *)p->dropped[i].discovered.p);
        mem_free(p->dropped[i].error);
    }
    p->n_dropped = p->dropped_total = p->invalid_total = p->elsewhere_total = 0;
    for (struct map_entry *e = map_next(&p->parts, NULL); e; e = map_next(&p->parts, e))
        pool_part_free(p, e->value.p);
    map_free(&p->parts);
    p->parts = (struct map){0};
}
