/* One selector at one group: its replicas are asked, as the read mode says, and their answers made into one.
 *
 * A group gives one whole answer or an error that names it and its servers. The recent store is one more replica for windows that
 * begin when it is whole; when no server answers it stands in for them, and for a window of which it knows the later part only,
 * with a warning that says since when.
 */
#ifndef GATEWAY_UPSTREAM_LEAF_H
#define GATEWAY_UPSTREAM_LEAF_H

#include "gateway/upstream/ask.h"

struct recent_link { struct source *source; int64_t from; }; /* source NULL: off */
struct leaf {
    struct round *round;
    const struct group *group;
    const struct select *sel;
    struct recent_link recent;
    struct ask *asks; size_t n_asks;  /* one a server, in the group's order */
    struct answer answer;             /* after leaf_collect */
    struct loop_timer _hedge;
};
/* False: no series of the group can match; nothing is sent. */
bool leaf_start(struct leaf *l);
void leaf_stop(struct leaf *l); /* the timer */
/* After round_wait. False with an error that names the group: what to do with it is the caller's decision. */
bool leaf_collect(struct leaf *l, struct err *err) MUST_USE;

/* Names group and servers in one error, of the class that matters most. */
bool group_error(const struct group *g, const struct err *errs, size_t n, struct err *err);
/* May the answer go without this group? The notes say so then, unless it is to be silent. */
bool group_forgives(const struct group *g, struct notes *notes, const struct err *why);

#endif
