// SPDX-License-Identifier: Apache-2.0
/* Target groups and the configuration of service discovery, which produces them. */
#ifndef MODEL_DISCOVERY_SD_CONF_H
#define MODEL_DISCOVERY_SD_CONF_H

#include "base/conf/conf.h"
#include "base/http/http_conf.h"
#include "model/discovery/kubernetes/kube_conf.h"

struct static_group { struct str_list targets; struct str_map labels; };
struct file_sd { struct str_list files; int64_t refresh_interval; /* ms */ };
/* Of a kind that requests targets from a server; the first member of its struct. */
struct sd_server { int64_t refresh_interval; struct http_conf http; };
struct http_sd { struct sd_server server; struct str url; };
struct consul_sd {
    struct sd_server server;
    struct str address, path_prefix, token, datacenter, namespace, partition, scheme, tag_separator, filter, health_filter;
    struct str_list services, tags;
    struct str_map node_meta;
    bool allow_stale;
};
struct kubernetes_sd {
    struct sd_server server;     /* refresh_interval: the targets change at most once in it */
    struct str api_server, kubeconfig_file;
    int role;                    /* enum kube_role */
    struct kube_namespaces namespaces;
    struct conf_items selectors; /* struct kube_selector */
    const struct kube_attach *attach_metadata; /* NULL: nothing */
    struct kube_access *access;  /* without api_server */
};
struct nomad_sd {
    struct sd_server server;
    struct str address, namespace, region, tag_separator;
    bool allow_stale;
};
struct eureka_sd { struct sd_server server; struct str address; };
struct sd_filter { struct str name; struct str_list values; };
struct docker_host { struct str host; int64_t port; struct conf_items filters; /* struct sd_filter */ };
struct docker_sd {
    struct sd_server server;
    struct docker_host docker;
    struct str host_networking_host;
    bool match_first_network;
};
struct dockerswarm_sd { struct sd_server server; struct docker_host docker; int role; };
struct ec2_sd {
    struct sd_server server;
    struct str region, endpoint, sts_endpoint, access_key, secret_key, profile, role_arn, external_id;
    int64_t port;
    struct conf_items filters, az_filters; /* struct sd_filter */
};
struct gce_sd {
    struct sd_server server;
    struct str project, filter, tag_separator;
    struct str_list zones;
    int64_t port;
};
struct azure_sd {
    struct sd_server server;
    struct str environment, method, subscription, tenant, client, secret, group;
    int64_t port;
    int cloud;                   /* of azuread; it and the following ones by `environment` */
    struct str api, authority;   /* URLs; authority: empty: of the cloud */
};
struct consulagent_sd {
    struct sd_server server;
    struct str address, token, datacenter, namespace, scheme, tag_separator, filter;
    struct str_list services;
};
struct dns_sd { struct str_list names; int type; int64_t port, refresh_interval; }; /* type: enum dns_type */
extern const struct conf_section static_group_section, file_sd_section, http_sd_section, consul_sd_section,
    kubernetes_sd_section, nomad_sd_section, eureka_sd_section, dns_sd_section, docker_sd_section,
    dockerswarm_sd_section, ec2_sd_section, gce_sd_section, azure_sd_section,
    consulagent_sd_section, sd_filter_section;
extern const char *const dns_sd_types[]; /* by enum dns_type */

/* The kinds: X(name of NAME_sd_configs, ms of the default of refresh_interval, what their targets are, ...). Each
 * has a struct NAME_sd and a section NAME_sd_section. Those of the second list request targets from a server: their struct
 * begins with struct sd_server, and sd_kinds.c connects them to their sources. */
#define SD_LOCAL_KINDS(X, ...)                                                                                        \
    X(file, 300000, "listed in files", __VA_ARGS__)                                                                   \
    X(dns, 30000, "that DNS records name", __VA_ARGS__)
#define SD_SERVER_KINDS(X, ...)                                                                                       \
    X(http, 60000, "listed by URLs", __VA_ARGS__)                                                                     \
    X(consul, 30000, "that Consul lists", __VA_ARGS__)                                                                \
    X(kubernetes, 1000, "of a Kubernetes cluster", __VA_ARGS__)                                                       \
    X(nomad, 60000, "that Nomad lists", __VA_ARGS__)                                                                  \
    X(eureka, 30000, "that Eureka lists", __VA_ARGS__)                                                                \
    X(docker, 60000, "that run in Docker", __VA_ARGS__)                                                               \
    X(dockerswarm, 60000, "of a Docker Swarm", __VA_ARGS__)                                                           \
    X(ec2, 60000, "that run in EC2", __VA_ARGS__)                                                                     \
    X(gce, 60000, "that run in Google Compute Engine", __VA_ARGS__)                                                   \
    X(azure, 300000, "that run in Azure", __VA_ARGS__)                                                                \
    X(consulagent, 30000, "of one agent of Consul", __VA_ARGS__)
#define SD_KINDS(X, ...) SD_LOCAL_KINDS(X, __VA_ARGS__) SD_SERVER_KINDS(X, __VA_ARGS__)

/* Rows to include in the section of a job or group: SD_CONF_ROWS(struct scrape_job, sd, "Targets"). */
#define SD_ITEMS_FIELD(name, ms, which, ...) struct conf_items name##_sd_configs; /* struct NAME_sd */
struct sd_conf { SD_KINDS(SD_ITEMS_FIELD) };
#define SD_CONF_ROW(name, ms, which, type, field, what)                                                               \
    {CONF_SECTIONS, #name "_sd_configs", offsetof(type, field.name##_sd_configs), .section = &name##_sd_section,      \
     .help = what " " which},
#define SD_CONF_ROWS(type, field, what) SD_KINDS(SD_CONF_ROW, type, field, what)
/* Whether `key` is one of these rows. */
bool sd_conf_has_key(struct str key);
#define SD_INTERVAL_FIELD(name, ...) int64_t name;
struct sd_intervals { SD_KINDS(SD_INTERVAL_FIELD) }; /* ms; 0: Prometheus' */
/* Of a job or group: all that request targets from a server, one after the other; *at begins with 0. NULL: no more. */
struct sd_server_conf {
    const char *key;             /* "http_sd_configs" */
    size_t kind;                 /* its place in SD_SERVER_KINDS */
    const struct sd_server *server;
};
bool sd_conf_next_server(const struct sd_conf *conf, size_t *at, struct sd_server_conf *out);
/* defaults: of refresh_interval; attach: of attach_metadata, where kubernetes_sd_configs have none; must live as long. */
void sd_conf_finish(struct sd_conf *conf, const struct sd_intervals *defaults, const struct kube_attach *attach);
bool sd_conf_empty(const struct sd_conf *conf);

/* Whose targets are discovered, for log lines: "job", its name. */
struct sd_owner { const char *kind; struct str name; };

#endif
