/* Samples of a series come in order but for a few. Those in order are in chunks; late ones wait apart in a sorted list and are
 * merged in when they are read. A bulk load may bring very many late ones: new ones are collected in a short sorted tail,
 * which is merged into the list when it is long or the series' turn is over; between two turns the list is in order.
 */
#include "writer/recent/kept.h"

#include "model/remote_write.h"
#include "writer/recent/part.h"

enum { FIRST_CHUNK = 48, LATE_TAIL = 1024 };

/* Labels, series and texts are kept as slices of what is read only; the memory is the series' own. */
static void free_bytes(const void *p) { mem_free((void *)(uintptr_t)p); }

struct kept_series *kept_new(struct part *p, struct labels labels)
{
    struct kept_series *s = mem_zalloc(sizeof *s);
    s->labels = labels;
    s->labels.p = mem_dup(labels.p, labels.n);
    s->next = UINT32_MAX;
    s->newest = INT64_MIN;
    part_count(p, (long long)(sizeof *s + labels.n));
    return s;
}

static void free_chunk(struct part *p, struct chunk *c)
{
    p->samples -= c->n;
    part_count(p, -(long long)chunk_memory(c));
    chunk_unref(c);
}

static void free_histogram(struct part *p, const struct kept_histogram *h)
{
    part_count(p, -(long long)h->message.n);
    p->samples--;
    free_bytes(h->message.p);
}

void kept_free(struct part *p, struct kept_series *s)
{
    for (struct chunk *c = s->first, *next; c; c = next) {
        next = c->next;
        free_chunk(p, c);
    }
    if (s->open)
        free_chunk(p, s->open);
    for (uint32_t i = 0; i < s->n_hists; i++)
        free_histogram(p, &s->hists[i]);
    p->samples -= s->n_late;
    part_count(p, -(long long)(sizeof *s + s->labels.n + s->cap_late * sizeof *s->late + s->cap_hists * sizeof *s->hists));
    mem_free(s->hists);
    mem_free(s->late);
    free_bytes(s->labels.p);
    mem_free(s);
}

/* --- late samples --------------------------------------------------------------------------------------------------- */

/* The first of late[from..to), which is sorted, that is not older than t. */
static uint32_t lower_bound(const struct kept_series *s, uint32_t from, uint32_t to, int64_t t)
{
    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        if (s->late[middle].t < t)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

static void grow_late(struct part *p, struct kept_series *s)
{
    uint32_t cap = s->cap_late ? s->cap_late * 2 : 4;
    s->late = mem_realloc(s->late, cap * sizeof *s->late);
    part_count(p, (long long)((cap - s->cap_late) * sizeof *s->late));
    s->cap_late = cap;
}

void kept_settle(struct kept_series *s)
{
    struct sample tail[LATE_TAIL];
    uint32_t i = s->n_settled, k = s->n_late - s->n_settled, at = s->n_late;
    if (k == 0)
        return;
    if (i > 0 && s->late[i - 1].t > s->late[i].t) { /* else they follow already */
        memcpy(tail, s->late + i, k * sizeof *tail);
        while (k > 0)
            s->late[--at] = i > 0 && s->late[i - 1].t > tail[k - 1].t ? s->late[--i] : tail[--k];
    }
    s->n_settled = s->n_late;
}

/* The first value for a time stays. */
static void add_late(struct part *p, struct kept_series *s, int64_t t, double v)
{
    if (s->n_late - s->n_settled == LATE_TAIL)
        kept_settle(s);
    uint32_t settled = lower_bound(s, 0, s->n_settled, t), at = lower_bound(s, s->n_settled, s->n_late, t);
    if ((settled < s->n_settled && s->late[settled].t == t) || (at < s->n_late && s->late[at].t == t))
        return;
    if (s->n_late == s->cap_late)
        grow_late(p, s);
    memmove(&s->late[at + 1], &s->late[at], (s->n_late - at) * sizeof *s->late);
    s->late[at] = (struct sample){t, v};
    s->n_late++;
    p->samples++;
}

/* --- what comes ----------------------------------------------------------------------------------------------------- */

void kept_seal(struct part *p, struct kept_series *s)
{
    if (s->open == NULL || s->open->n == 0)
        return;
    size_t before = chunk_memory(s->open);
    struct chunk *c = chunk_seal(s->open);
    part_count(p, (long long)chunk_memory(c) - (long long)before);
    s->open = NULL;
    if (s->last)
        s->last->next = c;
    else
        s->first = c;
    s->last = c;
}

static void append(struct part *p, struct kept_series *s, int64_t t, double v)
{
    if (s->open && chunk_full(s->open))
        kept_seal(p, s);
    size_t before = s->open ? chunk_memory(s->open) : 0;
    if (s->open == NULL)
        s->open = chunk_new(FIRST_CHUNK);
    s->open = chunk_append(s->open, &s->tail, t, v);
    size_t after = chunk_memory(s->open);
    if (after != before)
        part_count(p, (long long)(after - before));
    if (t > s->newest)
        s->newest = t;
    p->samples++;
}

void kept_add_sample(struct part *p, struct kept_series *s, int64_t t, double v)
{
    bool open = s->open && s->open->n > 0;
    if (open ? t > s->tail.t : s->last == NULL || t > s->last->t_max)
        append(p, s, t, v);
    else if (!open || t != s->tail.t)
        add_late(p, s, t, v);
}

void kept_add_histogram(struct part *p, struct kept_series *s, struct str message)
{
    int64_t t = rw_hist_time(message);
    uint32_t at = s->n_hists;
    while (at > 0 && s->hists[at - 1].t >= t)
        at--;
    if (at < s->n_hists && s->hists[at].t == t)
        return;
    if (s->n_hists == s->cap_hists) {
        uint32_t cap = s->cap_hists ? s->cap_hists * 2 : 4;
        s->hists = mem_realloc(s->hists, cap * sizeof *s->hists);
        part_count(p, (long long)((cap - s->cap_hists) * sizeof *s->hists));
        s->cap_hists = cap;
    }
    memmove(&s->hists[at + 1], &s->hists[at], (s->n_hists - at) * sizeof *s->hists);
    s->hists[at] = (struct kept_histogram){t, str_n(mem_dup(message.p, message.n), message.n)};
    s->n_hists++;
    if (t > s->newest)
        s->newest = t;
    part_count(p, (long long)message.n);
    p->samples++;
}

/* --- what goes ------------------------------------------------------------------------------------------------------ */

static void drop_first_chunk(struct part *p, struct kept_series *s)
{
    struct chunk *c = s->first;
    s->first = c->next;
    if (s->first == NULL)
        s->last = NULL;
    free_chunk(p, c);
}

struct dropped kept_drop_until(struct part *p, struct kept_series *s, int64_t edge)
{
    struct dropped d = {0, INT64_MIN};
    uint64_t before = p->samples;
    for (; s->first && s->first->t_max <= edge; drop_first_chunk(p, s))
        d.newest = s->first->t_max;
    uint32_t k = edge < INT64_MAX ? lower_bound(s, 0, s->n_late, edge + 1) : s->n_late;
    if (k > 0) {
        d.newest = s->late[k - 1].t > d.newest ? s->late[k - 1].t : d.newest;
        p->samples -= k;
        s->n_settled = s->n_late -= k;
        memmove(s->late, s->late + k, s->n_late * sizeof *s->late);
    }
    for (k = 0; k < s->n_hists && s->hists[k].t <= edge; k++) {
        d.newest = s->hists[k].t > d.newest ? s->hists[k].t : d.newest;
        free_histogram(p, &s->hists[k]);
    }
    s->n_hists -= k;
    if (k > 0)
        memmove(s->hists, s->hists + k, s->n_hists * sizeof *s->hists);
    d.samples = before - p->samples;
    return d;
}

int64_t kept_oldest(const struct kept_series *s)
{
    const struct chunk *c = s->first ? s->first : s->open;
    int64_t oldest = c && c->n > 0 ? c->t_min : INT64_MAX;
    if (s->n_late > 0 && s->late[0].t < oldest)
        oldest = s->late[0].t;
    if (s->n_hists > 0 && s->hists[0].t < oldest)
        oldest = s->hists[0].t;
    return oldest;
}
