// SPDX-License-Identifier: Apache-2.0
/* A query is suggested only if there is a source to query; for scrape jobs, destinations and sources that are not
 * configured a line shows how to add them.
 */
#include "gateway/greeting.h"

static void greeting_jobs(struct buf *out, const struct config *c)
{
    if (c->n_jobs > 0)
        buf_printf(out, "Scraping: %zu job%s\n", c->n_jobs, c->n_jobs == 1 ? "" : "s");
    else
        buf_add_z(out, "Scraping: no jobs; add scrape_configs to the configuration file\n");
}

static void greeting_destinations(struct buf *out, const struct config *c)
{
    if (c->n_destinations > 0)
        buf_printf(out, "Forwarding: %zu remote write destination%s\n", c->n_destinations,
                   c->n_destinations == 1 ? "" : "s");
    else
        buf_add_z(out, "Forwarding: no destinations; add remote_write to the configuration file or use "
                       "-remoteWrite.url\n");
}

static void greeting_queries(struct buf *out, const struct config *c, const char *url, const char *prefix)
{
    if (c->n_groups == 0 && c->recent == NULL) {
        buf_add_z(out, "Queries: no source; add server_groups, or `recent: {}` to keep the newest samples in memory\n");
        return;
    }
    buf_add_z(out, "Queries: ");
    if (c->n_groups > 0)
        buf_printf(out, "%zu server group%s", c->n_groups, c->n_groups == 1 ? "" : "s");
    buf_printf(out, "%s%s\n  curl -gs '%s%s/api/v1/query?query=up'\n", c->n_groups > 0 &&
               c->recent ? " and " : "", c->recent ? "the newest samples in memory" : "", url, prefix);
}

void greeting_print(struct buf *out, const struct config *c, const char *url, const char *prefix)
{
    buf_printf(out, "\nsluice %s is ready.\n\n"
                    "  %s%s/          pages and endpoints\n"
                    "  %s%s/targets   scrape targets, remote write destinations, server groups\n"
                    "  %s%s/metrics   metrics of this program\n\n",
               VERSION, url, prefix, url, prefix, url, prefix);
    greeting_jobs(out, c);
    greeting_destinations(out, c);
    greeting_queries(out, c, url, prefix);
    buf_add_char(out, '\n');
}
