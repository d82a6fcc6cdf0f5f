// SPDX-License-Identifier: Apache-2.0
/* The index, and the pages that are text to everybody: metrics, configuration, flags. */
#include "base/stats.h"
#include "gateway/gateway.h"
#include "gateway/pages/html.h"
#include "gateway/pages/pages.h"

struct link { const char *path, *what; };
static const struct link links[] = {
    {"/targets", "scrape targets, remote write destinations, server groups"},
    {"/metrics", "metrics of this program"},
    {"/config", "the running configuration, secrets masked"},
    {"/flags", "command line flags"},
    {"/api/v1/query?query=up", "a query; also /api/v1/query_range, series, labels, metadata as with Prometheus"},
    {"/api/v1/targets", "targets as JSON"},
    {"/api/v1/status/config", "the configuration as JSON; also status/flags, status/buildinfo, status/runtimeinfo"},
    {"/federate?match[]=up", "newest samples in the exposition format"},
    {"/-/healthy", "liveness probe"},
    {"/-/ready", "readiness probe"},
};
static const char reload_path[] = "/-/reload"; /* by POST: a form in HTML, no link */

void page_index(struct http_request *r)
{
    const char *prefix = gateway.flags.path_prefix.p;
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
    buf_printf(&r->out, "</table><form method=post action='%s%s'><button>Reload the configuration file</button></form>",
               prefix, reload_path);
    html_end(r);
}

void page_metrics(struct http_request *r)
{
    r->content_type = "text/plain; version=0.0.4; charset=utf-8";
    stats_render(&r->out, true);
}

void page_config(struct http_request *r)
{
    struct config *c = gateway_config();
    buf_add_str(&r->out, c->masked);
    config_unref(c);
}

void page_flags(struct http_request *r)
{
    for (size_t i = 0; i < gateway.flags.n_all; i++)
        buf_printf(&r->out, "-%.*s=\"%.*s\"\n", STR_ARG(gateway.flags.all[i].name),
                   STR_ARG(gateway.flags.all[i].value));
}
