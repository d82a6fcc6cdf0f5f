// SPDX-License-Identifier: Apache-2.0
#include "model/discovery/source/sd_conf.h"

#include "base/http/dns.h"
#include "base/text/url.h"

static const struct conf_row static_rows[] = {
    {CONF_ADDRESSES, "targets", offsetof(struct static_group, targets), .help = "Addresses, `host:port`"},
    {CONF_MAP, "labels", offsetof(struct static_group, labels), .help = "Labels of these targets"},
    {0}};
const struct conf_section static_group_section = {
    "static_config", sizeof(struct static_group), static_rows, NULL, "Targets with common labels"};

static const struct conf_row file_rows[] = {
    {CONF_FILES, "files", offsetof(struct file_sd, files), .required = true,
     .help = "JSON or YAML files; the last path element may contain `*`, `?` and `[]`. Also http(s) URLs, which are read "
             "every `refresh_interval`"},
    {CONF_DURATION, "refresh_interval", offsetof(struct file_sd, refresh_interval),
     .help = "Maximum time between reads; changes are detected immediately with inotify. Default: 5m"},
    {0}};
static bool check_file_sd(struct conf_context *c UNUSED, const struct yaml *node, void *value, struct err *err)
{
    const struct file_sd *sd = value;
    for (size_t i = 0; i < sd->files.n; i++) {
        struct url url;
        struct err why;
        if (url_is_http(sd->files.items[i]) && !url_parse(sd->files.items[i], &url, &why))
            return conf_err(yaml_get(node, "files"), err, "file_sd_config.files: %s", why.text);
    }
    return true;
}
const struct conf_section file_sd_section = {"file_sd_config", sizeof(struct file_sd), file_rows, check_file_sd,
                                             "Files that list targets"};

#define HTTP(field) offsetof(struct http_sd, field)
static const struct conf_row http_rows[] = {
    {CONF_URL, "url", HTTP(url), .required = true,
     .help = "URL of the list, in JSON as in a file of file_sd_configs"},
    {CONF_DURATION, "refresh_interval", HTTP(server.refresh_interval),
     .help = "Time between requests, and their timeout. Default: 1m"},
    HTTP_CONF_ROWS(struct http_sd, server.http),
    {0}};
static bool check_http_sd(struct conf_context *c UNUSED, const struct yaml *node, void *value, struct err *err)
{
    const struct http_sd *sd = value;
    struct url url;
    struct err why;
    if (!url_parse(sd->url, &url, &why))
        return conf_err(yaml_get(node, "url"), err, "http_sd_config.url: %s", why.text);
    return http_conf_check(node, &sd->server.http, err);
}
const struct conf_section http_sd_section = {"http_sd_config", sizeof(struct http_sd), http_rows, check_http_sd,
                                             "A URL that lists targets"};

#define CONSUL(field) offsetof(struct consul_sd, field)
static const struct conf_row consul_rows[] = {
    {CONF_STRING, "server", CONSUL(address), .preset = "localhost:8500", .help = "Address of Consul, `host:port`"},
    {CONF_STRING, "path_prefix", CONSUL(path_prefix), .help = "Prefix of the paths of its API"},
    {CONF_SECRET, "token", CONSUL(token), .help = "ACL token"},
    {CONF_STRING, "datacenter", CONSUL(datacenter), .help = "Datacenter. Default: that of the agent"},
    {CONF_STRING, "namespace", CONSUL(namespace), .help = "Namespace (Consul Enterprise)"},
    {CONF_STRING, "partition", CONSUL(partition), .help = "Admin partition (Consul Enterprise)"},
    {CONF_STRING, "scheme", CONSUL(scheme), .preset = "http", .help = "http or https"},
    {CONF_STRINGS, "services", CONSUL(services), .help = "Names of services. Default: all"},
    {CONF_STRINGS, "tags", CONSUL(tags), .help = "Tags that an instance must have, all of them"},
    {CONF_STRING, "tag_separator", CONSUL(tag_separator), .preset = ",",
     .help = "Separator around the tags in `__meta_consul_tags`"},
    {CONF_MAP, "node_meta", CONSUL(node_meta), .help = "Metadata that a node must have"},
    {CONF_STRING, "filter", CONSUL(filter), .help = "Filter expression for the catalog"},
    {CONF_STRING, "health_filter", CONSUL(health_filter), .help = "Filter expression for instances of services"},
    {CONF_BOOL, "allow_stale", CONSUL(allow_stale), .preset = "true", .help = "Accept responses of servers that are not the leader"},
    {CONF_DURATION, "refresh_interval", CONSUL(server.refresh_interval), .help = "Time between reads. Default: 30s"},
    HTTP_CONF_ROWS(struct consul_sd, server.http),
    {0}};
static bool check_consul_sd(struct conf_context *c UNUSED, const struct yaml *node, void *value, struct err *err)
{
    const struct consul_sd *sd = value;
    if (sd->address.n == 0)
        return conf_err(yaml_get(node, "server"), err, "consul_sd_config.server: must not be empty");
    if (!str_is(sd->scheme, "http") && !str_is(sd->scheme, "https"))
        return conf_err(yaml_get(node, "scheme"), err, "consul_sd_config.scheme: \"%.*s\" is neither http nor https",
                        STR_ARG(sd->scheme));
    return http_conf_check(node, &sd->server.http, err);
}
const struct conf_section consul_sd_section = {"consul_sd_config", sizeof(struct consul_sd), consul_rows, check_consul_sd,
                                               "Services that Consul lists"};

#define NOMAD(field) offsetof(struct nomad_sd, field)
static const struct conf_row nomad_rows[] = {
    {CONF_URL, "server", NOMAD(address), .preset = "http://localhost:4646", .help = "URL of Nomad"},
    {CONF_STRING, "namespace", NOMAD(namespace), .preset = "default", .help = "Namespace; `*`: all"},
    {CONF_STRING, "region", NOMAD(region), .preset = "global", .help = "Region"},
    {CONF_STRING, "tag_separator", NOMAD(tag_separator), .preset = ",",
     .help = "Separator around the tags in `__meta_nomad_tags`"},
    {CONF_BOOL, "allow_stale", NOMAD(allow_stale), .preset = "true", .help = "Accept responses of servers that are not the leader"},
    {CONF_DURATION, "refresh_interval", NOMAD(server.refresh_interval), .help = "Time between reads. Default: 1m"},
    HTTP_CONF_ROWS(struct nomad_sd, server.http),
    {0}};
static bool check_nomad_sd(struct conf_context *c UNUSED, const struct yaml *node, void *value, struct err *err)
{
    const struct nomad_sd *sd = value;
    if (sd->address.n == 0)
        return conf_err(yaml_get(node, "server"), err, "nomad_sd_config.server: must not be empty");
    return http_conf_check(node, &sd->server.http, err);
}
const struct conf_section nomad_sd_section = {"nomad_sd_config", sizeof(struct nomad_sd), nomad_rows, check_nomad_sd,
                                              "Services that Nomad lists"};

#define EUREKA(field) offsetof(struct eureka_sd, field)
static const struct conf_row eureka_rows[] = {
    {CONF_URL, "server", EUREKA(address), .required = true, .help = "URL of Eureka, `http://host:8761/eureka`"},
    {CONF_DURATION, "refresh_interval", EUREKA(server.refresh_interval), .help = "Time between reads. Default: 30s"},
    HTTP_CONF_ROWS(struct eureka_sd, server.http),
    {0}};
static bool check_eureka_sd(struct conf_context *c UNUSED, const struct yaml *node, void *value, struct err *err)
{
    const struct eureka_sd *sd = value;
    struct url url;
    struct err why;
    if (!url_parse(sd->address, &url, &why))
        return conf_err(yaml_get(node, "server"), err, "eureka_sd_config.server: %s", why.text);
    return http_conf_check(node, &sd->server.http, err);
}
const struct conf_section eureka_sd_section = {"eureka_sd_config", sizeof(struct eureka_sd), eureka_rows, check_eureka_sd,
                                               "Applications that Eureka lists"};

#define DNS(field) offsetof(struct dns_sd, field)
const char *const dns_sd_types[] = {
    [DNS_A] = "A", [DNS_AAAA] = "AAAA", [DNS_MX] = "MX", [DNS_NS] = "NS", [DNS_SRV] = "SRV", NULL};
static const struct conf_row dns_rows[] = {
    {CONF_STRINGS, "names", DNS(names), .required = true, .help = "Names to look up"},
    {CONF_ENUM, "type", DNS(type), .preset = "SRV", .names = dns_sd_types, .help = "Type of the records"},
    {CONF_INT, "port", DNS(port), .min = 0, .max = 65535, .help = "Port of the targets; SRV records have their own"},
    {CONF_DURATION, "refresh_interval", DNS(refresh_interval), .help = "Time between lookups. Default: 30s"},
    {0}};
static bool check_dns_sd(struct conf_context *c UNUSED, const struct yaml *node, void *value, struct err *err)
{
    const struct dns_sd *sd = value;
    if (sd->names.n == 0)
        return conf_err(node, err, "dns_sd_config.names: must not be empty");
    for (size_t i = 0; i < sd->names.n; i++)
        if (sd->names.items[i].n == 0)
            return conf_err(node, err, "dns_sd_config.names: a name is empty");
    if (sd->port == 0 && sd->type != DNS_SRV)
        return conf_err(node, err, "dns_sd_config.port: required for records of type %s", dns_sd_types[sd->type]);
    return true;
}
const struct conf_section dns_sd_section = {"dns_sd_config", sizeof(struct dns_sd), dns_rows, check_dns_sd,
                                            "DNS records that name targets"};

static const struct conf_row filter_rows[] = {
    {CONF_STRING, "name", offsetof(struct sd_filter, name), .required = true, .not_empty = true, .help = "Name of the filter"},
    {CONF_STRINGS, "values", offsetof(struct sd_filter, values), .required = true, .not_empty = true,
     .help = "Values, one of which must match"},
    {0}};
const struct conf_section sd_filter_section = {"sd_filter", sizeof(struct sd_filter), filter_rows, NULL,
                                               "A filter that the server applies"};

/* ---- all kinds ---- */

static const struct kind_conf {
    const char *key;
    size_t items, size, interval, preset; /* offsets in sd_conf, sizes, offset in the struct, and in sd_intervals */
    int64_t ms;
    bool server;
} kinds[] = {
#define KIND(name, ms_, which, interval_, server_)                                                                    \
    {#name "_sd_configs", offsetof(struct sd_conf, name##_sd_configs), sizeof(struct name##_sd),                      \
     offsetof(struct name##_sd, interval_), offsetof(struct sd_intervals, name), ms_, server_},
    SD_LOCAL_KINDS(KIND, refresh_interval, false)
    SD_SERVER_KINDS(KIND, server.refresh_interval, true)
};

static const struct conf_items *kind_items(const struct sd_conf *conf, const struct kind_conf *k)
{
    return (const struct conf_items *)(const void *)((const char *)conf + k->items);
}

bool sd_conf_has_key(struct str key)
{
    for (size_t i = 0; i < LEN(kinds); i++)
        if (str_is(key, kinds[i].key))
            return true;
    return false;
}

void sd_conf_finish(struct sd_conf *conf, const struct sd_intervals *defaults, const struct kube_attach *attach)
{
    struct kubernetes_sd *kubernetes = conf->kubernetes_sd_configs.items;
    for (size_t i = 0; i < conf->kubernetes_sd_configs.n; i++)
        if (kubernetes[i].attach_metadata == NULL)
            kubernetes[i].attach_metadata = attach;
    for (const struct kind_conf *k = kinds; k < kinds + LEN(kinds); k++) {
        const struct conf_items *items = kind_items(conf, k);
        const int64_t *preset = (const int64_t *)(const void *)((const char *)defaults + k->preset);
        for (size_t i = 0; i < items->n; i++) {
            int64_t *interval = (int64_t *)(void *)((char *)items->items + i * k->size + k->interval);
            if (*interval <= 0)
                *interval = *preset > 0 ? *preset : k->ms;
        }
    }
}

bool sd_conf_empty(const struct sd_conf *conf)
{
    size_t n = 0;
    for (size_t i = 0; i < LEN(kinds); i++)
        n += kind_items(conf, &kinds[i])->n;
    return n == 0;
}

bool sd_conf_next_server(const struct sd_conf *conf, size_t *at, struct sd_server_conf *out)
{
    size_t skip = *at, kind = 0;
    for (const struct kind_conf *k = kinds; k < kinds + LEN(kinds); k++) {
        const struct conf_items *items = kind_items(conf, k);
        if (!k->server)
            continue;
        if (skip < items->n) {
            const void *item = (const char *)items->items + skip * k->size;
            *out = (struct sd_server_conf){k->key, kind, item};
            ++*at;
            return true;
        }
        skip -= items->n;
        kind++;
    }
    return false;
}
