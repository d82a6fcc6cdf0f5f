// SPDX-License-Identifier: Apache-2.0
/* Series as Prometheus' receiver of OpenTelemetry makes them by default: names with underscores, units and `total`; labels
 * job (service.namespace/service.name) and instance (service.instance.id); the other attributes of a resource are labels of
 * target_info, which has a sample for each half of the lookback in which the resource has data points. The section `otlp`
 * of the configuration changes this. Sources: prometheus/storage/remote/otlptranslator, github.com/prometheus/otlptranslator.
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

static struct str otlp_prometheus_label(const struct otlp_conf *c, struct arena *a, struct str name)
{
    return otlp_conf_escapes(c) ? otlp_label_name(a, name, c->label_underscore) : name;
}

bool otlp_prometheus_labels(const struct otlp_conf *c, struct arena *a, struct otlp_labels *l, struct err *err)
{
    struct ordered_label *sorted = ARENA_ARRAY(a, struct ordered_label, l->n + 1);
    size_t n = 0;
    if (l->n > 1)
        qsort(l->items, l->n, sizeof *l->items, compare_label_names);
    for (size_t i = 0; i < l->n; i++)
        if (!str_is(l->items[i].name, METRIC_NAME))
            sorted[n++] = (struct ordered_label){{otlp_prometheus_label(c, a, l->items[i].name), l->items[i].value}, i};
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

static bool otlp_identifies(struct str name)
{
    return str_is(name, "service.name") || str_is(name, "service.namespace") || str_is(name, "service.instance.id");
}

static bool otlp_promotes(const struct otlp_conf *c, struct str name)
{
    return c->promote_all ? !otlp_list_has(&c->ignored, name) : otlp_list_has(&c->promoted, name);
}

/* Of those that become the same label the first one counts. */
static void otlp_promote(struct otlp_state *s, const struct otlp_labels *all)
{
    s->promoted = (struct otlp_labels){.items = ARENA_ARRAY(&s->arena, struct label, all->n)};
    for (size_t i = 0; i < all->n; i++)
        if (otlp_promotes(s->conf, all->items[i].name) && !str_is(all->items[i].name, METRIC_NAME))
            s->promoted.items[s->promoted.n++] = (struct label){
                otlp_prometheus_label(s->conf, &s->arena, all->items[i].name), all->items[i].value};
}

static bool read_promoted_scope(struct otlp_state *s, struct str scope, struct str *name, struct str *version, struct err *err)
{
    struct pb_cursor c = pb_cursor_of(scope);
    struct pb_field f;
    size_t from = s->labels.n;
    while (pb_next(&c.p, c.end, &f)) {
        if (f.number == 1)
            *name = f.bytes;
        else if (f.number == 2)
            *version = f.bytes;
        else if (f.number == 3 && !otlp_add_attribute(&s->arena, &s->labels, STR_NONE, f.bytes, err))
            return false;
    }
    for (size_t i = from; i < s->labels.n; i++) {
        struct str key = s->labels.items[i].name;
        if (!otlp_reserve_text(&s->labels, key.n, err))
            return false;
        key = arena_printf(&s->arena, "otel_scope_%.*s", STR_ARG(key));
        s->labels.items[i].name = otlp_prometheus_label(s->conf, &s->arena, key);
    }
    return c.p == c.end || otlp_bad(err, "a scope");
}

bool otlp_prometheus_scope(struct otlp_state *s, struct str scope_metrics, struct err *err)
{
    struct pb_cursor c = pb_cursor_of(scope_metrics);
    struct pb_field f;
    struct str name = STR_NONE, version = STR_NONE, schema = STR_NONE;
    while (s->conf->promote_scope && pb_next(&c.p, c.end, &f)) {
        if (f.number == 1 && !read_promoted_scope(s, f.bytes, &name, &version, err))
            return false;
        if (f.number == 3)
            schema = f.bytes;
    }
    if (name.n == 0) {
        s->labels = s->resource_labels;
        return true;
    }
    otlp_add_scope_label(s, "otel_scope_name", name);
    otlp_add_scope_label(s, "otel_scope_version", version);
    otlp_add_scope_label(s, "otel_scope_schema_url", schema);
    return true;
}

void otlp_prometheus_name(struct otlp_state *s, enum otlp_name_kind kind)
{
    switch ((enum otlp_strategy)s->conf->strategy) {
    case OTLP_ESCAPED_WITH_SUFFIXES: otlp_name_prometheus(&s->full_name, s->name, s->unit, kind); break;
    case OTLP_ESCAPED: otlp_name_escaped(&s->full_name, s->name); break;
    case OTLP_UTF8_WITH_SUFFIXES: otlp_name_utf8(&s->full_name, s->name, s->unit, kind); break;
    case OTLP_UNTRANSLATED: buf_add_str(&s->full_name, s->name); break;
    }
}

bool otlp_prometheus_resource(struct otlp_state *s, struct err *err)
{
    struct str service = STR_NONE, space = STR_NONE, instance = STR_NONE;
    struct otlp_labels all = s->labels, own = {.whole_maps = true};
    size_t others = 0;
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
            others++;
        if (s->conf->keep_identifying || !otlp_identifies(l.name))
            s->target.items[s->target.n++] = l;
    }
    otlp_promote(s, &all);
    own.items = ARENA_ARRAY(&s->arena, struct label, 2);
    own.cap = 2;
    if (service.n > 0)
        own.items[own.n++] = (struct label){STR("job"), space.n > 0 ? arena_printf(&s->arena, "%.*s/%.*s", STR_ARG(space),
                                                                                  STR_ARG(service)) : service};
    if (instance.n > 0)
        own.items[own.n++] = (struct label){STR("instance"), instance};
    s->labels = own;
    if (own.n == 0 || others == 0)
        s->target.n = 0;
    return otlp_prometheus_labels(s->conf, &s->arena, &s->target, err);
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
