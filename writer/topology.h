// SPDX-License-Identifier: Apache-2.0
/* A topology: the streams of a configuration, and the destinations and recent store that receive each. Immutable once
 * in force, shared by main and the lanes, reference counted. */
#ifndef WRITER_TOPOLOGY_H
#define WRITER_TOPOLOGY_H

#include "base/refs.h"
#include "writer/send/backup.h"
#include "writer/send/destination.h"
#include "writer/pipeline/sharding.h"
#include "writer/pipeline/stream.h"

enum topology_phase { TOPOLOGY_PREPARED, TOPOLOGY_ADOPTING, TOPOLOGY_SWITCHING, TOPOLOGY_IN_FORCE };
struct topology {
    struct refs refs;
    enum topology_phase phase; /* main's; changed by reload.c */
    unsigned lanes_pending;    /* main's: lanes that have not finished the phase */
    uint64_t number;           /* later ones have higher numbers; set when it is installed */
    struct chain global;       /* stages before the placement */
    struct stream *streams; size_t n_streams;
    int64_t flush_ms; /* at most so long are samples collected; 0 = as the writer does by default */
    struct destination **destinations; size_t n, _cap;
    uint64_t *routes;       /* of each destination */
    uint64_t *known_routes; size_t n_known_routes; /* of all that the configuration has, ascending */
    struct backup_pair **pairs; /* of each destination that is a backup, a reference; NULL: of the others */
    struct recent *recent;
    struct sharding *sharding; /* NULL = off */
    /* frees the configuration's memory, which rules and labels point into */
    void (*release)(void *arg); void *release_arg;
};

/* Main. old: the newest topology, whose stages pass shared state on, or NULL. dests[i] belongs to from->destinations[i],
 * NULL: it is not part of the topology; pairs[i] likewise, NULL: it is no backup. recent may be NULL. Returns NULL if
 * recent.like names no destination. */
struct topology *topology_new(const struct writer_plan *from, const struct topology *old,
                              struct destination *const *dests, struct backup_pair *const *pairs, struct recent *recent,
                              struct err *err) MUST_USE;
/* The stream of `old` whose stages pass state on to those of s: it has a destination, or the recent store, in common. */
const struct stream *topology_stream_before(const struct topology *old, const struct stream *s);
/* Destinations that are not part of the topology have their share, too: it does not move. Backups have none of their
 * own. */
void topology_init_sharding(struct sharding *s, const struct writer_plan *from);
/* Number of the destination that determines which series the one with number i gets: itself, or of a backup its
 * primary, and so on. */
size_t topology_primary(const struct writer_plan *from, size_t i);
/* Which bit of sharding_destinations the destination has; a backup has that of its primary. */
unsigned topology_slot(const struct writer_plan *from, size_t i);
void topology_choose_generations(struct topology *p); /* main, when the new generations exist */
struct topology *topology_ref(struct topology *p);
void topology_unref(struct topology *p);      /* any thread; NULL is fine */
/* The pair whose backup this is, or NULL; also for NULL. */
struct backup_pair *topology_pair(const struct topology *p, const struct destination *backup);
bool topology_has(const struct topology *p, const struct destination *d); /* false for NULL */
bool topology_knows(const struct topology *p, uint64_t route); /* there are destinations of it; true for 0 */
/* the stream that the recent store receives, or NULL */
const struct stream *topology_recent(const struct topology *p);

#endif
