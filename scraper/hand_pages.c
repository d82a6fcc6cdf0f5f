// SPDX-License-Identifier: Apache-2.0
/* Pages of targets that move between members: made for their new owners, and taken from their former ones
 * (handover.h). */
#include "scraper/scraper_internal.h"

#include "base/text/num.h"
#include "scraper/snapshot.h"

#include <stdlib.h>

/* ---- the former owner: a worker ---- */

static void write_page_head(struct buf *out, uint64_t id, int64_t tick, size_t n)
{
    buf_printf(out, "%llu %lld %zu\n", (unsigned long long)id, (long long)tick, n);
}

/* Those that are found, under the mutex; the others are written as unknown. */
static struct target_snapshot *snapshot_wishes(struct scraper *s, const struct scraper_read *read,
                                               const struct scraper_wishes *wishes, struct buf *out, struct err *err)
{
    struct target **targets = mem_zalloc((wishes->n + 1) * sizeof *targets);
    struct snapshot_targets found = {targets, 0};
    mutex_lock(&s->mutex);
    for (size_t i = 0; i < wishes->n; i++) {
        targets[found.n] = moved_find(&s->moved, wishes->ids[i]);
        if (targets[found.n])
            found.n++;
        else
            write_page_head(out, wishes->ids[i], 0, 0);
    }
    struct target_snapshot *made = snapshot_new(&found, 1, s->lanes, s->env.n_lanes, s->env.main, read->memory, err);
    mutex_unlock(&s->mutex);
    mem_free(targets);
    return made;
}

bool scraper_handed_pages(struct scraper *s, const struct scraper_read *read, const struct scraper_wishes *wishes,
                          size_t max, struct buf *out, struct err *err)
{
    struct target_snapshot *from = snapshot_wishes(s, read, wishes, out, err);
    if (from == NULL)
        return false;
    snapshot_begin_pages(from, max);
    bool ok = snapshot_wait(from, read, err);
    for (size_t i = 0; ok && i < from->n; i++) {
        const struct target_state *t = &from->states[i];
        if (!t->has_page) /* for the next request */
            continue;
        write_page_head(out, t->target->id, t->sent_tick, t->page.n);
        buf_add_str(out, buf_str(&t->page));
        mutex_lock(&s->mutex);
        moved_set_handed(&s->moved, t->target->id);
        mutex_unlock(&s->mutex);
    }
    snapshot_end(from);
    return ok;
}

size_t scraper_not_handed(struct scraper *s)
{
    mutex_lock(&s->mutex);
    size_t n = s->moved.not_handed;
    mutex_unlock(&s->mutex);
    return n;
}

/* ---- the new owner: main ---- */

static bool read_page_head(struct str *rest, int64_t tick_max, struct handed_page *out, uint64_t *length)
{
    struct str line, id, tick;
    return str_cut(rest, '\n', &line) && str_cut(&line, ' ', &id) && str_cut(&line, ' ', &tick) &&
           num_parse_u64(id, &out->id) && num_parse_i64(tick, &out->tick) && num_parse_u64(line, length) &&
           out->tick >= 0 && out->tick <= tick_max && *length <= rest->n;
}

static bool read_pages(struct handed_pages *p, const struct scraper_hold *hold, struct err *err)
{
    struct str rest = buf_str(&p->body);
    size_t cap = 0;
    while (rest.n > 0) {
        struct handed_page page = {0};
        uint64_t length = 0;
        if (p->n == HANDED_PAGES_MAX || !read_page_head(&rest, hold->from + HOLD_MS, &page, &length))
            return err_set(err, ERR_BAD_DATA, "invalid list of pages at byte %zu", p->body.n - rest.n);
        page.text = str_first(rest, (size_t)length);
        rest = str_skip(rest, (size_t)length);
        if (p->n == cap)
            mem_grow(&p->pages, &cap, p->n + 1, sizeof *p->pages);
        p->pages[p->n++] = page;
    }
    return true;
}

bool scraper_take_pages(struct scraper *s, const struct scraper_hold *hold, struct buf *body,
                        void (*answered)(void *arg, uint64_t id), void *arg, struct err *err)
{
    struct handed_pages *p = mem_zalloc(sizeof *p);
    refs_init(&p->refs);
    p->body = *body;
    *body = (struct buf){0};
    bool ok = read_pages(p, hold, err);
    if (ok && p->n > 0)
        qsort(p->pages, p->n, sizeof *p->pages, handed_page_compare);
    for (size_t i = 0; ok && i < p->n; i++)
        answered(arg, p->pages[i].id);
    for (unsigned i = 0; ok && p->n > 0 && s->stopping == NULL && i < s->env.n_lanes; i++)
        hold_message_post(&s->lanes[i], hold, p);
    handed_pages_unref(p);
    return ok;
}

void scraper_release(struct scraper *s, const struct scraper_hold *hold)
{
    for (unsigned i = 0; s->stopping == NULL && i < s->env.n_lanes; i++)
        hold_message_post(&s->lanes[i], hold, NULL);
}
