// SPDX-License-Identifier: Apache-2.0
#include "gateway/cluster/peer_check.h"

#include "base/hash.h"
#include "base/json/json_value.h"

enum { PEER_BODY_MAX = 1 << 20 };

struct peer {
    struct peer_check *owner;
    struct client_call *call;      /* NULL: it has ended */
    struct buf body;
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
    for (size_t i = 0; i < p->n; i++) {
        if (p->peers[i].call)
            client_cancel(p->peers[i].call);
        buf_free(&p->peers[i].body);
    }
    p->n = 0;
}

void peer_check_free(struct peer_check *p)
{
    peer_check_end(p);
    client_free(p->client);
    client_profile_unref(p->profile);
    mem_free(p);
}

static int64_t peer_read(struct str body)
{
    struct arena a;
    struct json_value_reader reader;
    struct err err;
    arena_init(&a, 0);
    json_value_reader_init(&reader, &a);
    const struct json_value *doc =
        json_value_reader_feed(&reader, body, &err) ? json_value_reader_finish(&reader, &err) : NULL;
    const struct json_value *ago = json_value_get(json_value_get(doc, "data"), "leaseRenewedMsAgo");
    bool valid = ago && ago->kind == JSON_NUMBER && ago->number >= 0 && ago->number < 0x1p53;
    int64_t ms = valid ? (int64_t)ago->number : -1;
    json_value_reader_free(&reader);
    arena_free(&a);
    return ms;
}

static bool peer_on_data(void *arg, const struct client_reply *reply UNUSED, struct str piece, struct err *err UNUSED)
{
    buf_add_str(&((struct peer *)arg)->body, piece);
    return true;
}

static void peer_on_done(void *arg, const struct client_reply *reply)
{
    struct peer *peer = arg;
    peer->call = NULL;
    peer->responded = reply->status == 200;
    if (peer->responded)
        peer->renewed_ago = peer_read(buf_str(&peer->body));
    buf_free(&peer->body);
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
    struct buf url = {0};
    struct peer *peer = &p->peers[p->n++];
    *peer = (struct peer){.owner = p, .renewed_ago = -1};
    buf_printf(&url, "%.*s/api/v1/cluster/member", STR_ARG(m->address));
    peer->call = client_send(p->client, &(struct client_request){
        .method = "GET", .url = buf_z(&url), .profile = p->profile, .timeout_ms = timeout_ms,
        .connect_timeout_ms = timeout_ms, .max_body = PEER_BODY_MAX, .data = peer_on_data, .done = peer_on_done,
        .arg = peer});
    buf_free(&url);
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
        if (p->peers[i].call)
            return true;
    return false;
}
