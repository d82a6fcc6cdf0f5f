// SPDX-License-Identifier: Apache-2.0
/* /federate: the newest sample of each selected series within the lookback, sorted by metric, with timestamps and
 * external labels, in the formats of gateway/federation. Series without instance get an empty one, so that a scraper
 * with honor_labels does not add its own.
 */
#include "base/text/duration.h"
#include "gateway/api/call.h"
#include "gateway/query/params.h"
#include "gateway/api/query.h"
#include "gateway/federation/federation.h"
#include "gateway/services/services.h"

struct federation {
    int64_t now, lookback;
    struct series_set *sets; size_t n_sets;
    struct federated *items; size_t n, cap; /* not of the arena: nothing jumps while they are gathered from a set */
};

static void federate_end(void *arg)
{
    struct federation *f = arg;
    for (size_t i = 0; i < f->n_sets; i++)
        series_set_release(&f->sets[i]);
    mem_free(f->items);
}

/* ---- gathering ---- */

static bool federate_select(struct api_call *c, struct federation *f, const struct selector_params *selectors)
{
    struct select *wanted = ARENA_ARRAY(c->q->arena, struct select, selectors->n);
    for (size_t i = 0; i < selectors->n; i++)
        wanted[i] = (struct select){.kind = SELECT_INSTANT,
                                    .matchers = selectors->sets[i], .n_matchers = selectors->sizes[i],
                                    .t_min = f->now - f->lookback + 1, .t_max = f->now,
                                    .start = f->now, .end = f->now, .step = 1,
                                    .window = f->lookback, .wants_origin = true, .func = ""};
    f->sets = ARENA_ARRAY(c->q->arena, struct series_set, selectors->n);
    f->n_sets = selectors->n;
    return c->source->ops->select(c->source, c->q, wanted, selectors->n, f->sets, &c->err);
}

static void federate_add(struct federation *f, const struct federated *newest)
{
    mem_grow(&f->items, &f->cap, f->n + 1, sizeof *f->items);
    f->items[f->n++] = *newest;
}

/* A float or a histogram, whichever is newer. Histograms live until the query ends. */
static void add_latest(struct federation *f, const struct series_set *set, const struct series *s)
{
    const struct hist_sample *hist = s->n_hists > 0 ? &s->hists[s->n_hists - 1] : NULL;
    const struct sample *newest = s->n_samples > 0 ? &s->samples[s->n_samples - 1] : NULL;
    if (hist && (newest == NULL || hist->t > newest->t)) {
        if (!histogram_is_stale(hist->h))
            federate_add(f, &(struct federated){s->labels, hist->t, 0, hist->h});
    } else if (newest && !is_stale(newest->v)) {
        bool origin = set->exact && s->origins;
        federate_add(f, &(struct federated){s->labels, origin ? s->origins[s->n_samples - 1] : newest->t, newest->v,
                                            NULL});
    }
}

static bool federate_gather(struct api_call *c, struct federation *f, struct series_set *set)
{
    struct series s;
    for (size_t i = 0; i < set->n; i++) {
        if (!series_set_get(set, i, &s, &c->err) || !api_charge(c, QUERY_CHARGE_LABELS + s.n_samples))
            return false;
        add_latest(f, set, &s);
    }
    return true;
}

static bool add_external_labels(struct api_call *c, struct federation *f)
{
    const struct str_map *external = &c->r->config->global.external_labels;
    for (size_t k = 0; k < external->n; k++)
        for (size_t i = 0; i < f->n; i++) {
            if (!api_charge(c, QUERY_CHARGE_LABELS))
                return false;
            if (labels_get(f->items[i].labels, external->keys[k]).p == NULL)
                f->items[i].labels = labels_with(c->q->arena, f->items[i].labels, external->keys[k],
                                                 external->values[k]);
        }
    return true;
}

/* ---- writing ---- */

static int federate_compare_names(const void *a, const void *b)
{
    const struct federated *x = a, *y = b;
    int order = str_cmp(labels_name(x->labels), labels_name(y->labels));
    return order ? order : labels_cmp(x->labels, y->labels);
}

static bool federate_collect(struct api_call *c)
{
    struct selector_params selectors;
    struct federation *f = ARENA_NEW(c->q->arena, struct federation);
    *f = (struct federation){.now = clock_wall_ms(), .lookback = c->session->service.lookback};
    c->session->end = federate_end;
    c->session->end_arg = f;
    if (!param_selectors(c->q->arena, &c->r->form, &selectors, &c->err) || !federate_select(c, f, &selectors))
        return false;
    for (size_t i = 0; i < f->n_sets; i++)
        if (!federate_gather(c, f, &f->sets[i]))
            return false;
    if (!add_external_labels(c, f) || !api_sort(c, f->items, f->n, sizeof *f->items, federate_compare_names))
        return false;
    struct federation_accept accept = federation_negotiate(http_header(c->r, "Accept"));
    c->r->content_type = federation_content_type(accept);
    api_reply_begin(c);
    bool whole = (accept.format == FEDERATION_TEXT ? federation_write_text : federation_write_protobuf)(
        &c->r->out, f->items, f->n, accept.escaping, &c->work, &c->err);
    return api_reply_end(c) && whole;
}

void api_federate(struct http_request *r) { api_respond_plain(r, federate_collect, http_error_text); }
