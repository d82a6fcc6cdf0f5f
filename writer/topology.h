// SPDX-License-Identifier: Apache-2.0
/* A plan: what a configuration became. The streams, and which destinations and which store receive each; immutable
 * once it is in force, shared by main and the lanes, counted.
 */
#ifndef WRITER_TOPOLOGY_H
#define WRITER_TOPOLOGY_H

#include "writer/send/destination.h"
#include "writer/pipeline/stream.h"

struct topology {
    atomic_uint refs;
    unsigned adopting;    /* main's: lanes that have not adopted it */
    struct stream *streams; size_t n_streams;
    struct destination **destinations; size_t n;
    struct recent *recent;
    void (*release)(void *arg); void *release_arg; /* the configuration's memory, which rules and labels point into */
};

/* Main. dests[i] is that of from->destinations[i]; recent may be NULL. NULL: recent.like names nobody. */
struct topology *topology_new(const struct writer_plan *from, struct destination *const *dests, struct recent *recent,
                              struct err *err) MUST_USE;
void topology_choose_generations(struct topology *p); /* main, when it is known how many generations there are */
struct topology *topology_ref(struct topology *p);
void topology_unref(struct topology *p);      /* any thread; NULL is fine */
bool topology_has(const struct topology *p, const struct destination *d); /* NULL has nothing */
const struct stream *topology_recent(const struct topology *p);    /* the stream that the recent store keeps, or NULL */

#endif
