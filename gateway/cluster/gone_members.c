// SPDX-License-Identifier: Apache-2.0
#include "gateway/cluster/gone_members.h"

#include "base/etcd/etcd_txn.h"
#include "base/telemetry/log.h"
#include "gateway/cluster/member_query.h"
#include "gateway/cluster/sent_times.h"

enum {
    GONE_TIMEOUT_MS = 1000, GONE_ASK_AGAIN_MS = 500, GONE_ASKS = 5, GONE_INFLIGHT = 16,
    GONE_SCRAPES_MS = 10000, /* how long one that goes on scraping is waited for */
    GONE_READ_AGAIN_MS = 500, GONE_READS_PART = 4, /* of keep_ms, during which errors of etcd are retried */
};

struct gone {
    struct gone_members *owner;
    struct list node;
    char *id, *address, *zone, *boot;
    double weight;
    int64_t from, until;        /* until: 0: nothing is known yet */
    int64_t written;            /* what it wrote: all members read the same; 0: nothing */
    int64_t since;              /* loop_mono */
    bool found;
    struct etcd_request read;   /* of sent/ID */
    struct member_query query;
    struct loop_timer begin, again, read_again;
    unsigned asks;
};
struct gone_members {
    struct gone_members_conf conf;
    struct client_profile *profile;
    char *members, *sent;
    struct loop *loop;
    struct client *client;
    struct list all; size_t n;
    struct etcd_request clean;
};

/* A time in the future, of another clock, would leave its targets without an owner until then. */
static int64_t gone_clamp(int64_t t, int64_t least, int64_t most) { return t < least ? least : t > most ? most : t; }

static void gone_settle(struct gone *m)
{
    struct gone_members *g = m->owner;
    if (etcd_request_runs(&m->read) || m->query.call || loop_timer_armed(&m->again) ||
        loop_timer_armed(&m->read_again) || m->found)
        return;
    m->found = true;
    m->until = gone_clamp(m->until, loop_now(g->loop) - g->conf.keep_ms, loop_now(g->loop));
    log_info("cluster", "a member is gone; its scrapes were sent until this time, others send those that they have "
             "kept", "member", m->id, LOG_TIME("until", m->until));
    if (!gone_pending(g))
        g->conf.settled(g->conf.arg);
}

/* ---- what it wrote to etcd ---- */

/* Members that know different times would disagree on owners: an error is not the same as no record. */
static void gone_on_read(struct etcd_request *r, const struct etcd_response *response)
{
    struct gone *m = CONTAINER(r, struct gone, read);
    struct loop *loop = m->owner->loop;
    if (response->doc == NULL && loop_mono(loop) - m->since < m->owner->conf.keep_ms / GONE_READS_PART) {
        loop_timer_in(loop, &m->read_again, GONE_READ_AGAIN_MS);
        return;
    }
    const struct json_value *kv = response->doc ? json_value_items(json_value_get(response->doc, "kvs")) : NULL;
    struct buf value = {0};
    int64_t until;
    if (kv && etcd_bytes(kv, "value", &value) && sent_record_read(buf_str(&value), str_of(m->boot), &until)) {
        m->written = gone_clamp(until, 0, loop_now(loop));
        m->until = until > m->until ? until : m->until;
    }
    buf_free(&value);
    gone_settle(m);
}

static void gone_read(struct gone *m)
{
    struct buf key = {0}, body = {0};
    struct json_writer w = {.out = &body};
    buf_printf(&key, "%s%s", m->owner->sent, m->id);
    json_begin_object(&w);
    etcd_put_bytes(&w, "key", buf_str(&key));
    json_end_object(&w);
    m->read.done = gone_on_read;
    etcd_send(m->owner->conf.etcd, &m->read, "/v3/kv/range", buf_str(&body));
    buf_free(&key);
    buf_free(&body);
}

static void gone_read_again(struct loop_timer *t) { gone_read(CONTAINER(t, struct gone, read_again)); }

/* ---- what it reports ---- */

static void gone_ask(struct gone *m)
{
    m->asks++;
    member_query_send(&m->query, m->owner->client, m->owner->profile, str_of(m->address), GONE_TIMEOUT_MS);
}

static void gone_ask_again(struct loop_timer *t) { gone_ask(CONTAINER(t, struct gone, again)); }

static void gone_on_report(struct member_query *q, const struct member_report *r)
{
    struct gone *m = CONTAINER(q, struct gone, query);
    struct loop *loop = m->owner->loop;
    bool same = r->responded && str_is(r->process, m->boot);
    bool scrapes = same && r->scrapes && loop_mono(loop) - m->since < GONE_SCRAPES_MS;
    int64_t until = same ? r->sent_until : 0; /* another process has sent nothing of it */
    m->asks = scrapes ? 0 : m->asks; /* what it reports is not the last word */
    if (scrapes || (until > m->until && m->asks < GONE_ASKS))
        loop_timer_in(loop, &m->again, GONE_ASK_AGAIN_MS);
    m->until = until > m->until ? until : m->until;
    gone_settle(m);
}

/* ---- members ---- */

static void gone_remove(struct gone *m)
{
    etcd_cancel(&m->read);
    member_query_cancel(&m->query);
    loop_timer_stop(m->owner->loop, &m->begin);
    loop_timer_stop(m->owner->loop, &m->again);
    loop_timer_stop(m->owner->loop, &m->read_again);
    list_remove(&m->node);
    m->owner->n--;
    mem_free(m->id);
    mem_free(m->address);
    mem_free(m->zone);
    mem_free(m->boot);
    mem_free(m);
}

static void gone_begin(struct loop_timer *t)
{
    struct gone *m = CONTAINER(t, struct gone, begin);
    gone_read(m);
    gone_ask(m);
}

void gone_add(struct gone_members *g, const struct cluster_member *of, struct str boot, int64_t wait_ms)
{
    if (g->n == GONE_MOST)
        gone_remove(CONTAINER(g->all.next, struct gone, node));
    struct gone *m = mem_zalloc(sizeof *m);
    *m = (struct gone){.owner = g, .id = str_dup(of->id), .address = str_dup(of->address), .zone = str_dup(of->zone),
                       .boot = str_dup(boot), .weight = of->weight, .from = of->from, .since = loop_mono(g->loop),
                       .query.done = gone_on_report, .begin.run = gone_begin, .again.run = gone_ask_again,
                       .read_again.run = gone_read_again};
    list_push_back(&g->all, &m->node);
    g->n++;
    if (wait_ms > 0)
        loop_timer_in(g->loop, &m->begin, wait_ms);
    else
        gone_begin(&m->begin);
}

void gone_returned(struct gone_members *g, const struct cluster_member *of, struct str boot)
{
    for (struct list *n = g->all.next; n != &g->all; n = n->next) {
        struct gone *m = CONTAINER(n, struct gone, node);
        if (m->found || m->from != of->from || !str_is(of->id, m->id) || !str_is(boot, m->boot))
            continue;
        gone_remove(m);
        return;
    }
}

bool gone_pending(const struct gone_members *g)
{
    for (const struct list *n = g->all.next; n != &g->all; n = n->next)
        if (!CONTAINER(n, struct gone, node)->found)
            return true;
    return false;
}

size_t gone_list(const struct gone_members *g, bool (*back)(void *arg, const struct cluster_member *m, struct str boot),
                 void *arg, struct cluster_member *out, size_t most)
{
    size_t n = 0;
    for (const struct list *node = g->all.next; node != &g->all && n < most; node = node->next) {
        const struct gone *m = CONTAINER(node, struct gone, node);
        struct cluster_member member = {.id = str_of(m->id), .address = str_of(m->address), .zone = str_of(m->zone),
                                        .weight = m->weight, .from = m->from, .until = m->until, .gone = true,
                                        .place_until = m->written > 0 ? m->written + g->conf.keep_ms : 0};
        if (m->found && m->from < m->until && !back(arg, &member, str_of(m->boot)))
            out[n++] = member;
    }
    return n;
}

static void gone_on_clean(struct etcd_request *r UNUSED, const struct etcd_response *response UNUSED)
{
    /* once is enough */
}

static void gone_clean(struct gone_members *g, const struct gone *m)
{
    struct buf member = {0}, sent = {0}, body = {0};
    struct json_writer w = {.out = &body};
    buf_printf(&member, "%s%s", g->members, m->id);
    buf_printf(&sent, "%s%s", g->sent, m->id);
    json_begin_object(&w);
    etcd_put_condition(&w, &(struct etcd_condition){.key = buf_str(&member), .target = ETCD_CREATE_REVISION});
    etcd_begin_operation(&w, "success", "request_delete_range", buf_str(&sent));
    etcd_end_operation(&w);
    json_end_object(&w);
    g->clean.done = gone_on_clean;
    etcd_send(g->conf.etcd, &g->clean, ETCD_TXN_PATH, buf_str(&body));
    buf_free(&member);
    buf_free(&sent);
    buf_free(&body);
}

void gone_tick(struct gone_members *g, bool cleans)
{
    for (struct list *n = g->all.next, *next; n != &g->all; n = next) {
        struct gone *m = CONTAINER(n, struct gone, node);
        next = n->next;
        if (!m->found || loop_mono(g->loop) - m->since < g->conf.keep_ms || (cleans && etcd_request_runs(&g->clean)))
            continue; /* one removal at a time */
        if (cleans)
            gone_clean(g, m);
        gone_remove(m);
    }
}

struct gone_members *gone_new(const struct gone_members_conf *conf)
{
    struct gone_members *g = mem_zalloc(sizeof *g);
    g->conf = *conf;
    g->members = str_dup(conf->members);
    g->sent = str_dup(conf->sent);
    g->loop = etcd_loop(conf->etcd);
    g->profile = client_profile_ref(conf->profile);
    g->client = client_new(g->loop, &(struct client_settings){.max_inflight = GONE_INFLIGHT});
    list_init(&g->all);
    return g;
}

void gone_free(struct gone_members *g)
{
    while (!list_empty(&g->all))
        gone_remove(CONTAINER(g->all.next, struct gone, node));
    etcd_cancel(&g->clean);
    client_free(g->client);
    client_profile_unref(g->profile);
    mem_free(g->members);
    mem_free(g->sent);
    mem_free(g);
}
