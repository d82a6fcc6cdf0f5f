// SPDX-License-Identifier: Apache-2.0
/* Private to model/discovery/: a source of targets, of whichever kind, as discovery.c sees it. Main thread. */
#ifndef MODEL_DISCOVERY_SD_SOURCE_H
#define MODEL_DISCOVERY_SD_SOURCE_H

#include "base/map.h"
#include "model/discovery/files/dir_watch.h"
#include "model/discovery/discovery.h"

struct sd_source_state {
    bool reads;                  /* a read is under way, and does not hang */
    bool awaited;                /* the first read after the last start has not ended */
    bool was_read;               /* once at least */
    bool has_some;               /* targets of a part of what it reads at least, such as one service of many */
    bool lost;                   /* !was_read, and it has failed for SD_LOST_MS */
    bool has_news;               /* since take_news */
};
enum { SD_LOST_MS = 60000 };
struct sd_source;
struct sd_source_ops {
    void (*free)(struct sd_source *s);
    /* After a change of the configuration, whether or not the source is new. dirs: NULL: not available. */
    void (*start)(struct sd_source *s, struct dir_watch *dirs);
    void (*poll)(struct sd_source *s, struct dir_watch *dirs); /* files may have changed; NULL: the source has its own timer */
    struct sd_source_state (*state)(const struct sd_source *s);
    bool (*take_news)(struct sd_source *s);   /* true: its targets may have changed since the last call */
    /* What is not in `seen`; with its parts, if there are any. */
    void (*visit)(struct sd_source *s, struct map *seen, sd_visit_fn *visit, void *arg);
    /* The parts that have changed since their last visit; NULL: there are no parts. */
    void (*visit_changed)(struct sd_source *s, sd_visit_fn *visit, void *arg);
    /* All in the order of the list, as one part; NULL: as `visit`. */
    void (*visit_whole)(struct sd_source *s, struct map *seen, sd_visit_fn *visit, void *arg);
    /* Adds what the source reads to `seen`; false: another source reads some of it, too. NULL: no other does. */
    bool (*claim)(const struct sd_source *s, struct map *seen);
    void (*show)(const struct sd_source *s, struct sd_status *out, struct map *seen);
    void (*explain)(const struct sd_source *s, struct buf *out);
};
struct sd_source {               /* first member of the kind's struct */
    const struct sd_source_ops *ops;
    struct str key;              /* kind and settings: the same source in another configuration; owned */
    const struct sd_found *reads; /* what it reads, whatever the settings: mechanism and source; NULL: files */
};

struct sd_source_env {
    struct loop *main;
    void (*news)(void *arg);     /* a read has ended, or hangs */
    /* Shared by all sources; outlives them. When a read begins, not when a source is made: its owner may hold a lock then. */
    struct client *(*client)(void *arg);
    struct client *(*blocking)(void *arg); /* likewise: of requests that wait for changes */
    struct kube_watches *(*kube)(void *arg); /* likewise */
    void *arg;
    struct sd_owner owner;       /* its name is copied */
};

/* A kind that requests targets from a server. `make`: conf is the kind's struct, of which nothing is borrowed. NULL with
 * err: the HTTP client cannot be created, which a check of the configuration reports. */
typedef struct sd_source *sd_source_maker(const struct sd_source_env *env, const void *conf, struct err *err);
extern sd_source_maker *const sd_server_makers[]; /* in the order of SD_SERVER_KINDS */

sd_source_maker http_source_new, consul_source_new, kubernetes_source_new, nomad_source_new,
    eureka_source_new, docker_source_new, dockerswarm_source_new, ec2_source_new,
    gce_source_new, azure_source_new, consulagent_source_new;
/* A URL among the files of file_sd_configs; interval in ms. */
struct sd_source *http_source_of_file(const struct sd_source_env *env, struct str url, int64_t interval, struct err *err);
/* A name of dns_sd_configs. */
struct sd_source *dns_source_new(const struct sd_source_env *env, const struct dns_sd *conf, struct str name);

/* ---- files_source.c ---- */

struct str files_source_key(struct buf *scratch, struct str pattern);
struct sd_source *files_source_new(const struct sd_source_env *env, struct str pattern);
void files_source_visit(const struct sd_files *files, struct map *seen, sd_visit_fn *visit, void *arg);

#endif
