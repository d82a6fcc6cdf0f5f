// SPDX-License-Identifier: Apache-2.0
#include "gateway/config/otlp_conf.h"

#define OTLP(field) offsetof(struct otlp_conf, field)
static const char *const strategy_names[] = {"UnderscoreEscapingWithSuffixes", "UnderscoreEscapingWithoutSuffixes",
                                             "NoUTF8EscapingWithSuffixes", "NoTranslation", NULL};
static const struct conf_row otlp_rows[] = {
    {CONF_BOOL, "promote_all_resource_attributes", OTLP(promote_all), .preset = "false",
     .help = "Make all attributes of a resource labels of its series"},
    {CONF_STRINGS, "promote_resource_attributes", OTLP(promoted),
     .help = "Attributes of a resource that become labels of its series"},
    {CONF_STRINGS, "ignore_resource_attributes", OTLP(ignored),
     .help = "Attributes that `promote_all_resource_attributes` does not make labels"},
    {CONF_ENUM, "translation_strategy", OTLP(strategy), .names = strategy_names,
     .preset = "UnderscoreEscapingWithSuffixes",
     .help = "Names of metrics and labels: whether characters that Prometheus 2 does not allow become underscores, and "
             "whether unit and type are appended"},
    {CONF_BOOL, "keep_identifying_resource_attributes", OTLP(keep_identifying), .preset = "false",
     .help = "Keep `service.name`, `service.namespace` and `service.instance.id` as labels of `target_info`"},
    {CONF_BOOL, "convert_histograms_to_nhcb", OTLP(histograms_to_nhcb), .preset = "false",
     .help = "Store histograms with explicit bounds as native histograms with custom buckets"},
    {CONF_BOOL, "promote_scope_metadata", OTLP(promote_scope), .preset = "false",
     .help = "Add name, version, schema URL and attributes of the scope as labels `otel_scope_...`"},
    {CONF_BOOL, "label_name_underscore_sanitization", OTLP(label_underscore), .preset = "true",
     .help = "Prefix labels that begin with one underscore with `key`, if underscores replace other characters"},
    {.type = CONF_ACCEPTED, .name = "label_name_preserve_multiple_underscores", .help = "They are preserved"},
    {0}};

static bool otlp_check_attributes(const struct yaml *node, const char *key, struct str_list *list, struct err *err)
{
    for (size_t i = 0; i < list->n; i++) {
        list->items[i] = str_trim(list->items[i]);
        if (list->items[i].n == 0)
            return conf_err(node, err, "otlp.%s: an attribute is empty", key);
        for (size_t k = 0; k < i; k++)
            if (str_eq(list->items[k], list->items[i]))
                return conf_err(node, err, "otlp.%s: %.*s occurs twice", key, STR_ARG(list->items[i]));
    }
    return true;
}

static bool otlp_conf_check(struct conf_context *c UNUSED, const struct yaml *node, void *value, struct err *err)
{
    struct otlp_conf *conf = value;
    if (conf->promote_all && conf->promoted.n > 0)
        return conf_err(node, err, "otlp: promote_all_resource_attributes and promote_resource_attributes cannot both "
                        "be set");
    if (!conf->promote_all && conf->ignored.n > 0)
        return conf_err(node, err, "otlp.ignore_resource_attributes: requires promote_all_resource_attributes");
    return otlp_check_attributes(node, "promote_resource_attributes", &conf->promoted, err)
           && otlp_check_attributes(node, "ignore_resource_attributes", &conf->ignored, err);
}

const struct conf_section otlp_section = {"otlp", sizeof(struct otlp_conf), otlp_rows, otlp_conf_check,
    "Conversion of the OpenTelemetry metrics that `/api/v1/otlp/v1/metrics` receives"};
