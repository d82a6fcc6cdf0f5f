// SPDX-License-Identifier: Apache-2.0
#include "writer/aggregate/aggregate_counters.h"

#include "base/refs.h"
#include "base/text/num.h"

enum { REPORT_LABELS = 7 };
struct aggregate_counters {
    struct refs refs;
    uint64_t identity;               /* of the rule */
    char *name, *outputs;            /* outputs: joined by commas */
    char **counters; size_t n_counters; /* the outputs that follow counters */
    bool dedup, passes;
    _Atomic(struct aggregate_counts *) lanes[AGGREGATE_MOST_LANES];
};
struct aggregate_report {
    struct refs refs;
    char *path, *url, *dedup_url;
    struct aggregate_counters **rules; size_t n;
};

/* ---- of a rule --------------------------------------------------------------------------------------------------- */

static struct aggregate_counters *aggregate_counters_new(const struct aggregate_rule *r)
{
    struct aggregate_counters *c = mem_zalloc(sizeof *c);
    struct buf outputs = {0};
    refs_init(&c->refs);
    c->identity = r->identity;
    c->name = str_dup(r->name.n > 0 ? r->name : STR("none"));
    c->dedup = r->dedup_interval > 0;
    c->passes = r->passes;
    c->counters = mem_zalloc((r->n_outputs + 1) * sizeof *c->counters);
    for (size_t i = 0; i < r->n_outputs; i++) {
        buf_printf(&outputs, "%s%.*s", i > 0 ? "," : "", STR_ARG(r->outputs[i].text));
        if (aggregate_kind_follows_counters(r->outputs[i].kind))
            c->counters[c->n_counters++] = str_dup(r->outputs[i].text);
    }
    c->outputs = str_dup(buf_str(&outputs));
    buf_free(&outputs);
    return c;
}

static void aggregate_counters_unref(struct aggregate_counters *c)
{
    if (!refs_drop(&c->refs))
        return;
    for (unsigned i = 0; i < AGGREGATE_MOST_LANES; i++)
        mem_free(atomic_load(&c->lanes[i]));
    for (size_t i = 0; i < c->n_counters; i++)
        mem_free(c->counters[i]);
    mem_free(c->counters);
    mem_free(c->name);
    mem_free(c->outputs);
    mem_free(c);
}

struct aggregate_counts *aggregate_counters_lane(struct aggregate_counters *c, unsigned lane)
{
    _Atomic(struct aggregate_counts *) *at = &c->lanes[lane];
    struct aggregate_counts *counts = atomic_load_explicit(at, memory_order_acquire);
    if (counts == NULL) {
        counts = mem_zalloc(sizeof *counts);
        atomic_store_explicit(at, counts, memory_order_release);
    }
    return counts;
}

/* ---- of a stage -------------------------------------------------------------------------------------------------- */

struct aggregate_report *aggregate_report_new(struct str path, struct str url, struct str dedup_url,
                                              const struct aggregate_rule *const *rules, size_t n)
{
    struct aggregate_report *r = mem_zalloc(sizeof *r);
    refs_init(&r->refs);
    r->path = str_dup(path);
    r->url = str_dup(url);
    r->dedup_url = str_dup(dedup_url);
    r->rules = mem_zalloc((n + 1) * sizeof *r->rules);
    r->n = n;
    for (size_t i = 0; i < n; i++)
        r->rules[i] = aggregate_counters_new(rules[i]);
    return r;
}

struct aggregate_report *aggregate_report_ref(struct aggregate_report *r)
{
    refs_take(&r->refs);
    return r;
}

void aggregate_report_unref(struct aggregate_report *r)
{
    if (r == NULL || !refs_drop(&r->refs))
        return;
    for (size_t i = 0; i < r->n; i++)
        aggregate_counters_unref(r->rules[i]);
    mem_free(r->rules);
    mem_free(r->path);
    mem_free(r->url);
    mem_free(r->dedup_url);
    mem_free(r);
}

/* Of several equal rules each gets its own, in their order, as aggregate_adopt() does with their state. */
void aggregate_report_adopt(struct aggregate_report *r, const struct aggregate_report *old)
{
    bool *taken = mem_zalloc((old->n + 1) * sizeof *taken);
    for (size_t i = 0; i < r->n; i++) {
        size_t k = 0;
        while (k < old->n && (taken[k] || old->rules[k]->identity != r->rules[i]->identity))
            k++;
        if (k == old->n)
            continue;
        taken[k] = true;
        aggregate_counters_unref(r->rules[i]);
        r->rules[i] = old->rules[k];
        refs_take(&r->rules[i]->refs);
    }
    mem_free(taken);
}

struct aggregate_counters *aggregate_report_rule(const struct aggregate_report *r, size_t rule)
{
    return r->rules[rule];
}

/* ---- /metrics ---------------------------------------------------------------------------------------------------- */

struct report_family {
    const char *name;
    enum stats_kind kind;
    const char *help;
    size_t at;                       /* in struct aggregate_counts; of a histogram: struct aggregate_histogram */
    enum { OF_ALL, OF_RULES, OF_DEDUP, OF_COUNTERS } of;
    const char *reason;              /* a label; families with several reasons are adjacent */
    double unit;
};
#define COUNT(field) offsetof(struct aggregate_counts, field)
static const struct report_family report_families[] = {
    {"vm_streamaggr_matched_samples_total", STATS_COUNTER, "Samples that a rule has taken", COUNT(matched), OF_RULES,
     NULL, 1},
    {"vm_streamaggr_ignored_samples_total", STATS_COUNTER, "Samples that a rule matches and ignores",
     COUNT(ignored_nan), OF_RULES, "nan", 1},
    {"vm_streamaggr_ignored_samples_total", STATS_COUNTER, NULL, COUNT(ignored_old), OF_RULES, "too_old", 1},
    {"vm_streamaggr_output_samples_total", STATS_COUNTER, "Samples that a rule has written", COUNT(output_samples),
     OF_ALL, NULL, 1},
    {"vm_streamaggr_counter_resets_total", STATS_COUNTER, "Counters that have been reset, by output",
     COUNT(counter_resets), OF_COUNTERS, NULL, 1},
    {"vm_streamaggr_flush_timeouts_total", STATS_COUNTER,
     "Intervals whose results were written later than an interval after their end", COUNT(flush_timeouts), OF_RULES,
     NULL, 1},
    {"vm_streamaggr_flush_duration_seconds", STATS_HISTOGRAM, "CPU time for the results of an interval, of each lane",
     COUNT(flush), OF_RULES, NULL, 1e9},
    {"vm_streamaggr_samples_lag_seconds", STATS_HISTOGRAM, "Largest delay of the samples of an interval, of each lane",
     COUNT(lag), OF_RULES, NULL, 1e9},
    {"vm_streamaggr_dedup_dropped_samples_total", STATS_COUNTER, "Samples that deduplication has dropped",
     COUNT(dedup_dropped), OF_DEDUP, NULL, 1},
    {"vm_streamaggr_dedup_flush_timeouts_total", STATS_COUNTER,
     "Deduplication intervals that were ended later than an interval after their end", COUNT(dedup_flush_timeouts),
     OF_DEDUP, NULL, 1},
    {"vm_streamaggr_dedup_flush_duration_seconds", STATS_HISTOGRAM,
     "CPU time for the end of a deduplication interval, of each lane", COUNT(dedup_flush), OF_DEDUP, NULL, 1e9},
    {"vm_streamaggr_dedup_state_items_count", STATS_GAUGE, "Series that are deduplicated", COUNT(series), OF_DEDUP,
     NULL, 1},
    {"sluice_streamaggr_series", STATS_GAUGE, "Input series that are remembered one by one", COUNT(series), OF_RULES,
     NULL, 1},
    {"sluice_streamaggr_groups", STATS_GAUGE, "Groups of series that are remembered", COUNT(groups), OF_RULES, NULL, 1},
    {"sluice_streamaggr_state_bytes", STATS_GAUGE, "Bytes of the state of a rule", COUNT(bytes), OF_ALL, NULL, 1}};
#undef COUNT

struct report_labels { struct stats_label items[REPORT_LABELS]; unsigned n; char position[NUM_MAX]; };

static void report_label(struct report_labels *l, const char *name, const char *value)
{
    l->items[l->n++] = (struct stats_label){name, str_of(value)};
}

static void report_label_rule(struct report_labels *l, const struct aggregate_report *r, size_t rule)
{
    const struct aggregate_counters *c = r->rules[rule];
    l->position[num_format_i64(l->position, (int64_t)rule + 1)] = 0;
    if (!c->passes)
        report_label(l, "outputs", c->outputs);
    report_label(l, "name", c->name);
    if (!c->passes)
        report_label(l, "path", r->path);
    report_label(l, "url", c->passes ? r->dedup_url : r->url);
    if (!c->passes)
        report_label(l, "position", l->position);
}

static double report_sum(const struct aggregate_counters *c, size_t at)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < AGGREGATE_MOST_LANES; i++) {
        const char *lane = (const char *)atomic_load_explicit(&c->lanes[i], memory_order_acquire);
        if (lane)
            sum += atomic_load_explicit((const atomic_ullong *)(lane + at), memory_order_relaxed);
    }
    return (double)sum;
}

static void report_histogram(struct stats_out *out, const struct report_family *f, const struct aggregate_counters *c,
                             const struct report_labels *labels)
{
    struct buf name = {0};
    struct report_labels with = *labels;
    double count = 0;
    char bound[NUM_MAX];
    buf_printf(&name, "%s_bucket", f->name);
    for (unsigned i = 0; i <= AGGREGATE_BOUNDS; i++) {
        count += report_sum(c, f->at + offsetof(struct aggregate_histogram, buckets) + i * sizeof(atomic_ullong));
        bound[i < AGGREGATE_BOUNDS ? num_format_go(bound, aggregate_bounds[i]) : 0] = 0;
        with.items[labels->n] = (struct stats_label){"le", i < AGGREGATE_BOUNDS ? str_of(bound) : STR("+Inf")};
        stats_value(out, buf_z(&name), with.items, labels->n + 1, count);
    }
    buf_clear(&name);
    buf_printf(&name, "%s_sum", f->name);
    stats_value(out, buf_z(&name), labels->items, labels->n,
                report_sum(c, f->at + offsetof(struct aggregate_histogram, sum_ns)) / f->unit);
    buf_clear(&name);
    buf_printf(&name, "%s_count", f->name);
    stats_value(out, buf_z(&name), labels->items, labels->n, count);
    buf_free(&name);
}

static void report_value(struct stats_out *out, const struct report_family *f, const struct aggregate_report *r,
                         size_t rule)
{
    const struct aggregate_counters *c = r->rules[rule];
    struct report_labels labels = {.n = 0};
    if ((f->of == OF_RULES && c->passes) || (f->of == OF_DEDUP && !c->dedup))
        return;
    if (f->reason)
        report_label(&labels, "reason", f->reason);
    if (f->of == OF_COUNTERS)
        report_label(&labels, "output", "");
    report_label_rule(&labels, r, rule);
    if (f->kind == STATS_HISTOGRAM)
        report_histogram(out, f, c, &labels);
    else if (f->of != OF_COUNTERS)
        stats_value(out, f->name, labels.items, labels.n, report_sum(c, f->at) / f->unit);
    else
        for (size_t i = 0; i < c->n_counters; i++) {
            labels.items[0].value = str_of(c->counters[i]);
            labels.items[1] = labels.items[labels.n - 1]; /* `output` in place of `outputs` */
            stats_value(out, f->name, labels.items, labels.n - 1, report_sum(c, f->at));
        }
}

void aggregate_reports_collect(struct aggregate_report *const *reports, size_t n, struct stats_out *out)
{
    for (size_t f = 0; f < sizeof report_families / sizeof *report_families; f++) {
        if (report_families[f].help)
            stats_family(out, report_families[f].name, report_families[f].kind, report_families[f].help);
        for (size_t i = 0; i < n; i++)
            for (size_t rule = 0; rule < reports[i]->n; rule++)
                report_value(out, &report_families[f], reports[i], rule);
    }
}
