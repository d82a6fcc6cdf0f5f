// SPDX-License-Identifier: Apache-2.0
/* Exposition formats by the names that Prometheus' configuration has for them. The first of a list gets the largest
 * weight in the Accept header; the weights are those of Prometheus, so that targets respond to both in the same way. */
#include "model/exposition/scrape_protocols.h"

#include <strings.h>

const char *const name_scheme_names[] = {[NAMES_UTF8] = "utf8", [NAMES_LEGACY] = "legacy", NULL};
const char *const escaping_names[] = {"allow-utf-8", "underscores", "dots", "values", NULL};

static const struct protocol {
    const char *name, *media_type, *parameters;
    enum scrape_format format;
    bool escapes; /* negotiates how names that are not ASCII are written */
} protocols[] = {
    {"PrometheusProto", "application/vnd.google.protobuf", ";proto=io.prometheus.client.MetricFamily;encoding=delimited",
     SCRAPE_PROTOBUF, false},
    {"OpenMetricsText1.0.0", "application/openmetrics-text", ";version=1.0.0", SCRAPE_OPENMETRICS, true},
    {"OpenMetricsText0.0.1", "application/openmetrics-text", ";version=0.0.1", SCRAPE_OPENMETRICS, false},
    {"PrometheusText1.0.0", "text/plain", ";version=1.0.0", SCRAPE_TEXT, true},
    {"PrometheusText0.0.4", "text/plain", ";version=0.0.4", SCRAPE_TEXT, false},
};

static struct str default_names[] = {STR("PrometheusProto"), STR("OpenMetricsText1.0.0"), STR("OpenMetricsText0.0.1"),
                                     STR("PrometheusText1.0.0"), STR("PrometheusText0.0.4")};
const struct str_list protocols_of_prometheus = {default_names + 1, LEN(default_names) - 1};
const struct str_list protocols_with_histograms = {default_names, LEN(default_names)};

static const struct protocol *protocol_get(struct str name)
{
    for (size_t i = 0; i < LEN(protocols); i++)
        if (str_is(name, protocols[i].name))
            return &protocols[i];
    return NULL;
}

static bool refuse_protocol(const struct yaml *node, const char *key, struct str name, struct err *err)
{
    return conf_err(node, err, "%s: \"%.*s\" is not a scrape protocol; there are %s, %s, %s, %s and %s", key,
                    STR_ARG(name), protocols[0].name, protocols[1].name, protocols[2].name, protocols[3].name,
                    protocols[4].name);
}

bool protocols_check(const struct yaml *node, const char *key, const struct str_list *list, struct err *err)
{
    for (size_t i = 0; i < list->n; i++) {
        if (protocol_get(list->items[i]) == NULL)
            return refuse_protocol(node, key, list->items[i], err);
        for (size_t k = 0; k < i; k++)
            if (str_eq(list->items[k], list->items[i]))
                return conf_err(node, err, "%s: \"%.*s\" is listed twice", key, STR_ARG(list->items[i]));
    }
    return true;
}

char *protocols_accept(struct arena *a, const struct str_list *list, enum escaping escaping)
{
    enum { FIRST = 6 };
    struct buf b = {0};
    buf_add_z(&b, "Accept: ");
    for (size_t i = 0; i < list->n; i++) {
        const struct protocol *p = protocol_get(list->items[i]);
        buf_printf(&b, "%s%s", p->media_type, p->parameters);
        if (p->escapes)
            buf_printf(&b, ";escaping=%s", escaping_names[escaping]);
        buf_printf(&b, ";q=0.%u,", FIRST - (unsigned)i);
    }
    if (list->n > 0)
        buf_printf(&b, "*/*;q=0.%u", FIRST - (unsigned)list->n);
    else
        buf_add_z(&b, "text/plain;version=0.0.4;q=1,*/*;q=0.1");
    char *header = arena_z(a, buf_str(&b));
    buf_free(&b);
    return header;
}

enum scrape_format protocols_format(struct str content_type, struct str fallback)
{
    struct str media = str_trim(str_first(content_type, str_find(content_type, ';')));
    for (size_t i = 0; i < LEN(protocols); i++)
        if (media.n == strlen(protocols[i].media_type) && strncasecmp(media.p, protocols[i].media_type, media.n) == 0)
            return protocols[i].format;
    const struct protocol *other = protocol_get(fallback);
    return other ? other->format : SCRAPE_TEXT;
}
