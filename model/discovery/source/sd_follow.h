// SPDX-License-Identifier: Apache-2.0
/* Private to model/discovery/: the services of a server and the instances of each, kept current by the blocking queries
 * of Consul and Nomad: a response has an index, and the server responds to a request with that index when the list has
 * changed, or after FOLLOW_WAIT_S. Requests for a list begin at least one interval apart. If an index goes back or is
 * missing, the list is requested without it, once an interval.
 *
 * A list that fails keeps its instances, and is retried after a second, doubled up to FOLLOW_RETRY_MS, half of it
 * random. A list of more than FOLLOW_SERVICES_MOST services is refused. The cost of a response about one service does
 * not depend on the number of services. Blocking queries use a separate client, and other requests at most half of the
 * shared one, so that a slow server delays no other discovery. Main thread.
 */
#ifndef MODEL_DISCOVERY_SD_FOLLOW_H
#define MODEL_DISCOVERY_SD_FOLLOW_H

#include "model/discovery/groups/sd_build.h"
#include "model/discovery/groups/sd_parts.h"
#include "model/discovery/groups/sd_stats.h"
#include "model/discovery/source/sd_request.h"
#include "model/discovery/source/sd_source.h"

enum { FOLLOW_WAIT_S = 120, FOLLOW_RETRY_MS = 15000, FOLLOW_SERVICES_MOST = 50000 };

struct sd_follow;
struct sd_follow_ops {
    /* The URL of the list of services (name empty) or of the instances of one, with ? and parameters. */
    void (*url)(struct sd_follow *f, struct buf *url, struct str name);
    /* sd_follow_service() for each service that is wanted; false with err: it is no such list. */
    bool (*services)(struct sd_follow *f, const struct json_value *doc, struct err *err);
    void (*instances)(struct sd_follow *f, struct sd_build *b, struct str service, const struct json_value *doc);
    /* The URL of what has to be read first; false: nothing, or it is known. NULL: there is never anything. */
    bool (*self_url)(struct sd_follow *f, struct buf *url);
    bool (*self)(struct sd_follow *f, const struct json_value *doc, struct err *err);
    void (*free)(struct sd_follow *f); /* the kind's struct */
};
struct sd_followed {             /* one list */
    struct sd_follow *follow;
    struct list node;            /* of services */
    struct list changed;         /* of those whose parts have changed */
    struct str name;             /* of the service; owned */
    struct sd_request request;
    struct loop_timer due;
    int64_t began;
    uint64_t index;              /* 0: not known */
    uint32_t mark;               /* of the last list of services that has it */
    unsigned failures;           /* in a row */
    bool begun, was_read, ended, removed; /* begun: it is read again and again */
    struct sd_parts parts;
};
struct sd_follow {               /* first member of the kind's struct */
    struct sd_source source;
    const struct sd_follow_ops *ops;
    struct sd_source_env env;    /* owner.name: owned */
    int64_t interval;            /* ms */
    enum sd_stat failures;
    struct client_profile *profile; /* owned */
    const char *header;          /* of each request, or NULL; the kind's */
    struct sd_found found;       /* source: owned; without groups */
    char *shown, *error;         /* owned; error: of the last failure; NULL: no list fails */
    int64_t failing_since;       /* loop_mono of the first of these failures; 0: none */
    bool fixed;                  /* the services are known: there is no list of them */
    struct sd_followed list;     /* of services */
    struct map services;         /* of struct sd_followed, by name */
    struct list order, changed;  /* of the same */
    size_t n_services, n_failing;
    size_t n_read, n_ended;      /* of the services */
    size_t n_listed;             /* by the list that is being taken */
    uint32_t mark;
    struct loop_timer late;
    bool too_many, started, late_passed, has_news, drained;
};
/* Takes the profile over; found.source, shown and key are copied. */
void sd_follow_init(struct sd_follow *f, const struct sd_follow_ops *ops, const struct sd_source_env *env,
                    int64_t interval, enum sd_stat failures, struct client_profile *profile,
                    const struct sd_found *found, const char *shown, struct str key);
void sd_follow_service(struct sd_follow *f, struct str name);

#endif
