// SPDX-License-Identifier: Apache-2.0
/* The configuration: the YAML file (Prometheus' sections, promxy's server groups, sluice's own) combined with the
 * flags. Immutable once loaded, reference counted, in its own arena. A reload loads a new one; if that fails, the
 * previous one keeps running.
 */
#ifndef GATEWAY_CONFIG_CONFIG_H
#define GATEWAY_CONFIG_CONFIG_H

#include "base/os/thread.h"
#include "base/refs.h"
#include "gateway/agent/agent_conf.h"
#include "gateway/agent/instance_set.h"
#include "gateway/audit/audit_conf.h"
#include "gateway/cluster/cluster_conf.h"
#include "gateway/config/access.h"
#include "gateway/config/flags.h"
#include "gateway/config/otlp_conf.h"
#include "gateway/upstream/upstream.h"
#include "scraper/scraper.h"
#include "writer/writer.h"

#include <stdatomic.h>

struct global_conf {
    int64_t scrape_interval, scrape_timeout, scrape_slot, evaluation_interval;
    struct str query_log_file, scrape_failure_log_file; /* empty: none */
    struct str_map external_labels;
    struct str_list scrape_protocols;
    int metric_name_escaping_scheme, metric_name_validation_scheme;
    bool scrape_native_histograms, always_scrape_classic_histograms, convert_classic_histograms, stale_on_shutdown;
    bool extra_scrape_metrics;
    int64_t sample_limit, label_limit, body_size_limit;
    int64_t target_limit, label_name_length_limit, label_value_length_limit, keep_dropped_targets;
    struct conf_items relabel_configs, metric_relabel_configs; /* vmagent's: applied before those of each job */
};
/* A text that the configuration was made of: what is polled for changes. */
struct config_source {
    struct str path;                 /* of a file, an http(s) URL, or a pattern of files */
    bool pattern;
    uint64_t hash;                   /* of the text, or of the paths that match */
    struct file_stamp { uint64_t device, inode, size, sec, nsec; } stamp; /* of a file: equal ones have equal texts; zero:
                                                                            * not known */
    struct str text;                 /* owned; of a pattern: the paths, a line each. Kept with scraping_service only */
};
/* Its jobs are config.jobs[job] and the next ones. */
struct config_instance { struct str name; size_t job, n_jobs; uint64_t route; };
struct config {
    struct refs refs;
    struct arena arena;
    struct global_conf global;
    struct scrape_job *jobs; size_t n_jobs;
    struct scrape_globals scrape;
    struct destination_conf *destinations; size_t n_destinations; /* of the file, then of flags, then of instances */
    struct config_instance *instances; size_t n_instances; /* of Grafana Agent (config_instances.c) */
    bool has_stored_instances;       /* those of etcd, which may be none, are part of it */
    size_t n_invalid_instances;      /* stored ones that are skipped */
    const struct scraping_service_conf *scraping_service; /* NULL: no instances are read from etcd */
    const struct etcd_section *instances_etcd, *ring_etcd; /* where they, and members of the service, are */
    struct server_group_conf *groups; size_t n_groups;
    bool empty;                      /* the file exists and is empty */
    bool empty_groups;               /* a group may have no targets */
    bool incomplete;                 /* jobs or relabeling rules of files that do not respond are missing (struct
                                      * config_reader) */
    struct sharding_conf *sharding;  /* NULL = each destination gets all series */
    struct pipeline_conf pipeline;   /* of all series */
    struct recent_conf *recent;      /* NULL = disabled; enabled by default if there is no destination and no group */
    struct audit_conf *audit;        /* NULL: none in the background */
    struct cluster_conf *cluster;    /* NULL: this process scrapes all targets, or its static share */
    struct otlp_conf otlp;
    struct tls_server_conf *tls_server; /* of promxy's file; NULL: none */
    const struct yaml *tls_server_node;
    struct access_set *access;       /* of the listeners */
    struct str masked;               /* the configuration as YAML, secrets as <secret>, for status/config */
    /* What it was made of, for comparing and converting it. In the arena. */
    const struct config_file *file;  /* all keys of the file, with what flags add */
    const struct yaml *document;     /* NULL: no file */
    const struct yaml **job_lists; size_t n_job_lists; /* of scrape_config_files */
    const struct yaml *common_rules; /* of -remoteWrite.relabelConfig; NULL: none */
    const struct yaml **url_rules; size_t n_flag_destinations; /* of each -remoteWrite.url; NULL: none */
    struct config_source *sources; size_t n_sources; /* in the order in which they were read */
    struct str_list warnings;        /* about ignored keys and missing files, a line each */
    struct str_list ignored;         /* keys of the file that are ignored with a warning, without duplicates */
};
/* Loads the file, or the http(s) URL, that the flags name (none: defaults and flags only), and creates HTTP clients and
 * server groups once to check that this will work. `err`: the first error; `errors` (may be NULL): all. */
struct config *config_load(const struct flags *f, struct conf_errors *errors, struct err *err) MUST_USE;
/* A load that another thread watches. */
struct config_reader {
    struct instance_set *instances;  /* stored ones; NULL: none */
    struct config *kept;             /* only instances have changed: its texts are used again; NULL: everything is read.
                                      * A reference */
    bool starting;                   /* scrape_config_files and files of relabeling rules that do not respond for 5 s
                                      * are left out */
    struct mutex _lock;              /* guards _at */
    char *_at;
};
void config_reader_init(struct config_reader *r, bool starting, const struct flags *f);
void config_reader_free(struct config_reader *r);
char *config_reader_at(struct config_reader *r); /* any thread: the file that is being read; mem_free */
struct config *config_load_with(struct config_reader *r, const struct flags *f, struct conf_errors *errors,
                                struct err *err) MUST_USE;
/* Reports the keys of the file, and what flags add to them, that differ by value (conf_diff). */
void config_diff(const struct config *a, const struct config *b, conf_difference *report, void *arg);
/* Writes one file that, with the flags that remain, loads to the same configuration: scrape_config_files, promxy's sections
 * and -remoteWrite.* become sections of it; paths are absolute, secrets in the clear. */
void config_convert(const struct config *c, const struct flags *f, struct buf *out);
/* Writes a file with Prometheus' sections for that of a Grafana Agent in static mode. */
bool config_convert_agent(const char *path, struct buf *out, struct err *err) MUST_USE;
/* An instance of Grafana Agent that a client wants to store, or has stored. */
enum instance_verdict { INSTANCE_VALID, INSTANCE_UNREADABLE, INSTANCE_INVALID };
struct instance_checked {            /* in the arena of the check */
    struct str_list jobs;
    const struct yaml *node;         /* of its text */
};
/* Whether it would run under the configuration `c`. */
enum instance_verdict config_check_instance(const struct config *c, const struct flags *f, struct arena *a,
                                            struct str name, struct str text, struct instance_checked *out,
                                            struct err *err) MUST_USE;
/* A hash of all texts and their names: the same for the same configuration in every process. */
uint64_t config_hash(const struct config *c);
/* Reads the sources of `c` again, on a thread that may wait. False: one cannot be read. */
bool config_hash_now(const struct config *c, struct config_reader *r, uint64_t *hash, struct err *err) MUST_USE;
struct config *config_ref(struct config *c);
void config_unref(struct config *c);     /* any thread */
extern const struct conf_section global_section;
void config_document(struct buf *out);   /* all sections as Markdown: docs/configuration.md is checked against it */

#endif
