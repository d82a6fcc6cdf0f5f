// SPDX-License-Identifier: Apache-2.0
/* The configuration file: one YAML, three families of sections (Prometheus' own, promxy's server groups, ours).
 * Immutable once loaded, refcounted, in its own arena; a reload makes a new one and nothing changes when that fails.
 */
#ifndef GATEWAY_CONFIG_CONFIG_H
#define GATEWAY_CONFIG_CONFIG_H

#include "gateway/config/flags.h"
#include "gateway/upstream/upstream.h"
#include "scraper/scraper.h"
#include "writer/writer.h"

#include <stdatomic.h>

struct global_conf {
    int64_t scrape_interval, scrape_timeout, evaluation_interval;
    struct str_map external_labels;
    int64_t sample_limit, label_limit, body_size_limit;
    int64_t target_limit, label_name_length_limit, label_value_length_limit;
    struct conf_items relabel_configs, metric_relabel_configs; /* vmagent: before each job's own */
};
struct config {
    atomic_uint refs;
    struct arena arena;
    struct global_conf global;
    struct scrape_job *jobs; size_t n_jobs;
    struct scrape_globals scrape;
    struct destination_conf *destinations; size_t n_destinations; /* the file's and the flags' */
    struct server_group_conf *groups; size_t n_groups;
    bool empty;                      /* there is a file, and it says nothing */
    struct recent_conf *recent;      /* NULL = off; on by itself when there is neither a destination nor a group */
    struct str masked;               /* the configuration as YAML, secrets as <secret>, for status/config */
    struct str_list warnings;        /* what is ignored or missing, a line each */
    struct str_list ignored;         /* keys of the file that are ignored with a warning, each once */
};
/* Reads the file named by the flags (none: defaults and flags only), and builds once, to see that it can, what the
 * configuration will need. `err` gets the first error, `errors` (may be NULL) all. */
struct config *config_load(const struct flags *f, struct conf_errors *errors, struct err *err) MUST_USE;
struct config *config_ref(struct config *c);
void config_unref(struct config *c);     /* any thread */
extern const struct conf_section global_section;
void config_document(struct buf *out);   /* all sections as Markdown: docs/configuration.md is checked against it */

#endif
