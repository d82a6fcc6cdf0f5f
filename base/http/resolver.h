// SPDX-License-Identifier: Apache-2.0
/* Resolves host names for the complete process: one thread that runs lookups (base/http/dns.h), and a cache shared by
 * all threads. Requests never block: the addresses are in the cache, or are posted to the loop of the requester,
 * which sets its own timeout. Requests for the same name share a lookup.
 *
 * A result is fresh for the TTL of its records, at least 1 s and at most 30 s. After that the next request starts
 * another lookup. While the name servers do not respond, the last known addresses are used for up to an hour (RFC
 * 8767); the first such request waits half a second, later ones do not wait. A name that does not exist is not looked
 * up again for 5 s, one whose lookup failed for 1 s. The cache holds at most 10,000 names and evicts the least
 * recently used.
 *
 * The thread starts with the first lookup and ends with the last resolver_release().
 */
#ifndef BASE_HTTP_RESOLVER_H
#define BASE_HTTP_RESOLVER_H

#include "base/http/dns.h"
#include "base/err.h"

struct resolver_request { /* embed it; idle when zeroed except the first two fields */
    struct loop *loop;    /* the calling thread's */
    void (*done)(struct resolver_request *r); /* runs in that loop */
    char *addresses;      /* "192.0.2.1,[2001:db8::1]": free with mem_free; NULL when there are none */
    const char *why;      /* if NULL: the reason */
    bool silent;          /* if NULL: no name server responded */
    struct list _node;
    struct loop_task _task;
    bool _waiting, _posted;
};

void resolver_register_stats(void); /* once, before other threads start */
void resolver_retain(void);  /* any thread: allows requests until the release */
/* after its requests are done or canceled; the last call waits for the end of the thread */
void resolver_release(void);

/* True: the result is in *r, and done is not called. A literal address resolves to itself. */
bool resolver_ask(struct resolver_request *r, const char *name) MUST_USE;
void resolver_cancel(struct resolver_request *r); /* on its loop's thread; done is not called; no effect when idle */
/* Records of a name, for service discovery; not cached (base/http/dns.h). */
struct records_lookup;
struct records_request { /* embed it; idle when zeroed except the first two fields */
    struct loop *loop;    /* the calling thread's */
    void (*done)(struct records_request *r); /* runs in that loop */
    struct dns_records records; /* then: the result, the caller's */
    struct records_lookup *_lookup;
    struct loop_task _task;
    bool _posted;
};
/* True: no thread can be started; records.why tells so, and done is not called. */
bool resolver_ask_records(struct records_request *r, const char *name, enum dns_type type) MUST_USE;
void resolver_cancel_records(struct records_request *r); /* on its loop's thread; done is not called; no effect when idle */
bool resolver_is_literal(const char *host);       /* an address, also "[2001:db8::1]", or localhost: needs no lookup */

#endif
