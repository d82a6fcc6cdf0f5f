// SPDX-License-Identifier: Apache-2.0
/* A destination in operation: its identity, queue, counters, and its shards, each owned by one lane.
 *
 * Threads. Main creates and frees the struct. Lanes read the immutable fields (queue, counters' addresses) and their
 * own copy of the settings that a reload may change (struct destination_lane.settings); the lane replaces that copy
 * when it switches to a new topology.
 */
#ifndef WRITER_SEND_DESTINATION_H
#define WRITER_SEND_DESTINATION_H

#include "base/os/thread.h"
#include "writer/send/drain.h"
#include "writer/send/last_error.h"
#include "writer/send/origins.h"
#include "writer/send/outage.h"
#include "writer/send/places.h"
#include "writer/send/probe.h"
#include "writer/pipeline/stage.h"
#include "writer/queue/queue.h"
#include "writer/writer.h"

enum { SHARD_MIN_MEMORY = 256 << 10 }; /* bytes of blocks that a shard may always keep in memory */
enum { DESTINATION_STATUSES = 24 };     /* different HTTP statuses that are counted */
struct dest_settings {          /* immutable; one per topology */
    char *url;                  /* without the prefix of its host */
    enum place_lookup lookup;   /* of the host */
    struct client_profile *profile;
    int64_t timeout, min_backoff, max_backoff, age_limit;
    enum wire_protocol protocol;
    enum block_message message; /* to begin with */
    enum durability durability;
    enum queue_full on_full;
    uint64_t max_disk_bytes;    /* 0 = unlimited */
    size_t max_memory_bytes;    /* of blocks in memory, all shards together */
    bool follow_redirects, drops_429;
    enum drain_order drain;
    uint64_t rate_limit;        /* bytes a second; 0 = unlimited */
    uint64_t drain_rate;        /* bytes a second of the backlog; 0 = unlimited */
};
enum drop_reason { /* of dropped samples; those dropped by the queue for lack of space are counted there */
    DROPPED_REJECTED, DROPPED_TOO_LARGE, DROPPED_TOO_OLD, DROPPED_NO_SPACE, DROP_REASONS
};
struct destination_generation {
    uint32_t number;
    unsigned n_shards; struct shard **shards;
    atomic_uint undrained;      /* shards that have blocks */
    atomic_uint joint_backlogs; /* shards with undelivered joint blocks from before the start (shard.h) */
};
struct destination {
    /* Shown in logs, metrics and pages: the configured name, else "1:secret-url", or with show_urls the URL. Main
     * changes it; a lane may still be printing an old one, so old names are kept until the destination is closed. */
    char *_Atomic name;
    char **old_names; size_t n_old_names, _cap_old_names;
    char *shown_url;            /* shown on pages: SECRET_URL, or with show_urls the redacted URL; under the writer's
                                 * lock */
    char *identity;             /* name of the queue's directory */
    struct queue *queue;
    /* Changed by main, read by any thread through destination_generation: a longer array replaces this one, which is
     * kept until the destination is closed. */
    struct destination_generation **_Atomic generations;
    size_t n_generations, _cap_generations;
    struct destination_generation ***_old_generations; size_t _n_old_generations, _cap_old_generations;
    atomic_size_t published;    /* n_generations as visible to other threads */
    atomic_size_t active;       /* index of the generation that is being sent */
    struct loop *const *lanes; unsigned n_lanes;
    struct destination_lane **per_lane; /* [n_lanes], each used by its lane only */
    /* Counters, relaxed: updated once per block, never per sample. */
    atomic_ullong pending_bytes, pending_blocks, reserved_bytes;
    atomic_ullong sent_blocks, sent_samples, sent_bytes, retries, dropped_blocks, errors, send_ns;
    atomic_ullong written_bytes;   /* of requests on the wire, before TLS */
    struct stage_counts stages;    /* of its stream; updated once per batch */
    atomic_ullong dropped_samples[DROP_REASONS], partly_stored_blocks;
    atomic_ullong unconfirmed_samples; /* of 2.0: accepted, but fewer were written by the response's headers */
    atomic_llong last_ok;
    atomic_bool zstd, write_2;
    struct drain_state drain;
    /* Of lanes and main; never taken for a page, for /metrics or a query, so that no lane waits for them. */
    struct mutex lock; /* guards outage, probe and origins; held by those that set last_error or add a status */
    struct outage outage;
    struct probe probe;
    struct last_error last_error;
    /* read by any thread, up to n_statuses */
    struct { atomic_int status; atomic_ullong n; } statuses[DESTINATION_STATUSES]; atomic_size_t n_statuses;
    /* under the writer's lock: what the counters of /metrics had under this name before (writer/stats.c) */
    double *carried;
    const char *process_id;     /* borrowed; NULL = requests carry no X-Sluice-Via */
    struct origins origins;     /* of its samples; under lock */
    struct failover *failover;  /* of a backup (writer/failover.h); under the writer's lock; NULL = it is none */
    bool without_rules;         /* its relabeling rules are not read: destination_conf.unread_rules */
    bool leaving;               /* a plan without it is coming into force, or it has no place yet: it is not shown */
};

/* Takes the open queue. */
struct destination *destination_new(const struct destination_conf *c, size_t position, const struct writer_env *env,
                                    struct queue *queue);
/* Logs the undelivered samples that the queue had when it was opened, if any. */
void destination_log_backlog(const struct destination *d);
/* Changing the number of shards adds a generation behind the existing ones, and so does a request of the lanes (drain.h).
 * destination_grow creates it on disk (*grown NULL: none is needed); then it is published to the lanes, or removed with queue_shrink. Its shards belong to
 * no lane yet. */
bool destination_grow(struct destination *d, unsigned shards, const struct queue_generation **grown,
                      struct err *err) MUST_USE;
void destination_add_generation(struct destination *d, const struct queue_generation *from);
/* Any thread; the pointer is valid until the destination is closed. */
struct destination_generation *destination_generation(struct destination *d, size_t at);
struct destination_generation *destination_newest(struct destination *d);
/* Sets the shown name and URL, which depend on the configuration and on the destination's position in the list. */
void destination_set_name(struct destination *d, const struct destination_conf *c, size_t position, bool show_urls);
/* Unix ms since which its oldest block has been pending; 0 = none. Under the writer's lock. */
int64_t destination_oldest_pending(struct destination *d);
void destination_close(struct destination *d); /* after every lane has left it */
struct queue_limits destination_limits(const struct destination_conf *c);
char *destination_identity(const struct destination_conf *c);
struct dest_settings *destination_settings(const struct destination_conf *c, struct err *err) MUST_USE;
struct dest_settings *dest_settings_copy(const struct dest_settings *s);
void dest_settings_free(struct dest_settings *s);
void destination_count_dropped(struct destination *d, const struct block *b, enum drop_reason reason);
/* Samples, all reasons, including those dropped by the queue. */
uint64_t destination_dropped(const struct destination *d);
void destination_note_status(struct destination *d, int status);
/* Any lane: samples for this destination came in a request with this X-Sluice-Via. */
void destination_note_origins(struct destination *d, struct str via, int64_t now);
/* The header line for a request; out stays empty when there is no process_id. */
void destination_via_header(struct destination *d, int64_t now, struct buf *out);
void destination_note_error(struct destination *d, int64_t now, const char *text);

#endif
