// SPDX-License-Identifier: Apache-2.0
/* Host names to addresses by c-ares, in a loop: any number of lookups at once, none of which blocks. Names are looked
 * up as /etc/nsswitch.conf, /etc/hosts and /etc/resolv.conf say ("files" and "dns"; other nsswitch modules are not
 * used); changes of these files are noticed within 5 s. A name server that does not respond is tried three times: after
 * 1, 2 and 4 s. Everything on the loop's thread. base/http/resolver.h is what the program uses: it has the thread and
 * the cache.
 */
#ifndef BASE_HTTP_DNS_H
#define BASE_HTTP_DNS_H

#include "base/os/loop.h"

enum { DNS_ADDRESSES = 16, DNS_TEXT = DNS_ADDRESSES * 48 };

enum dns_outcome {
    DNS_FOUND,
    DNS_ABSENT, /* the name, or an address of it, does not exist: an answer for certain */
    DNS_SILENT, /* no name server responded in time */
    DNS_FAILED  /* a name server responded with a failure, or we could not ask */
};
struct dns_result {
    enum dns_outcome outcome;
    const char *why;          /* unless found: a few words for an error */
    char addresses[DNS_TEXT]; /* "192.0.2.1,[2001:db8::1]": the preferred one first (RFC 6724), at most DNS_ADDRESSES */
    int64_t ttl;              /* ms, the smallest of all addresses */
};

struct dns;
/* answered: once for each dns_ask, also from within it. */
struct dns *dns_new(struct loop *loop, void (*answered)(void *arg, const struct dns_result *r));
void dns_free(struct dns *d);                            /* lookups under way are dropped, without a result */
void dns_ask(struct dns *d, const char *name, void *arg); /* name: copied */
/* For tests: "127.0.0.1:5353" instead of the servers in resolv.conf; NULL: those again. Before dns_new. */
void dns_use_servers(const char *servers);

#endif
