// SPDX-License-Identifier: Apache-2.0
/* The section `metrics` of Grafana Agent's static mode: instances, each with its own jobs and destinations. They are
 * listed in the file, or stored in etcd for all members of the scraping service (gateway/agent/instance_store.h).
 *
 * Invalid values are reported in the Agent's words, because clients of its API show them.
 */
#ifndef GATEWAY_AGENT_AGENT_CONF_H
#define GATEWAY_AGENT_AGENT_CONF_H

#include "gateway/cluster/cluster_conf.h"

struct instance_conf {                /* one of `configs`, or a stored document */
    struct str name;
    bool host_filter, stale_on_shutdown;
    struct conf_items scrape_configs, remote_write;
    int64_t wal_truncate_frequency, min_wal_time, max_wal_time, remote_flush_deadline; /* ms; checked only */
};
extern const struct conf_section instance_section;

struct agent_etcd {                   /* `kvstore.etcd`, by the keys of the Agent */
    struct str_list endpoints;        /* host:port, or URLs */
    int64_t dial_timeout;
    bool tls_enabled, insecure_skip_verify;
    struct str cert_path, key_path, ca_path, server_name, username, password;
};
struct agent_kvstore { struct str store, prefix; struct agent_etcd etcd; };
struct scraping_service_conf {
    bool enabled, dangerous_allow_reading_files;
    struct agent_kvstore kvstore;
    struct agent_lifecycler {
        struct { struct agent_kvstore kvstore; int64_t heartbeat_timeout; } ring;
        struct str id, availability_zone;
    } lifecycler;
};
struct metrics_conf {
    const struct yaml *global;        /* global_section, and remote_write */
    struct conf_items configs;        /* struct instance_conf */
    struct scraping_service_conf *scraping_service; /* NULL: none */
};
extern const struct conf_section metrics_section;

static inline const struct scraping_service_conf *metrics_scraping_service(const struct metrics_conf *m)
{
    return m && m->scraping_service && m->scraping_service->enabled ? m->scraping_service : NULL;
}
/* The Agent's checks of a loaded instance. interval: the default of scrape_interval, ms. */
bool instance_check(const struct instance_conf *i, const struct yaml *node, int64_t interval, struct err *err) MUST_USE;
bool instance_check_nulls(const struct yaml *node, struct err *err) MUST_USE; /* no item of its lists is null */
/* No key names a file: anyone with write access to etcd can store an instance. */
bool instance_check_no_files(const struct yaml *node, struct err *err) MUST_USE;
/* As the sections `etcd` and `cluster` of sluice's own file, in the arena, which has no limit. */
struct yaml agent_etcd_section(struct arena *a, const struct agent_etcd *e);
struct yaml agent_cluster_section(struct arena *a, const struct scraping_service_conf *s);

#endif
