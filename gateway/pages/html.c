// SPDX-License-Identifier: Apache-2.0
/* Frame, style sheet and formatting of the web pages. They use no JavaScript. */
#include "gateway/pages/html.h"

#include "gateway/services/services.h"

static const char style[] =
    "body{font:14px/1.45 system-ui,sans-serif;margin:0;color:#1a1f24;background:#fff}"
    "header{background:#12303f;color:#fff;padding:.6em 1.2em}"
    "header a{color:#cfe8f5;margin-right:1.2em;text-decoration:none}header b{margin-right:1.6em}"
    "main{padding:.4em 1.2em 2em}h1{font-size:1.3em}h2{font-size:1.1em;margin:1.6em 0 .4em}"
    "table{border-collapse:collapse;width:100%}"
    "th,td{text-align:left;padding:.25em .6em;border-bottom:1px solid #dde3e8;vertical-align:top}"
    "th{color:#51606b;font-weight:600}td.n{text-align:right;white-space:nowrap}"
    "tr.job td{background:#f1f5f8;font-weight:600}.up{color:#14713a}.down{color:#b3261e;font-weight:600}"
    ".unknown{color:#7a6a00}code{font:12px/1.4 ui-monospace,monospace;overflow-wrap:anywhere}form{margin:.6em 0}"
    "input,select{font:inherit;padding:.15em .3em}td.l{min-width:18em}"
    "pre{font:12px/1.45 ui-monospace,monospace;white-space:pre-wrap;overflow-wrap:anywhere}"
    "nav a{margin-right:1em;white-space:nowrap}details{margin:.6em 0}"
    /* On narrow screens each row is a block of "name: value" lines, the error first. */
    "@media(max-width:900px){header a{display:inline-block}input{max-width:100%;box-sizing:border-box}"
    "table,tbody{display:block}tr{display:flex;flex-direction:column;border-bottom:1px solid #9fb0bd;padding:.4em 0}"
    "th,td:empty{display:none}td,td.n{border:0;padding:.1em 0;text-align:left;white-space:normal;min-width:0;"
    "overflow-wrap:anywhere}td.e{order:-1}td[data-k]::before{content:attr(data-k) ': ';color:#7d8c97;"
    "font-weight:400}}"
    "@media(prefers-color-scheme:dark){body{background:#14181c;color:#dde3e8}th{color:#9fb0bd}"
    "th,td{border-color:#2b333a}tr.job td{background:#1d242a}a{color:#7fc1e3}.up{color:#5fc98a}.down{color:#ff8a80}"
    ".unknown{color:#d9c25a}}";

bool html_wanted(struct http_request *r)
{
    struct str accept = http_header(r, "Accept");
    return str_find_str(accept, STR("text/html")) < accept.n;
}

void html_begin(struct http_request *r, const char *title)
{
    static const struct { const char *path, *name; } links[] = {
        {"/targets", "Targets"}, {"/service-discovery", "Discovery"}, {"/metrics", "Metrics"}, {"/config", "Configuration"}, {"/flags", "Flags"}};
    const char *prefix = r->services->flags.link_prefix.p;
    r->content_type = "text/html; charset=utf-8";
    buf_printf(&r->out, "<!doctype html><html lang=en><meta charset=utf-8>"
                        "<meta name=viewport content='width=device-width,initial-scale=1'><title>%s - sluice</title>"
                        "<style>%s</style><header><b><a href='%s/'>sluice</a></b>", title, style, prefix);
    for (size_t i = 0; i < LEN(links); i++)
        buf_printf(&r->out, "<a href='%s%s'>%s</a>", prefix, links[i].path, links[i].name);
    if (r->services->cluster)
        buf_printf(&r->out, "<a href='%s/cluster'>Cluster</a>", prefix);
    buf_printf(&r->out, "</header><main><h1>%s</h1>", title);
}

void html_end(struct http_request *r) { buf_add_z(&r->out, "</main></html>\n"); }

void html_text(struct buf *out, struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        switch (s.p[i]) {
        case '<': buf_add_z(out, "&lt;"); break;
        case '>': buf_add_z(out, "&gt;"); break;
        case '&': buf_add_z(out, "&amp;"); break;
        case '"': buf_add_z(out, "&quot;"); break;
        case '\'': buf_add_z(out, "&#39;"); break;
        default: buf_add_char(out, s.p[i]);
        }
}

void html_fail(struct http_request *r, const char *title, const struct err *err)
{
    int status = err_http_status(err->kind);
    http_text(r, status, html_wanted(r) ? "" : err->text);
    http_retry_after(r, err->retry_after);
    if (!html_wanted(r))
        return;
    html_begin(r, title);
    buf_add_z(&r->out, "<p class=down>");
    html_text(&r->out, str_of(err->text));
    buf_add_z(&r->out, "<p><a href='?'>Show all targets</a>");
    html_end(r);
}

void html_ago(struct buf *out, int64_t then, int64_t now)
{
    if (then <= 0)
        buf_add_z(out, "never");
    else
        buf_printf(out, "%.1fs ago", (double)(now > then ? now - then : 0) / 1000);
}

void html_last_error(struct buf *out, struct str error, int64_t at, bool current, int64_t now)
{
    buf_add_z(out, current ? "<td class='e down'>" : "<td class=e>");
    html_text(out, error);
    if (at > 0 && error.n > 0) {
        buf_add_char(out, ' ');
        html_ago(out, at, now);
    }
}

void html_count(struct buf *out, uint64_t n)
{
    if (n >= 1000) {
        html_count(out, n / 1000);
        buf_printf(out, ",%03u", (unsigned)(n % 1000));
    } else
        buf_printf(out, "%u", (unsigned)n);
}

void html_bytes(struct buf *out, uint64_t n)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double v = (double)n;
    size_t unit = 0;
    for (; v >= 1024 && unit + 1 < LEN(units); unit++)
        v /= 1024;
    buf_printf(out, unit ? "%.1f %s" : "%.0f %s", v, units[unit]);
}
