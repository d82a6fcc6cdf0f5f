// SPDX-License-Identifier: Apache-2.0
/* The configuration of a relabel rule, with the checks of Prometheus and vmagent for each action, in their wording. */
#include "model/relabel.h"

static const char *const actions[] = {
    [RELABEL_REPLACE] = "replace", [RELABEL_KEEP] = "keep", [RELABEL_DROP] = "drop", [RELABEL_KEEPEQUAL] = "keepequal",
    [RELABEL_DROPEQUAL] = "dropequal", [RELABEL_HASHMOD] = "hashmod", [RELABEL_LABELMAP] = "labelmap",
    [RELABEL_LABELDROP] = "labeldrop", [RELABEL_LABELKEEP] = "labelkeep", [RELABEL_LOWERCASE] = "lowercase",
    [RELABEL_UPPERCASE] = "uppercase", [RELABEL_REPLACE_ALL] = "replace_all", [RELABEL_LABELMAP_ALL] = "labelmap_all",
    [RELABEL_KEEP_IF_EQUAL] = "keep_if_equal", [RELABEL_DROP_IF_EQUAL] = "drop_if_equal",
    [RELABEL_KEEP_IF_CONTAINS] = "keep_if_contains", [RELABEL_DROP_IF_CONTAINS] = "drop_if_contains",
    [RELABEL_KEEP_METRICS] = "keep_metrics", [RELABEL_DROP_METRICS] = "drop_metrics", [RELABEL_GRAPHITE] = "graphite",
    NULL,
};

/* Requirements of an action on the other keys. */
enum {
    NEEDS_TARGET = 1, NO_REPLACEMENT = 2, ONLY_SOURCE_AND_TARGET = 4, ONLY_REGEX = 8, NEEDS_SOURCE = 16,
    NEEDS_TWO_SOURCES = 32, NO_SOURCE = 64, NO_TARGET = 128, NO_REGEX = 256, NEEDS_REGEX_OR_IF = 512
};
static const unsigned short demands[] = {
    [RELABEL_REPLACE] = NEEDS_TARGET,
    [RELABEL_HASHMOD] = NEEDS_TARGET,
    [RELABEL_LOWERCASE] = NEEDS_TARGET | NO_REPLACEMENT,
    [RELABEL_UPPERCASE] = NEEDS_TARGET | NO_REPLACEMENT,
    [RELABEL_KEEPEQUAL] = NEEDS_TARGET | NO_REPLACEMENT | ONLY_SOURCE_AND_TARGET,
    [RELABEL_DROPEQUAL] = NEEDS_TARGET | NO_REPLACEMENT | ONLY_SOURCE_AND_TARGET,
    [RELABEL_LABELDROP] = ONLY_REGEX,
    [RELABEL_LABELKEEP] = ONLY_REGEX,
    [RELABEL_REPLACE_ALL] = NEEDS_SOURCE | NEEDS_TARGET,
    [RELABEL_KEEP_IF_EQUAL] = NEEDS_TWO_SOURCES | NO_TARGET | NO_REGEX,
    [RELABEL_DROP_IF_EQUAL] = NEEDS_TWO_SOURCES | NO_TARGET | NO_REGEX,
    [RELABEL_KEEP_IF_CONTAINS] = NEEDS_SOURCE | NEEDS_TARGET | NO_REGEX,
    [RELABEL_DROP_IF_CONTAINS] = NEEDS_SOURCE | NEEDS_TARGET | NO_REGEX,
    [RELABEL_KEEP_METRICS] = NO_SOURCE | NEEDS_REGEX_OR_IF,
    [RELABEL_DROP_METRICS] = NO_SOURCE | NEEDS_REGEX_OR_IF,
    [RELABEL_GRAPHITE] = NO_SOURCE | NO_TARGET | NO_REGEX | NO_REPLACEMENT,
};

static bool check_target(const struct yaml *node, const struct relabel_rule *r, struct err *err)
{
    const char *action = actions[r->action];
    if (r->target_label.n == 0)
        return conf_err(node, err, "relabel configuration for %s action requires 'target_label' value", action);
    if (!label_name_valid(r->target_label))
        return conf_err(node, err, "\"%.*s\" is invalid 'target_label' for %s action", STR_ARG(r->target_label),
                        action);
    return true;
}

static bool check_graphite(const struct yaml *node, const struct relabel_rule *r, struct err *err)
{
    if (r->match.n == 0)
        return conf_err(node, err, "graphite action requires 'match'");
    if (r->labels.n == 0)
        return conf_err(node, err, "graphite action requires 'labels'");
    for (size_t i = 0; i < r->labels.n; i++)
        if (!label_name_valid(r->labels.keys[i]))
            return conf_err(yaml_get(node, "labels"), err, "\"%.*s\" is not a valid label name",
                            STR_ARG(r->labels.keys[i]));
    return true;
}

static bool check_no_graphite(const struct yaml *node, const struct relabel_rule *r, struct err *err)
{
    const char *key = r->match.n > 0 ? "match" : r->labels.n > 0 ? "labels" : NULL;
    return key == NULL || conf_err(node, err, "'%s' can not be set for %s action", key, actions[r->action]);
}

/* Checks of vmagent's actions. */
static bool check_fields(const struct yaml *node, const struct relabel_rule *r, struct err *err)
{
    unsigned d = demands[r->action];
    const char *action = actions[r->action];
    size_t least = d & NEEDS_TWO_SOURCES ? 2 : d & NEEDS_SOURCE ? 1 : 0;
    if (r->source_labels.n < least)
        return conf_err(node, err, "%s action requires at least %zu 'source_labels'", action, least);
    if (d & NO_SOURCE && r->source_labels.n > 0)
        return conf_err(node, err, "'source_labels' can not be set for %s action", action);
    if (d & NO_TARGET && r->target_label.n > 0)
        return conf_err(node, err, "'target_label' can not be set for %s action", action);
    if (d & NO_REGEX && conf_is_set(node, "regex"))
        return conf_err(node, err, "'regex' can not be set for %s action", action);
    if (d & NEEDS_REGEX_OR_IF && r->only_if == NULL && (!conf_is_set(node, "regex") || r->regex_text.n == 0))
        return conf_err(node, err, "%s action requires 'regex' or 'if'", action);
    return r->action == RELABEL_GRAPHITE ? check_graphite(node, r, err) : check_no_graphite(node, r, err);
}

static bool check_demands(const struct yaml *node, const struct relabel_rule *r, struct err *err)
{
    unsigned d = demands[r->action];
    const char *action = actions[r->action];
    bool usual = str_is(r->separator, ";") && str_is(r->replacement, "$1") && r->modulus == 0;
    if (r->action == RELABEL_HASHMOD && r->modulus == 0)
        return conf_err(node, err, "relabel configuration for hashmod requires non-zero modulus");
    if (d & NEEDS_TARGET && !check_target(node, r, err))
        return false;
    if (d & NO_REPLACEMENT && !str_is(r->replacement, "$1"))
        return conf_err(node, err, "'replacement' can not be set for %s action", action);
    if (d & ONLY_SOURCE_AND_TARGET && (!usual || conf_is_set(node, "regex")))
        return conf_err(node, err, "%s action requires only 'source_labels' and `target_label`, and no other fields",
                        action);
    if (d & ONLY_REGEX && (!usual || r->source_labels.n > 0 || r->target_label.n > 0))
        return conf_err(node, err, "%s action requires only 'regex', and no other fields", action);
    if (r->action == RELABEL_LABELMAP && !label_name_valid(r->replacement))
        return conf_err(node, err, "\"%.*s\" is invalid 'replacement' for labelmap action", STR_ARG(r->replacement));
    return true;
}

static bool relabel_conf_fail_memory(const struct yaml *node, struct err *err)
{
    return conf_err(node, err, "the configuration exceeds its memory limit");
}

static void relabel_conf_free_regex(void *re) { regex_free(re); }

static const struct str metric_name = {METRIC_NAME, sizeof METRIC_NAME - 1};

static bool load_if(struct conf_context *c, const struct yaml *node, struct relabel_rule *r, struct err *err)
{
    if (r->if_texts.n == 0)
        return true;
    r->only_if = ARENA_NEW(c->arena, struct label_filters);
    if (r->only_if == NULL)
        return relabel_conf_fail_memory(node, err);
    for (size_t i = 0; i < r->if_texts.n; i++) {
        struct err why;
        if (!label_filters_add(r->only_if, c->arena, r->if_texts.items[i], &why))
            return conf_err(yaml_get(node, "if"), err, "if: %s", why.text);
    }
    return true;
}

static bool relabel_conf_check(struct conf_context *c, const struct yaml *node, void *value, struct err *err)
{
    struct relabel_rule *r = value;
    r->xxhash = c->vmagent_relabeling;
    r->refers = c->vmagent_relabeling && r->action == RELABEL_REPLACE &&
                str_find_str(r->replacement, STR("{{")) < r->replacement.n;
    for (size_t i = 0; i < r->source_labels.n; i++)
        if (!label_name_valid(r->source_labels.items[i]))
            return conf_err(node, err, "\"%.*s\" is not a valid label name", STR_ARG(r->source_labels.items[i]));
    if (!load_if(c, node, r, err) || !check_fields(node, r, err) || !check_demands(node, r, err))
        return false;
    if (r->action == RELABEL_KEEP_METRICS || r->action == RELABEL_DROP_METRICS)
        r->source_labels = (struct str_list){(struct str *)&metric_name, 1};
    struct err why = {0};
    bool anchored = r->action != RELABEL_REPLACE_ALL && r->action != RELABEL_LABELMAP_ALL;
    r->regex = (anchored ? regex_new : regex_new_unanchored)(r->regex_text, &why);
    if (r->regex == NULL)
        return conf_err(conf_is_set(node, "regex") ? yaml_get(node, "regex") : node, err, "regex: %s", why.text);
    return arena_at_end(c->arena, relabel_conf_free_regex, r->regex) || relabel_conf_fail_memory(node, err);
}

/* A string, or a list of strings of which any may match. */
static bool load_regex(struct conf_context *c, const struct yaml *node, void *field, struct err *err)
{
    bool list = node->kind == YAML_LIST;
    struct buf text = {0};
    for (size_t i = 0; i < (list ? node->n : 1); i++) {
        const struct yaml *item = list ? &node->items[i] : node;
        if (item->kind != YAML_SCALAR) {
            buf_free(&text);
            return conf_err(item, err, "regex: expected a string or a list of strings");
        }
        if (i > 0)
            buf_add_char(&text, '|');
        buf_add_str(&text, item->text);
    }
    char *copy = arena_z(c->arena, buf_str(&text));
    *(struct str *)field = str_n(copy, text.n);
    buf_free(&text);
    return copy || relabel_conf_fail_memory(node, err);
}

static void print_regex(struct buf *out, const void *field, unsigned indent UNUSED)
{
    buf_add_char(out, ' ');
    yaml_write_scalar(out, *(const struct str *)field);
    buf_add_char(out, '\n');
}

#define AT(field) offsetof(struct relabel_rule, field)
static const struct conf_row rows[] = {
    {CONF_STRINGS, "source_labels", AT(source_labels), .help = "Labels whose values are joined and matched"},
    {CONF_STRING, "separator", AT(separator), .preset = ";", .help = "Separator of the joined values"},
    {CONF_STRING, "target_label", AT(target_label),
     .help = "Label to write; may contain `$1`, `${name}` (action replace)"},
    {CONF_CUSTOM, "regex", AT(regex_text), .preset = "(.*)", .custom = load_regex, .print = print_regex,
     .form = "regex or list of them",
     .help = "Regular expression for the joined values or a label name, anchored at both ends; a list matches if any "
             "item does"},
    {CONF_INT, "modulus", AT(modulus), .max = INT64_MAX, .help = "For hashmod: the modulus"},
    {CONF_STRING, "replacement", AT(replacement), .preset = "$1",
     .help = "New value (replace) or name (labelmap), may refer to groups of the regex, and with vmagent's defaults to "
             "labels: `{{name}}` (replace)"},
    {CONF_ENUM, "action", AT(action), .preset = "replace", .names = actions, .help = "Action of the rule"},
    {CONF_STRINGS, "if", AT(if_texts),
     .help =
         "Series selectors (`up{job=\"a\" or env=~\"dev.*\"}`): the rule applies only to series that one of them "
         "accepts; keep drops the others"},
    {CONF_STRING, "match", AT(match),
     .help = "For graphite: pattern of metric names, such as `servers.*.cpu.*`; `*` matches any text without dots"},
    {CONF_MAP, "labels", AT(labels),
     .help = "For graphite: labels to set; in their values `$1` or `${1}` is the text that the first `*` matched, and `$0` "
             "the metric name"},
    {0},
};
#undef AT

const struct conf_section relabel_section = {
    "relabel_config", sizeof(struct relabel_rule), rows, .check = relabel_conf_check,
    .help = "One rule that renames, rewrites or drops",
};

const char *relabel_action_name(int action) { return actions[action]; }
