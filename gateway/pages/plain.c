// SPDX-License-Identifier: Apache-2.0
/* The index, configuration, flags and the result of a reload: HTML for browsers, text for other clients. Metrics are
 * text for all clients. */
#include "base/telemetry/stats.h"
#include "base/text/duration.h"
#include "gateway/services/services.h"
#include "gateway/pages/html.h"
#include "gateway/pages/pages.h"

struct link { const char *path, *what; };
static const struct link links[] = {
    {"/targets", "scrape targets, remote write destinations, server groups"},
    {"/service-discovery", "discovered targets before and after relabeling"},
    {"/metric-relabel-debug", "relabel rules step by step; also /target-relabel-debug"},
    {"/metrics", "metrics of sluice itself"},
    {"/config", "the running configuration, secrets masked"},
    {"/flags", "command line flags"},
    {"/-/reload/status", "messages of the last load of the configuration"},
    {"/api/v1/query?query=up", "instant query; also query_range, series, labels, metadata as in Prometheus"},
    {"/api/v1/targets", "targets as JSON"},
    {"/api/v1/status/config", "the configuration as JSON; also status/flags, status/buildinfo, status/runtimeinfo"},
    {"/federate?match[]=up", "newest samples in the text exposition format"},
    {"/-/healthy", "liveness probe"},
    {"/-/ready", "readiness probe"},
};
static const char reload_path[] = "/-/reload"; /* requires POST: a form in HTML instead of a link */

void page_index(struct http_request *r)
{
    const char *prefix = r->services->flags.link_prefix.p;
    if (!html_wanted(r)) {
        buf_add_z(&r->out, "sluice " VERSION "\n\n");
        for (size_t i = 0; i < LEN(links); i++)
            buf_printf(&r->out, "%s%-26s %s\n", prefix, links[i].path, links[i].what);
        buf_printf(&r->out, "%s%-26s POST: reload the configuration file\n", prefix, reload_path);
        return;
    }
    html_begin(r, "sluice " VERSION);
    buf_add_z(&r->out, "<table>");
    for (size_t i = 0; i < LEN(links); i++)
        buf_printf(&r->out, "<tr><td><a href='%s%s'><code>%s%s</code></a><td>%s", prefix, links[i].path, prefix,
                   links[i].path, links[i].what);
    buf_add_z(&r->out, "</table>");
    if (r->services->flags.auth_keys.values[AUTH_KEY_RELOAD].n > 0)
        buf_add_z(&r->out, "<p>Reloading the configuration file requires the key of <code>-reloadAuthKey</code>.");
    else if (r->services->flags.enable_reload)
        buf_printf(&r->out, "<form method=post action='%s%s'><button>Reload the configuration file</button></form>",
                   prefix, reload_path);
    else
        buf_add_z(&r->out, "<p>To reload the configuration file, send SIGHUP, or start with "
                           "<code>--web.enable-lifecycle</code> for a button here.");
    html_end(r);
}

void page_metrics(struct http_request *r)
{
    r->content_type = "text/plain; version=0.0.4; charset=utf-8";
    stats_render(&r->out, true);
}

void page_config(struct http_request *r)
{
    const struct config *c = r->config;
    if (!html_wanted(r))
        buf_add_str(&r->out, c->masked);
    else {
        html_begin(r, "Configuration");
        if (c->masked.n > 0) {
            buf_add_z(&r->out, "<p>The running configuration, secrets masked.<pre>");
            html_text(&r->out, c->masked);
            buf_add_z(&r->out, "</pre>");
        } else
            buf_add_z(&r->out, "<p>No configuration file. Start with <code>--config.file=FILE</code>.");
        html_end(r);
    }
}

static void html_flags(struct http_request *r)
{
    html_begin(r, "Flags");
    buf_add_z(&r->out, "<table><tr><th>Flag<th>Value");
    for (size_t i = 0; i < r->services->flags.n_all; i++) {
        buf_add_z(&r->out, "<tr><td><code>-");
        html_text(&r->out, r->services->flags.all[i].name);
        buf_add_z(&r->out, "</code><td><code>");
        html_text(&r->out, r->services->flags.all[i].value);
        buf_add_z(&r->out, "</code>");
    }
    buf_add_z(&r->out, "</table>");
    html_end(r);
}

void page_flags(struct http_request *r)
{
    if (html_wanted(r)) {
        html_flags(r);
        return;
    }
    for (size_t i = 0; i < r->services->flags.n_all; i++)
        buf_printf(&r->out, "-%.*s=\"%.*s\"\n", STR_ARG(r->services->flags.all[i].name),
                   STR_ARG(r->services->flags.all[i].value));
}

static void html_reload_status(struct http_request *r, const struct reload_report *last)
{
    html_begin(r, "Last load of the configuration");
    buf_printf(&r->out, "<p class=%s>%s ", last->ok ? "up" : "down",
               last->start ? "Loaded at the start" : last->ok ? "Reloaded" : "The reload failed; the previous "
               "configuration keeps running");
    html_ago(&r->out, last->ended, clock_wall_ms());
    buf_printf(&r->out, ". Hash of the running configuration: <code>%016llx</code><table><tr><th>Level<th>Message",
               (unsigned long long)last->hash);
    for (size_t i = 0; i < last->n; i++) {
        buf_printf(&r->out, "<tr><td%s>%s<td>", last->messages[i].level == RELOAD_ERROR ? " class=down" : "",
                   reload_level_name(last->messages[i].level));
        html_text(&r->out, last->messages[i].text);
    }
    buf_add_z(&r->out, "</table>");
    html_end(r);
}

void page_reload_status(struct http_request *r)
{
    struct reload_report *last = reload_history_last(&r->services->reloads);
    if (last && html_wanted(r)) {
        html_reload_status(r, last);
    } else if (last) {
        buf_printf(&r->out, "%s: %s, ", last->start ? "start" : "reload", last->ok ? "succeeded" : "failed");
        buf_add_rfc3339(&r->out, last->ended);
        buf_printf(&r->out, ", hash %016llx\n", (unsigned long long)last->hash);
        for (size_t i = 0; i < last->n; i++)
            buf_printf(&r->out, "%s: %.*s\n", reload_level_name(last->messages[i].level),
                       STR_ARG(last->messages[i].text));
    }
    reload_report_unref(last);
}

static void html_reloaded(struct http_request *r, const struct err *err)
{
    const char *prefix = r->services->flags.link_prefix.p;
    html_begin(r, err ? "Reload failed" : "Configuration reloaded");
    if (err) {
        buf_add_z(&r->out, "<p>The previous configuration keeps running. Correct the file and reload again."
                           "<pre class=down>");
        html_text(&r->out, str_of(err->text));
        buf_add_z(&r->out, "</pre>");
    } else
        buf_add_z(&r->out, "<p>The configuration file has been reloaded and is in use.");
    buf_printf(&r->out, "<p><a href='%s/-/reload/status'>All messages</a> &middot; <a href='%s/'>Back to the index</a> &middot; <a href='%s/targets'>Targets</a>", prefix,
               prefix, prefix);
    html_end(r);
}

void page_reloaded(struct http_request *r, const struct err *err)
{
    if (err)
        http_text(r, 500, "failed to reload config: ");
    if (html_wanted(r)) {
        buf_clear(&r->out);
        html_reloaded(r, err);
    } else if (err) {
        buf_add_z(&r->out, err->text);
        buf_add_char(&r->out, '\n');
    }
}
