// SPDX-License-Identifier: Apache-2.0
/* What vmagent, Prometheus, promxy and we ourselves take as the default. A dialect is this table and nothing else: it
 * is spread over flags and configuration when these are read, and no other code asks which one it is.
 */
#ifndef GATEWAY_CONFIG_DIALECT_H
#define GATEWAY_CONFIG_DIALECT_H

#include "gateway/config/flags.h"
#include "scraper/scraper.h"

struct flag_default { const char *flag, *text; };
struct dialect_defaults {
    const char *name;
    const char *config_flag;           /* the flag that names the file, and by that the dialect */
    const struct flag_default *flags;  /* where the row of the flag says none; ends with NULL */
    bool reload_open;                  /* /-/reload works unless --web.enable-lifecycle=false */
    bool honor_timestamps;             /* of a scrape job that does not say */
    bool broken_lines_fail;            /* one bad line fails the page; else it is skipped and counted */
    struct page_rules page;            /* how a scraped page is read */
    bool xxhash_hashmod;               /* hashmod by XXH64, as vmagent; else by MD5 */
    bool instance_is_host;             /* the label instance is host:port even when the address has a URL or no port */
    bool keep_params;                  /* `params` of a job are sent even when their label is empty or removed */
    bool expand_labels;                /* ${NAME} in external_labels is replaced by the environment's value */
    bool loose_durations;              /* 1.5h, bare seconds */
    bool environment;                  /* %{NAME} in the file stands for the environment's */
};
extern const struct dialect_defaults dialects[4]; /* by enum dialect */

#endif
