// SPDX-License-Identifier: Apache-2.0
/* The addresses behind the host of a destination's URL, for hosts like `dns+NAME` (addresses of the name) and `srv+NAME`
 * (hosts and ports of its SRV records), and with round_robin_dns. Each lane looks them up at once and every 30 s, and
 * sends each request to the one that has the fewest in flight; one that did not respond is avoided for 5 s. While a name
 * server does not respond the last addresses remain. All functions on the lane, unless stated otherwise. */
#ifndef WRITER_SEND_PLACES_H
#define WRITER_SEND_PLACES_H

#include "base/http/resolver.h"
#include "base/os/loop.h"
#include "base/text/url.h"

/* Of more addresses the first ones are used: the choice reads all of them for each request, and a response of the DNS may
 * have thousands. */
enum { PLACES_MOST = 256 };
enum place_lookup { PLACES_NONE, PLACES_ADDRESSES, PLACES_SRV };
/* Of a URL, any thread: how to look its host up; `*without`, an empty buffer, becomes the URL without the prefix. */
enum place_lookup places_of_url(struct str url, bool round_robin, struct buf *without);

struct place { char *address; /* host:port */ unsigned busy; int64_t avoid_until; /* mono ms */ };
struct places { /* of one destination on one lane; zeroed */
    struct loop *loop;       /* NULL: not begun */
    enum place_lookup kind;
    char *url;               /* without the prefix */
    struct url parts;        /* slices of it */
    struct place *items; size_t n, _cap;
    size_t turn;             /* where the next search begins */
    const char *why;         /* while there are no items */
    bool asking;
    struct resolver_request name;
    struct records_request records;
    struct loop_timer again;
};
/* Begins to look up; ends what was begun before. `seed` makes lanes begin with different ones. */
void places_begin(struct places *p, struct loop *loop, enum place_lookup kind, const char *url, unsigned seed);
void places_end(struct places *p);
/* The address for a request; NULL: none is known yet, or p->why. places_give follows when the request has ended. */
const char *places_take(struct places *p);
void places_give(struct places *p, const char *address, bool responded);
/* Appends the URL for an address, and the value of Host that belongs to it: empty, that of the address. */
void places_url(const struct places *p, const char *address, struct buf *url, struct buf *host);

#endif
