// SPDX-License-Identifier: Apache-2.0
/* The records of a name as targets (dns_sd_configs of Prometheus): an address with the configured port, or the host of
 * an SRV record with its port. Each record is a group of one target, with the labels of its type; a name that does not
 * exist has no targets. Lookups run in the resolver's thread, and end with its timeouts.
 */
#include "base/http/resolver.h"
#include "model/discovery/source/sd_poll.h"

#include <string.h>

struct dns_source {
    struct sd_poll poll;
    enum dns_type type;
    unsigned port;
    struct records_request request;
    struct dns_records records;   /* of the last response */
};

static struct dns_source *dns_of_poll(struct sd_poll *p) { return (struct dns_source *)(void *)p; }

static void dns_source_free(struct sd_poll *p)
{
    struct dns_source *s = dns_of_poll(p);
    resolver_cancel_records(&s->request);
    dns_records_free(&s->records);
    resolver_release();
    mem_free(s);
}

/* ---- records as targets ---- */

static bool records_equal(const struct dns_records *a, const struct dns_records *b)
{
    for (size_t i = 0; a->n == b->n && i < a->n; i++)
        if (strcmp(a->items[i].target, b->items[i].target) != 0 || a->items[i].port != b->items[i].port)
            return false;
    return a->n == b->n;
}

/* As Go's net.JoinHostPort; a host name loses the dot at its end. */
static struct str record_address(const struct dns_source *s, struct arena *a, const struct dns_record *r)
{
    struct str host = str_of(r->target);
    unsigned port = s->type == DNS_SRV ? r->port : s->port;
    bool six = str_find(host, ':') < host.n;
    if (host.n > 0 && host.p[host.n - 1] == '.')
        host.n--;
    return arena_printf(a, "%s%.*s%s:%u", six ? "[" : "", STR_ARG(host), six ? "]" : "", port);
}

static void record_label(struct arena *a, struct static_group *g, const char *name, struct str value)
{
    g->labels.keys[g->labels.n] = str_of(name);
    g->labels.values[g->labels.n++] = arena_str(a, value);
}

static void record_target(const struct dns_source *s, struct arena *a, const struct dns_record *r,
                          struct static_group *g)
{
    g->targets.items = ARENA_NEW(a, struct str);
    g->targets.items[g->targets.n++] = record_address(s, a, r);
    g->labels.keys = ARENA_ARRAY(a, struct str, 2);
    g->labels.values = ARENA_ARRAY(a, struct str, 2);
    struct str target = str_of(r->target);
    switch (s->type) {
    case DNS_SRV:
        record_label(a, g, "__meta_dns_srv_record_target", target);
        record_label(a, g, "__meta_dns_srv_record_port", arena_printf(a, "%u", r->port));
        break;
    case DNS_MX: record_label(a, g, "__meta_dns_mx_record_target", target); break;
    case DNS_NS: record_label(a, g, "__meta_dns_ns_record_target", target); break;
    case DNS_A:
    case DNS_AAAA: break;
    }
}

static struct sd_groups *records_groups(const struct dns_source *s)
{
    struct sd_groups *g = sd_groups_new();
    g->items = ARENA_ARRAY(&g->arena, struct static_group, s->records.n);
    for (size_t i = 0; i < s->records.n; i++)
        record_target(s, &g->arena, &s->records.items[i], &g->items[g->n++]);
    return g;
}

/* ---- lookups ---- */

static void dns_source_take(struct dns_source *s, struct dns_records *found)
{
    stats_add(&sd_stats, SD_DNS_LOOKUPS, 1);
    if (found->why) {
        struct buf why = {0};
        buf_printf(&why, "%s: %s", s->poll.shown, found->why);
        sd_poll_failed(&s->poll, buf_z(&why));
        buf_free(&why);
        return;
    }
    bool same = s->poll.parts.groups && records_equal(found, &s->records);
    dns_records_free(&s->records);
    s->records = *found;
    sd_poll_succeeded(&s->poll, same ? NULL : records_groups(s));
}

static void dns_source_on_done(struct records_request *r)
{
    dns_source_take(CONTAINER(r, struct dns_source, request), &r->records);
}

static void dns_source_begin(struct sd_poll *p)
{
    struct dns_source *s = dns_of_poll(p);
    if (resolver_ask_records(&s->request, p->found.source.p, s->type))
        dns_source_take(s, &s->request.records);
}

static const struct sd_poll_ops dns_source_ops = {dns_source_begin, dns_source_free};

struct sd_source *dns_source_new(const struct sd_source_env *env, const struct dns_sd *conf, struct str name)
{
    struct dns_source *s = mem_zalloc(sizeof *s);
    struct buf shown = {0}, key = {0};
    buf_printf(&shown, "%s records of %.*s", dns_sd_types[conf->type], STR_ARG(name));
    buf_printf(&key, "dns %.*s %d %lld %lld", STR_ARG(name), conf->type, (long long)conf->port,
               (long long)conf->refresh_interval);
    sd_poll_init(&s->poll, &dns_source_ops, env, conf->refresh_interval, SD_DNS_FAILURES,
                 &(struct sd_found){"dns", STR("__meta_dns_name"), name, NULL, NULL}, buf_z(&shown), buf_str(&key));
    s->type = (enum dns_type)conf->type;
    s->port = (unsigned)conf->port;
    s->request = (struct records_request){.loop = env->main, .done = dns_source_on_done};
    resolver_retain();
    buf_free(&shown);
    buf_free(&key);
    return &s->poll.source;
}
