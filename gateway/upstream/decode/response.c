// SPDX-License-Identifier: Apache-2.0
#include "gateway/upstream/decode/stored.h"

#include "base/map.h"
#include "gateway/merge/merge.h"

static bool note_is_common(struct str text)
{
    return str_starts(text, STR("PromQL ")) || str_find_str(text, STR("truncated due to limit")) < text.n;
}

static void note_text(struct buf *out, struct response_secrets from, struct str text)
{
    if (from.shown.n > 0 && !note_is_common(text))
        buf_printf(out, "server group \"%.*s\": %.*s: ", STR_ARG(from.group), STR_ARG(from.shown));
    if (from.profile)
        client_hide_secrets(from.profile, from.url, text, out);
    else
        buf_add_str(out, text);
}

void response_warn(struct notes *n, struct response_secrets secrets, struct str text)
{
    struct buf shown = {0};
    note_text(&shown, secrets, text);
    notes_warn(n, "%.*s", STR_ARG(buf_str(&shown)));
    buf_free(&shown);
}

void response_info(struct notes *n, struct response_secrets secrets, struct str text)
{
    struct buf shown = {0};
    note_text(&shown, secrets, text);
    notes_info(n, "%.*s", STR_ARG(buf_str(&shown)));
    buf_free(&shown);
}

bool response_partial(const struct query_ctx *q, struct notes *n, struct response_secrets from, struct err *err)
{
    if (q && q->partial == PARTIAL_DENIED)
        return err_set(err, ERR_UNAVAILABLE, "the response of the server is partial (isPartial), which the request denies");
    n->partial = true;
    response_warn(n, from, STR("the response is partial (isPartial)"));
    return true;
}

/* The limit of a probe is ours, so that a response cut by it is nothing to warn of. */
void label_list_warn(const struct label_list *l, struct str text)
{
    if (!l->probe || str_find_str(text, STR("truncated due to limit")) == text.n)
        response_warn(l->notes, l->secrets, text);
}

bool response_check_budget(const struct response *a, size_t n, struct err *err)
{
    if (a->most_points > 0 && n > a->most_points)
        return err_set(err, ERR_BAD_GATEWAY, "a series has more points than the %zu steps that were requested",
                       a->most_points);
    if (a->budget == 0 || n <= a->budget / sizeof(struct sample))
        return true;
    return err_set(err, ERR_LIMIT, "a single series exceeds the limit of %zu MiB of memory", a->budget >> 20);
}

size_t samples_drop_duplicates(struct sample *samples, size_t n)
{
    size_t kept = n > 0;
    for (size_t i = 1; i < n; i++) {
        struct sample *last = &samples[kept - 1];
        if (samples[i].t != last->t)
            samples[kept++] = samples[i];
        else if (is_stale(last->v) || samples[i].v > last->v)
            last->v = samples[i].v;
    }
    return kept;
}

static bool response_count_fits(uint64_t n, struct err *err)
{
    return n <= UINT32_MAX || err_set(err, ERR_LIMIT, "a series has more than %u samples", UINT32_MAX);
}

static bool in_window(const struct response *a, int64_t t) { return t >= a->t_min && t <= a->t_max; }

bool response_waste(struct err *err)
{
    return err_set(err, ERR_BAD_GATEWAY, "cannot parse the response: it consists of values of unknown keys");
}

bool response_disorder(struct labels labels, struct err *err)
{
    struct buf name = {0};
    labels_print(&name, labels);
    err_set(err, ERR_BAD_GATEWAY, "samples of %s are out of order", buf_z(&name));
    buf_free(&name);
    return false;
}

/* Samples in the window, which are adjacent: returns their number; *first: the first one. */
static bool cut_samples(const struct response *a, const struct sample *s, size_t n, size_t *first, size_t *count)
{
    *first = *count = 0;
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && s[i].t <= s[i - 1].t)
            return false;
        if (in_window(a, s[i].t) && (*count)++ == 0)
            *first = i;
    }
    return true;
}

static bool cut_hists(const struct response *a, const struct hist_sample *s, size_t n, size_t *first, size_t *count)
{
    *first = *count = 0;
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && s[i].t <= s[i - 1].t)
            return false;
        if (in_window(a, s[i].t) && (*count)++ == 0)
            *first = i;
    }
    return true;
}

static void *response_copy_items(struct arena *a, const void *items, size_t n, size_t size)
{
    void *to = n ? arena_alloc(a, n * size) : NULL;
    return to ? memcpy(to, items, n * size) : NULL;
}

/* As the server has them itself; maybe `from`, which may be scratch memory. */
static struct labels response_own_labels(const struct response *a, struct labels from)
{
    struct labels_builder b = {0};
    struct labels_iter it = labels_iter(a->external);
    struct label l;
    if (a->external.count == 0)
        return from;
    builder_start(&b, from);
    for (unsigned i = 0; labels_next(&it, &l); i++)
        if ((i >= 32 || !(a->own >> i & 1)) && str_eq(builder_get(&b, l.name), l.value))
            builder_del(&b, l.name);
    struct labels own = builder_labels(&b, a->arena);
    builder_free(&b);
    return own;
}

static void response_add_samples(struct response *a, const struct sample *samples, size_t n)
{
    struct series *s = &a->series[a->n - 1];
    s->n_samples = (uint32_t)n;
    if (!a->packs || (a->view && a->view->unites)) { /* stored.h works on samples */
        s->samples = response_copy_items(a->arena, samples, n, sizeof *samples);
        return;
    }
    arena_grow(a->arena, &a->chunks, &a->chunks_cap, a->n, sizeof *a->chunks);
    a->scratch = a->scratch ? a->scratch : chunk_scratch(a->arena);
    a->chunks[a->n - 1] = chunk_list_pack(a->arena, a->scratch, samples, n);
}

/* Labels are changed here. */
static bool response_relabels(const struct response *a)
{
    return (a->view && a->view->n > 0) || a->external.count > 0;
}

static void response_keep_stored(struct response *a, struct labels own)
{
    arena_grow(a->arena, &a->stored, &a->stored_cap, a->n + 1, sizeof *a->stored);
    a->stored[a->n] = labels_copy(a->arena, own);
}

bool response_add(struct response *a, struct labels labels, const struct sample *samples, size_t n,
                  const struct hist_sample *hists, size_t n_hists,
                  struct err *err)
{
    size_t first, first_hist;
    if (!response_count_fits(n, err) || !response_count_fits(n_hists, err))
        return false;
    if (!query_charge(&a->work, QUERY_CHARGE_LABELS + n + n_hists, err))
        return false;
    if (!cut_samples(a, samples, n, &first, &n) || !cut_hists(a, hists, n_hists, &first_hist, &n_hists))
        return response_disorder(labels, err);
    if (n + n_hists == 0)
        return true;
    labels = response_own_labels(a, labels);
    if (a->view && a->view->unites)
        response_keep_stored(a, labels);
    arena_grow(a->arena, &a->series, &a->cap, a->n + 1, sizeof *a->series);
    a->series[a->n++] = (struct series){
        .labels = view_show(a->view, a->arena, labels), .n_hists = (uint32_t)n_hists,
        .hists = response_copy_items(a->arena, n_hists ? hists + first_hist : NULL, n_hists, sizeof *hists)};
    response_add_samples(a, samples + first, n);
    a->n_samples += n + n_hists;
    if (response_relabels(a)) {
        arena_grow(a->arena, &a->sent, &a->sent_cap, a->n, sizeof *a->sent);
        a->sent[a->n - 1] = labels_hash(labels);
    }
    return true;
}

/* --- packed samples ----------------------------------------------------------------------------------------------- */

static struct chunk *response_packed(const struct response *a, size_t i) { return a->chunks ? a->chunks[i] : NULL; }

static struct series response_unpack(const struct response *a, size_t i, const struct chunk *from, struct arena *to)
{
    struct series s = a->series[i];
    if (from == NULL)
        return s;
    s.n_samples = 0;
    for (const struct chunk *c = from; c; c = c->next)
        s.n_samples += c->n;
    struct sample *samples = arena_alloc(to, s.n_samples * sizeof *samples);
    chunk_list_unpack(from, samples);
    s.samples = samples;
    return s;
}

struct series response_series(const struct response *a, size_t i, struct arena *to)
{
    return response_unpack(a, i, response_packed(a, i), to);
}

struct series response_newest(const struct response *a, size_t i, struct arena *to)
{
    const struct chunk *from = response_packed(a, i);
    while (from && from->next && from->next->next)
        from = from->next;
    return response_unpack(a, i, from, to);
}

/* --- duplicates --------------------------------------------------------------------------------------------------- */

struct response_bounds { int64_t first, last; };

static struct response_bounds response_bounds_of(const struct series *s, const struct chunk *packed)
{
    struct response_bounds b = {INT64_MAX, INT64_MIN};
    for (const struct chunk *c = packed; c; c = c->next) {
        b.first = c->t_min < b.first ? c->t_min : b.first;
        b.last = c->t_max;
    }
    if (s->n_samples > 0 && s->samples) {
        b.first = s->samples[0].t;
        b.last = s->samples[s->n_samples - 1].t;
    }
    if (s->n_hists > 0) {
        b.first = s->hists[0].t < b.first ? s->hists[0].t : b.first;
        b.last = s->hists[s->n_hists - 1].t > b.last ? s->hists[s->n_hists - 1].t : b.last;
    }
    return b;
}

static bool response_are_apart(struct response_bounds x, struct response_bounds y)
{
    return x.last < y.first || y.last < x.first;
}

bool response_apart(const struct series *x, const struct series *y)
{
    return response_are_apart(response_bounds_of(x, NULL), response_bounds_of(y, NULL));
}

static bool response_parts_apart(const struct response *a, size_t i, size_t k)
{
    return response_are_apart(response_bounds_of(&a->series[i], response_packed(a, i)),
                              response_bounds_of(&a->series[k], response_packed(a, k)));
}

/* Two series of chunks, apart, become one list. */
static bool response_link(struct response *a, size_t into, size_t more, struct err *err)
{
    uint64_t n = (uint64_t)a->series[into].n_samples + a->series[more].n_samples;
    if (!response_count_fits(n, err) || !response_check_budget(a, n, err))
        return false;
    struct chunk *first = a->chunks[into], *second = a->chunks[more], *last;
    if (second->t_max < first->t_min) {
        a->chunks[into] = second;
        second = first;
        first = a->chunks[into];
    }
    for (last = first; last->next; last = last->next)
        ;
    last->next = second;
    a->series[into].n_samples = (uint32_t)n;
    return true;
}

static bool response_join(struct response *a, size_t into, size_t more, struct err *err)
{
    struct series *to = &a->series[into], *from = &a->series[more];
    if (response_packed(a, into) && response_packed(a, more) && to->n_hists + from->n_hists == 0)
        return response_link(a, into, more, err);
    struct series x = response_series(a, into, a->arena), y = response_series(a, more, a->arena);
    merge_pieces(a->arena, &x, &y);
    *to = x;
    if (a->chunks)
        a->chunks[into] = NULL;
    return true;
}

static void response_move(struct response *a, size_t to, size_t from)
{
    a->series[to] = a->series[from];
    if (a->chunks)
        a->chunks[to] = a->chunks[from];
    if (a->sent)
        a->sent[to] = a->sent[from];
}

bool response_clash(struct labels labels, bool sent_twice, struct err *err)
{
    struct buf name = {0};
    labels_print(&name, labels);
    err_set(err, sent_twice ? ERR_BAD_GATEWAY : ERR_EXEC, "duplicate series %s in the response%s", buf_z(&name),
            sent_twice ? "" : "; check whether a label of the group replaces one that distinguishes series");
    buf_free(&name);
    return false;
}

bool response_unite(struct response *a, struct err *err)
{
    if (a->stored && a->n > 1)
        return stored_unite(a, err);
    struct map seen = {0};
    size_t kept = 0;
    bool ok = true;
    for (size_t i = 0; ok && i < a->n; i++) {
        struct series *s = &a->series[i];
        bool added;
        if (!query_charge(&a->work, QUERY_CHARGE_LABELS, err)) {
            ok = false;
            break;
        }
        struct map_entry *e = map_add(&seen, str_n(s->labels.p, s->labels.n), &added);
        if (added) {
            e->value.u = kept;
            response_move(a, kept++, i);
        } else if (!query_charge(&a->work, (uint64_t)s->n_samples + a->series[e->value.u].n_samples, err)) {
            ok = false;
        } else if (response_parts_apart(a, e->value.u, i)) {
            ok = response_join(a, e->value.u, i, err);
        } else {
            ok = response_clash(s->labels, a->sent == NULL || a->sent[e->value.u] == a->sent[i], err);
        }
    }
    a->n = kept;
    map_free(&seen);
    return ok;
}
