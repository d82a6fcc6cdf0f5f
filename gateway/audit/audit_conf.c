// SPDX-License-Identifier: Apache-2.0
#include "gateway/audit/audit_conf.h"

#include "promql/promql.h"

#define AUDIT(field) offsetof(struct audit_conf, field)
static const struct conf_row audit_rows[] = {
    {CONF_DURATION, "interval", AUDIT(interval), .preset = "5m", .min = 1000, .max = 86400000,
     .help = "Time between two audits of a server group"},
    {CONF_STRING, "match", AUDIT(match), .preset = "up",
     .help = "Series to compare, a selector; by default one per target"},
    {CONF_DURATION, "since", AUDIT(since), .preset = "30m", .min = 1000, .max = 86400000,
     .help = "Time to compare, before now; the recent store must have it"},
    {CONF_DURATION, "window", AUDIT(window), .preset = "5m", .min = 1000, .max = 86400000,
     .help = "Length of the windows whose samples are counted"},
    {CONF_DURATION, "delay", AUDIT(delay), .preset = "30s", .min = 1, .max = 86400000,
     .help = "Time until storages show samples"},
    {0}};

static bool audit_conf_check(struct conf_context *c UNUSED, const struct yaml *node, void *value, struct err *err)
{
    const struct audit_conf *conf = value;
    struct arena scratch;
    const struct matcher *matchers;
    struct err bad;
    size_t n = 0;
    arena_init(&scratch, 0);
    bool ok = promql_parse_selector(&scratch, conf->match, &matchers, &n, &bad);
    for (size_t i = 0; ok && i < n; i++)
        if (matchers[i].re)
            regex_free(matchers[i].re);
    arena_free(&scratch);
    if (!ok)
        return conf_err(node, err, "audit.match: %s", bad.text);
    return conf->window <= conf->since || conf_err(node, err, "audit.window: it is longer than `since`");
}

const struct conf_section audit_section = {"audit", sizeof(struct audit_conf), audit_rows, audit_conf_check,
                                           "Comparison of what was written with what the servers of groups return, in "
                                           "the background"};
