// SPDX-License-Identifier: Apache-2.0
#include "gateway/services/reload_report.h"

#include "base/text/duration.h"

enum { REPORT_MESSAGES = 1000 };

struct reload_report *reload_report_new(bool start, int64_t began)
{
    struct reload_report *r = mem_zalloc(sizeof *r);
    refs_init(&r->refs);
    arena_init(&r->_texts, 0);
    r->start = start;
    r->began = began;
    return r;
}

void reload_report_add(struct reload_report *r, enum reload_level level, struct str text)
{
    if (r->n == REPORT_MESSAGES || text.n == 0)
        return;
    if (r->n == REPORT_MESSAGES - 1) {
        level = RELOAD_INFO;
        text = STR("further messages are left out");
    }
    arena_grow(&r->_texts, &r->messages, &r->_cap, r->n + 1, sizeof *r->messages);
    r->messages[r->n++] = (struct reload_message){level, arena_str(&r->_texts, text)};
}

void reload_report_add_lines(struct reload_report *r, enum reload_level level, struct str lines)
{
    for (struct str line; lines.n > 0;) {
        str_cut(&lines, '\n', &line);
        reload_report_add(r, level, line);
    }
}

void reload_report_add_warnings(struct reload_report *r, const struct flags *f, const struct config *c)
{
    for (size_t i = 0; i < f->warnings.n; i++)
        reload_report_add(r, RELOAD_WARNING, f->warnings.items[i]);
    for (size_t i = 0; i < c->warnings.n; i++)
        reload_report_add(r, RELOAD_WARNING, c->warnings.items[i]);
}

void reload_report_unref(struct reload_report *r)
{
    if (r == NULL || !refs_drop(&r->refs))
        return;
    arena_free(&r->_texts);
    mem_free(r);
}

const char *reload_level_name(enum reload_level level)
{
    static const char *const names[] = {[RELOAD_ERROR] = "error", [RELOAD_WARNING] = "warning", [RELOAD_INFO] = "info"};
    return names[level];
}

/* ---- the last one ---- */

void reload_history_init(struct reload_history *h)
{
    *h = (struct reload_history){0};
    mutex_init(&h->_lock, RANK_LEAF);
}

void reload_history_free(struct reload_history *h)
{
    reload_report_unref(h->_last);
    mutex_free(&h->_lock);
}

void reload_history_put(struct reload_history *h, struct reload_report *r)
{
    r->ended = clock_wall_ms();
    if (!r->start)
        atomic_fetch_add(r->ok ? &h->done : &h->failed, 1);
    mutex_lock(&h->_lock);
    struct reload_report *before = h->_last;
    if (before && !r->ok)
        r->hash = before->hash;
    h->_last = r;
    mutex_unlock(&h->_lock);
    reload_report_unref(before);
}

struct reload_report *reload_history_last(struct reload_history *h)
{
    mutex_lock(&h->_lock);
    struct reload_report *r = h->_last;
    if (r)
        refs_take(&r->refs);
    mutex_unlock(&h->_lock);
    return r;
}
