// SPDX-License-Identifier: Apache-2.0
/* Private to model/discovery/kubernetes/: between the requests of a watch (kube_watch.c) and the sharing of watches
 * (kube_watches.c). */
#ifndef MODEL_DISCOVERY_KUBERNETES_KUBE_WATCH_INTERNAL_H
#define MODEL_DISCOVERY_KUBERNETES_KUBE_WATCH_INTERNAL_H

#include "model/discovery/discovery.h"
#include "model/discovery/groups/sd_pages.h"
#include "model/discovery/kubernetes/kube_watch.h"

struct kube_watches {
    struct loop *main;
    struct client *client;       /* NULL: not needed yet */
    struct list watches;
    uint64_t drawn;              /* random numbers so far */
};

struct kube_watch {
    struct list node;
    struct kube_watches *owner;
    enum kube_resource resource;
    struct client_profile *profile; /* a reference */
    char *key, *url, *shown;     /* url: of the list, with its selectors; ends with ? or & */
    struct list readers;
    /* the request in progress */
    struct client_call *call;    /* NULL: none */
    bool watches;                /* it watches, rather than lists */
    bool gone;                   /* it has been told that its version is too old */
    bool too_large;
    bool accepted;               /* its status is 200 */
    bool refused;                /* its body is invalid, or has told an error */
    size_t events;
    int64_t began;
    struct arena arena;
    struct json_value_reader reader;
    struct buf status;           /* the body of an error */
    /* between requests */
    struct loop_timer due, idle, linger, settled;
    char *version;               /* to watch from; NULL: list first */
    char *next;                  /* continue token of the list in progress */
    struct sd_pages pages;       /* of this list */
    bool newest;                 /* lists begin with the newest state */
    bool synced;
    uint32_t mark;               /* of the list in progress */
    int64_t listed;              /* loop_mono of the end of the last list */
    unsigned failures;           /* in a row */
    char *error;
    int64_t failing_since;       /* loop_mono */
    struct map objects;
    size_t bytes;
};

void kube_watch_begin(struct kube_watch *w); /* a request */
void kube_watch_end(struct kube_watch *w);   /* and that in progress, if there is one */
void kube_watch_init_timers(struct kube_watch *w);

#endif
