// SPDX-License-Identifier: Apache-2.0
/* Host names to addresses for the whole process: one thread that looks names up (base/http/dns.h), and a cache that all
 * threads share. Nobody who asks ever blocks: the answer is in the cache, or it is posted to the loop of the one who
 * asked; how long to wait for it is his own affair. Requests for the same name share a lookup.
 *
 * An answer is fresh for the TTL of its records, at least 1 s and at most 30 s. Then the name is looked up again at the
 * next request. While the name servers do not respond, the last known addresses are used for up to an hour (RFC 8767);
 * the first such request waits half a second, later ones not at all. A name that does not exist is not looked up again
 * for 5 s, one whose lookup failed for 1 s. At most 10,000 names are kept, the least recently used one goes first.
 *
 * The thread starts with the first lookup and ends with the last resolver_release().
 */
#ifndef BASE_HTTP_RESOLVER_H
#define BASE_HTTP_RESOLVER_H

#include "base/http/dns.h"
#include "base/err.h"

struct resolver_request { /* embed it; zeroed but for the first two = idle */
    struct loop *loop;    /* of the calling thread */
    void (*done)(struct resolver_request *r); /* in that loop */
    char *addresses;      /* "192.0.2.1,[2001:db8::1]": mem_free it; NULL when there are none */
    const char *why;      /* then: why, in a few words */
    bool silent;          /* likewise: no name server responded */
    struct list _node;
    struct loop_task _task;
    bool _waiting, _posted;
};

void resolver_register_stats(void); /* once, before other threads start */
void resolver_retain(void);  /* any thread: asks are allowed until the release */
void resolver_release(void); /* after its requests are done or canceled; the last one waits for the thread's end */

/* True: the answer is in *r already, and done is not called. A literal address is its own answer. */
bool resolver_ask(struct resolver_request *r, const char *name) MUST_USE;
void resolver_cancel(struct resolver_request *r); /* on its loop's thread; done is not called; fine when idle */
bool resolver_is_literal(const char *host);       /* an address, also "[2001:db8::1]", or localhost: needs no lookup */

#endif
