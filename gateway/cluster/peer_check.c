// SPDX-License-Identifier: Apache-2.0
#include "gateway/cluster/peer_check.h"

#include "base/json/json_value.h"

enum { PEERS_MOST = 64, PEER_BODY_MAX = 1 << 20 };

struct peer {
    struct peer_check *owner;
    struct client_call *call;      /* NULL: it has ended */
    struct buf body;
    int64_t renewed_ago;           /* ms; -1: no response, or no lease */
};
struct peer_check {
    struct loop *loop;
    struct client *client;
    struct client_profile *profile;
    struct peer peers[PEERS_MOST]; size_t n;
};

struct peer_check *peer_check_new(struct loop *loop, struct client_profile *profile)
{
    struct peer_check *p = mem_zalloc(sizeof *p);
    p->loop = loop;
    p->client = client_new(loop, &(struct client_settings){.max_inflight = PEERS_MOST});
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
    int64_t ms = ago && ago->kind == JSON_NUMBER && ago->number < 0x1p53 ? (int64_t)ago->number : -1;
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
    if (reply->status == 200)
        peer->renewed_ago = peer_read(buf_str(&peer->body));
    buf_free(&peer->body);
}

void peer_check_start(struct peer_check *p, const struct cluster_view *view, int64_t timeout_ms)
{
    struct buf url = {0};
    peer_check_end(p);
    for (size_t i = 0; i < view->n && p->n < PEERS_MOST; i++) {
        if (i == view->self)
            continue;
        struct peer *peer = &p->peers[p->n++];
        *peer = (struct peer){.owner = p, .renewed_ago = -1};
        buf_clear(&url);
        buf_printf(&url, "%.*s/api/v1/cluster/member", STR_ARG(view->members[i].address));
        peer->call = client_send(p->client, &(struct client_request){
            .method = "GET", .url = buf_z(&url), .profile = p->profile, .timeout_ms = timeout_ms,
            .connect_timeout_ms = timeout_ms, .max_body = PEER_BODY_MAX, .data = peer_on_data, .done = peer_on_done,
            .arg = peer});
    }
    buf_free(&url);
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
