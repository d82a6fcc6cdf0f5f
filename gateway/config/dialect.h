// SPDX-License-Identifier: Apache-2.0
/* Dialects: defaults and parsing rules of vmagent, Prometheus, promxy and sluice itself. Flags and configuration copy
 * them when they are loaded; code outside of gateway/config/ has options, not dialects, to decide by.
 */
#ifndef GATEWAY_CONFIG_DIALECT_H
#define GATEWAY_CONFIG_DIALECT_H

#include "gateway/config/flags.h"
#include "scraper/scraper.h"

struct flag_default { const char *flag, *text; };
struct dialect_defaults {
    const char *name;
    const char *config_flag;           /* flag that sets the configuration file and selects the dialect */
    const struct flag_default *flags;  /* defaults of flags whose row has none; ends with NULL */
    bool reload_open;                  /* /-/reload is enabled unless --web.enable-lifecycle=false */
    bool honor_timestamps;             /* default of scrape jobs */
    bool prefers_openmetrics;          /* unless scrape_protocols is given; otherwise the text format is requested */
    bool broken_lines_fail;            /* an invalid line fails the scrape; otherwise it is skipped and counted */
    struct page_rules page;            /* how scrape responses are parsed */
    bool vmagent_relabeling;           /* hashmod by XXH64 and {{label}} in replacement, as in vmagent */
    bool instance_is_host;             /* the label instance is host:port even if the address is a URL or has no port */
    bool keep_params;                  /* `params` of a job are sent even if their label is empty or removed */
    bool expand_labels;                /* ${NAME} in external_labels is replaced by the environment variable */
    bool external_at_scrape;           /* external_labels are added to what is scraped only, before anything is sent */
    bool track_timestamps_staleness;   /* default of scrape jobs */
    bool loose_durations;              /* accepts 1.5h, and seconds without a unit */
    bool empty_groups;                 /* a server group whose relabeling drops all targets is a warning */
    bool environment;                  /* %{NAME} in the file is replaced by the environment variable */
};
extern const struct dialect_defaults dialects[4]; /* by enum dialect */

#endif
