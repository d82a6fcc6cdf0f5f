// SPDX-License-Identifier: Apache-2.0
#include "gateway/cluster/peer_check.h"

#include "base/hash.h"
#include "gateway/cluster/member_query.h"

struct peer {
    struct member_query query;
    bool responded;
    int64_t renewed_ago;           /* ms; -1: no response, or no lease */
};
struct peer_check {
    struct loop *loop;
    struct client *client;
    struct client_profile *profile;
    struct peer peers[PEERS_A_ROUND]; size_t n;
    uint64_t rounds;
};

struct peer_check *peer_check_new(struct loop *loop, struct client_profile *profile)
{
    struct peer_check *p = mem_zalloc(sizeof *p);
    p->loop = loop;
    p->client = client_new(loop, &(struct client_settings){.max_inflight = PEERS_A_ROUND});
    p->profile = client_profile_ref(profile);
    return p;
}

static void peer_check_end(struct peer_check *p)
{
    for (size_t i = 0; i < p->n; i++)
        member_query_cancel(&p->peers[i].query);
    p->n = 0;
}

void peer_check_free(struct peer_check *p)
{
    peer_check_end(p);
    client_free(p->client);
    client_profile_unref(p->profile);
    mem_free(p);
}

static void peer_on_report(struct member_query *q, const struct member_report *r)
{
    struct peer *peer = CONTAINER(q, struct peer, query);
    peer->responded = r->responded;
    peer->renewed_ago = r->renewed_ago;
}

static uint64_t mix_round(const struct cluster_view *view, uint64_t round, uint64_t draw)
{
    uint64_t of_self = view->self < view->n ? view->_seeds[view->self] : 0, number[] = {of_self, round, draw};
    return hash_bytes(number, sizeof number);
}

/* The index of the other member of that number, not counting those that are gone. */
static size_t peer_index(const struct cluster_view *view, size_t number)
{
    for (size_t i = 0; i < view->n; i++)
        if (i != view->self && !view->members[i].gone && number-- == 0)
            return i;
    return view->n;
}

/* Floyd's sample of k out of n: each set of k is as likely as any other. */
size_t peer_check_pick(const struct cluster_view *view, uint64_t round, size_t *out)
{
    size_t others = cluster_view_registered(view) - (view->self < view->n);
    size_t k = others < PEERS_A_ROUND ? others : PEERS_A_ROUND, n = 0;
    for (size_t last = others - k; n < k; last++) {
        size_t pick = (size_t)(mix_round(view, round, last) % (last + 1));
        for (size_t i = 0; i < n; i++)
            if (out[i] == pick)
                pick = last;
        out[n++] = pick;
    }
    for (size_t i = 0; i < n; i++)
        out[i] = peer_index(view, out[i]);
    return n;
}

static void peer_ask(struct peer_check *p, const struct cluster_member *m, int64_t timeout_ms)
{
    struct peer *peer = &p->peers[p->n++];
    *peer = (struct peer){.query.done = peer_on_report, .renewed_ago = -1};
    member_query_send(&peer->query, p->client, p->profile, m->address, timeout_ms);
}

void peer_check_start(struct peer_check *p, const struct cluster_view *view, int64_t timeout_ms)
{
    size_t picked[PEERS_A_ROUND];
    peer_check_end(p);
    size_t n = peer_check_pick(view, p->rounds++, picked);
    for (size_t i = 0; i < n; i++)
        peer_ask(p, &view->members[picked[i]], timeout_ms);
}

size_t peer_check_responded(const struct peer_check *p)
{
    size_t n = 0;
    for (size_t i = 0; i < p->n; i++)
        n += p->peers[i].responded;
    return n;
}

size_t peer_check_renewing(const struct peer_check *p, int64_t recent_ms)
{
    size_t n = 0;
    for (size_t i = 0; i < p->n; i++)
        n += p->peers[i].renewed_ago >= 0 && p->peers[i].renewed_ago < recent_ms;
    return n;
}

bool peer_check_runs(const struct peer_check *p)
{
    for (size_t i = 0; i < p->n; i++)
        if (p->peers[i].query.call)
            return true;
    return false;
}
