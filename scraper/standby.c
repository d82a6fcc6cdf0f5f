// SPDX-License-Identifier: Apache-2.0
/* Scrapes kept for other members: keeping, replaying, and what is complete (standby.h). */
#include "scraper/standby.h"

#include "base/compress.h"
#include "base/text/duration.h"
#include "scraper/handover.h"
#include "scraper/scrape_internal.h"
#include "scraper/scrape_stats.h"

enum {
    FRAME = 64 << 10,
    KEEP_LEVEL = 1,
    CLEARED_LINES = 256,
    CLOCKS_MS = 2, /* maximum change of the difference of the two clocks, in whole ms, after a timer was armed */
};

struct kept_scrape {
    struct list node, lane_node; /* target.kept, standby.kept */
    struct target *target;
    int64_t tick, t, duration_ns;
    enum scrape_format format;
    char *failure;               /* NULL: it succeeded */
    enum err_kind failure_kind;
    struct buf frames;           /* of the response: 4 bytes of length and zstd each */
    size_t n;                    /* uncompressed */
    struct handed_pages *pages; struct str text; /* instead of both: of the former owner; a reference */
    bool owed;                   /* this member led when it began: sent after the hold, whoever leads then */
};

/* ---- complete ---- */

static struct scrape_lane *lane_of_standby(struct standby *s) { return CONTAINER(s, struct scrape_lane, standby); }

/* Timers run in the order of their times: all scrapes that were due before this one have begun. */
static void standby_publish_complete(struct loop_timer *timer)
{
    struct standby *s = CONTAINER(timer, struct standby, timer);
    struct loop *loop = lane_of_standby(s)->loop;
    int64_t complete = loop_now(loop) - (loop_mono(loop) - timer->due) - CLOCKS_MS;
    if (!list_empty(&s->leading)) {
        int64_t tick = CONTAINER(s->leading.next, struct scrape, leading)->tick;
        complete = tick < complete ? tick : complete;
    }
    if (s->missed > 0 && s->missed < complete)
        complete = s->missed;
    int64_t held = holds_earliest(lane_of_standby(s));
    complete = held < complete ? held : complete;
    if (list_empty(&s->replays) && s->replaying == NULL)
        atomic_store_explicit(&s->complete, complete, memory_order_release);
    holds_expire(lane_of_standby(s));
    loop_timer_in(loop, timer, STANDBY_TIMER_MS);
}

void standby_init(struct standby *s, unsigned n_lanes)
{
    *s = (struct standby){.n_lanes = n_lanes, .timer.run = standby_publish_complete};
    list_init(&s->kept);
    list_init(&s->replays);
    list_init(&s->leading);
    atomic_init(&s->complete, INT64_MAX);
}

int64_t standby_complete(const struct standby *s) { return atomic_load_explicit(&s->complete, memory_order_acquire); }

bool standby_leads(const struct target *t, int64_t tick) { return tick >= t->lead.from && tick < t->lead.until; }

void standby_begun(struct scrape *s)
{
    struct standby *y = &s->target->lane->standby;
    s->tick = s->target->tick;
    if (!s->target->job->conf->cluster.by_view || !standby_leads(s->target, s->tick))
        return;
    y->missed = 0;
    list_push_back(&y->leading, &s->leading);
}

void standby_missed(struct target *t, int64_t tick)
{
    struct standby *y = &t->lane->standby;
    if (!standby_leads(t, tick) || tick < t->span.from || tick >= t->span.until)
        return;
    stats_add(&scrape_stats, CLUSTER_FENCED, 1);
    if (y->missed == 0)
        y->missed = tick;
}

void standby_ended(struct scrape *s)
{
    if (list_linked(&s->leading))
        list_remove(&s->leading);
    mem_free(s->failure);
    s->failure = NULL;
}

/* ---- keeping ---- */

static void standby_add_bytes(struct standby *y, int64_t n)
{
    y->bytes += (uint64_t)n;
    stats_add(&scrape_stats, STANDBY_BYTES, (double)n);
}

static int64_t kept_bytes(const struct kept_scrape *k) { return (int64_t)(k->frames.cap + k->text.n + sizeof *k); }

static void kept_free(struct standby *y, struct kept_scrape *k)
{
    list_remove(&k->node);
    list_remove(&k->lane_node);
    standby_add_bytes(y, -kept_bytes(k));
    stats_add(&scrape_stats, STANDBY_KEPT, -1);
    mem_release_buf(&lane_of_standby(y)->interner.release, &k->frames);
    handed_pages_unref(k->pages);
    mem_free(k->failure);
    mem_free(k);
}

static struct kept_scrape *kept_first(const struct target *t)
{
    return list_empty(&t->kept) ? NULL : CONTAINER(t->kept.next, struct kept_scrape, node);
}

static struct kept_scrape *kept_second(const struct target *t)
{
    const struct list *second = t->kept.next->next;
    return second == &t->kept ? NULL : CONTAINER(second, struct kept_scrape, node);
}

/* While the lane is fenced, another member may scrape its targets. */
static bool lane_is_fenced(const struct scrape_lane *l)
{
    return loop_mono(l->loop) >= atomic_load_explicit(l->fence, memory_order_relaxed);
}

/* One that has begun as the first owner's remains that: no other member sends it. */
static bool scrape_is_led(const struct scrape *s)
{
    return list_linked(&s->leading) || standby_leads(s->target, s->tick);
}

bool standby_keeps(const struct scrape *s)
{
    const struct target *t = s->target;
    if (s->replay)
        return false;
    return hold_covers(t, s->tick) ||
           (t->job->conf->cluster.standby && (!scrape_is_led(s) || lane_is_fenced(t->lane)));
}

static void standby_queue_replay(struct target *t)
{
    if (!list_linked(&t->replay))
        list_push_back(&t->lane->standby.replays, &t->replay);
    loop_post(t->lane->loop, &t->lane->work);
}

static void standby_limit(struct target *t, int64_t now)
{
    struct standby *y = &t->lane->standby;
    const struct scrape_cluster *c = &t->job->conf->cluster;
    for (struct kept_scrape *k = kept_first(t); k && t->hold == NULL && k->tick < now - c->keep_ms; k = kept_first(t))
        kept_free(y, k);
    if (y->bytes > c->keep_bytes / y->n_lanes && !list_empty(&t->lane->holds)) {
        holds_release_all(t->lane); /* these would be lost: rather they are sent out of order */
        return;
    }
    while (y->bytes > c->keep_bytes / y->n_lanes && !list_empty(&y->kept)) {
        kept_free(y, CONTAINER(y->kept.next, struct kept_scrape, lane_node));
        stats_add(&scrape_stats, STANDBY_DROPPED, 1);
    }
}

static void keep_done(struct scrape *s)
{
    struct target *t = s->target;
    struct standby *y = &t->lane->standby;
    struct kept_scrape *k = mem_zalloc(sizeof *k);
    *k = (struct kept_scrape){.target = t, .tick = s->tick, .t = s->t, .duration_ns = clock_mono_ns() - s->start_ns,
                              .format = s->format, .failure = s->failure ? mem_strdup(s->failure) : NULL,
                              .failure_kind = s->failure_kind, .n = s->body.n,
                              .owed = hold_covers(t, s->tick) && scrape_is_led(s)};
    buf_reserve(&k->frames, y->frames.n); /* without the spare capacity of one that has grown */
    buf_add_str(&k->frames, buf_str(&y->frames));
    buf_clear(&y->frames);
    list_push_back(&t->kept, &k->node);
    list_push_back(&y->kept, &k->lane_node);
    standby_add_bytes(y, kept_bytes(k));
    stats_add(&scrape_stats, STANDBY_KEPT, 1);
    if (standby_leads(t, s->tick) && !hold_covers(t, s->tick)) /* it came after the fence: incomplete until sent */
        standby_queue_replay(t);
    standby_limit(t, s->tick);
}

bool standby_cache_is_sent(const struct target *t)
{
    return t->sent_tick > 0 && t->sent_tick >= loop_now(t->lane->loop) - 2 * t->settings.interval - HANDED_MS;
}

/* First frees the scrape cache of the time when this member was the first owner: that of the current one is newer. */
bool standby_keep_some(struct scrape *s)
{
    struct interner *in = &s->target->lane->interner;
    struct buf *frames = &s->target->lane->standby.frames;
    if (s->target->last.n > 0 && !hold_covers(s->target, s->tick) && !standby_cache_is_sent(s->target) &&
        scrape_cache_clear_some(&s->target->last, in, CLEARED_LINES))
        return true;
    if (s->failure == NULL && s->unpacked < s->body.n) {
        size_t n = s->body.n - s->unpacked < FRAME ? s->body.n - s->unpacked : FRAME, at = frames->n;
        uint32_t length = 0;
        buf_add(frames, &length, sizeof length);
        compress_zstd(interner_zstd(in), frames, str_n(s->body.p + s->unpacked, n), KEEP_LEVEL);
        length = (uint32_t)(frames->n - at - sizeof length);
        memcpy(frames->p + at, &length, sizeof length);
        s->unpacked += n;
        return true;
    }
    keep_done(s);
    return false;
}

/* ---- replaying ---- */

static bool has_owed_scrapes(const struct target *t)
{
    for (const struct list *n = t->kept.next; n != &t->kept; n = n->next)
        if (CONTAINER(n, struct kept_scrape, node)->owed)
            return true;
    return false;
}

bool standby_owes(const struct target *t)
{
    const struct scrape *s = t->lane->standby.replaying;
    return (s && s->target == t) || has_owed_scrapes(t);
}

void standby_forget(struct target *t)
{
    struct standby *y = &t->lane->standby;
    for (struct kept_scrape *k = kept_first(t); k; k = kept_first(t))
        kept_free(y, k);
    if (list_linked(&t->replay))
        list_remove(&t->replay);
}

void standby_update(struct target *t)
{
    struct loop *loop = t->lane->loop;
    struct loop_timer *timer = &t->lane->standby.timer;
    if (t->job->conf->cluster.by_view && !loop_timer_armed(timer))
        loop_timer_in(loop, timer, 1);
    if (!t->job->conf->cluster.by_view) {
        standby_forget(t);
        return;
    }
    if (!list_empty(&t->kept) && (t->lead.from <= loop_now(loop) || has_owed_scrapes(t)))
        standby_queue_replay(t);
}

void standby_replay_before(const struct scrape *s)
{
    struct target *t = s->target;
    if (!list_empty(&t->kept) && !standby_keeps(s) && !list_linked(&t->replay))
        list_push_front(&t->lane->standby.replays, &t->replay);
}

/* Earlier scrapes are another member's: lead.from may be that of a span that began long ago. */
static int64_t replay_from(const struct target *t) { return t->lead.from > t->held_from ? t->lead.from : t->held_from; }

/* The target's next scrape to replay; drops those that are not needed. mute: it only fills the cache. NULL: none. */
static struct kept_scrape *replay_pick(struct target *t, bool *mute)
{
    for (struct kept_scrape *k; (k = kept_first(t)) != NULL; kept_free(&t->lane->standby, k)) {
        const struct kept_scrape *next = kept_second(t);
        bool later = !k->owed && k->tick >= t->lead.until;
        if (hold_covers(t, k->tick) || (later && !has_owed_scrapes(t)))
            return NULL;
        *mute = !k->owed && (later || k->pages || k->tick < replay_from(t));
        bool last = next == NULL || next->owed || next->tick >= replay_from(t);
        if (!*mute || (k->failure == NULL && t->last.n == 0 && last))
            return k;
    }
    return NULL;
}

void standby_add_page(struct target *t, struct handed_pages *pages, const struct handed_page *page, int64_t tick)
{
    struct standby *y = &t->lane->standby;
    struct kept_scrape *k = mem_zalloc(sizeof *k);
    refs_take(&pages->refs);
    *k = (struct kept_scrape){.target = t, .tick = tick, .t = tick, .n = page->text.n, .pages = pages,
                              .text = page->text};
    list_push_front(&t->kept, &k->node);
    list_push_front(&y->kept, &k->lane_node);
    standby_add_bytes(y, kept_bytes(k));
    stats_add(&scrape_stats, STANDBY_KEPT, 1);
    standby_queue_replay(t);
}

struct scrape *standby_next_replay(struct scrape_lane *l)
{
    struct standby *y = &l->standby;
    while (!list_empty(&y->replays) && !lane_is_fenced(l)) {
        struct target *t = CONTAINER(y->replays.next, struct target, replay);
        bool mute = false;
        bool busy = t->scrape && t->scrape->stream; /* it reads the cache; the next scrape replays before */
        struct kept_scrape *k = busy || (t->leaving && !t->moved) ? NULL : replay_pick(t, &mute);
        if (k == NULL) {
            list_remove(&t->replay);
            continue;
        }
        struct scrape *s = mem_zalloc(sizeof *s);
        *s = (struct scrape){.target = t, .replay = true, .mute = mute, .tick = k->tick, .t = k->t, .format = k->format,
                             .start_ns = clock_mono_ns() - k->duration_ns, .packed = k->frames, .failure = k->failure,
                             .failure_kind = k->failure_kind, .step = STEP_UNPACK, .duration_ns = k->duration_ns,
                             .handed = k->pages != NULL};
        buf_reserve(&s->body, k->n);
        buf_add_str(&s->body, k->text);
        standby_add_bytes(y, -(int64_t)k->frames.cap);
        k->frames = (struct buf){0};
        k->failure = NULL;
        kept_free(y, k);
        if (!mute)
            stats_add(&scrape_stats, STANDBY_REPLAYED, 1);
        return y->replaying = s;
    }
    return NULL;
}

bool standby_unpack_some(struct scrape *s, bool *ok)
{
    struct interner *in = &s->target->lane->interner;
    uint32_t length;
    struct err err;
    *ok = true;
    if (s->unpacked + sizeof length > s->packed.n)
        return false;
    memcpy(&length, s->packed.p + s->unpacked, sizeof length);
    struct str frame = str_n(s->packed.p + s->unpacked + sizeof length, length);
    *ok = decompress(CODEC_ZSTD, interner_zstd(in), frame, FRAME, &s->body, &err);
    s->unpacked += sizeof length + length;
    return *ok;
}

void standby_replayed(struct scrape *s) { s->target->lane->standby.replaying = NULL; }

void standby_stop(struct scrape_lane *l)
{
    struct standby *y = &l->standby;
    loop_timer_stop(l->loop, &y->timer);
    buf_free(&y->frames);
    if (y->replaying == NULL)
        return;
    buf_free(&y->replaying->body);
    buf_free(&y->replaying->packed);
    mem_free(y->replaying->failure);
    mem_free(y->replaying);
    y->replaying = NULL;
}
