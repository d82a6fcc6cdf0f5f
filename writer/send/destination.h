// SPDX-License-Identifier: Apache-2.0
/* A destination at work: identity, queue, counters, and its shards, each owned by one lane.
 *
 * The struct is made and freed by main. Lanes read what never changes (name, queue, counters) and their own copy of
 * what a reload may change (struct destination_lane.settings), which the switch to a new plan replaces on the lane
 * itself.
 */
#ifndef WRITER_SEND_DESTINATION_H
#define WRITER_SEND_DESTINATION_H

#include "base/os/thread.h"
#include "writer/send/outage.h"
#include "writer/queue/queue.h"
#include "writer/writer.h"

enum { SHARD_MIN_MEMORY = 256 << 10 }; /* bytes of blocks that a shard may keep in memory in any case */
struct dest_settings {          /* immutable; one per plan */
    char *url;
    struct client_profile *profile;
    int64_t timeout, min_backoff, max_backoff, age_limit;
    enum wire_protocol protocol;
    enum durability durability;
    enum queue_full on_full;
    uint64_t disk;              /* largest queue, 0 = no limit */
    size_t memory;              /* bytes of blocks that may wait in RAM, all shards together */
    bool metadata;
};
enum drop_reason { /* why samples were dropped; those that the queue dropped for space are counted there */
    DROPPED_REJECTED, DROPPED_TOO_LARGE, DROPPED_TOO_OLD, DROPPED_NO_SPACE, DROP_REASONS
};
struct destination_generation { uint32_t number; unsigned n_shards; struct shard **shards; atomic_uint undrained; };
struct destination {
    /* In logs, metrics and pages: its name, else "1:secret-url", or with show_urls its URL. Main changes it; a lane may
     * still print an old one, so they are kept until the end. */
    char *_Atomic name;
    char **old_names; size_t n_old_names, _cap_old_names;
    char *shown_url;            /* on pages: SECRET_URL, or with show_urls the redacted URL; under the writer's lock */
    char *identity;             /* names the folder */
    struct queue *queue;
    struct destination_generation **generations; /* main's; others: destination_generation */
    size_t n_generations, _cap_generations;
    atomic_size_t published;    /* n_generations as lanes may see it */
    atomic_size_t active;       /* index of the generation that may send */
    struct loop *const *lanes; unsigned n_lanes;
    struct destination_lane **per_lane; /* [n_lanes], each touched by its lane */
    /* counters, relaxed: once per block, never per sample */
    atomic_ullong pending_bytes, pending_blocks, reserved_bytes;
    atomic_ullong sent_blocks, sent_samples, sent_bytes, retries, dropped_blocks, errors, send_ns;
    atomic_ullong written_bytes;   /* of requests on the wire, before TLS */
    atomic_ullong relabel_dropped; /* samples; once per batch */
    atomic_ullong dropped_samples[DROP_REASONS], partly_stored_blocks;
    atomic_llong last_ok;
    atomic_bool zstd;
    struct mutex lock;          /* the list of generations; outage, last_error and the status counts below */
    struct outage outage;
    char last_error[256];
    int64_t last_error_at;
    struct { int status; uint64_t n; } statuses[24]; size_t n_statuses;
};

struct destination *destination_open(const struct destination_conf *c, size_t position, const struct writer_env *env,
                                     struct queue_lock *lock, struct err *err) MUST_USE;
/* Another number of shards needs a new generation behind the old ones: made on disk (grown NULL: it is there
 * already), and then added for the lanes to see, or taken away with queue_shrink. Its shards belong to no lane yet. */
bool destination_grow(struct destination *d, unsigned shards, const struct queue_generation **grown,
                      struct err *err) MUST_USE;
void destination_add_generation(struct destination *d, const struct queue_generation *from);
/* Any thread; a generation stays where it is until the destination is closed. */
struct destination_generation *destination_generation(struct destination *d, size_t at);
struct destination_generation *destination_newest(struct destination *d);
/* Its URL and its place in the list may change with a reload, and the name with them, or two would have the same. */
void destination_place(struct destination *d, const struct destination_conf *c, size_t position, bool show_urls);
/* Unix ms since when its oldest block waits, 0 = none does. Under the writer's lock. */
int64_t destination_since(struct destination *d);
void destination_close(struct destination *d); /* after every lane has left */
struct queue_limits destination_limits(const struct destination_conf *c);
char *destination_identity(const struct destination_conf *c);
struct dest_settings *destination_settings(const struct destination_conf *c, struct err *err) MUST_USE;
struct dest_settings *dest_settings_copy(const struct dest_settings *s);
void dest_settings_free(struct dest_settings *s);
void destination_count_dropped(struct destination *d, const struct block *b, enum drop_reason reason);
/* Samples, for all reasons, by the queue too. */
uint64_t destination_dropped(const struct destination *d);
void destination_note_status(struct destination *d, int status);
void destination_note_error(struct destination *d, int64_t now, const char *text);

#endif
