// SPDX-License-Identifier: Apache-2.0
/* Command line flags. Each is a row of a table (flags_table.c) with a type, a default, help, and an alias for each
 * program that names it differently. Syntax: one or two dashes, `-x=v` or `-x v`; booleans `-x`, `-x=false`, `--no-x`;
 * lists repeated or comma-separated, with items matched to URLs by position, as in vmagent. Main thread.
 */
#ifndef GATEWAY_CONFIG_FLAGS_H
#define GATEWAY_CONFIG_FLAGS_H

#include "base/conf/conf.h"
#include "gateway/config/auth_key.h"
#include "model/discovery/source/sd_conf.h"

enum dialect { DIALECT_SLUICE, DIALECT_PROMETHEUS, DIALECT_VMAGENT, DIALECT_PROMXY };

enum cluster_hash { CLUSTER_HASH_VMAGENT, CLUSTER_HASH_RENDEZVOUS };
struct flags {
    struct arena arena;
    enum dialect dialect;
    struct str config_file;
    bool systemd_socket;               /* `listen` has the sockets that systemd passed, as fd:N */
    struct str_list listen;            /* default :8429 (vmagent and sluice), :9090 (prometheus), :8082 (promxy) */
    struct str queue_dir;
    int64_t lanes;                     /* 0 = cores */
    int64_t flush_interval;
    int64_t query_timeout, query_lookback; uint64_t query_max_samples; int64_t query_concurrency; uint64_t query_memory;
    struct str_list enable_features;
    int64_t query_queue_timeout, query_evaluations;
    bool query_partial;                /* groups may fail, unless they set partial_response */
    int64_t query_slow;                /* ms; 0: slow queries are not logged */
    int64_t memory_bytes; double memory_percent; /* for queries and HTTP; bytes 0 = the percentage */
    int64_t max_connections, max_connections_per_client, read_timeout;
    int64_t conn_timeout, idle_conn_timeout; /* ms; conn_timeout 0: connections are not rotated */
    int64_t shutdown_delay, graceful_shutdown; /* ms; gateway/drain.h */
    bool disable_compression, disable_keep_alive;
    struct str_list secret_flags;      /* names of further flags whose values are not shown */
    struct str path_prefix, external_url, cors_origin;
    struct str web_config_file;        /* access.h, also for the next */
    struct listen_flags {              /* lists: item i applies to listen address i, a single item to all */
        struct str_list tls, tls_cert_file, tls_key_file, tls_min_version, mtls, mtls_ca_file;
        struct str_list classes;       /* enum route_class by name, joined by + */
        struct str_list use_proxy_protocol;
        struct str_list tls_cipher_suites; /* of all addresses */
        struct str auth_username, auth_password;
        struct str header_csp, header_frame_options, header_hsts;
    } listener;
    struct str link_prefix;            /* of paths in pages: path of external_url; not set: path_prefix */
    struct str zone;                   /* of this process: servers of the same zone are preferred */
    struct str log_level, log_format;
    struct str access_log;             /* none, stdout, stderr, or a file */
    int access_log_format;             /* enum access_log_format */
    struct auth_keys auth_keys;
    struct str_list proxy_headers;     /* names of request headers to pass on to servers of groups */
    bool enable_lifecycle;             /* /-/reload and /-/quit over HTTP */
    bool enable_reload;                /* /-/reload over HTTP: also if the dialect enables it by default */
    bool suppress_scrape_errors, suppress_duplicate_targets;
    int64_t suppress_scrape_errors_delay; /* ms */
    bool disable_cors;
    bool dry_run, check_reachability, version, help;
    bool expand_file;                  /* ${NAME} in files of the configuration */
    bool enable_read_api;              /* stored instances are shown */
    bool keep_references;              /* %{NAME}, in the trees of files: for `sluice config convert` */
    bool strict_parse;
    int64_t config_check_interval;
    bool auto_reload;
    int64_t max_scrape_size, series_limit; bool no_stale_markers, stream_parse; struct sd_intervals sd_intervals; struct kube_attach kube_attach;
    struct target_flags { bool no_compression, no_keep_alive, no_discovered; int64_t max_dropped; } targets;
    struct cluster_flags {             /* scrapers that share the targets, without coordination */
        int64_t members, replicas;
        struct str member, name, member_label, member_url;
        struct str_list shard_labels;
        int hash;                      /* enum cluster_hash */
    } cluster;
    int64_t max_insert_size;
#define PUSH_MESSAGE_1 "prometheus.WriteRequest"
#define PUSH_MESSAGE_2 "io.prometheus.write.v2.Request"
    struct str_list accepted_messages; /* of pushes; empty: both */
    struct ingest_flags {              /* pushes in formats other than remote write */
        int64_t max_concurrent, max_queue; /* max_concurrent 0: by the number of cores; max_queue: ms */
        int64_t max_rate;                  /* samples a second; below 1: no limit */
        int64_t jsonl_max_line, csv_trim;  /* trim: ms that times are rounded down to */
        int64_t influx_max_line, influx_max_request, influx_trim;
        struct str influx_separator, influx_db_label;
        struct str_list influx_databases;
        struct str graphite_listen, influx_listen, opentsdb_listen, opentsdb_http_listen; /* addresses; empty: none */
        bool graphite_proxied, influx_proxied, opentsdb_proxied, opentsdb_http_proxied;
        int64_t graphite_trim, opentsdb_trim, opentsdb_http_trim, opentsdb_http_max;
        bool graphite_sanitize;
        int64_t otlp_max_request, datadog_max_request;
        struct str_list otlp_resource_attributes, otlp_ignored_attributes;
        bool otlp_all_resource_attributes, otlp_scope, otlp_prometheus_names, otlp_prometheus_metric_names, otlp_key_underscore;
        bool datadog_sanitize;
        bool influx_skip_measurement, influx_skip_single_field, influx_stream;
    } ingest;
    struct remote_write_flags {        /* -remoteWrite.*: item i applies to url i, a single item to all */
        struct str_list url, basic_auth_username, basic_auth_username_file, basic_auth_password,
            basic_auth_password_file, bearer_token, bearer_token_file, tls_ca_file, tls_cert_file, tls_key_file,
            tls_server_name, tls_insecure, headers,
            proxy_url, queues, send_timeout, retry_min, retry_max, max_disk, disable_disk_queue,
            force_prom_proto, force_vm_proto, url_relabel_config, disable_metadata, rate_limit,
            significant_figures, round_digits;
        struct str_list oauth2_client_id, oauth2_client_secret, oauth2_client_secret_file, oauth2_endpoint_params,
            oauth2_scopes, oauth2_token_url;
        struct str_list aws_use_sigv4, aws_access_key, aws_secret_key, aws_region, aws_role_arn, aws_service,
            aws_sts_endpoint;
        struct str_list label;         /* name=value */
        struct str relabel_config;
        bool show_url, drop_on_overload, shard_by_url;
        struct str_list shard_labels, shard_ignore_labels;
        int64_t shard_replicas;
        int64_t max_hourly_series, max_daily_series, max_labels, max_label_name_length, max_label_value_length;
        int64_t max_rows_per_block, max_block_size; /* of each destination that flags define */
    } remote_write;
    struct aggregation_flags {         /* -streamAggr.* */
        struct str config;
        bool keep_input, drop_input, ignore_old_samples, enable_windows;
        int64_t dedup_interval, ignore_first_intervals;
        struct str_list drop_input_labels;
    } aggregation;
    struct url_aggregation_flags {     /* -remoteWrite.streamAggr.*: items as of remote_write */
        struct str_list config, keep_input, drop_input, dedup_interval, ignore_old_samples, ignore_first_intervals,
            enable_windows, drop_input_labels; /* drop_input_labels: joined by ^^ */
    } url_aggregation;
    struct str_list accept_inert;      /* flags and keys to ignore although that is unsafe */
    bool strict;                       /* ignored flags and keys are errors */
    bool env_enable; struct str env_prefix; /* unset flags are read from environment variables */
    struct str_list warnings;          /* about ignored flags, a line each */
    struct str_list ignored;           /* names of these flags */
    struct str_list tuning;            /* names of set flags that tune an implementation, also ignored */
    struct conf_errors errors;         /* all errors, if there is more than the one in err */
    struct { struct str name, value; bool set, secret; } *all; size_t n_all; /* for status/flags and flag{} metrics */
};
bool flags_parse(int argc, char **argv, struct flags *out, struct err *err) MUST_USE;
void flags_free(struct flags *f);
/* Whether the next argument belongs to this one, "-x" or "--x": not to -x=v, nor to a boolean flag. */
bool flag_takes_next(const char *argument);
/* Item i of a list whose items belong to URLs or addresses: a single item applies to all. */
struct str flags_item(const struct str_list *list, size_t i);
void flags_help(struct buf *out);
void flags_document(struct buf *out);  /* Markdown tables: docs/configuration.md is checked against them */

#endif
