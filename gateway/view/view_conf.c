// SPDX-License-Identifier: Apache-2.0
/* Keys of metrics_relabel_configs. */
#include "gateway/view/view.h"

static const char *const view_actions[] = {
    [VIEW_REPLACE] = "replace", [VIEW_LABELDROP] = "labeldrop", [VIEW_LOWERCASE] = "lowercase",
    [VIEW_UPPERCASE] = "uppercase", NULL};

static const struct conf_row view_rule_rows[] = {
    {CONF_ENUM, "action", offsetof(struct view_rule, action), .preset = "replace", .names = view_actions,
     .help = "`replace` copies a label, `labeldrop` drops it, `lowercase` and `uppercase` copy it with ASCII letters "
             "changed"},
    {CONF_STRING, "source_label", offsetof(struct view_rule, source_label), .required = true,
     .help = "The label that is read or dropped"},
    {CONF_STRING, "target_label", offsetof(struct view_rule, target_label),
     .help = "The label that is set; it may be the same"},
    {0}};

static bool view_check_rule(struct conf_context *c UNUSED, const struct yaml *node, void *value, struct err *err)
{
    const struct view_rule *r = value;
    if (!label_name_valid(r->source_label))
        return conf_err(node, err, "metrics_relabel_config.source_label: \"%.*s\" is not a valid label name",
                        STR_ARG(r->source_label));
    if (r->action == VIEW_LABELDROP && r->target_label.n > 0)
        return conf_err(node, err, "metrics_relabel_config: labeldrop has no target_label");
    if (r->action != VIEW_LABELDROP && !label_name_valid(r->target_label))
        return conf_err(node, err, "metrics_relabel_config: %s requires a valid target_label", view_actions[r->action]);
    return true;
}

const struct conf_section view_rule_section = {
    "metrics_relabel_config", sizeof(struct view_rule), view_rule_rows, view_check_rule,
    "Changes of labels between servers and results. Queries are rewritten to match, so that only what can be reversed "
    "is possible"};
