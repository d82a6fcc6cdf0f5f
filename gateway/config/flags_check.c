// SPDX-License-Identifier: Apache-2.0
/* Reports the flags set that are not implemented, by class: a debug line, a warning or an error. All errors are
 * reported at once. Each value of --enable-feature counts as a flag.
 */
#include "gateway/config/flags_table.h"

#include <stdio.h>

/* What ignoring a feature of Prometheus means; NULL: nothing, as it acts, is always on, or only tunes Prometheus. */
static const struct { const char *name, *why; } features[] = {
    {"agent", NULL}, {"auto-gomaxprocs", NULL}, {"auto-gomemlimit", NULL}, {"auto-reload-config", NULL},
    {"concurrent-rule-eval", NULL}, {"delayed-compaction", NULL}, {"exemplar-storage", NULL},
    {"expand-external-labels", NULL}, {"fast-startup", NULL}, {"memory-snapshot-on-shutdown", NULL},
    {"metadata-wal-records", NULL}, {"new-service-discovery-manager", NULL}, {"no-default-scrape-port", NULL},
    {"old-ui", NULL}, {"ooo-native-histograms", NULL}, {"promql-at-modifier", NULL}, {"promql-binop-fill-modifiers", NULL},
    {"promql-delayed-name-removal", NULL}, {"promql-duration-expr", NULL}, {"promql-experimental-functions", NULL},
    {"promql-extended-range-selectors", NULL}, {"promql-negative-offset", NULL}, {"promql-per-step-stats", NULL},
    {"remote-write-receiver", NULL}, {"use-uncached-io", NULL}, {"utf8-names", NULL}, {"xor2-encoding", NULL},
    {"histograms-st-encoding", NULL},
    {"created-timestamp-zero-ingestion", NULL},
    {"extra-scrape-metrics", NULL},
    {"native-histograms", "scrape_native_histograms of global or a job requests them, as in Prometheus 3.8 and later"},
    {"otlp-deltatocumulative", NULL}, {"otlp-native-delta-ingestion", NULL}, {"otlp-write-receiver", NULL},
    {"search-api", "there is no search API"},
    {"st-storage", NULL},
    {"st-synthesis", "start times are those that targets expose, and samples keep their values"},
    {"type-and-unit-labels", NULL},
    {"use-start-timestamps", "PromQL does not use start times"},
};

static const char *feature_why(struct str name)
{
    for (size_t i = 0; i < LEN(features); i++)
        if (str_is(name, features[i].name))
            return features[i].why;
    return "this feature is not known; check its name";
}

static bool flag_takes_no_value(const struct inert_use *u)
{
    return u->value.n == 0 || str_is(u->value, "false") || str_is(u->value, "0")
           || (u->flag->noop && str_is(u->value, u->flag->noop));
}

static void judge_append(struct flags *f, struct str_list *list, size_t *cap, struct str text)
{
    arena_grow(&f->arena, &list->items, cap, list->n + 1, sizeof *list->items);
    list->items[list->n++] = text;
}

static void refuse_use(struct flags *f, const struct inert_flag *i)
{
    char text[400];
    if (i->class == INERT_GUARDS)
        snprintf(text, sizeof text, "--%s is not supported yet: %s; remove it, or start with --accept-inert=%s to "
                 "ignore it", i->name, i->why, i->name);
    else
        snprintf(text, sizeof text, "--%s is ignored: %s; remove it, or start without --strict", i->name, i->why);
    conf_errors_add(&f->errors, text);
}

static void judge_feature(struct flags *f, struct str name, size_t *warnings_cap, size_t *ignored_cap)
{
    const char *why = feature_why(name);
    if (why == NULL)
        return;
    struct str line = arena_printf(&f->arena, "--enable-feature=%.*s is ignored: %s", STR_ARG(name), why);
    if (f->strict) {
        line = arena_printf(&f->arena, "%.*s; remove it, or start without --strict", STR_ARG(line));
        conf_errors_add(&f->errors, line.p);
        return;
    }
    judge_append(f, &f->warnings, warnings_cap, line);
    if (!str_list_has(&f->ignored, "enable-feature"))
        judge_append(f, &f->ignored, ignored_cap, STR("enable-feature"));
}

bool flags_judge(struct flags *f, const struct inert_use *uses, size_t n, struct err *err)
{
    size_t warnings_cap = 0, ignored_cap = 0, tuning_cap = 0;
    for (size_t i = 0; i < f->enable_features.n; i++)
        judge_feature(f, f->enable_features.items[i], &warnings_cap, &ignored_cap);
    for (size_t k = 0; k < n; k++) {
        const struct inert_flag *i = uses[k].flag;
        if (i->class == INERT_TUNES && !str_list_has(&f->tuning, i->name))
            judge_append(f, &f->tuning, &tuning_cap, str_of(i->name));
        if (i->class == INERT_TUNES || flag_takes_no_value(&uses[k]) || str_list_has(&f->ignored, i->name))
            continue;
        bool accepted = conf_accepts_inert(&f->accept_inert, "", i->name);
        if (!accepted && (i->class == INERT_GUARDS || f->strict)) {
            refuse_use(f, i);
            continue;
        }
        struct str line = arena_printf(&f->arena, "--%s is ignored: %s", i->name, i->why);
        judge_append(f, &f->warnings, &warnings_cap, line);
        judge_append(f, &f->ignored, &ignored_cap, str_of(i->name));
    }
    return f->errors.n == 0 || conf_errors_first(&f->errors, err);
}
