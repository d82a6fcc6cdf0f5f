// SPDX-License-Identifier: Apache-2.0
/* Series as Prometheus' receiver of OpenTelemetry makes them by default: names with underscores, units and `total`; labels
 * job (service.namespace/service.name) and instance (service.instance.id); the other attributes of a resource are labels of
 * target_info, which has a sample for each half of the lookback in which the resource has data points.
 */
#include "gateway/ingest/otlp/otlp.h"
#include "gateway/ingest/otlp/otlp_names.h"

#include <stdlib.h>

enum { TARGET_INTERVAL = 150000 /* ms: half of the default lookback */, TARGET_SAMPLES = 256 /* of a resource at most */ };

static int compare_label_names(const void *a, const void *b)
{
    return str_cmp(((const struct label *)a)->name, ((const struct label *)b)->name);
}

struct ordered_label { struct label label; size_t order; };

static int compare_ordered_labels(const void *a, const void *b)
{
    const struct ordered_label *x = a, *y = b;
    int c = str_cmp(x->label.name, y->label.name);
    return c ? c : x->order < y->order ? -1 : 1;
}

bool otlp_prometheus_labels(struct arena *a, struct otlp_labels *l, struct err *err)
{
    struct ordered_label *sorted = ARENA_ARRAY(a, struct ordered_label, l->n + 1);
    size_t n = 0;
    if (l->n > 1)
        qsort(l->items, l->n, sizeof *l->items, compare_label_names);
    for (size_t i = 0; i < l->n; i++)
        if (!str_is(l->items[i].name, METRIC_NAME))
            sorted[n++] = (struct ordered_label){{otlp_label_name(a, l->items[i].name, true), l->items[i].value}, i};
    qsort(sorted, n, sizeof *sorted, compare_ordered_labels);
    l->n = 0;
    for (size_t i = 0; i < n; i++) {
        struct label *last = l->n > 0 ? &l->items[l->n - 1] : NULL;
        if (last == NULL || !str_eq(last->name, sorted[i].label.name)) {
            l->items[l->n++] = sorted[i].label;
            continue;
        }
        if (!otlp_reserve_text(l, last->value.n + 1 + sorted[i].label.value.n, err))
            return false;
        last->value = arena_printf(a, "%.*s;%.*s", STR_ARG(last->value), STR_ARG(sorted[i].label.value));
    }
    return true;
}

bool otlp_prometheus_resource(struct otlp_state *s, struct err *err)
{
    struct str service = STR_NONE, space = STR_NONE, instance = STR_NONE;
    struct otlp_labels all = s->labels, own = {.whole_maps = true};
    s->target = (struct otlp_labels){.items = ARENA_ARRAY(&s->arena, struct label, all.n + 2), .bytes = all.bytes};
    for (size_t i = 0; i < all.n; i++) {
        struct label l = all.items[i];
        if (str_is(l.name, "service.name"))
            service = l.value;
        else if (str_is(l.name, "service.namespace"))
            space = l.value;
        else if (str_is(l.name, "service.instance.id"))
            instance = l.value;
        else
            s->target.items[s->target.n++] = l;
    }
    own.items = ARENA_ARRAY(&s->arena, struct label, 2);
    own.cap = 2;
    if (service.n > 0)
        own.items[own.n++] = (struct label){STR("job"), space.n > 0 ? arena_printf(&s->arena, "%.*s/%.*s", STR_ARG(space),
                                                                                  STR_ARG(service)) : service};
    if (instance.n > 0)
        own.items[own.n++] = (struct label){STR("instance"), instance};
    s->labels = own;
    if (own.n == 0)
        s->target.n = 0;
    return otlp_prometheus_labels(&s->arena, &s->target, err);
}

static bool report_target(struct ingest *in, struct err *err)
{
    struct otlp_state *s = in->state;
    struct sample samples[TARGET_SAMPLES];
    size_t n = 0;
    for (int64_t t = s->target_from; n + 1 < TARGET_SAMPLES && t < s->target_to; t += TARGET_INTERVAL)
        samples[n++] = (struct sample){t, 1};
    samples[n++] = (struct sample){s->target_to, 1};
    ingest_series_begin(in);
    for (size_t i = 0; i < s->target.n; i++)
        if (!ingest_label(in, s->target.items[i].name, s->target.items[i].value, err))
            return false;
    for (size_t i = 0; i < s->resource_labels.n; i++)
        builder_set(in->labels, s->resource_labels.items[i].name, s->resource_labels.items[i].value);
    builder_set(in->labels, STR(METRIC_NAME), STR("target_info"));
    return ingest_series_end(in, samples, n, err);
}

void otlp_prometheus_target(struct ingest *in)
{
    struct otlp_state *s = in->state;
    struct err err;
    if (s->target.n == 0 || s->target_from > s->target_to)
        return;
    ingest_metadata(in, &(struct metadata){.family = STR("target_info"), .help = STR("Target metadata"), .type = METRIC_GAUGE});
    if (!report_target(in, &err))
        ingest_skip(in, &err);
}
