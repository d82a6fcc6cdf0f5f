// SPDX-License-Identifier: Apache-2.0
/* Results of a group: what its words say, under the names that vmagent gives them. */
#include "writer/aggregate/aggregate_internal.h"

static const double largest_exact = 9007199254740992.0; /* 2^53: from there on a double cannot count by one */

struct result { /* of a group and an output, while it is written */
    struct aggregate *a;
    struct aggregate_part *p;
    const struct aggregate_output_group *g;
    const struct aggregate_results *to;
    const char *output;
    uint64_t n;
};

/* The group's labels with the result's name, by copying what is before and after the name. */
static struct labels aggregate_result_labels(struct result *r, struct labels from)
{
    struct buf *out = &r->a->out, *name = &r->a->text;
    struct labels_iter it = labels_iter(from);
    const uint8_t *before = from.p, *after = from.p;
    struct label label = {0};
    bool named = false;
    while (!named && labels_next(&it, &label)) {
        int order = str_cmp(label.name, STR(METRIC_NAME));
        named = order == 0;
        if (order <= 0)
            after = it.p;
        if (order >= 0)
            break;
        before = it.p;
    }
    buf_clear(name);
    if (named)
        buf_add_str(name, label.value);
    buf_add_str(name, r->p->rule->suffix);
    buf_add_z(name, r->output);
    buf_clear(out);
    buf_add(out, from.p, (size_t)(before - from.p));
    labels_append(out, STR(METRIC_NAME), buf_str(name));
    buf_add(out, after, (size_t)(from.p + from.n - after));
    return (struct labels){(const uint8_t *)out->p, (uint32_t)out->n, from.count + !named};
}

static void result_write(struct result *r, double v, const char *label_name, struct str label_value)
{
    struct aggregate *a = r->a;
    const struct aggregate_rule *rule = r->p->rule;
    struct labels labels = {r->g->labels, r->g->n, r->g->count};
    struct sample sample = {r->p->flush_time, v};
    if (r->to == NULL)
        return;
    if (!rule->keep_metric_names)
        labels = aggregate_result_labels(r, labels);
    if (label_name || rule->output_relabel.n > 0) {
        struct arena_mark mark = arena_mark(&a->scratch);
        builder_start(&a->builder, labels);
        if (label_name)
            builder_set(&a->builder, str_of(label_name), label_value);
        bool kept = relabel_apply(relabel_rules(rule->output_relabel), &a->builder);
        buf_clear(&a->text);
        if (kept)
            labels = builder_append(&a->builder, &a->text);
        arena_release(&a->scratch, mark);
        if (!kept)
            return;
    }
    if (labels.count == 0)
        return;
    r->to->write(r->to->arg, labels, &sample);
    r->n++;
}

static void result_value(struct result *r, double v) { result_write(r, v, NULL, STR_NONE); }

/* Adds to a sum that is written as a counter, and starts it again before it stops counting exactly. */
static double result_accumulate(union aggregate_word *total, double more)
{
    double sum = total->d + more;
    total->d = fabs(sum) >= largest_exact ? 0 : sum;
    return sum;
}

static void result_buckets(struct result *r, union aggregate_word *total, union aggregate_word *window)
{
    struct vmrange_counts *more = window->buckets;
    for (uint32_t i = 0; more && i < more->n; i++)
        vmrange_add(&total->buckets, more->counts[i].bucket, more->counts[i].count);
    struct vmrange_counts *all = total->buckets;
    struct buf text = {0};
    for (uint32_t i = 0; all && i < all->n; i++) {
        buf_clear(&text);
        vmrange_text(&text, all->counts[i].bucket);
        result_write(r, (double)all->counts[i].count, "vmrange", buf_str(&text));
    }
    buf_free(&text);
}

static void result_quantiles(struct result *r, const struct aggregate_output *o, struct value_sample *sample)
{
    value_sample_sort(sample);
    for (size_t i = 0; i < o->n_phis; i++)
        result_write(r, value_sample_quantile(sample, o->phis[i]), "quantile", o->phi_texts[i]);
}

/* Some results are written without samples too, as long as the group is remembered. */
static void result_of(struct result *r, const struct aggregate_output *o, struct aggregate_output_group *g, union aggregate_word *w)
{
    const struct aggregate_layout *l = &r->p->layout;
    uint64_t n = w[0].u;
    switch (o->kind) {
    case AGGREGATE_SUM_SAMPLES: result_value(r, w[l->sum].d); return;
    case AGGREGATE_SUM_SAMPLES_TOTAL: result_value(r, result_accumulate(&g->words[l->sum_total], w[l->sum].d)); return;
    case AGGREGATE_TOTAL: result_value(r, result_accumulate(&g->words[l->total], w[l->increase].d)); return;
    case AGGREGATE_TOTAL_PROMETHEUS:
        result_value(r, result_accumulate(&g->words[l->total_known], w[l->increase_known].d));
        return;
    case AGGREGATE_HISTOGRAM_BUCKET: result_buckets(r, &g->words[l->buckets_total], &w[l->buckets]); return;
    case AGGREGATE_RATE_SUM:
    case AGGREGATE_RATE_AVG: {
        uint64_t series = g->words[l->rate_n].u;
        double sum = g->words[l->rate].d;
        if (series > 0)
            result_value(r, o->kind == AGGREGATE_RATE_AVG ? sum / (double)series : sum);
        return;
    }
    default: break;
    }
    if (n == 0)
        return;
    switch (o->kind) {
    case AGGREGATE_AVG: result_value(r, w[l->sum].d / (double)n); return;
    case AGGREGATE_COUNT_SAMPLES: result_value(r, (double)n); return;
    case AGGREGATE_COUNT_SERIES: result_value(r, (double)w[l->series].u); return;
    case AGGREGATE_INCREASE: result_value(r, w[l->increase].d); return;
    case AGGREGATE_INCREASE_PROMETHEUS: result_value(r, w[l->increase_known].d); return;
    case AGGREGATE_LAST:
        if (w[l->last_t].i > 0)
            result_value(r, w[l->last].d);
        return;
    case AGGREGATE_MAX: result_value(r, w[l->max].d); return;
    case AGGREGATE_MIN: result_value(r, w[l->min].d); return;
    case AGGREGATE_QUANTILES: result_quantiles(r, o, w[l->sample].sample); return;
    case AGGREGATE_STDDEV: result_value(r, sqrt(w[l->squares].d / (double)n)); return;
    case AGGREGATE_STDVAR: result_value(r, w[l->squares].d / (double)n); return;
    case AGGREGATE_UNIQUE_SAMPLES: result_value(r, (double)value_set_count(w[l->values].values)); return;
    default: return;
    }
}

void aggregate_write_results(struct aggregate *a, struct aggregate_part *p, struct aggregate_output_group *g, unsigned window,
                             const struct aggregate_results *to)
{
    union aggregate_word *w = aggregate_window(p, g, window);
    struct result r = {.a = a, .p = p, .g = g, .to = to};
    for (size_t i = 0; i < p->rule->n_outputs; i++) {
        r.output = aggregate_kind_name(p->rule->outputs[i].kind);
        result_of(&r, &p->rule->outputs[i], g, w);
    }
    if (p->layout.rate)
        g->words[p->layout.rate].u = g->words[p->layout.rate_n].u = 0;
    aggregate_group_clear_window(p, w);
    aggregate_count(&p->counts->output_samples, r.n);
}
