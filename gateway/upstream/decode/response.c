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

static bool in_window(const struct response *a, int64_t t) { return t >= a->t_min && t <= a->t_max; }

static bool out_of_order(struct labels labels, struct err *err)
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
    if (n > UINT32_MAX || n_hists > UINT32_MAX)
        return err_set(err, ERR_LIMIT, "a series has more than %u samples", UINT32_MAX);
    if (!query_charge(&a->work, QUERY_CHARGE_LABELS + n + n_hists, err))
        return false;
    if (!cut_samples(a, samples, n, &first, &n) || !cut_hists(a, hists, n_hists, &first_hist, &n_hists))
        return out_of_order(labels, err);
    if (n + n_hists == 0)
        return true;
    labels = response_own_labels(a, labels);
    if (a->view && a->view->unites)
        response_keep_stored(a, labels);
    arena_grow(a->arena, &a->series, &a->cap, a->n + 1, sizeof *a->series);
    a->series[a->n++] = (struct series){
        .labels = view_show(a->view, a->arena, labels),
        .samples = response_copy_items(a->arena, samples + first, n, sizeof *samples),
        .n_samples = (uint32_t)n, .n_hists = (uint32_t)n_hists,
        .hists = response_copy_items(a->arena, n_hists ? hists + first_hist : NULL, n_hists, sizeof *hists)};
    a->n_samples += n + n_hists;
    if (response_relabels(a)) {
        arena_grow(a->arena, &a->sent, &a->sent_cap, a->n, sizeof *a->sent);
        a->sent[a->n - 1] = labels_hash(labels);
    }
    return true;
}

static void bounds(const struct series *s, int64_t *first, int64_t *last)
{
    *first = INT64_MAX;
    *last = INT64_MIN;
    if (s->n_samples > 0) {
        *first = s->samples[0].t;
        *last = s->samples[s->n_samples - 1].t;
    }
    if (s->n_hists > 0) {
        *first = s->hists[0].t < *first ? s->hists[0].t : *first;
        *last = s->hists[s->n_hists - 1].t > *last ? s->hists[s->n_hists - 1].t : *last;
    }
}

bool response_apart(const struct series *x, const struct series *y)
{
    int64_t first[2], last[2];
    bounds(x, &first[0], &last[0]);
    bounds(y, &first[1], &last[1]);
    return last[0] < first[1] || last[1] < first[0];
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
            if (a->sent)
                a->sent[kept] = a->sent[i];
            a->series[kept++] = *s;
        } else if (response_apart(&a->series[e->value.u], s)) {
            ok = query_charge(&a->work, s->n_samples + a->series[e->value.u].n_samples, err);
            merge_pieces(a->arena, &a->series[e->value.u], s);
        } else {
            ok = response_clash(s->labels, a->sent == NULL || a->sent[e->value.u] == a->sent[i], err);
        }
    }
    a->n = kept;
    map_free(&seen);
    return ok;
}
