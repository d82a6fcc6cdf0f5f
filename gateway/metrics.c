// SPDX-License-Identifier: Apache-2.0
#include "gateway/metrics.h"

#include "gateway/api/api.h"
#include "gateway/gateway.h"
#include "gateway/http_connection.h"

static void collect_config(struct stats_out *o)
{
    static const char ok_help[] = "1 when the last load of the configuration went well";
    static const char at_help[] = "Unix time of the last good load";
    double ok = atomic_load(&gateway.reload_ok), at = (double)(atomic_load(&gateway.reloaded_at) / 1000);
    stats_single(o, "vm_promscrape_config_last_reload_successful", STATS_GAUGE, ok_help, ok);
    stats_single(o, "vm_promscrape_config_last_reload_success_timestamp_seconds", STATS_GAUGE, at_help, at);
    stats_single(o, "prometheus_config_last_reload_successful", STATS_GAUGE, ok_help, ok);
    stats_single(o, "prometheus_config_last_reload_success_timestamp_seconds", STATS_GAUGE, at_help, at);
    stats_single(o, "sluice_lanes", STATS_GAUGE, "Lanes", gateway.n_lanes);
}

static void collect_warnings(struct stats_out *o)
{
    mutex_lock(&gateway._mutex);
    size_t n = gateway._config ? gateway._config->warnings.n : 0;
    mutex_unlock(&gateway._mutex);
    stats_single(o, "sluice_config_warnings", STATS_GAUGE, "Keys and flags that are accepted and not acted on",
                 (double)(n + gateway.flags.warnings.n));
}

static void collect_flags(struct stats_out *o)
{
    stats_family(o, "flag", STATS_GAUGE, "Flags and their values");
    for (size_t i = 0; i < gateway.flags.n_all; i++) {
        const struct stats_label labels[] = {{"name", gateway.flags.all[i].name}, {"value", gateway.flags.all[i].value},
                                             {"is_set", gateway.flags.all[i].set ? STR("true") : STR("false")}};
        stats_value(o, "flag", labels, LEN(labels), 1);
    }
}

static void collect_upstream(struct stats_out *o)
{
    struct upstream *u = gateway_upstream();
    upstream_collect(u, o);
    upstream_unref(u);
}

static void collect(struct stats_out *o, void *arg UNUSED)
{
    const struct stats_label version[] = {{"version", STR(VERSION)}};
    stats_family(o, "sluice_build_info", STATS_GAUGE, "Always 1; the label tells the version");
    stats_value(o, "sluice_build_info", version, LEN(version), 1);
    collect_config(o);
    collect_warnings(o);
    collect_flags(o);
    collect_upstream(o);
}

void metrics_start(void)
{
    stats_register(&http_stats);
    stats_register(&write_stats);
    stats_register(&upstream_stats);
    stats_collector(collect, NULL);
}
