// SPDX-License-Identifier: Apache-2.0
/* A command line of vmagent, Prometheus or promxy must work as it stands. What is listed here is accepted with a
 * warning.
 */
#include "gateway/flags_table.h"

static const char *const switches[] = {
    /* vmagent */
    "denyQueryTracing", "enableMetadata", "enableMultitenantHandlers", "enableMultitenancyViaHeaders", "enableTCP6",
    "envflag.enable", "filestream.disableFadvise", "fs.disableMmap", "fs.disableMincore",
    "graphite.sanitizeMetricName", "http.disableKeepAlive", "http.disableResponseCompression",
    "influx.forceStreamMode", "influxSkipMeasurement", "influxSkipSingleField", "internStringDisableCache",
    "loggerDisableTimestamps", "metrics.exposeMetadata", "opentelemetry.convertMetricNamesToPrometheus",
    "opentelemetry.usePrometheusNaming", "promscrape.disableCompression", "promscrape.disableKeepAlive",
    "promscrape.dropOriginalLabels", "promscrape.kubernetes.attachNodeMetadataAll",
    "promscrape.kubernetes.useHTTP2Client", "promscrape.streamParse",
    "promscrape.suppressDuplicateScrapeTargetErrors", "promscrape.suppressScrapeErrors",
    "pushmetrics.disableCompression", "remoteWrite.keepDanglingQueues", "sortLabels", "streamAggr.dropInput",
    "streamAggr.keepInput", "usePromCompatibleNaming",
    /* Prometheus */
    "agent", "alertmanager.drain-notification-queue-on-shutdown", "auto-gomaxprocs", "auto-gomemlimit", "scrape.adjust-timestamps", "storage.agent.no-lockfile", "storage.agent.wal-compression",
    "storage.tsdb.no-lockfile", "storage.tsdb.wal-compression", "web.enable-admin-api", "web.enable-otlp-receiver",
    "web.enable-remote-write-receiver",
    /* promxy */
    "rules.alertbackfill"};

static const char *const values[] = {
    /* vmagent */
    "blockcache.missesBeforeCaching", "cacheExpireDuration", "configAuthKey", "envflag.prefix", "flagsAuthKey",
    "fs.maxConcurrency", "graphiteListenAddr", "http.connTimeout", "http.header.csp", "http.header.frameOptions",
    "http.header.hsts", "http.idleConnTimeout", "http.maxGracefulShutdownDuration", "http.shutdownDelay",
    "httpListenAddr.useProxyProtocol", "import.maxLineLen", "influxDBLabel", "influxListenAddr",
    "influxMeasurementFieldSeparator", "insert.maxQueueDuration", "internStringCacheExpireDuration",
    "internStringMaxLen", "loggerErrorsPerSecondLimit", "loggerJSONFields", "loggerMaxArgLen", "loggerOutput",
    "loggerTimezone", "loggerWarnsPerSecondLimit", "maxIngestionRate", "maxLabelsPerTimeseries", "maxLabelNameLen",
    "maxLabelValueLen", "memory.allowedBytes", "memory.allowedPercent", "metricsAuthKey",
    "opentelemetry.maxRequestSize", "opentsdbHTTPListenAddr", "opentsdbListenAddr", "pprofAuthKey",
    "prevCacheRemovalPercent", "promscrape.consul.waitTime", "promscrape.consulSDCheckInterval",
    "promscrape.discovery.concurrency", "promscrape.discovery.concurrentWaitTime", "promscrape.dnsSDCheckInterval",
    "promscrape.dockerSDCheckInterval", "promscrape.ec2SDCheckInterval", "promscrape.httpSDCheckInterval",
    "promscrape.kubernetes.apiServerTimeout", "promscrape.kubernetesSDCheckInterval", "promscrape.maxDroppedTargets",
    "promscrape.maxResponseHeadersSize", "promscrape.minResponseSizeForStreamParse",
    "promscrape.seriesLimitPerTarget", "promscrape.suppressScrapeErrorsDelay", "pushmetrics.extraLabel",
    "pushmetrics.header", "pushmetrics.interval", "pushmetrics.url", "reloadAuthKey", "remoteWrite.disableMetadata",
    "remoteWrite.inmemoryQueues", "remoteWrite.maxBlockSize", "remoteWrite.maxDailySeries",
    "remoteWrite.maxHourlySeries", "remoteWrite.maxMetadataPerBlock", "remoteWrite.maxRowsPerBlock",
    "remoteWrite.rateLimit", "remoteWrite.tlsHandshakeTimeout", "remoteWrite.vmProtoCompressLevel", "secret.flags",
    "streamAggr.dedupInterval",
    /* Prometheus */
    "alertmanager.notification-queue-capacity",
    "auto-gomemlimit.ratio", "rules.alert.for-grace-period", "rules.alert.for-outage-tolerance",
    "rules.alert.resend-delay", "rules.max-concurrent-evals",
    "scrape.discovery-reload-interval", "scrape.timestamp-tolerance", "storage.agent.retention.max-time",
    "storage.agent.retention.min-time", "storage.remote.flush-deadline", "storage.remote.read-concurrent-limit",
    "storage.remote.read-max-bytes-in-frame", "storage.remote.read-sample-limit", "storage.tsdb.max-block-duration",
    "storage.tsdb.min-block-duration", "storage.tsdb.path", "storage.tsdb.retention", "storage.tsdb.retention.size",
    "storage.tsdb.retention.time", "web.console.libraries", "web.console.templates", "web.max-connections",
    "web.max-notifications-subscribers", "web.page-title", "web.read-timeout", "web.user-assets",
    /* promxy */
    "access-log-destination", "http.shutdown-delay", "http.shutdown-timeout", "log-max-form-prefix", "metrics-path",
    "proxy-headers", "remote-read.max-concurrency"};

static bool among(struct str name, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (str_is(name, names[i]))
            return true;
    return false;
}

enum accepted flag_accepted(struct str name)
{
    if (among(name, switches, LEN(switches)))
        return ACCEPTED_SWITCH;
    return among(name, values, LEN(values)) ? ACCEPTED_VALUE : ACCEPTED_NOT;
}
