// SPDX-License-Identifier: Apache-2.0
#include "gateway/cluster/cluster_conf.h"

#include "base/text/url.h"
#include "model/cluster/cluster_view.h"

#include <unistd.h>

#define ETCD(field) offsetof(struct etcd_section, field)
static const struct conf_row etcd_rows[] = {
    {CONF_STRINGS, "endpoints", ETCD(endpoints), .required = true,
     .help = "URLs of the members of etcd, `http://host:2379`"},
    {CONF_STRING, "username", ETCD(username), .help = "User of etcd; empty: without authentication"},
    {CONF_SECRET, "password", ETCD(password), .help = "Its password"},
    {CONF_FILE, "password_file", ETCD(password_file), .help = "File with the password, re-read each second"},
    {CONF_DURATION, "timeout", ETCD(timeout), .preset = "5s", .min = 100, .max = 60000,
     .help = "Time for a request to one endpoint"},
    HTTP_CONF_ROWS(struct etcd_section, http),
    {0}};

static bool etcd_section_check(struct conf_context *c UNUSED, const struct yaml *node, void *value, struct err *err)
{
    const struct etcd_section *e = value;
    if (e->endpoints.n == 0)
        return conf_err(node, err, "etcd.endpoints: at least one URL is needed");
    for (size_t i = 0; i < e->endpoints.n; i++)
        if (!url_is_http(e->endpoints.items[i]))
            return conf_err(node, err, "etcd.endpoints: \"%.*s\" is no URL; write http://host:2379",
                            STR_ARG(e->endpoints.items[i]));
    if (e->password.n > 0 && e->password_file.n > 0)
        return conf_err(node, err, "etcd: set password or password_file, not both");
    if (e->username.n == 0 && (e->password.n > 0 || e->password_file.n > 0))
        return conf_err(node, err, "etcd: a password needs username");
    return http_conf_check(node, &e->http, err);
}
const struct conf_section etcd_section = {"etcd", sizeof(struct etcd_section), etcd_rows, etcd_section_check,
                                          "Access to etcd, over its JSON gateway"};

static const struct conf_row members_rows[] = {HTTP_CONF_ROWS(struct members_section, http), {0}};
static bool members_section_check(struct conf_context *c UNUSED, const struct yaml *node, void *value, struct err *err)
{
    return http_conf_check(node, &((const struct members_section *)value)->http, err);
}
static const struct conf_section members_section = {"cluster_members", sizeof(struct members_section), members_rows,
                                                    members_section_check, "HTTP client of requests to other members"};

static const char *const replica_modes[] = {"standby", "all", NULL}; /* enum replica_mode */
static const char *const distributions[] = {"target", "config", NULL}; /* enum distribute */
#define CLUSTER(field) offsetof(struct cluster_conf, field)
static const struct conf_row cluster_rows[] = {
    {CONF_SECTION, "etcd", CLUSTER(etcd), .section = &etcd_section, .help = "The etcd that coordinates the members"},
    {CONF_STRING, "name", CLUSTER(name), .preset = "default",
     .help = "Name of the cluster: members of clusters with other names ignore each other"},
    {CONF_STRING, "id", CLUSTER(id), .help = "Name of this member, unique in the cluster; default: the host's name"},
    {CONF_STRING, "address", CLUSTER(address),
     .help = "URL at which other members reach this one; default: `http://`, the host's name, and the port of the first "
             "listen address"},
    {CONF_STRING, "zone", CLUSTER(zone), .help = "Failure domain: replicas of a target are in different ones"},
    {CONF_FLOAT, "weight", CLUSTER(weight), .preset = "1", .help = "Share of the targets, relative to other members"},
    {CONF_ENUM, "distribute", CLUSTER(distribute), .preset = "target", .names = distributions,
     .help = "What a member owns: single targets, or all targets of an entry of `scrape_configs` (`config`)"},
    {CONF_INT, "replication_factor", CLUSTER(replication_factor), .preset = "1", .min = 1, .max = CLUSTER_REPLICAS_MAX,
     .help = "Members that scrape each target"},
    {CONF_ENUM, "replica_mode", CLUSTER(replica_mode), .preset = "standby", .names = replica_modes,
     .help = "`standby`: the first of them sends its samples, the others keep theirs in memory and send what it did "
             "not if it crashes; `all`: all of them send"},
    {CONF_SIZE, "standby_memory", CLUSTER(standby_memory), .preset = "256MiB", .min = 1 << 20, .max = (int64_t)1 << 40,
     .help = "Memory for scrapes that are kept, compressed; beyond it the oldest are dropped"},
    {CONF_STRING, "replica_label", CLUSTER(replica_label),
     .help = "Label with the member's `id`, added to the series of its targets, for storages that deduplicate "
             "replicas; needs `replica_mode: all`"},
    {CONF_STRINGS, "ownership_labels", CLUSTER(ownership_labels),
     .help = "Only these labels decide which member scrapes a target, if it has one of them"},
    {CONF_STRINGS, "ownership_exclude_labels", CLUSTER(ownership_exclude_labels),
     .help = "Labels that do not: for those whose values change"},
    {CONF_INT, "wait_for_size", CLUSTER(wait_for_size), .preset = "0", .min = 0, .max = CLUSTER_MEMBERS_MAX,
     .help = "Members that must be there before this one takes targets"},
    {CONF_DURATION, "wait_timeout", CLUSTER(wait_timeout), .preset = "5m", .min = 0, .max = 86400000,
     .help = "Maximum time to wait for them"},
    {CONF_DURATION, "lease", CLUSTER(lease), .preset = "10s", .min = 2000, .max = 600000,
     .help = "Time after which a member that does not respond is replaced"},
    {CONF_DURATION, "handover", CLUSTER(handover), .preset = "2s", .min = 200, .max = 60000,
     .help = "Time between the announcement that a member takes or leaves targets and the first scrape by their new owner: "
             "longer than a change needs to reach all members, and than their clocks differ"},
    {CONF_STRING, "prefix", CLUSTER(prefix), .preset = "/sluice/v1", .help = "Prefix of all keys in etcd"},
    {CONF_SECTION, "members", CLUSTER(members), .section = &members_section,
     .help = "HTTP client of requests to other members"},
    {0}};

/* Parts of keys and of URLs. */
static bool is_plain_name(struct str name)
{
    for (size_t i = 0; i < name.n; i++)
        if (name.p[i] <= ' ' || name.p[i] == '/' || name.p[i] == 0x7f)
            return false;
    return name.n > 0 && name.n <= 200;
}

static struct str cluster_host_name(struct arena *a)
{
    char host[256] = "";
    if (gethostname(host, sizeof host - 1) < 0 || host[0] == 0)
        return STR("localhost");
    return arena_str(a, str_of(host));
}

static bool cluster_conf_check(struct conf_context *c, const struct yaml *node, void *value, struct err *err)
{
    struct cluster_conf *conf = value;
    if (conf->id.n == 0)
        conf->id = cluster_host_name(c->arena);
    if (!is_plain_name(conf->id))
        return conf_err(node, err, "cluster.id: \"%.*s\": expected 1 to 200 characters without blanks and /",
                        STR_ARG(conf->id));
    if (!is_plain_name(conf->name))
        return conf_err(node, err, "cluster.name: \"%.*s\": expected 1 to 200 characters without blanks and /",
                        STR_ARG(conf->name));
    if (conf->address.n > 0 && !url_is_http(conf->address))
        return conf_err(node, err, "cluster.address: \"%.*s\" is no URL; write http://host:port", STR_ARG(conf->address));
    if (!(conf->weight > 0 && conf->weight <= 1000))
        return conf_err(node, err, "cluster.weight: expected a number over 0, at most 1000");
    if (conf->replica_label.n > 0 && conf->replica_mode != REPLICA_ALL)
        return conf_err(node, err, "cluster.replica_label: it needs `replica_mode: all`: with `standby` one member "
                        "sends a target's samples at a time");
    if (conf->handover >= conf->lease)
        return conf_err(node, err, "cluster.handover: it must be shorter than `lease`");
    return true;
}

const struct conf_section cluster_section = {"cluster", sizeof(struct cluster_conf), cluster_rows, cluster_conf_check,
                                             "Sluices that share the targets of their jobs, see [cluster](cluster.md)"};
