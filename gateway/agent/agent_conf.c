// SPDX-License-Identifier: Apache-2.0
#include "gateway/agent/agent_conf.h"

#include "base/text/url.h"
#include "scraper/scraper.h"
#include "writer/writer.h"

#define INERT(key, why) {.type = CONF_IGNORED, .name = key, .help = why}

/* ---- instances ---- */

#define INSTANCE(field) offsetof(struct instance_conf, field)
static const struct conf_row instance_rows[] = {
    {CONF_STRING, "name", INSTANCE(name), .help = "Name; a stored instance has that of its key"},
    {CONF_BOOL, "host_filter", INSTANCE(host_filter), .preset = "false",
     .help = "Not supported: `true` is an error; filter targets by `relabel_configs`"},
    INERT("host_filter_relabel_configs", "Rules of `host_filter`"),
    {CONF_SECTIONS, "scrape_configs", INSTANCE(scrape_configs), .section = &scrape_job_section,
     .help = "Scrape jobs; their names must differ from those of other instances"},
    {CONF_SECTIONS, "remote_write", INSTANCE(remote_write), .section = &remote_write_section,
     .help = "Destinations of the jobs' samples; default: those of `metrics.global`. Instances with equal ones share "
             "the queues"},
    {CONF_DURATION, "wal_truncate_frequency", INSTANCE(wal_truncate_frequency), .preset = "1h",
     .help = "No effect (there is no WAL), but scrape intervals must not be longer"},
    {CONF_DURATION, "min_wal_time", INSTANCE(min_wal_time), .preset = "5m", .help = "No effect"},
    {CONF_DURATION, "max_wal_time", INSTANCE(max_wal_time), .preset = "4h", .help = "No effect"},
    {CONF_DURATION, "remote_flush_deadline", INSTANCE(remote_flush_deadline), .preset = "1m", .help = "No effect"},
    {CONF_BOOL, "write_stale_on_shutdown", INSTANCE(stale_on_shutdown), .preset = "false",
     .help = "Set by any instance of the file: as `global.write_stale_on_shutdown`. No effect in a stored instance"},
    {0}};
const struct conf_section instance_section = {
    "instance", sizeof(struct instance_conf), instance_rows, NULL,
    "Jobs with their own destinations, listed in the file or stored for the scraping service "
    "([from Grafana Agent](from-grafana-agent.md))"};

/* ---- the scraping service ---- */

#define AGENT_ETCD(field) offsetof(struct agent_etcd, field)
static const struct conf_row agent_etcd_rows[] = {
    {CONF_STRINGS, "endpoints", AGENT_ETCD(endpoints), .help = "Members of etcd: `host:2379`, or URLs"},
    {CONF_DURATION, "dial_timeout", AGENT_ETCD(dial_timeout), .preset = "10s", .alias = "dial_tmeout", .min = 100,
     .max = 60000, .help = "Time for a request to one endpoint"},
    INERT("max_retries", "Requests are repeated until they succeed"),
    {CONF_BOOL, "tls_enabled", AGENT_ETCD(tls_enabled), .preset = "false",
     .help = "Use https for endpoints that are not URLs"},
    {CONF_FILE, "tls_cert_path", AGENT_ETCD(cert_path), .help = "Client certificate"},
    {CONF_FILE, "tls_key_path", AGENT_ETCD(key_path), .help = "Its key"},
    {CONF_FILE, "tls_ca_path", AGENT_ETCD(ca_path), .help = "Trusted certificate authorities; default: the system's"},
    {CONF_STRING, "tls_server_name", AGENT_ETCD(server_name), .help = "Name to verify instead of the endpoint's host"},
    {CONF_BOOL, "tls_insecure_skip_verify", AGENT_ETCD(insecure_skip_verify), .preset = "false",
     .help = "Accept any certificate"},
    INERT("tls_cipher_suites", "Those of the TLS library"),
    INERT("tls_min_version", "TLS 1.2"),
    {CONF_STRING, "username", AGENT_ETCD(username), .help = "User of etcd; empty: without authentication"},
    {CONF_SECRET, "password", AGENT_ETCD(password), .help = "Its password"},
    {0}};
static const struct conf_section agent_etcd_conf_section = {"agent_etcd", sizeof(struct agent_etcd), agent_etcd_rows,
                                                            NULL, "Access to etcd, by the keys of Grafana Agent"};

#define KVSTORE(field) offsetof(struct agent_kvstore, field)
static const struct conf_row kvstore_rows[] = {
    {CONF_STRING, "store", KVSTORE(store), .help = "`etcd`; `consul`, `inmemory` and others are not supported"},
    {CONF_STRING, "prefix", KVSTORE(prefix), .preset = "configurations/", .help = "Prefix of the keys"},
    {CONF_SECTION, "etcd", KVSTORE(etcd), .section = &agent_etcd_conf_section, .help = "Access to etcd"},
    INERT("consul", "Consul is not supported"),
    INERT("multi", "Several stores at once are not supported"),
    {0}};
static const struct conf_section kvstore_section = {"kvstore", sizeof(struct agent_kvstore), kvstore_rows, NULL,
                                                    "Where instances are stored"};
static const struct conf_row ring_kvstore_rows[] = {
    {CONF_STRING, "store", KVSTORE(store), .help = "`etcd`; default: that of `scraping_service.kvstore`"},
    {CONF_STRING, "prefix", KVSTORE(prefix), .preset = "collectors/", .help = "Prefix of the members' keys"},
    {CONF_SECTION, "etcd", KVSTORE(etcd), .section = &agent_etcd_conf_section,
     .help = "Access to etcd; default: that of `scraping_service.kvstore`"},
    INERT("consul", "Consul is not supported"),
    INERT("multi", "Several stores at once are not supported"),
    {0}};
static const struct conf_section ring_kvstore_section = {"ring_kvstore", sizeof(struct agent_kvstore),
                                                         ring_kvstore_rows, NULL, "Where members are registered"};

#define RING(field) offsetof(struct agent_lifecycler, field) - offsetof(struct agent_lifecycler, ring)
static const struct conf_row ring_rows[] = {
    {CONF_SECTION, "kvstore", RING(ring.kvstore), .section = &ring_kvstore_section,
     .help = "Where members are registered"},
    {CONF_DURATION, "heartbeat_timeout", RING(ring.heartbeat_timeout), .preset = "1m",
     .help = "Age of the last heartbeat after which a Grafana Agent of the ring counts as gone; 0: never. Members of "
             "sluice have a lease, see [cluster](cluster.md)"},
    INERT("replication_factor", "1, as in the Agent; `cluster.replication_factor` is more"),
    INERT("zone_awareness_enabled", "See `availability_zone`"),
    INERT("excluded_zones", "All zones take part"),
    {0}};
static const struct conf_section ring_section = {
    "ring", sizeof ((struct agent_lifecycler *)0)->ring, ring_rows, NULL, "Members of the scraping service"};

#define LIFECYCLER(field) offsetof(struct agent_lifecycler, field)
static const struct conf_row lifecycler_rows[] = {
    {CONF_SECTION, "ring", LIFECYCLER(ring), .section = &ring_section, .help = "Members"},
    {CONF_STRING, "id", LIFECYCLER(id), .help = "Name of this member; default: the host's name"},
    {CONF_STRING, "availability_zone", LIFECYCLER(availability_zone), .help = "As `cluster.zone`"},
    INERT("num_tokens", "Rendezvous hashing needs none"),
    INERT("heartbeat_period", "Members have a lease"),
    INERT("observe_period", "Members join when they are ready"),
    INERT("join_after", "Members join when they are ready"),
    INERT("min_ready_duration", "Members join when they are ready"),
    INERT("interface_names", "`cluster.address` is the address"),
    INERT("enable_inet6", "`cluster.address` is the address"),
    INERT("final_sleep", "Targets are handed over before the stop"),
    INERT("tokens_file_path", "Rendezvous hashing needs none"),
    INERT("unregister_on_shutdown", "Members always unregister"),
    INERT("readiness_check_ring_health", "Members are independent of each other"),
    INERT("address", "`cluster.address` is the address"),
    INERT("port", "`cluster.address` is the address"),
    {0}};
static const struct conf_section lifecycler_section = {"lifecycler", sizeof(struct agent_lifecycler), lifecycler_rows,
                                                       NULL, "This member"};

#define SERVICE(field) offsetof(struct scraping_service_conf, field)
static const struct conf_row service_rows[] = {
    {CONF_BOOL, "enabled", SERVICE(enabled), .preset = "false", .help = "Scrape the instances that are stored in etcd"},
    {CONF_SECTION, "kvstore", SERVICE(kvstore), .section = &kvstore_section, .help = "Where they are stored"},
    {CONF_SECTION, "lifecycler", SERVICE(lifecycler), .section = &lifecycler_section,
     .help = "This member, unless there is a section `cluster`"},
    {CONF_BOOL, "dangerous_allow_reading_files", SERVICE(dangerous_allow_reading_files), .preset = "false",
     .help = "Stored instances may name files with credentials and certificates"},
    INERT("reshard_interval", "Changes are watched"),
    INERT("reshard_timeout", "Changes are watched"),
    INERT("cluster_reshard_event_timeout", "Changes are watched"),
    {0}};

static bool kvstore_check(const struct yaml *node, const char *path, struct str store, const struct agent_etcd *e,
                          struct err *err)
{
    static const char *const why = "is not supported; use etcd";
    if (!str_is(store, "etcd"))
        return conf_err(node, err, "scraping_service.%s.store: \"%.*s\" %s", path,
                        STR_ARG(store.n > 0 ? store : STR("consul")), why);
    return e->endpoints.n > 0 ||
           conf_err(node, err, "scraping_service.%s.etcd.endpoints: at least one is needed", path);
}

static bool service_check(struct conf_context *c UNUSED, const struct yaml *node, void *value, struct err *err)
{
    struct scraping_service_conf *s = value;
    struct agent_kvstore *ring = &s->lifecycler.ring.kvstore;
    const struct yaml *kv = yaml_get(node, "kvstore");
    if (!s->enabled)
        return true;
    if (!kvstore_check(kv ? kv : node, "kvstore", s->kvstore.store, &s->kvstore.etcd, err))
        return false;
    if (ring->store.n == 0)
        ring->store = STR("etcd");
    if (ring->etcd.endpoints.n == 0)
        ring->etcd = s->kvstore.etcd;
    return kvstore_check(node, "lifecycler.ring.kvstore", ring->store, &ring->etcd, err);
}
static const struct conf_section service_section = {
    "scraping_service", sizeof(struct scraping_service_conf), service_rows, service_check,
    "Instances stored in etcd, whose targets members share ([from Grafana Agent](from-grafana-agent.md))"};

/* ---- metrics ---- */

#define METRICS(field) offsetof(struct metrics_conf, field)
static const struct conf_row metrics_rows[] = {
    {CONF_YAML, "global", METRICS(global),
     .help = "As [global](#global), with a default of the instances' `remote_write`"},
    {CONF_SECTIONS, "configs", METRICS(configs), .section = &instance_section, .help = "Instances"},
    {CONF_OPTIONAL, "scraping_service", METRICS(scraping_service), .section = &service_section,
     .help = "Instances stored in etcd; excludes `configs`"},
    INERT("scraping_service_client", "Members do not call each other"),
    {.type = CONF_ACCEPTED, .name = "wal_directory", .help = "`--storage.agent.path` sets the directory of the queues"},
    INERT("wal_cleanup_age", "There is no WAL"),
    INERT("wal_cleanup_period", "There is no WAL"),
    INERT("instance_restart_backoff", "Instances do not fail"),
    INERT("instance_mode", "Instances with equal destinations share the queues"),
    INERT("http_disable_keepalives", "Connections are kept"),
    INERT("http_idle_conn_timeout", "Idle connections are closed"),
    {0}};

static bool metrics_check(struct conf_context *c UNUSED, const struct yaml *node, void *value, struct err *err)
{
    const struct metrics_conf *m = value;
    if (metrics_scraping_service(m) && m->configs.n > 0)
        return conf_err(yaml_get(node, "configs"), err,
                        "metrics: cannot use configs when scraping_service mode is enabled");
    return true;
}
const struct conf_section metrics_section = {"metrics", sizeof(struct metrics_conf), metrics_rows, metrics_check,
                                             "Jobs and destinations of Grafana Agent's static mode"};

/* ---- as sections of sluice ---- */

static void agent_put_text(struct arena *a, struct yaml *map, const char *key, struct str text)
{
    if (text.n > 0)
        yaml_put(a, map, key, &(struct yaml){.kind = YAML_SCALAR, .file = map->file, .quoted = true, .text = text});
}

static struct yaml agent_tls_section(struct arena *a, const struct agent_etcd *e)
{
    struct yaml tls = {.kind = YAML_MAP, .file = "metrics.scraping_service"};
    agent_put_text(a, &tls, "ca_file", e->ca_path);
    agent_put_text(a, &tls, "cert_file", e->cert_path);
    agent_put_text(a, &tls, "key_file", e->key_path);
    agent_put_text(a, &tls, "server_name", e->server_name);
    if (e->insecure_skip_verify)
        agent_put_text(a, &tls, "insecure_skip_verify", STR("true"));
    return tls;
}

struct yaml agent_etcd_section(struct arena *a, const struct agent_etcd *e)
{
    struct yaml etcd = {.kind = YAML_MAP, .file = "metrics.scraping_service"}, tls = agent_tls_section(a, e);
    struct yaml endpoints = {.kind = YAML_LIST, .file = etcd.file, .n = e->endpoints.n,
                             .items = arena_array(a, e->endpoints.n + 1, sizeof *endpoints.items)};
    for (size_t i = 0; i < e->endpoints.n; i++) {
        struct str text = e->endpoints.items[i];
        if (!url_is_http(text))
            text = arena_printf(a, "%s://%.*s", e->tls_enabled ? "https" : "http", STR_ARG(text));
        endpoints.items[i] = (struct yaml){.kind = YAML_SCALAR, .file = etcd.file, .quoted = true, .text = text};
    }
    yaml_put(a, &etcd, "endpoints", &endpoints);
    agent_put_text(a, &etcd, "timeout", arena_printf(a, "%lldms", (long long)e->dial_timeout));
    agent_put_text(a, &etcd, "username", e->username);
    agent_put_text(a, &etcd, "password", e->password);
    if (tls.n > 0)
        yaml_put(a, &etcd, "tls_config", &tls);
    return etcd;
}

/* Members are registered below the prefix of the Agent's ring, where its user of etcd may write. */
struct yaml agent_cluster_section(struct arena *a, const struct scraping_service_conf *s)
{
    const struct agent_lifecycler *l = &s->lifecycler;
    struct yaml cluster = {.kind = YAML_MAP, .file = "metrics.scraping_service"};
    struct yaml etcd = agent_etcd_section(a, &l->ring.kvstore.etcd);
    struct str prefix = l->ring.kvstore.prefix;
    while (prefix.n > 0 && prefix.p[prefix.n - 1] == '/')
        prefix.n--;
    yaml_put(a, &cluster, "etcd", &etcd);
    agent_put_text(a, &cluster, "prefix", prefix);
    agent_put_text(a, &cluster, "name", STR("sluice"));
    agent_put_text(a, &cluster, "id", l->id);
    agent_put_text(a, &cluster, "zone", l->availability_zone);
    return cluster;
}
