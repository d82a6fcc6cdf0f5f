// SPDX-License-Identifier: Apache-2.0
/* Exemplars of the series that the selectors of an expression match, in the form of prometheus.Exemplar messages:
 *   Exemplar { repeated Label labels = 1; double value = 2; int64 timestamp = 3; }
 */
#include "gateway/api/call.h"
#include "gateway/query/params.h"
#include "gateway/api/query.h"
#include "gateway/query/render.h"
#include "model/remote_write.h"
#include "base/protobuf.h"

struct exemplar { struct labels labels; double v; int64_t t; };

static struct exemplar read_exemplar(struct str message, struct buf *labels)
{
    const uint8_t *p = (const uint8_t *)message.p, *end = p + message.n;
    struct exemplar e = {0};
    struct pb_field f;
    buf_clear(labels);
    while (pb_next(&p, end, &f)) {
        if (f.number == 1 && f.wire == 2)
            pb_add_bytes(labels, 1, f.bytes);
        else if (f.number == 2 && f.wire == 1)
            e.v = double_from_bits(f.value);
        else if (f.number == 3 && f.wire == 0)
            e.t = (int64_t)f.value;
    }
    e.labels = (struct labels){(const uint8_t *)labels->p, (uint32_t)labels->n, 0};
    return e;
}

/* Their labels are in the order in which they were sent. */
static void write_exemplar_labels(struct json_writer *w, struct labels l)
{
    struct labels_iter it = labels_iter(l);
    struct label label;
    json_begin_object(w);
    while (labels_next_checked(&it, &label)) {
        json_key_str(w, label.name);
        json_str(w, label.value);
    }
    json_end_object(w);
}

static void write_exemplar(struct json_writer *w, const struct exemplar *e)
{
    json_begin_object(w);
    json_key(w, "labels");
    write_exemplar_labels(w, e->labels);
    json_key(w, "value");
    json_num_str(w, e->v);
    json_key(w, "timestamp");
    json_ms(w, e->t);
    json_end_object(w);
}

static bool write_set(struct api_call *c, const struct exemplar_set *set)
{
    struct json_writer *w = &c->json;
    struct buf labels = {0};
    bool whole = true;
    json_begin_array(w);
    for (size_t i = 0; whole && i < set->n; i++) {
        whole = api_charge(c, (1 + set->items[i].n) * QUERY_CHARGE_WRITE);
        json_begin_object(w);
        json_key(w, "seriesLabels");
        render_labels(w, set->items[i].labels);
        json_key(w, "exemplars");
        json_begin_array(w);
        for (size_t k = 0; k < set->items[i].n; k++) {
            struct exemplar e = read_exemplar(set->items[i].exemplars[k], &labels);
            write_exemplar(w, &e);
        }
        json_end_array(w);
        json_end_object(w);
    }
    json_end_array(w);
    buf_free(&labels);
    return whole;
}

static bool api_exemplars_list(struct api_call *c)
{
    struct series_query sq = {0};
    struct exemplar_set set = {0};
    const struct source_ops *ops = c->source->ops;
    if (!param_window(&c->r->form, &sq.t_min, &sq.t_max, &c->err))
        return false;
    if (sq.t_max < sq.t_min)
        return err_set(&c->err, ERR_BAD_DATA, "end timestamp must not be before start timestamp");
    struct expr *tree = api_parse(c);
    if (tree == NULL)
        return false;
    sq.n_sets = promql_selectors(c->q->arena, tree, &sq.sets, &sq.set_sizes);
    if (sq.n_sets == 0) {
        c->r->status = 204;
        return true;
    }
    if (ops->exemplars && !ops->exemplars(c->source, c->q, &sq, &set, &c->err))
        return false;
    return write_set(c, &set);
}

void api_query_exemplars(struct http_request *r) { api_respond(r, api_exemplars_list); }
