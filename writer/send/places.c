// SPDX-License-Identifier: Apache-2.0
/* Lookups by the resolver's thread, and the choice. A request to an address has the host of the URL in its Host header;
 * for TLS that host is the name in the certificate (destination_settings). The hosts of SRV records stand for themselves,
 * and are resolved as any other. */
#include "writer/send/places.h"

enum { AGAIN_MS = 30000, FAILED_AGAIN_MS = 1000, AVOID_MS = 5000 };

enum place_lookup places_of_url(struct str url, bool round_robin, struct buf *without)
{
    struct url u;
    static const struct { struct str prefix; enum place_lookup kind; } prefixes[] = {
        {{"dns+", 4}, PLACES_ADDRESSES}, {{"srv+", 4}, PLACES_SRV}};
    enum place_lookup kind = PLACES_NONE;
    size_t prefix = 0;
    if (!url_parse(url, &u, NULL))
        return PLACES_NONE;
    for (size_t i = 0; i < LEN(prefixes); i++)
        if (str_starts(u.host, prefixes[i].prefix)) {
            kind = prefixes[i].kind;
            prefix = prefixes[i].prefix.n;
        }
    size_t at = (size_t)(u.host.p - url.p);
    buf_add_str(without, str_first(url, at));
    buf_add_str(without, str_skip(url, at + prefix));
    return kind == PLACES_NONE && round_robin ? PLACES_ADDRESSES : kind;
}

/* ---- the addresses ---- */

static struct place *places_find(struct places *p, struct str address)
{
    for (size_t i = 0; i < p->n; i++)
        if (str_is(address, p->items[i].address))
            return &p->items[i];
    return NULL;
}

static void places_free_items(struct places *p)
{
    for (size_t i = 0; i < p->n; i++)
        mem_free(p->items[i].address);
    mem_free(p->items);
    p->items = NULL;
    p->n = p->_cap = 0;
}

/* Adds an address to `to`, with what is known of it. */
static void places_add(struct places *p, struct places *to, struct str address)
{
    if (to->n == PLACES_MOST || places_find(to, address))
        return;
    const struct place *known = places_find(p, address);
    mem_grow(&to->items, &to->_cap, to->n + 1, sizeof *to->items);
    to->items[to->n++] = (struct place){str_dup(address), known ? known->busy : 0, known ? known->avoid_until : 0};
}

static void places_found(struct places *p, struct places *found, const char *why)
{
    p->asking = false;
    if (found->n > 0) {
        places_free_items(p);
        p->items = found->items;
        p->n = found->n;
        p->_cap = found->_cap;
    }
    p->why = why ? why : "it has no addresses";
    loop_timer_in(p->loop, &p->again, found->n > 0 ? AGAIN_MS : FAILED_AGAIN_MS);
}

static void places_take_addresses(struct places *p)
{
    struct places found = {.loop = NULL};
    struct str rest = str_of(p->name.addresses ? p->name.addresses : ""), item, port = p->parts.port;
    struct buf address = {0};
    if (port.n == 0)
        port = str_ieq(p->parts.scheme, STR("https")) ? STR("443") : STR("80");
    while (rest.n > 0 && str_cut(&rest, ',', &item)) {
        buf_clear(&address);
        buf_printf(&address, "%.*s:%.*s", STR_ARG(item), STR_ARG(port));
        places_add(p, &found, buf_str(&address));
    }
    buf_free(&address);
    mem_free(p->name.addresses);
    p->name.addresses = NULL;
    places_found(p, &found, p->name.why);
}

static void places_on_name(struct resolver_request *r) { places_take_addresses(CONTAINER(r, struct places, name)); }

static void places_take_records(struct places *p)
{
    struct places found = {.loop = NULL};
    struct dns_records *r = &p->records.records;
    struct buf address = {0};
    for (size_t i = 0; i < r->n; i++) {
        struct str host = str_of(r->items[i].target);
        if (str_ends(host, STR(".")))
            host.n--;
        buf_clear(&address);
        buf_printf(&address, "%.*s:%u", STR_ARG(host), r->items[i].port);
        if (host.n > 0) /* "." means that there is no such service */
            places_add(p, &found, buf_str(&address));
    }
    buf_free(&address);
    const char *why = r->why;
    dns_records_free(r);
    places_found(p, &found, why ? why : "it has no SRV records");
}

static void places_on_records(struct records_request *r) { places_take_records(CONTAINER(r, struct places, records)); }

static void places_ask(struct loop_timer *t)
{
    struct places *p = CONTAINER(t, struct places, again);
    char *name = str_dup(p->parts.host);
    p->asking = true;
    if (p->kind == PLACES_SRV) {
        p->records = (struct records_request){.loop = p->loop, .done = places_on_records};
        if (resolver_ask_records(&p->records, name, DNS_SRV))
            places_take_records(p);
    } else {
        p->name = (struct resolver_request){.loop = p->loop, .done = places_on_name};
        if (resolver_ask(&p->name, name))
            places_take_addresses(p);
    }
    mem_free(name);
}

void places_begin(struct places *p, struct loop *loop, enum place_lookup kind, const char *url, unsigned seed)
{
    places_end(p);
    p->url = mem_strdup(url);
    if (kind == PLACES_NONE || !url_parse(str_of(p->url), &p->parts, NULL)) {
        mem_free(p->url);
        p->url = NULL;
        return;
    }
    p->loop = loop;
    p->kind = kind;
    p->turn = seed;
    p->again.run = places_ask;
    p->why = "its lookup has not ended yet";
    resolver_retain();
    places_ask(&p->again);
}

void places_end(struct places *p)
{
    if (p->loop) {
        if (p->asking && p->kind == PLACES_SRV)
            resolver_cancel_records(&p->records);
        else if (p->asking)
            resolver_cancel(&p->name);
        loop_timer_stop(p->loop, &p->again);
        resolver_release();
        mem_free(p->url);
    }
    places_free_items(p);
    *p = (struct places){.loop = NULL};
}

/* ---- the choice ---- */

const char *places_take(struct places *p)
{
    struct place *best = NULL;
    int64_t now = p->n > 0 ? loop_mono(p->loop) : 0;
    for (size_t k = 0; k < p->n; k++) {
        struct place *i = &p->items[(p->turn + k) % p->n];
        bool avoided = i->avoid_until > now, best_avoided = best && best->avoid_until > now;
        if (best == NULL || (avoided != best_avoided ? best_avoided : i->busy < best->busy))
            best = i;
    }
    if (best == NULL)
        return NULL;
    best->busy++;
    p->turn = (size_t)(best - p->items) + 1;
    return best->address;
}

void places_give(struct places *p, const char *address, bool responded)
{
    struct place *i = places_find(p, str_of(address));
    if (i == NULL) /* it is not one of them any more */
        return;
    i->busy -= i->busy > 0;
    i->avoid_until = responded ? 0 : loop_mono(p->loop) + AVOID_MS;
}

void places_url(const struct places *p, const char *address, struct buf *url, struct buf *host)
{
    const struct url *u = &p->parts;
    size_t before = (size_t)(u->host.p - p->url) - (u->host.p > p->url && u->host.p[-1] == '[');
    const char *end = u->port.n > 0 ? u->port.p + u->port.n : u->host.p + u->host.n + (u->host.p[u->host.n] == ']');
    buf_add(url, p->url, before);
    buf_add_z(url, address);
    buf_add_z(url, end);
    if (p->kind == PLACES_ADDRESSES)
        buf_add(host, p->url + before, (size_t)(end - p->url) - before);
}
