// SPDX-License-Identifier: Apache-2.0
/* Records in the order of the response would change with every response: name servers rotate them. They are sorted. */
#include "base/http/dns_records.h"

#include "base/buf.h"

#include <ares.h>
#include <arpa/inet.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

enum { TYPE_A = 1, TYPE_NS = 2, TYPE_MX = 15, TYPE_AAAA = 28, TYPE_SRV = 33 };
enum { RECORD_BYTES_LEAST = 12, ADDRESSES_MOST = 65536 / RECORD_BYTES_LEAST };

int dns_records_type(enum dns_type type)
{
    static const int types[] = {
        [DNS_A] = TYPE_A, [DNS_AAAA] = TYPE_AAAA, [DNS_MX] = TYPE_MX, [DNS_NS] = TYPE_NS, [DNS_SRV] = TYPE_SRV};
    return types[type];
}

void dns_records_free(struct dns_records *r)
{
    for (size_t i = 0; i < r->n; i++)
        mem_free(r->items[i].target);
    mem_free(r->items);
    *r = (struct dns_records){0};
}

struct record_list { struct dns_records *records; size_t cap; };

static void records_add(struct record_list *l, char *target, unsigned port)
{
    struct dns_records *r = l->records;
    if (r->n == l->cap)
        mem_grow(&r->items, &l->cap, r->n + 1, sizeof *r->items);
    r->items[r->n++] = (struct dns_record){target, port};
}

static void records_add_host(struct record_list *l, const char *host, unsigned port)
{
    struct buf name = {0};
    buf_printf(&name, "%s.", host);
    records_add(l, mem_strdup(buf_z(&name)), port);
    buf_free(&name);
}

static void records_add_address(struct record_list *l, int family, const void *address)
{
    char text[INET6_ADDRSTRLEN];
    if (inet_ntop(family, address, text, sizeof text))
        records_add(l, mem_strdup(text), 0);
}

/* ---- by type ---- */

static int parse_a(const unsigned char *message, int length, struct record_list *l)
{
    int n = ADDRESSES_MOST;
    struct ares_addrttl *found = mem_zalloc((size_t)n * sizeof *found);
    int status = ares_parse_a_reply(message, length, NULL, found, &n);
    for (int i = 0; status == ARES_SUCCESS && i < n; i++)
        records_add_address(l, AF_INET, &found[i].ipaddr);
    mem_free(found);
    return status;
}

static int parse_aaaa(const unsigned char *message, int length, struct record_list *l)
{
    int n = ADDRESSES_MOST;
    struct ares_addr6ttl *found = mem_zalloc((size_t)n * sizeof *found);
    int status = ares_parse_aaaa_reply(message, length, NULL, found, &n);
    for (int i = 0; status == ARES_SUCCESS && i < n; i++)
        records_add_address(l, AF_INET6, &found[i].ip6addr);
    mem_free(found);
    return status;
}

static int parse_mx(const unsigned char *message, int length, struct record_list *l)
{
    struct ares_mx_reply *found = NULL;
    int status = ares_parse_mx_reply(message, length, &found);
    for (struct ares_mx_reply *at = status == ARES_SUCCESS ? found : NULL; at; at = at->next)
        records_add_host(l, at->host, 0);
    ares_free_data(found);
    return status;
}

static int parse_ns(const unsigned char *message, int length, struct record_list *l)
{
    struct hostent *found = NULL;
    int status = ares_parse_ns_reply(message, length, &found);
    for (char **at = status == ARES_SUCCESS ? found->h_aliases : NULL; at && *at; at++)
        records_add_host(l, *at, 0);
    if (found)
        ares_free_hostent(found);
    return status;
}

static int parse_srv(const unsigned char *message, int length, struct record_list *l)
{
    struct ares_srv_reply *found = NULL;
    int status = ares_parse_srv_reply(message, length, &found);
    for (struct ares_srv_reply *at = status == ARES_SUCCESS ? found : NULL; at; at = at->next)
        records_add_host(l, at->host, at->port);
    ares_free_data(found);
    return status;
}

static int record_order(const void *a, const void *b)
{
    const struct dns_record *x = a, *y = b;
    int order = strcmp(x->target, y->target);
    return order ? order : (int)x->port - (int)y->port;
}

int dns_records_parse(enum dns_type type, const unsigned char *message, int length, struct dns_records *out)
{
    static int (*const parsers[])(const unsigned char *message, int length, struct record_list *l) = {
        [DNS_A] = parse_a, [DNS_AAAA] = parse_aaaa, [DNS_MX] = parse_mx, [DNS_NS] = parse_ns, [DNS_SRV] = parse_srv};
    *out = (struct dns_records){0};
    struct record_list list = {.records = out};
    int status = parsers[type](message, length, &list);
    if (status == ARES_SUCCESS && out->n > 1)
        qsort(out->items, out->n, sizeof *out->items, record_order);
    return status;
}
