// SPDX-License-Identifier: Apache-2.0
#include "gateway/cluster/handovers.h"

#include "base/hash.h"
#include "base/telemetry/log.h"
#include "gateway/cluster/member_query.h"

#include <stdlib.h>

enum {
    BEGIN_MS = 200,             /* after T: a scrape takes some time, and so does the next note of what is complete */
    POLL_MS = 250, QUERY_MS = 2000, PAGES_MS = 10000, PAGES_FAILURES = 3, HANDOVERS_INFLIGHT = 16,
    PAGES_MAX = 256 << 20,      /* uncompressed; the other member ends a response at a sixteenth of it, with a whole page */
};

struct handover {
    struct handovers *owner;
    struct list node;
    struct handover_source source;
    char *id, *address;
    uint64_t *ids; size_t n, cap; /* of targets; sorted once pages are requested */
    bool *answered; size_t n_answered;
    struct loop_timer due;
    struct member_query query;
    struct client_call *pages;
    struct buf request, body;
    unsigned failures;
};
struct handovers {
    struct handovers_conf conf;
    struct client *client;
    struct list all;
};

struct stats_group handover_stats = STATS_GROUP(HANDOVER_STATS);
static const double handover_seconds[] = {0.5, 1, 2, 5, 10, 20, 30};
struct stats_histogram handover_durations = {
    "sluice_cluster_handover_duration_seconds",
    "Time from a planned change until this member sends the samples of targets that another one has handed over",
    handover_seconds, LEN(handover_seconds), 0, NULL};

/* ---- life ---- */

static void handover_free(struct handover *h)
{
    list_remove(&h->node);
    loop_timer_stop(h->owner->conf.loop, &h->due);
    member_query_cancel(&h->query);
    if (h->pages)
        client_cancel(h->pages);
    buf_free(&h->request);
    buf_free(&h->body);
    mem_free(h->id);
    mem_free(h->address);
    mem_free(h->ids);
    mem_free(h->answered);
    mem_free(h);
}

static void handover_end(struct handover *h)
{
    struct handovers *owner = h->owner;
    int64_t took = loop_now(owner->conf.loop) - h->source.from;
    stats_observe(&handover_durations, took > 0 ? (double)took / 1e3 : 0);
    if (h->n_answered < h->n) {
        stats_add(&handover_stats, HANDOVERS_FAILED, 1);
        log_warn("cluster", "the last scrapes of targets by their former owner are not known: series that ended at the "
                 "hand-over end by the lookback of queries", "member", h->id, LOG_U64("targets", h->n - h->n_answered));
    }
    owner->conf.release(owner->conf.arg, &h->source);
    handover_free(h);
}

/* True: it has ended, and is freed. */
static bool handover_end_late(struct handover *h)
{
    if (loop_now(h->owner->conf.loop) < h->source.from + HANDOVER_LIMIT_MS)
        return false;
    stats_add(&handover_stats, HANDOVERS_LATE, 1);
    log_warn("cluster", "samples of the former owner of targets are not acknowledged after 30 s: those of this member may "
             "arrive before them", "member", h->id, LOG_U64("targets", h->n));
    handover_end(h);
    return true;
}

/* ---- pages ---- */

static int compare_target_ids(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void handover_answered(void *arg, uint64_t id)
{
    struct handover *h = arg;
    const uint64_t *at = bsearch(&id, h->ids, h->n, sizeof *h->ids, compare_target_ids);
    if (at == NULL || h->answered[at - h->ids])
        return;
    h->answered[at - h->ids] = true;
    h->n_answered++;
}

static bool handover_pages_data(void *arg, const struct client_reply *reply UNUSED, struct str piece,
                                struct err *err UNUSED)
{
    buf_add_str(&((struct handover *)arg)->body, piece);
    return true;
}

static void handover_pages_done(void *arg, const struct client_reply *reply)
{
    struct handover *h = arg;
    const struct handovers_conf *conf = &h->owner->conf;
    size_t before = h->n_answered;
    struct err err = reply->err;
    h->pages = NULL;
    if (reply->status == 200)
        (void)!conf->take(conf->arg, &h->source, &h->body, handover_answered, h, &err);
    buf_free(&h->request);
    buf_free(&h->body);
    bool news = h->n_answered > before;
    h->failures = news ? 0 : h->failures + 1;
    loop_timer_in(conf->loop, &h->due, news && h->n_answered < h->n ? 0 : POLL_MS);
}

static void handover_request_pages(struct handover *h)
{
    struct buf url = {0};
    size_t n = 0;
    if (h->answered == NULL) {
        qsort(h->ids, h->n, sizeof *h->ids, compare_target_ids);
        h->answered = mem_zalloc(h->n * sizeof *h->answered);
    }
    for (size_t i = 0; i < h->n && n < HANDOVER_IDS; i++)
        if (!h->answered[i]) {
            buf_printf(&h->request, "%llu\n", (unsigned long long)h->ids[i]);
            n++;
        }
    buf_printf(&url, "%s/api/v1/cluster/handover", h->address);
    const char *headers[] = {"Content-Type: text/plain"};
    h->pages = client_send(h->owner->client, &(struct client_request){
        .method = "POST", .url = buf_z(&url), .body = buf_str(&h->request), .headers = headers, .n_headers = LEN(headers),
        .profile = h->owner->conf.profile, .timeout_ms = PAGES_MS, .connect_timeout_ms = QUERY_MS, .max_body = PAGES_MAX,
        .accept_gzip = true, .data = handover_pages_data, .done = handover_pages_done, .arg = h});
    buf_free(&url);
}

/* ---- polls ---- */

static void handover_on_report(struct member_query *q, const struct member_report *r)
{
    struct handover *h = CONTAINER(q, struct handover, query);
    bool wants_pages = h->n_answered < h->n && h->failures < PAGES_FAILURES;
    if (wants_pages && r->complete >= h->source.from)
        handover_request_pages(h);
    else if (!wants_pages && r->sent_until >= h->source.from)
        handover_end(h);
    else
        loop_timer_in(h->owner->conf.loop, &h->due, POLL_MS);
}

static void handover_on_due(struct loop_timer *t)
{
    struct handover *h = CONTAINER(t, struct handover, due);
    if (!handover_end_late(h))
        member_query_send(&h->query, h->owner->client, h->owner->conf.profile, str_of(h->address), QUERY_MS);
}

/* ---- public ---- */

static struct handover *handovers_find(const struct handovers *h, const struct handover_source *source)
{
    for (struct list *n = h->all.prev; n != &h->all; n = n->prev) {
        struct handover *e = CONTAINER(n, struct handover, node);
        if (e->source.from == source->from && e->source.by == source->by)
            return e;
    }
    return NULL;
}

void handovers_expect(struct handovers *h, const struct cluster_member *from, int64_t time, uint64_t id)
{
    struct handover_source source = {time, hash_bytes(from->id.p, from->id.n)};
    struct handover *e = handovers_find(h, &source);
    int64_t begin = time + BEGIN_MS - loop_now(h->conf.loop);
    if (e && e->answered) /* a target that was found late */
        return;
    if (e == NULL) {
        e = mem_zalloc(sizeof *e);
        *e = (struct handover){.owner = h, .source = source, .id = str_dup(from->id), .address = str_dup(from->address),
                               .due.run = handover_on_due, .query.done = handover_on_report};
        list_push_back(&h->all, &e->node);
        loop_timer_in(h->conf.loop, &e->due, begin > 0 ? begin : 0);
    }
    if (e->n == e->cap)
        mem_grow(&e->ids, &e->cap, e->n + 1, sizeof *e->ids);
    e->ids[e->n++] = id;
}

void handovers_member_left(struct handovers *h, struct str id)
{
    for (struct list *n = h->all.next, *next; n != &h->all; n = next) {
        struct handover *e = CONTAINER(n, struct handover, node);
        next = n->next;
        if (str_is(id, e->id) && loop_now(h->conf.loop) >= e->source.from)
            handover_end(e);
    }
}

void handovers_release_all(struct handovers *h)
{
    while (!list_empty(&h->all))
        handover_end(CONTAINER(h->all.next, struct handover, node));
}

struct handovers *handovers_new(const struct handovers_conf *conf)
{
    struct handovers *h = mem_zalloc(sizeof *h);
    h->conf = *conf;
    h->conf.profile = client_profile_ref(conf->profile);
    h->client = client_new(conf->loop, &(struct client_settings){.max_inflight = HANDOVERS_INFLIGHT});
    list_init(&h->all);
    return h;
}

void handovers_free(struct handovers *h)
{
    while (!list_empty(&h->all))
        handover_free(CONTAINER(h->all.next, struct handover, node));
    client_free(h->client);
    client_profile_unref(h->conf.profile);
    mem_free(h);
}
