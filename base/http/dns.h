// SPDX-License-Identifier: Apache-2.0
/* Resolves host names by c-ares in a loop: any number of concurrent lookups, without blocking. Names are resolved
 * according to /etc/nsswitch.conf, /etc/hosts and /etc/resolv.conf ("files" and "dns"; other nsswitch modules are not
 * supported); changes of these files are noticed within 5 s. A name server that does not respond is tried three
 * times: after 1, 2 and 4 s. All functions on the loop's thread. The program uses base/http/resolver.h, which owns
 * the thread and the cache.
 */
#ifndef BASE_HTTP_DNS_H
#define BASE_HTTP_DNS_H

#include "base/os/loop.h"

enum { DNS_ADDRESSES = 16, DNS_TEXT = DNS_ADDRESSES * 48 };

enum dns_outcome {
    DNS_FOUND,
    DNS_ABSENT, /* the name, or its address, does not exist: an authoritative response */
    DNS_SILENT, /* no name server responded in time */
    DNS_FAILED  /* a name server returned a failure, or no request could be sent */
};
struct dns_result {
    enum dns_outcome outcome;
    const char *why;          /* unless found: the reason, for an error message */
    char addresses[DNS_TEXT]; /* "192.0.2.1,[2001:db8::1]": in order of preference (RFC 6724), at most DNS_ADDRESSES */
    int64_t ttl;              /* ms, the minimum of all addresses */
};

struct dns;
/* answered: called once per dns_ask, possibly within it. */
struct dns *dns_new(struct loop *loop, void (*answered)(void *arg, const struct dns_result *r));
void dns_free(struct dns *d);                            /* pending lookups are dropped without a result */
void dns_ask(struct dns *d, const char *name, void *arg); /* name: copied */

/* Records of a name, for service discovery: by the name servers and the search list of /etc/resolv.conf, without
 * /etc/hosts. A name that does not exist, or has none of these records, has an empty list. */
enum dns_type { DNS_A, DNS_AAAA, DNS_MX, DNS_NS, DNS_SRV };
struct dns_record {
    char *target;             /* an address, without brackets; or a host name that ends with a dot */
    unsigned port;            /* of DNS_SRV */
};
struct dns_records {          /* items: owned, sorted by target and port */
    struct dns_record *items; size_t n;
    const char *why;          /* NULL: succeeded; otherwise there are no items */
};
void dns_records_free(struct dns_records *r);
/* found: called once, possibly within the call; it takes the items of *r. */
void dns_ask_records(struct dns *d, const char *name, enum dns_type type,
                     void (*found)(void *arg, struct dns_records *r), void *arg);
/* For tests: "127.0.0.1:5353" instead of the servers in resolv.conf; NULL: restores those. Call before dns_new. */
void dns_use_servers(const char *servers);

#endif
