// SPDX-License-Identifier: Apache-2.0
/* `stream_aggregation`: rules and what applies to all of them; also filled from vmagent's flags, whose file holds the rules. */
#include "writer/aggregate/aggregate_rule.h"

#define AT(field) offsetof(struct aggregate_conf, field)
static const struct conf_row aggregate_rows[] = {
    {CONF_SECTIONS, "rules", AT(rules), .section = &aggregate_rule_section,
     .help = "Rules; samples that one of them matches are aggregated instead of sent"},
    {CONF_FILE, "rules_file", AT(rules_file),
     .help = "File with further rules, or an http(s) URL: a list, as `-streamAggr.config` of vmagent"},
    {CONF_BOOL, "keep_input", AT(keep_input), .preset = "false", .help = "Send samples that a rule matches, too"},
    {CONF_BOOL, "drop_input", AT(drop_input), .preset = "false",
     .help = "Do not send samples that no rule matches; with `keep_input` only those that one matches are sent"},
    {CONF_DURATION, "dedup_interval", AT(dedup_interval), .preset = "0s",
     .help = "Keep the newest sample of each series in each such interval, before aggregation and of what is sent; 0 = off; "
             "also without rules"},
    {CONF_STRINGS, "drop_input_labels", AT(drop_input_labels),
     .help = "Labels removed before deduplication and aggregation, such as those of replicas"},
    {CONF_BOOL, "ignore_old_samples", AT(ignore_old_samples), .preset = "false",
     .help = "`ignore_old_samples` of rules that do not set it"},
    {CONF_INT, "ignore_first_intervals", AT(ignore_first_intervals), .preset = "0", .max = 1000000,
     .help = "`ignore_first_intervals` of rules that do not set it"},
    {CONF_BOOL, "enable_windows", AT(enable_windows), .preset = "false",
     .help = "`enable_windows` of rules that do not set it, and for deduplication without rules"},
    {0}};
#undef AT

bool aggregate_set_drop_labels(struct arena *a, struct aggregate_conf *conf, struct str_list names)
{
    conf->drop_input_labels = names;
    return aggregate_sort_names(a, &conf->drop_input_labels);
}

static bool aggregate_conf_check(struct conf_context *c, const struct yaml *node, void *value, struct err *err)
{
    struct aggregate_conf *conf = value;
    if (!aggregate_sort_names(c->arena, &conf->drop_input_labels))
        return conf_err(node, err, "the configuration exceeds its memory limit");
    return aggregate_rules_resolve(c, yaml_get(node, "rules"), conf, err);
}

const struct conf_section aggregate_section = {"stream_aggregation", sizeof(struct aggregate_conf), aggregate_rows,
                                               aggregate_conf_check, "Aggregation and deduplication of samples before they are sent"};

static bool aggregate_add_rules(struct conf_context *c, const struct yaml *document, struct conf_items more,
                                struct aggregate_conf *conf, struct err *err)
{
    struct aggregate_rule *all = ARENA_ARRAY(c->arena, struct aggregate_rule, conf->rules.n + more.n + 1);
    if (all == NULL)
        return conf_err(document, err, "the configuration exceeds its memory limit");
    if (conf->rules.n > 0)
        memcpy(all, conf->rules.items, conf->rules.n * sizeof *all);
    if (more.n > 0)
        memcpy(all + conf->rules.n, more.items, more.n * sizeof *all);
    conf->rules = (struct conf_items){all, conf->rules.n + more.n};
    return true;
}

bool aggregate_load_file(struct conf_context *c, const struct yaml *document, struct aggregate_conf *conf, struct err *err)
{
    if (document->kind == YAML_NULL)
        return true;
    if (document->kind != YAML_LIST)
        return conf_err(document, err, "expected a list of stream aggregation rules");
    struct aggregate_rule *rules = ARENA_ARRAY(c->arena, struct aggregate_rule, document->n);
    if (rules == NULL)
        return conf_err(document, err, "the configuration exceeds its memory limit");
    bool ok = true;
    for (size_t i = 0; i < document->n; i++) {
        size_t before = conf_error_count(c);
        if (conf_load(c, &aggregate_rule_section, &document->items[i], &rules[i], err))
            continue;
        ok = false;
        if (!conf_errors_continue(c, before, err))
            break;
    }
    struct aggregate_conf of_file = *conf; /* the settings apply to its rules alone: others have been resolved */
    of_file.rules = (struct conf_items){rules, document->n};
    return ok && aggregate_rules_resolve(c, document, &of_file, err) &&
           aggregate_add_rules(c, document, of_file.rules, conf, err);
}
