// SPDX-License-Identifier: Apache-2.0
/* Series, label names and label values. The upstream may return more than the limit; the response has the first ones in
 * order.
 */
#include "gateway/api/call.h"
#include "gateway/query/params.h"
#include "gateway/api/query.h"
#include "gateway/query/render.h"
#include "model/labels_sort.h"
#include "model/str_sort.h"

/* limit, start, end and match[], in the order in which Prometheus checks them. */
static bool api_series_read_params(struct api_call *c, struct series_query *sq, bool prefixed)
{
    const struct form *f = &c->r->form;
    struct selector_params selectors;
    if (!param_limit(f, &sq->limit, &c->err) || !param_window(f, &sq->t_min, &sq->t_max, &c->err))
        return false;
    if (!param_selectors(c->q->arena, f, &selectors, &c->err) || !param_selectors_narrow(&selectors, &c->err))
        return prefixed && c->err.kind == ERR_BAD_DATA ? err_wrap(&c->err, "invalid parameter \"match[]\"") : false;
    sq->sets = selectors.sets;
    sq->set_sizes = selectors.sizes;
    sq->n_sets = selectors.n;
    return true;
}

/* A window that ends before it begins is empty, and no error. */
static bool api_series_window_empty(const struct series_query *sq) { return sq->t_min > sq->t_max; }

static size_t api_series_limit(struct api_call *c, size_t n, size_t limit, bool truncated)
{
    bool over = limit > 0 && n > limit;
    if (over || truncated)
        query_note_truncated(c->q);
    return over ? limit : n;
}

static bool write_strings(struct api_call *c, const struct series_query *sq, struct str_set *set)
{
    if (!str_sort(&c->work, c->q->arena, set->items, set->n, &c->err))
        return false;
    size_t n = api_series_limit(c, set->n, sq->limit, set->truncated);
    json_begin_array(&c->json);
    for (size_t i = 0; i < n; i++) {
        if (!api_charge(c, QUERY_CHARGE_LABELS))
            return false;
        json_html_str(&c->json, set->items[i]);
    }
    json_end_array(&c->json);
    return true;
}

static bool api_series_write_labels(struct api_call *c, const struct series_query *sq, struct labels_set *set)
{
    if (!labels_sort(&c->work, c->q->arena, set->items, set->n, sizeof *set->items, 0, &c->err))
        return false;
    size_t n = api_series_limit(c, set->n, sq->limit, set->truncated);
    json_begin_array(&c->json);
    for (size_t i = 0; i < n; i++) {
        if (!api_charge(c, QUERY_CHARGE_WRITE))
            return false;
        render_labels(&c->json, set->items[i]);
    }
    json_end_array(&c->json);
    return true;
}

static bool api_series_list(struct api_call *c)
{
    struct series_query sq = {0};
    struct labels_set set = {0};
    if (form_count(&c->r->form, "match[]") == 0)
        return err_set(&c->err, ERR_BAD_DATA, "no match[] parameter provided");
    if (!api_series_read_params(c, &sq, true))
        return false;
    if (!api_series_window_empty(&sq) && !c->source->ops->series(c->source, c->q, &sq, &set, &c->err))
        return false;
    return api_series_write_labels(c, &sq, &set);
}

static bool series_list_labels(struct api_call *c)
{
    struct series_query sq = {0};
    struct str_set set = {0};
    if (!api_series_read_params(c, &sq, false))
        return false;
    if (!api_series_window_empty(&sq) && !c->source->ops->label_names(c->source, c->q, &sq, &set, &c->err))
        return false;
    return write_strings(c, &sq, &set);
}

static bool api_label_values_list(struct api_call *c)
{
    struct series_query sq = {0};
    struct str_set set = {0};
    struct str name;
    if (!param_label_name(c->q->arena, c->r->tail, &name, &c->err) || !api_series_read_params(c, &sq, false))
        return false;
    if (!api_series_window_empty(&sq) && !c->source->ops->label_values(c->source, c->q, name, &sq, &set, &c->err))
        return false;
    return write_strings(c, &sq, &set);
}

void api_series(struct http_request *r) { api_respond(r, api_series_list); }
void api_labels(struct http_request *r) { api_respond(r, series_list_labels); }
void api_label_values(struct http_request *r) { api_respond(r, api_label_values_list); }
