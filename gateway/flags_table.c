#include "gateway/flags_table.h"

#define AT(field)  offsetof(struct flags, field)
#define RW(field)  offsetof(struct flags, remote_write.field)
#define YEAR       (366ll * 86400000)

static const char *const dialect_names[] = {"sluice", "prometheus", "vmagent", "promxy", NULL};

/* Rows without a preset get their default from the dialect (dialect.c), or zero. */
const struct flag_row flag_rows[] = {
    {{CONF_STRING, "config.file", AT(config_file), .help = "The configuration: one YAML file. The name of this flag chooses the dialect"}, {"promscrape.config", "config"}, false},
    {{CONF_ENUM, "dialect", AT(dialect), .names = dialect_names, .help = "Whose defaults hold: `sluice`, `prometheus`, `vmagent` or `promxy`; else `--promscrape.config` means vmagent, `--config` promxy"}, {0}, false},
    {{CONF_STRINGS, "web.listen-address", AT(listen), .help = "Where HTTP is served: `host:port` or `:port`"}, {"httpListenAddr", "bind-addr"}, false},
    {{CONF_STRING, "storage.agent.path", AT(queue_dir), .help = "Folder of the queues on disk"}, {"remoteWrite.tmpDataPath", "storage.path"}, false},
    {{CONF_INT, "lanes", AT(lanes), .preset = "0", .min = 0, .max = 256, .help = "Threads that move samples; 0 = one for each core"}, {0}, false},
    {{CONF_BOOL, "dryRun", AT(dry_run), .preset = "false", .help = "Check the configuration and exit"}, {"promscrape.config.dryRun", "check-config"}, false},
    {{CONF_BOOL, "version", AT(version), .preset = "false", .help = "Print the version and exit"}, {0}, false},
    {{CONF_BOOL, "help", AT(help), .preset = "false", .help = "Print this and exit"}, {"h"}, false},

    {{CONF_STRING, "web.route-prefix", AT(path_prefix), .preset = "", .help = "Prefix of all paths"}, {"http.pathPrefix"}, false},
    {{CONF_STRING, "web.external-url", AT(external_url), .preset = "", .help = "The URL under which users reach this program"}, {0}, false},
    {{CONF_STRING, "web.cors.origin", AT(cors_origin), .preset = ".*", .help = "Regular expression of the origins that browsers may ask from"}, {0}, false},
    {{CONF_BOOL, "web.enable-lifecycle", AT(enable_lifecycle), .help = "Allow `/-/reload` and `/-/quit`"}, {0}, false},
    {{CONF_STRING, "log.level", AT(log_level), .preset = "info", .help = "Least level printed: debug, info, warn, error"}, {"loggerLevel", "log-level"}, false},
    {{CONF_STRING, "log.format", AT(log_format), .preset = "logfmt", .help = "`logfmt` or `json`"}, {"loggerFormat", "log-format"}, false},

    {{CONF_DURATION, "query.timeout", AT(query_timeout), .preset = "2m", .min = 1, .max = YEAR, .help = "Longest time of one query"}, {0}, false},
    {{CONF_DURATION, "query.lookback-delta", AT(query_lookback), .preset = "5m", .min = 1, .max = YEAR, .help = "How old the newest sample of a series may be"}, {0}, false},
    {{CONF_INT, "query.max-samples", AT(query_max_samples), .preset = "50000000", .min = 1, .max = INT64_MAX, .help = "Most samples that one query may hold"}, {0}, false},
    {{CONF_INT, "query.max-concurrency", AT(query_concurrency), .preset = "20", .min = -1, .max = 1024, .help = "Queries answered at once; more wait in line. Below 1: 20"}, {0}, false},
    {{CONF_SIZE, "query.max-memory", AT(query_memory), .preset = "256MiB", .min = 1 << 20, .max = INT64_MAX, .help = "Most memory that one query may take"}, {0}, false},
    {{CONF_STRINGS, "enable-feature", AT(enable_features), .help = "Prometheus' feature flags"}, {0}, false},

    {{CONF_BOOL, "promscrape.config.strictParse", AT(strict_parse), .preset = "true", .help = "Unknown keys of the file are errors, not warnings"}, {0}, false},
    {{CONF_DURATION, "promscrape.configCheckInterval", AT(config_check_interval), .preset = "0s", .min = 0, .max = YEAR, .help = "How often the file is looked at for changes; 0 = only on SIGHUP and `/-/reload`"}, {"config.auto-reload-interval"}, false},
    {{CONF_SIZE, "promscrape.maxScrapeSize", AT(max_scrape_size), .help = "Largest page of a target, decompressed"}, {0}, false},
    {{CONF_BOOL, "promscrape.noStaleMarkers", AT(no_stale_markers), .preset = "false", .help = "Send no stale markers"}, {0}, false},
    {{CONF_DURATION, "promscrape.fileSDCheckInterval", AT(file_sd_interval), .preset = "1m", .min = 1, .max = YEAR, .help = "How often files of targets are read again, where inotify says nothing"}, {0}, false},
    {{CONF_SIZE, "maxInsertRequestSize", AT(max_insert_size), .preset = "32MiB", .min = 1, .max = 1ll << 40, .help = "Largest pushed body, decompressed"}, {0}, false},
    {{CONF_INT, "maxConcurrentInserts", AT(max_concurrent_inserts), .preset = "0", .min = 0, .max = 1 << 20, .help = "Accepted; each lane takes one pushed body at a time"}, {0}, false},

    {{CONF_STRINGS, "remoteWrite.url", RW(url), .help = "A destination. May stand several times; item i of the flags below belongs to the i-th, a single item to all"}, {0}, true},
    {{CONF_STRINGS, "remoteWrite.basicAuth.username", RW(basic_auth_username), .help = "User name"}, {0}, false},
    {{CONF_STRINGS, "remoteWrite.basicAuth.password", RW(basic_auth_password), .help = "Password"}, {0}, true},
    {{CONF_STRINGS, "remoteWrite.basicAuth.passwordFile", RW(basic_auth_password_file), .help = "File with the password, re-read each second"}, {0}, false},
    {{CONF_STRINGS, "remoteWrite.bearerToken", RW(bearer_token), .help = "Token for `Authorization: Bearer`"}, {0}, true},
    {{CONF_STRINGS, "remoteWrite.bearerTokenFile", RW(bearer_token_file), .help = "File with the token, re-read each second"}, {0}, false},
    {{CONF_STRINGS, "remoteWrite.tlsCAFile", RW(tls_ca_file), .help = "Certificates that may sign the server's"}, {0}, false},
    {{CONF_STRINGS, "remoteWrite.tlsCertFile", RW(tls_cert_file), .help = "Our certificate"}, {0}, false},
    {{CONF_STRINGS, "remoteWrite.tlsKeyFile", RW(tls_key_file), .help = "Our key"}, {0}, false},
    {{CONF_STRINGS, "remoteWrite.tlsServerName", RW(tls_server_name), .help = "Name that the server's certificate must have"}, {0}, false},
    {{CONF_STRINGS, "remoteWrite.tlsInsecureSkipVerify", RW(tls_insecure), .help = "Do not check the server's certificate"}, {0}, false},
    {{CONF_STRINGS, "remoteWrite.headers", RW(headers), .help = "Request headers, `Name: value^^Name2: value2`"}, {0}, true},
    {{CONF_STRINGS, "remoteWrite.proxyURL", RW(proxy_url), .help = "http, https or socks5 proxy"}, {0}, true},
    {{CONF_STRINGS, "remoteWrite.queues", RW(queues), .help = "Shards, each with one request in flight; 8 unless said"}, {0}, false},
    {{CONF_STRINGS, "remoteWrite.sendTimeout", RW(send_timeout), .help = "Longest time of one request; 30s unless said"}, {0}, false},
    {{CONF_STRINGS, "remoteWrite.retryMinInterval", RW(retry_min), .help = "First delay after a failed request"}, {0}, false},
    {{CONF_STRINGS, "remoteWrite.retryMaxInterval", RW(retry_max), .help = "Longest delay"}, {"remoteWrite.retryMaxTime"}, false},
    {{CONF_STRINGS, "remoteWrite.maxDiskUsagePerURL", RW(max_disk), .help = "Largest queue on disk; 0 = no limit"}, {0}, false},
    {{CONF_STRINGS, "remoteWrite.disableOnDiskQueue", RW(disable_disk_queue), .help = "Keep the queue in memory; when it is full pushes get 429"}, {0}, false},
    {{CONF_STRINGS, "remoteWrite.forcePromProto", RW(force_prom_proto), .help = "snappy only"}, {0}, false},
    {{CONF_STRINGS, "remoteWrite.forceVMProto", RW(force_vm_proto), .help = "zstd only"}, {0}, false},
    {{CONF_STRINGS, "remoteWrite.urlRelabelConfig", RW(url_relabel_config), .help = "File with relabel rules of one destination"}, {0}, false},
    {{CONF_STRINGS, "remoteWrite.label", RW(label), .help = "`name=value`, set last on everything sent"}, {0}, false},
    {{CONF_STRING, "remoteWrite.relabelConfig", RW(relabel_config), .preset = "", .help = "File with relabel rules for all destinations of flags"}, {0}, false},
    {{CONF_BOOL, "remoteWrite.showURL", RW(show_url), .preset = "false", .help = "Show destinations' URLs in metrics instead of `1:secret-url`"}, {0}, false},
    {{CONF_BOOL, "remoteWrite.dropSamplesOnOverload", RW(drop_on_overload), .preset = "false", .help = "Without a queue on disk: drop the oldest instead of answering 429"}, {0}, false},
    {{CONF_DURATION, "remoteWrite.flushInterval", AT(flush_interval), .preset = "1s", .min = 1, .max = 600000, .help = "Longest time that a sample waits for its block to fill"}, {0}, false},
};
const size_t n_flag_rows = LEN(flag_rows);
