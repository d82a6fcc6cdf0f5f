// SPDX-License-Identifier: Apache-2.0
/* The samples of a series.
 *
 * Most samples arrive in order and are appended to chunks. Out-of-order samples are kept in a separate list and
 * merged when they are read. A bulk load may bring many, in any order and any number of messages, and likewise
 * histograms: both lists have an unsorted tail (late.h), which is sorted when it reaches an eighth of the list, or
 * before the list is read.
 */
#include "writer/recent/series.h"

#include "model/remote_write.h"
#include "writer/recent/late.h"
#include "writer/recent/stripe.h"

/* Strings are slices of the input; the series copies what it keeps. */
static void free_bytes(const void *p) { mem_free((void *)(uintptr_t)p); }

static size_t series_memory_for(size_t label_bytes) { return offsetof(struct recent_series, label_text) + label_bytes; }
/* Bytes of a list of this capacity. */
static size_t list_block(uint32_t cap, size_t size) { return cap ? mem_block(cap * size) : 0; }

/* The list with twice the capacity, its memory counted. */
static void *grow_list(struct stripe *p, void *items, uint32_t *cap, size_t size)
{
    uint32_t more = *cap ? *cap * 2 : 4;
    stripe_count(p, (long long)(list_block(more, size) - list_block(*cap, size)));
    *cap = more;
    return mem_realloc(items, more * size);
}


struct recent_series *recent_series_new(struct stripe *p, struct labels labels)
{
    struct recent_series *s = mem_alloc(series_memory_for(labels.n));
    *s = (struct recent_series){.next = UINT32_MAX, .newest = INT64_MIN};
    s->label_bytes = labels.n;
    s->label_count = labels.count;
    memcpy(s->label_text, labels.p, labels.n);
    stripe_count(p, (long long)mem_block(series_memory_for(s->label_bytes)));
    return s;
}

static void free_chunk(struct stripe *p, struct chunk *c)
{
    p->samples -= c->n;
    stripe_count(p, -(long long)chunk_memory(c));
    chunk_unref(c);
}

static void free_histogram(struct stripe *p, const struct recent_histogram *h)
{
    stripe_count(p, -(long long)mem_block(h->message.n));
    p->samples--;
    free_bytes(h->message.p);
}

static void free_exemplars(struct stripe *p, struct recent_extra *r, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        stripe_count(p, -(long long)mem_block(r->exemplars[i].message.n));
        free_bytes(r->exemplars[i].message.p);
    }
    r->n_exemplars -= n;
    if (n > 0)
        memmove(r->exemplars, r->exemplars + n, r->n_exemplars * sizeof *r->exemplars);
}

static struct recent_extra *extra_of(struct stripe *p, struct recent_series *s)
{
    if (s->extra == NULL) {
        s->extra = mem_zalloc(sizeof *s->extra);
        stripe_count(p, (long long)mem_block(sizeof *s->extra));
    }
    return s->extra;
}

static void free_extra(struct stripe *p, struct recent_series *s)
{
    struct recent_extra *r = s->extra;
    if (r == NULL)
        return;
    for (uint32_t i = 0; i < r->n_hists; i++)
        free_histogram(p, &r->hists[i]);
    free_exemplars(p, r, r->n_exemplars);
    if (r->exemplars)
        stripe_count(p, -(long long)mem_block(SERIES_EXEMPLARS * sizeof *r->exemplars));
    mem_free(r->exemplars);
    p->samples -= r->n_late;
    stripe_count(p, -(long long)(mem_block(sizeof *r) + list_block(r->cap_late, sizeof *r->late) +
                                 list_block(r->cap_hists, sizeof *r->hists)));
    mem_free(r->hists);
    mem_free(r->late);
    mem_free(r);
    s->extra = NULL;
}

void recent_series_free(struct stripe *p, struct recent_series *s)
{
    for (struct chunk *c = s->first, *next; c; c = next) {
        next = c->next;
        free_chunk(p, c);
    }
    if (s->open)
        free_chunk(p, s->open);
    free_extra(p, s);
    stripe_count(p, -(long long)mem_block(series_memory_for(s->label_bytes)));
    mem_free(s);
}

/* --- late samples ------------------------------------------------------------------------------------------------- */

uint32_t recent_series_late_before(const struct recent_extra *r, int64_t t)
{
    return late_lower_bound(r->late, r->n_late, sizeof *r->late, t);
}

static void sort_late(struct stripe *p, struct recent_extra *r)
{
    uint32_t n = late_sort(r->late, r->late_sorted, r->n_late, sizeof *r->late);
    p->samples -= r->n_late - n;
    r->late_sorted = r->n_late = n;
}

/* True if a sample with this time exists. Of the unsorted ones only the last is checked; late_sort finds the others. */
static bool has_time(const void *items, uint32_t n_sorted, uint32_t n, size_t size, int64_t t)
{
    uint32_t at = late_lower_bound(items, n_sorted, size, t);
    int64_t found, last;
    if (n == 0)
        return false;
    memcpy(&last, (const char *)items + (n - 1) * size, sizeof last);
    if (at == n_sorted)
        return last == t;
    memcpy(&found, (const char *)items + at * size, sizeof found);
    return found == t || last == t;
}

/* True if an item with this time follows the n items, all sorted. */
static bool follows_all(const void *items, uint32_t n_sorted, uint32_t n, size_t size, int64_t t)
{
    int64_t last;
    if (n == 0)
        return true;
    memcpy(&last, (const char *)items + (n - 1) * size, sizeof last);
    return n_sorted == n && last < t;
}

/* The first value for a time is kept. */
static void add_late(struct stripe *p, struct recent_extra *r, int64_t t, double v)
{
    bool in_order = follows_all(r->late, r->late_sorted, r->n_late, sizeof *r->late, t);
    if (!in_order && has_time(r->late, r->late_sorted, r->n_late, sizeof *r->late, t))
        return;
    if (r->n_late == r->cap_late)
        r->late = grow_list(p, r->late, &r->cap_late, sizeof *r->late);
    r->late[r->n_late++] = (struct sample){t, v};
    r->late_sorted += in_order;
    p->samples++;
    if (late_tail_full(r->n_late, r->late_sorted))
        sort_late(p, r);
}

/* The newest sample so far, perhaps. */
static void series_note_time(struct stripe *p, struct recent_series *s, int64_t t)
{
    if (t <= s->newest)
        return;
    if (s->newest == INT64_MIN)
        stripe_note_first(p, t);
    s->newest = t;
}

/* --- append ------------------------------------------------------------------------------------------------------- */

void recent_series_seal(struct stripe *p, struct recent_series *s)
{
    if (s->open == NULL)
        return;
    size_t before = chunk_memory(s->open);
    struct chunk *c = chunk_seal(s->open);
    stripe_count(p, (long long)chunk_memory(c) - (long long)before);
    s->open = NULL;
    if (s->last)
        s->last->next = c;
    else
        s->first = c;
    s->last = c;
}

static void series_append_sample(struct stripe *p, struct recent_series *s, int64_t t, double v)
{
    if (s->open && chunk_full(s->open))
        recent_series_seal(p, s);
    size_t before = s->open ? chunk_memory(s->open) : 0;
    if (s->open == NULL)
        s->open = chunk_new(CHUNK_SAMPLE_BYTES);
    s->open = chunk_append(s->open, &s->tail, t, v);
    size_t after = chunk_memory(s->open);
    if (after != before)
        stripe_count(p, (long long)(after - before));
    series_note_time(p, s, t);
    p->samples++;
}

void recent_series_add_sample(struct stripe *p, struct recent_series *s, int64_t t, double v)
{
    if (s->open ? t > s->tail.t : s->last == NULL || t > s->last->t_max)
        series_append_sample(p, s, t, v);
    else if (t != s->tail.t) /* otherwise a duplicate */
        add_late(p, extra_of(p, s), t, v);
}

static void sort_histograms(struct stripe *p, struct recent_extra *r)
{
    uint32_t n = late_sort(r->hists, r->hists_sorted, r->n_hists, sizeof *r->hists);
    for (uint32_t i = n; i < r->n_hists; i++)
        free_histogram(p, &r->hists[i]);
    r->hists_sorted = r->n_hists = n;
}

void recent_series_add_histogram(struct stripe *p, struct recent_series *s, struct str message)
{
    struct recent_extra *r = extra_of(p, s);
    int64_t t = rw_hist_time(message);
    bool in_order = follows_all(r->hists, r->hists_sorted, r->n_hists, sizeof *r->hists, t);
    if (!in_order && has_time(r->hists, r->hists_sorted, r->n_hists, sizeof *r->hists, t))
        return;
    if (r->n_hists == r->cap_hists)
        r->hists = grow_list(p, r->hists, &r->cap_hists, sizeof *r->hists);
    r->hists[r->n_hists++] = (struct recent_histogram){t, str_n(mem_dup(message.p, message.n), message.n)};
    r->hists_sorted += in_order;
    series_note_time(p, s, t);
    stripe_count(p, (long long)mem_block(message.n));
    p->samples++;
    if (late_tail_full(r->n_hists, r->hists_sorted))
        sort_histograms(p, r);
}

void recent_series_settle(struct stripe *p, struct recent_series *s)
{
    struct recent_extra *r = s->extra;
    if (r && late_tail_due(r->n_late, r->late_sorted))
        sort_late(p, r);
    if (r && late_tail_due(r->n_hists, r->hists_sorted))
        sort_histograms(p, r);
}

void recent_series_sort(struct stripe *p, struct recent_series *s)
{
    struct recent_extra *r = s->extra;
    if (r && r->late_sorted < r->n_late)
        sort_late(p, r);
    if (r && r->hists_sorted < r->n_hists)
        sort_histograms(p, r);
}

static bool same_exemplar(const struct recent_extra *r, struct str message)
{
    for (uint32_t i = 0; i < r->n_exemplars; i++)
        if (str_eq(r->exemplars[i].message, message))
            return true;
    return false;
}

/* Senders repeat an exemplar until there is a new one. */
void recent_series_add_exemplar(struct stripe *p, struct recent_series *s, struct str message)
{
    int64_t t = rw_exemplar_time(message);
    if (message.n == 0 || message.n > SERIES_EXEMPLAR_BYTES)
        return;
    struct recent_extra *r = extra_of(p, s);
    if (r->exemplars == NULL) {
        r->exemplars = mem_zalloc(SERIES_EXEMPLARS * sizeof *r->exemplars);
        stripe_count(p, (long long)mem_block(SERIES_EXEMPLARS * sizeof *r->exemplars));
    }
    if (same_exemplar(r, message) || (r->n_exemplars == SERIES_EXEMPLARS && t < r->exemplars[0].t))
        return;
    if (r->n_exemplars == SERIES_EXEMPLARS)
        free_exemplars(p, r, 1);
    uint32_t at = r->n_exemplars;
    for (; at > 0 && r->exemplars[at - 1].t > t; at--)
        r->exemplars[at] = r->exemplars[at - 1];
    r->exemplars[at] = (struct recent_exemplar){t, str_n(mem_dup(message.p, message.n), message.n)};
    r->n_exemplars++;
    stripe_count(p, (long long)mem_block(message.n));
}

/* --- drop --------------------------------------------------------------------------------------------------------- */

static void drop_first_chunk(struct stripe *p, struct recent_series *s)
{
    struct chunk *c = s->first;
    s->first = c->next;
    if (s->first == NULL)
        s->last = NULL;
    free_chunk(p, c);
}

/* Time of the newest dropped, or INT64_MIN. */
static int64_t drop_late_until(struct stripe *p, struct recent_extra *r, int64_t edge)
{
    uint32_t k = edge < INT64_MAX ? recent_series_late_before(r, edge + 1) : r->n_late;
    if (k == 0)
        return INT64_MIN;
    int64_t newest = r->late[k - 1].t;
    p->samples -= k;
    r->late_sorted = r->n_late -= k;
    memmove(r->late, r->late + k, r->n_late * sizeof *r->late);
    return newest;
}

static int64_t drop_histograms_until(struct stripe *p, struct recent_extra *r, int64_t edge)
{
    int64_t newest = INT64_MIN;
    uint32_t k = 0;
    for (; k < r->n_hists && r->hists[k].t <= edge; k++) {
        newest = r->hists[k].t;
        free_histogram(p, &r->hists[k]);
    }
    if (k == 0)
        return INT64_MIN;
    r->hists_sorted = r->n_hists -= k;
    memmove(r->hists, r->hists + k, r->n_hists * sizeof *r->hists);
    return newest;
}

int64_t recent_series_drop_until(struct stripe *p, struct recent_series *s, int64_t edge)
{
    int64_t newest = INT64_MIN;
    recent_series_sort(p, s);
    for (; s->first && s->first->t_max <= edge; drop_first_chunk(p, s))
        newest = s->first->t_max;
    if (s->extra == NULL)
        return newest;
    int64_t late = drop_late_until(p, s->extra, edge), hist = drop_histograms_until(p, s->extra, edge);
    uint32_t k = 0;
    while (k < s->extra->n_exemplars && s->extra->exemplars[k].t <= edge)
        k++;
    free_exemplars(p, s->extra, k);
    if (s->extra->n_late == 0 && s->extra->n_hists == 0 && s->extra->n_exemplars == 0)
        free_extra(p, s);
    newest = late > newest ? late : newest;
    return hist > newest ? hist : newest;
}

int64_t recent_series_oldest(struct stripe *p, struct recent_series *s)
{
    recent_series_sort(p, s);
    const struct chunk *c = s->first ? s->first : s->open;
    const struct recent_extra *r = s->extra;
    int64_t oldest = c ? c->t_min : INT64_MAX;
    if (r && r->n_late > 0 && r->late[0].t < oldest)
        oldest = r->late[0].t;
    if (r && r->n_hists > 0 && r->hists[0].t < oldest)
        oldest = r->hists[0].t;
    return oldest;
}
