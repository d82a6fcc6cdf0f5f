// SPDX-License-Identifier: Apache-2.0
/* The lower part of /targets: remote write destinations with their queues and servers of server groups, as HTML tables
 * or as text, one line each. If there are none, the HTML page shows how to add them.
 */
#include "base/text/duration.h"
#include "gateway/services/services.h"
#include "gateway/pages/backends.h"
#include "gateway/pages/html.h"

#include <inttypes.h>

/* ---- remote write ---- */

static const char *destination_order(const struct destination_status *d)
{
    return d->newest_first ? "newest first" : "in order";
}

/* Order, or of a backup what it does. */
static void add_destination_role(struct buf *out, const struct destination_status *d, int64_t now)
{
    if (d->backup_of.n == 0) {
        buf_add_z(out, destination_order(d));
        return;
    }
    buf_printf(out, "backup of %.*s, ", STR_ARG(d->backup_of));
    if (d->backup_sends) {
        buf_add_z(out, "sending for ");
        buf_add_duration(out, (now - d->backup_since) / 1000 * 1000);
    } else {
        buf_add_z(out, "silent");
    }
    if (d->backup_windows > 0) {
        buf_printf(out, ", %u window%s of ", d->backup_windows, d->backup_windows > 1 ? "s" : "");
        buf_add_duration(out, d->backup_window_ms / 1000 * 1000);
    }
}

static void add_time_until_full(struct buf *out, const struct destination_status *d)
{
    const double year = 31536000;
    if (d->seconds_until_full < year)
        buf_add_duration(out, (int64_t)d->seconds_until_full * 1000);
    else
        buf_add_char(out, '-');
}

static void html_destination(struct buf *out, const struct destination_status *d, int64_t now)
{
    buf_add_z(out, "<tr><td>");
    html_text(out, d->name);
    buf_add_z(out, "<td data-k=URL>");
    html_text(out, d->url);
    buf_printf(out, "<td data-k=Codec>%s<td class=n data-k=Shards>%u<td class=n data-k=Pending>",
               d->zstd ? "zstd" : "snappy", d->shards);
    html_bytes(out, d->pending_bytes);
    buf_printf(out, "<td class=n data-k=Oldest>%.1fs<td data-k=Order>", (double)d->oldest_ms / 1000);
    struct buf role = {0};
    add_destination_role(&role, d, now);
    html_text(out, buf_str(&role));
    buf_free(&role);
    buf_add_z(out, "<td class=n data-k='Free disk'>");
    if (d->free_bytes != UINT64_MAX)
        html_bytes(out, d->free_bytes);
    buf_add_z(out, "<td class=n data-k='Full in'>");
    add_time_until_full(out, d);
    buf_add_z(out, "<td class=n data-k='Samples sent'>");
    html_count(out, d->sent_samples);
    buf_add_z(out, "<td class=n data-k=Dropped>");
    html_count(out, d->dropped_samples);
    buf_add_z(out, "<td class=n data-k=Retries>");
    html_count(out, d->retries);
    buf_add_z(out, "<td class=n data-k='Last success'>");
    html_ago(out, d->last_ok_at, now);
    html_last_error(out, d->last_error, d->last_error_at, d->last_error_at > d->last_ok_at, now);
}

static void html_destinations(struct http_request *r, int64_t now)
{
    struct destination_status *items;
    size_t n;
    writer_status(r->services->writer, &r->arena, &items, &n);
    buf_add_z(&r->out, "<h2 id=remote-write>Remote write</h2>");
    if (n == 0) {
        buf_add_z(&r->out, "<p>No destinations. Add <code>remote_write: [{url: ...}]</code> to the configuration file, "
                           "or start with <code>-remoteWrite.url</code>.");
        return;
    }
    buf_add_z(&r->out, "<table><tr><th>Name<th>URL<th>Codec<th>Shards<th>Pending<th>Oldest<th>Order<th>Free disk"
                       "<th>Full in<th>Samples sent<th>Dropped<th>Retries<th>Last success<th>Last error");
    for (size_t i = 0; i < n; i++)
        html_destination(&r->out, &items[i], now);
    buf_add_z(&r->out, "</table>");
    if (writer_unclean(r->services->writer))
        buf_add_z(&r->out, "<p>The last run did not stop cleanly: samples of its last second may be missing.");
}

static void text_last(struct buf *out, int64_t ok_at, struct str error, int64_t now)
{
    buf_add_z(out, ", last_success=");
    html_ago(out, ok_at, now);
    buf_add_z(out, ", last_error=\"");
    for (size_t i = 0; i < error.n; i++) /* an error of a server may contain line breaks */
        buf_add_char(out, (unsigned char)error.p[i] < ' ' ? ' ' : error.p[i]);
    buf_add_z(out, "\"\n");
}

static void text_destinations(struct http_request *r, int64_t now)
{
    struct destination_status *items;
    size_t n;
    struct buf *out = &r->out;
    writer_status(r->services->writer, &r->arena, &items, &n);
    if (n > 0)
        buf_add_z(out, "remote write:\n");
    for (size_t i = 0; i < n; i++) {
        const struct destination_status *d = &items[i];
        buf_printf(out, "\tname=%.*s, url=%.*s, shards=%u, pending_bytes=%" PRIu64 ", oldest=%.1fs"
                        ", order=\"",
                   STR_ARG(d->name), STR_ARG(d->url), d->shards, d->pending_bytes, (double)d->oldest_ms / 1000);
        add_destination_role(out, d, now);
        buf_add_z(out, "\", full_in=");
        add_time_until_full(out, d);
        if (d->free_bytes != UINT64_MAX)
            buf_printf(out, ", free_bytes=%" PRIu64, d->free_bytes);
        buf_printf(out, ", samples_sent=%" PRIu64 ", samples_dropped=%" PRIu64 ", retries=%" PRIu64, d->sent_samples,
                   d->dropped_samples, d->retries);
        text_last(out, d->last_ok_at, d->last_error, now);
    }
}

/* ---- server groups ---- */

static double mean_ms(const struct server_status *s)
{
    return s->requests ? s->seconds * 1000 / (double)s->requests : 0.0;
}

static void html_server(struct buf *out, const struct server_status *s, int64_t now)
{
    buf_add_z(out, "<tr><td data-k=Group>");
    html_text(out, s->group);
    buf_add_z(out, "<td data-k=Server>");
    html_text(out, s->url);
    buf_printf(out, "<td data-k=Kind>%s<td class=%s data-k=State>%s<td data-k=Breaker>%s<td class=n data-k=Requests>",
               s->kind ? s->kind : "", s->state, s->state, s->breaker);
    html_count(out, s->requests);
    buf_add_z(out, "<td class=n data-k=Failures>");
    html_count(out, s->failures);
    buf_printf(out, "<td class=n data-k='Mean time'>%.0f ms<td class=n data-k=Received>", mean_ms(s));
    html_bytes(out, s->bytes);
    buf_add_z(out, "<td class=n data-k='Last success'>");
    html_ago(out, s->last_ok_at, now);
    html_last_error(out, s->last_error, 0, s->last_error_at > s->last_ok_at, now);
}

static void html_servers(struct http_request *r, int64_t now)
{
    struct server_status *items;
    size_t n;
    struct upstream *u = services_upstream(r->services);
    upstream_status(u, &r->arena, &items, &n);
    buf_add_z(&r->out, "<h2 id=server-groups>Server groups</h2>");
    if (n == 0)
        buf_add_z(&r->out, "<p>No server groups. Add "
                           "<code>server_groups: [{static_configs: [{targets: ['HOST:PORT']}]}]</code> "
                           "to the configuration file to query Prometheus or VictoriaMetrics servers.");
    else
        buf_add_z(&r->out, "<table><tr><th>Group<th>Server<th>Kind<th>State<th>Breaker<th>Requests"
                           "<th>Failures<th>Mean time<th>Received<th>Last success<th>Last error");
    for (size_t i = 0; i < n; i++)
        html_server(&r->out, &items[i], now);
    if (n > 0)
        buf_add_z(&r->out, "</table>");
    upstream_unref(u);
}

static void text_servers(struct http_request *r, int64_t now)
{
    struct server_status *items;
    size_t n;
    struct buf *out = &r->out;
    struct upstream *u = services_upstream(r->services);
    upstream_status(u, &r->arena, &items, &n);
    if (n > 0)
        buf_add_z(out, "server groups:\n");
    for (size_t i = 0; i < n; i++) {
        const struct server_status *s = &items[i];
        buf_printf(out, "\tgroup=%.*s, url=%.*s, kind=%s, state=%s, breaker=%s, requests=%" PRIu64 ", failures=%" PRIu64
                        ", mean_time=%.0fms",
                   STR_ARG(s->group), STR_ARG(s->url), s->kind ? s->kind : "", s->state, s->breaker, s->requests,
                   s->failures, mean_ms(s));
        text_last(out, s->last_ok_at, s->last_error, now);
    }
    upstream_unref(u);
}

void backends_html(struct http_request *r, int64_t now)
{
    html_destinations(r, now);
    html_servers(r, now);
}

void backends_text(struct http_request *r, int64_t now)
{
    text_destinations(r, now);
    text_servers(r, now);
}
