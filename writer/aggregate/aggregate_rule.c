// SPDX-License-Identifier: Apache-2.0
/* Configuration of aggregation rules. The sentences of errors follow vmagent's. */
#include "writer/aggregate/aggregate_rule.h"

#include "base/hash.h"
#include "base/text/duration.h"
#include "base/text/num.h"

#include <inttypes.h>

enum { LEAST_INTERVAL_MS = 1000, MOST_PHIS = 100 };
static const int64_t most_interval_ms = INT64_C(366) * 24 * 3600 * 1000;

static const struct aggregate_kind_row { const char *name; unsigned needs; bool many; /* several series */ } kinds[] = {
    [AGGREGATE_AVG] = {"avg", AGGREGATE_NEEDS_SUM, false},
    [AGGREGATE_COUNT_SAMPLES] = {"count_samples", 0, false},
    [AGGREGATE_COUNT_SERIES] = {"count_series", AGGREGATE_NEEDS_SERIES, false},
    [AGGREGATE_HISTOGRAM_BUCKET] = {"histogram_bucket", AGGREGATE_NEEDS_BUCKETS, true},
    [AGGREGATE_INCREASE] = {"increase", AGGREGATE_NEEDS_INCREASE, false},
    [AGGREGATE_INCREASE_PROMETHEUS] = {"increase_prometheus", AGGREGATE_NEEDS_INCREASE_KNOWN, false},
    [AGGREGATE_LAST] = {"last", AGGREGATE_NEEDS_LAST, false},
    [AGGREGATE_MAX] = {"max", AGGREGATE_NEEDS_MAX, false},
    [AGGREGATE_MIN] = {"min", AGGREGATE_NEEDS_MIN, false},
    [AGGREGATE_QUANTILES] = {"quantiles", AGGREGATE_NEEDS_RESERVOIR, true},
    [AGGREGATE_RATE_AVG] = {"rate_avg", AGGREGATE_NEEDS_RATE, false},
    [AGGREGATE_RATE_SUM] = {"rate_sum", AGGREGATE_NEEDS_RATE, false},
    [AGGREGATE_STDDEV] = {"stddev", AGGREGATE_NEEDS_VARIANCE, false},
    [AGGREGATE_STDVAR] = {"stdvar", AGGREGATE_NEEDS_VARIANCE, false},
    [AGGREGATE_SUM_SAMPLES] = {"sum_samples", AGGREGATE_NEEDS_SUM, false},
    [AGGREGATE_SUM_SAMPLES_TOTAL] = {"sum_samples_total", AGGREGATE_NEEDS_SUM | AGGREGATE_NEEDS_SUM_TOTAL, false},
    [AGGREGATE_TOTAL] = {"total", AGGREGATE_NEEDS_INCREASE | AGGREGATE_NEEDS_TOTAL, false},
    [AGGREGATE_TOTAL_PROMETHEUS] = {"total_prometheus", AGGREGATE_NEEDS_INCREASE_KNOWN | AGGREGATE_NEEDS_TOTAL_KNOWN, false},
    [AGGREGATE_UNIQUE_SAMPLES] = {"unique_samples", AGGREGATE_NEEDS_VALUES, false},
};

const char *aggregate_kind_name(enum aggregate_kind kind) { return kinds[kind].name; }
bool aggregate_kind_follows_counters(enum aggregate_kind kind) { return kinds[kind].needs & AGGREGATE_NEEDS_COUNTERS; }

void aggregate_list_outputs(struct buf *out)
{
    for (unsigned i = 0; i < AGGREGATE_KINDS; i++)
        buf_printf(out, "%s%s%s", i ? ", " : "", kinds[i].name, i == AGGREGATE_QUANTILES ? "(phi1, ..., phiN)" : "");
}

static bool aggregate_rule_full(const struct yaml *node, struct err *err)
{
    return conf_err(node, err, "the configuration exceeds its memory limit");
}

/* --- outputs ------------------------------------------------------------------------------------------------------ */

static bool aggregate_load_phis(struct arena *a, const struct yaml *node, struct aggregate_output *o, struct err *err)
{
    struct str rest = str_skip(o->text, strlen("quantiles("));
    if (!str_ends(rest, STR(")")))
        return conf_err(node, err, "missing closing brace for `quantiles()` output");
    rest.n--;
    if (str_trim(rest).n == 0)
        return conf_err(node, err, "`quantiles()` must contain at least one phi");
    size_t most = str_count(rest, ',') + 1;
    if (most > MOST_PHIS)
        return conf_err(node, err, "`quantiles()` contains %zu phis; the limit is %d", most, MOST_PHIS);
    double *phis = ARENA_ARRAY(a, double, most);
    o->phi_texts = ARENA_ARRAY(a, struct str, most);
    if (phis == NULL || o->phi_texts == NULL)
        return aggregate_rule_full(node, err);
    for (struct str item; str_cut(&rest, ',', &item); o->n_phis++) {
        double phi;
        char text[NUM_MAX];
        if (!num_parse(str_trim(item), &phi))
            return conf_err(node, err, "cannot parse phi=\"%.*s\" of \"%.*s\"", STR_ARG(item), STR_ARG(o->text));
        if (!(phi >= 0 && phi <= 1))
            return conf_err(node, err, "phi inside \"%.*s\" must be in the range [0..1]; got %.*s", STR_ARG(o->text),
                            STR_ARG(item));
        phis[o->n_phis] = phi;
        o->phi_texts[o->n_phis] = arena_str(a, str_n(text, num_format_go(text, phi)));
    }
    o->phis = phis;
    return true;
}

static bool aggregate_load_output(struct arena *a, const struct yaml *node, struct aggregate_output *o, struct err *err)
{
    for (unsigned i = 0; i < AGGREGATE_KINDS; i++) {
        o->kind = (enum aggregate_kind)i;
        if (i == AGGREGATE_QUANTILES && str_starts(o->text, STR("quantiles(")))
            return aggregate_load_phis(a, node, o, err);
        if (i != AGGREGATE_QUANTILES && str_is(o->text, kinds[i].name))
            return true;
    }
    struct buf known = {0};
    aggregate_list_outputs(&known);
    conf_err(node, err, "unsupported output=\"%.*s\"; supported values: %.*s", STR_ARG(o->text), (int)known.n, known.p);
    buf_free(&known);
    return false;
}

static bool aggregate_load_outputs(struct arena *a, const struct yaml *node, struct aggregate_rule *r, struct err *err)
{
    if (r->output_texts.n == 0)
        return conf_err(node, err, "`outputs` list must contain at least a single entry");
    r->outputs = ARENA_ARRAY(a, struct aggregate_output, r->output_texts.n);
    if (r->outputs == NULL)
        return aggregate_rule_full(node, err);
    for (size_t i = 0; i < r->output_texts.n; i++) {
        struct aggregate_output *o = &r->outputs[i];
        o->text = r->output_texts.items[i];
        if (!aggregate_load_output(a, node, o, err))
            return false;
        for (size_t k = 0; k < i; k++)
            if (r->outputs[k].kind == o->kind)
                return o->kind == AGGREGATE_QUANTILES
                           ? conf_err(node, err, "`outputs` list contains duplicated `quantiles()` function; combine multiple "
                                                 "phi* like `quantiles(0.5, 0.9)`")
                           : conf_err(node, err, "`outputs` list contains duplicate aggregation function: %s",
                                      kinds[o->kind].name);
        r->needs |= kinds[o->kind].needs;
    }
    r->n_outputs = r->output_texts.n;
    return true;
}

/* --- other keys --------------------------------------------------------------------------------------------------- */

static bool aggregate_load_duration(const struct yaml *node, const char *key, struct str text, int64_t *ms, struct err *err)
{
    if (text.n == 0)
        return true;
    if (duration_parse_loose(text, ms) && *ms >= 0 && *ms <= most_interval_ms)
        return true;
    return conf_err(node, err, "cannot parse `%s: \"%.*s\"`: expected a duration such as 30s or 5m, at most 366d", key,
                    STR_ARG(text));
}

static bool aggregate_check_times(const struct yaml *node, struct aggregate_rule *r, struct err *err)
{
    if (!aggregate_load_duration(node, "interval", r->interval_text, &r->interval, err))
        return false;
    if (r->interval < LEAST_INTERVAL_MS)
        return conf_err(node, err, "aggregation interval cannot be smaller than 1s; got %.*s", STR_ARG(r->interval_text));
    r->staleness = r->interval;
    if (!aggregate_load_duration(node, "dedup_interval", r->dedup_text, &r->dedup_interval, err) ||
        !aggregate_load_duration(node, "staleness_interval", r->staleness_text, &r->staleness, err))
        return false;
    if (r->staleness < r->interval)
        return conf_err(node, err, "staleness_interval=%.*s cannot be smaller than interval=%.*s", STR_ARG(r->staleness_text),
                        STR_ARG(r->interval_text));
    r->ignore_first_sample = r->staleness;
    return aggregate_load_duration(node, "ignore_first_sample_interval", r->ignore_first_sample_text, &r->ignore_first_sample, err);
}

static bool aggregate_check_dedup(const struct yaml *node, const struct aggregate_rule *r, struct err *err)
{
    if (r->dedup_interval > r->interval)
        return conf_err(node, err, "dedup_interval=%" PRId64 "ms cannot exceed interval=%.*s", r->dedup_interval,
                        STR_ARG(r->interval_text));
    return r->dedup_interval == 0 || r->interval % r->dedup_interval == 0 ||
           conf_err(node, err, "interval=%.*s must be a multiple of dedup_interval=%" PRId64 "ms", STR_ARG(r->interval_text),
                    r->dedup_interval);
}

static bool aggregate_load_match(struct conf_context *c, const struct yaml *node, struct aggregate_rule *r, struct err *err)
{
    if (r->match_texts.n == 0)
        return true;
    r->match = ARENA_NEW(c->arena, struct label_filters);
    if (r->match == NULL)
        return aggregate_rule_full(node, err);
    for (size_t i = 0; i < r->match_texts.n; i++) {
        struct err why;
        if (!label_filters_add(r->match, c->arena, r->match_texts.items[i], &why))
            return conf_err(yaml_get(node, "match"), err, "match: %s", why.text);
    }
    return true;
}

bool aggregate_sort_names(struct arena *a, struct str_list *names)
{
    struct str *sorted = ARENA_ARRAY(a, struct str, names->n + 1);
    if (sorted == NULL)
        return false;
    size_t n = 0;
    for (size_t i = 0; i < names->n; i++) {
        size_t at = n;
        while (at > 0 && str_cmp(sorted[at - 1], names->items[i]) > 0)
            at--;
        if (at > 0 && str_eq(sorted[at - 1], names->items[i]))
            continue;
        memmove(&sorted[at + 1], &sorted[at], (n - at) * sizeof *sorted);
        sorted[at] = names->items[i];
        n++;
    }
    *names = (struct str_list){sorted, n};
    return true;
}

static void aggregate_add_names(struct buf *out, const char *word, struct str_list names)
{
    bool first = true;
    for (size_t i = 0; i < names.n; i++) {
        if (str_is(names.items[i], METRIC_NAME))
            continue;
        buf_add_z(out, first ? word : "_");
        buf_add_str(out, names.items[i]);
        first = false;
    }
}

static bool aggregate_make_suffix(struct arena *a, struct aggregate_rule *r)
{
    struct buf text = {0};
    buf_add_char(&text, ':');
    buf_add_str(&text, r->interval_text);
    aggregate_add_names(&text, "_by_", r->by);
    aggregate_add_names(&text, "_without_", r->without);
    buf_add_char(&text, '_');
    r->suffix = arena_str(a, buf_str(&text));
    buf_free(&text);
    return r->suffix.p != NULL;
}

static bool aggregate_load_grouping(struct conf_context *c, const struct yaml *node, struct aggregate_rule *r, struct err *err)
{
    if (r->by.n > 0 && r->without.n > 0)
        return conf_err(node, err, "`by` and `without` lists cannot be set simultaneously; remove one");
    if (r->by.n > 0) {
        struct str *with_name = ARENA_ARRAY(c->arena, struct str, r->by.n + 1);
        if (with_name == NULL)
            return aggregate_rule_full(node, err);
        memcpy(with_name, r->by.items, r->by.n * sizeof *with_name);
        with_name[r->by.n] = STR(METRIC_NAME);
        r->by = (struct str_list){with_name, r->by.n + 1};
    }
    return (aggregate_sort_names(c->arena, &r->by) && aggregate_sort_names(c->arena, &r->without) &&
            aggregate_sort_names(c->arena, &r->drop_input_labels) && aggregate_make_suffix(c->arena, r)) ||
           aggregate_rule_full(node, err);
}

static bool aggregate_check_names(const struct yaml *node, const struct aggregate_rule *r, struct err *err)
{
    if (!r->keep_metric_names)
        return true;
    if (r->n_outputs != 1)
        return conf_err(node, err, "`outputs` list must contain only a single entry if `keep_metric_names` is set; got %zu",
                        r->n_outputs);
    const struct aggregate_output *o = &r->outputs[0];
    if (kinds[o->kind].many && o->n_phis != 1)
        return conf_err(node, err, "`keep_metric_names` cannot be applied to `outputs: [%.*s]`, which generates multiple time "
                                   "series", STR_ARG(o->text));
    return true;
}

static bool aggregate_rule_check(struct conf_context *c, const struct yaml *node, void *value, struct err *err)
{
    struct aggregate_rule *r = value;
    r->set = (conf_is_set(node, "ignore_old_samples") ? AGGREGATE_SETS_OLD : 0) |
             (conf_is_set(node, "enable_windows") ? AGGREGATE_SETS_WINDOWS : 0) |
             (conf_is_set(node, "ignore_first_intervals") ? AGGREGATE_SETS_FIRST : 0) |
             (conf_is_set(node, "drop_input_labels") ? AGGREGATE_SETS_DROP : 0);
    return aggregate_check_times(node, r, err) && aggregate_load_match(c, node, r, err) &&
           aggregate_load_outputs(c->arena, node, r, err) && aggregate_load_grouping(c, node, r, err) &&
           aggregate_check_names(node, r, err);
}

#define AT(field) offsetof(struct aggregate_rule, field)
static const struct conf_row rows[] = {
    {CONF_STRING, "name", AT(name), .help = "Name in metrics"},
    {CONF_STRINGS, "match", AT(match_texts),
     .help = "Series selectors (`up{job=\"a\" or env=~\"dev.*\"}`); series that one of them accepts are aggregated; empty: all"},
    {CONF_STRING, "interval", AT(interval_text), .required = true, .not_empty = true,
     .help = "Interval at which results are written, at least 1s; a part of their names"},
    {CONF_STRING, "dedup_interval", AT(dedup_text),
     .help = "Keep the newest sample of each series in each interval before aggregation; `interval` is a multiple of it"},
    {CONF_STRING, "staleness_interval", AT(staleness_text),
     .help = "How long a series is remembered without samples; default `interval`"},
    {CONF_STRING, "ignore_first_sample_interval", AT(ignore_first_sample_text),
     .help = "How long after the start the first sample of a series is only the base of `total` and `increase`; default "
             "`staleness_interval`"},
    {CONF_BOOL, "no_align_flush_to_interval", AT(no_align_flush),
     .help = "Write results at intervals from the start instead of at multiples of `interval`"},
    {CONF_BOOL, "flush_on_shutdown", AT(flush_on_shutdown), .help = "Write the results of the incomplete interval at shutdown"},
    {CONF_BOOL, "keep_metric_names", AT(keep_metric_names),
     .help = "Do not add interval, labels and output to the names of the result, of which there may be one"},
    {CONF_BOOL, "ignore_old_samples", AT(ignore_old_samples),
     .help = "Ignore samples with timestamps before the current interval"},
    {CONF_INT, "ignore_first_intervals", AT(ignore_first_intervals), .max = 1000000,
     .help = "Number of intervals after the start whose results are not written"},
    {CONF_STRINGS, "by", AT(by), .help = "Labels of the results; series that agree in them and in the name are aggregated together"},
    {CONF_STRINGS, "without", AT(without), .help = "Labels that the results do not have; excludes `by`"},
    {CONF_STRINGS, "drop_input_labels", AT(drop_input_labels), .help = "Labels removed before deduplication and aggregation"},
    {CONF_SECTIONS, "input_relabel_configs", AT(input_relabel), .section = &relabel_section,
     .help = "Relabeling rules applied to series before aggregation"},
    {CONF_SECTIONS, "output_relabel_configs", AT(output_relabel), .section = &relabel_section,
     .help = "Relabeling rules applied to results"},
    {CONF_BOOL, "enable_windows", AT(enable_windows),
     .help = "Assign samples to intervals by their timestamps, and write results later by the largest delay of samples"},
    {CONF_STRINGS, "outputs", AT(output_texts), .required = true,
     .help = "Aggregates: `avg`, `count_samples`, `count_series`, `histogram_bucket`, `increase`, `increase_prometheus`, `last`, "
             "`max`, `min`, `quantiles(phi1, ..., phiN)`, `rate_avg`, `rate_sum`, `stddev`, `stdvar`, `sum_samples`, "
             "`sum_samples_total`, `total`, `total_prometheus`, `unique_samples`"},
    {0}};
#undef AT

const struct conf_section aggregate_rule_section = {"stream_aggregation", sizeof(struct aggregate_rule), rows,
                                                    .check = aggregate_rule_check,
                                                    .help = "A rule of stream aggregation"};

/* Keys as printed, and the settings for all rules that it took. */
static uint64_t aggregate_rule_identity(const struct aggregate_rule *r)
{
    struct buf text = {0};
    if (!r->passes)
        conf_print(&text, &aggregate_rule_section, r, 0);
    buf_printf(&text, "%" PRId64 " %" PRId64 " %d %d %d", r->dedup_interval, r->ignore_first_intervals, r->passes,
               r->enable_windows, r->ignore_old_samples);
    for (size_t i = 0; i < r->drop_input_labels.n; i++)
        buf_printf(&text, " %.*s", STR_ARG(r->drop_input_labels.items[i]));
    uint64_t hash = hash_bytes(text.p, text.n);
    buf_free(&text);
    return hash;
}

static bool aggregate_rule_resolve(const struct yaml *node, const struct aggregate_conf *conf, struct aggregate_rule *r,
                                   struct err *err)
{
    if ((r->set & AGGREGATE_SETS_OLD) == 0)
        r->ignore_old_samples = conf->ignore_old_samples;
    if ((r->set & AGGREGATE_SETS_WINDOWS) == 0)
        r->enable_windows = conf->enable_windows;
    if ((r->set & AGGREGATE_SETS_FIRST) == 0)
        r->ignore_first_intervals = conf->ignore_first_intervals;
    if ((r->set & AGGREGATE_SETS_DROP) == 0)
        r->drop_input_labels = conf->drop_input_labels;
    if (r->dedup_text.n == 0)
        r->dedup_interval = conf->dedup_interval;
    if (r->keep_metric_names && conf->keep_input)
        return conf_err(node, err, "`keep_metric_names` and keeping the input exclude each other: the results would have the "
                                   "names of the input");
    r->identity = aggregate_rule_identity(r);
    return aggregate_check_dedup(node, r, err);
}

bool aggregate_rules_resolve(struct conf_context *c, const struct yaml *node, const struct aggregate_conf *conf, struct err *err)
{
    struct aggregate_rule *rules = conf->rules.items;
    bool ok = true;
    for (size_t i = 0; i < conf->rules.n; i++) {
        size_t before = conf_error_count(c);
        const struct yaml *item = node && node->kind == YAML_LIST && i < node->n ? &node->items[i] : node;
        if (aggregate_rule_resolve(item, conf, &rules[i], err))
            continue;
        ok = false;
        if (!conf_errors_continue(c, before, err))
            break;
    }
    return ok;
}

struct aggregate_rule aggregate_dedup_rule(const struct aggregate_conf *conf)
{
    struct aggregate_rule r = {.name = STR("dedup"), .interval = conf->dedup_interval, .staleness = conf->dedup_interval,
                               .dedup_interval = conf->dedup_interval, .no_align_flush = true, .passes = true,
                               .enable_windows = conf->enable_windows, .drop_input_labels = conf->drop_input_labels};
    r.identity = aggregate_rule_identity(&r);
    return r;
}
