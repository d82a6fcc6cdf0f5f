// SPDX-License-Identifier: Apache-2.0
#include "gateway/cluster/cluster_internal.h"

#include "base/telemetry/log.h"
#include "base/text/duration.h"
#include "gateway/cluster/etcd_access.h"
#include "gateway/cluster/member_record.h"

#include <stdio.h>

enum {
    CLUSTER_TICK_MS = 200,
    END_MS = 1000,             /* for etcd to remove the key at a stop */
    LAST_SCRAPES_MS = 5000,    /* to end, of those that are in progress when others begin to scrape */
    LEAVE_CHECK_MS = 50,
    MEMBERS_BYTES_MAX = 64 << 20,
    SKEW_MS = 1000,
    QUIET_MS = 3000,           /* after an outage of etcd, until all members follow it again */
};

/* ---- the view ---- */

static struct str member_id(const struct cluster *c, const struct etcd_key *k) { return str_skip(k->key, c->prefix.n); }

static bool cluster_read_member(struct cluster *c, struct arena *a, const struct etcd_key *k, struct member_record *record)
{
    struct err err;
    if (member_record_read(a, k->value, record, &err)) {
        record->member.id = member_id(c, k);
        return true;
    }
    log_warn("cluster", "a member's key in etcd cannot be read; it takes no part", LOG_STR("key", k->key), "err", err.text);
    return false;
}

static bool same_member(const struct cluster_member *a, const struct cluster_member *b)
{
    return str_eq(a->id, b->id) && str_eq(a->address, b->address) && str_eq(a->zone, b->zone) && a->weight == b->weight &&
           a->from == b->from && a->until == b->until && a->gone == b->gone;
}

static bool same_members(const struct cluster_view *a, const struct cluster_view *b)
{
    if (a == NULL || a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (a->self != b->self || !same_member(&a->members[i], &b->members[i]))
            return false;
    return true;
}

/* A process whose lease ended while etcd was away, and that went on: nobody has taken its place. */
static bool cluster_is_back(void *arg, const struct cluster_member *gone, struct str boot)
{
    struct cluster *c = arg;
    struct arena a;
    struct member_record r;
    struct buf key = {0};
    buf_printf(&key, "%.*s%.*s", STR_ARG(c->prefix), STR_ARG(gone->id));
    const struct etcd_key *k = etcd_mirror_get(c->mirror, buf_str(&key));
    arena_init(&a, 0);
    bool back = k && cluster_read_member(c, &a, k, &r) && str_eq(r.boot, boot) && r.member.from <= gone->until;
    arena_free(&a);
    buf_free(&key);
    return back;
}

static struct cluster_view *cluster_make_view(struct cluster *c)
{
    struct arena a;
    size_t n = 0;
    struct str self = STR_NONE;
    arena_init(&a, 0);
    struct cluster_member *members = ARENA_ARRAY(&a, struct cluster_member, etcd_mirror_count(c->mirror) + GONE_MOST);
    for (const struct etcd_key *k = etcd_mirror_next(c->mirror, NULL); k && n < CLUSTER_MEMBERS_MAX;
         k = etcd_mirror_next(c->mirror, k)) {
        struct member_record record;
        if (!cluster_read_member(c, &a, k, &record))
            continue;
        if (str_eq(record.boot, c->env.boot)) /* another process may have this member's id */
            self = record.member.id;
        members[n++] = record.member;
    }
    if (c->gone)
        n += gone_list(c->gone, cluster_is_back, c, members + n, GONE_MOST);
    struct cluster_view *v = cluster_view_new(members, n, self, etcd_mirror_revision(c->mirror));
    arena_free(&a);
    return v;
}

/* Until etcd has been followed without a break for long enough; 0: it has. */
static int64_t cluster_quiet_in(const struct cluster *c)
{
    int64_t since = c->disturbed + QUIET_MS - loop_mono(c->env.main);
    return c->disturbed == 0 || since < 0 ? 0 : since;
}
static bool cluster_is_quiet(const struct cluster *c) { return cluster_quiet_in(c) == 0; }

/* Whether a member that takes part is missing now. Leases that ended while etcd was away are no crashes: their members come
 * back as soon as they can. */
static bool cluster_lacks_active(const struct cluster_view *before, const struct cluster_view *v, int64_t now)
{
    for (size_t i = 0, k = 0; i < before->n; i++) {
        const struct cluster_member *m = &before->members[i];
        while (k < v->n && (v->members[k].gone || str_cmp(v->members[k].id, m->id) < 0))
            k++;
        bool missing = k == v->n || !str_eq(v->members[k].id, m->id);
        if (missing && m->from <= now && now < m->until)
            return true;
    }
    return false;
}

/* This member's key is missing, but it scrapes until its fence at least: it registers again. */
static bool cluster_lacks_itself(const struct cluster *c, const struct cluster_view *v, int64_t now)
{
    return c->view && c->view->self < c->view->n && v->self == v->n && c->from <= now && cluster_may_scrape(c);
}

/* Others may see the announcement of this member's first scrape later than that: they would go on until then. */
static bool cluster_announced_late(const struct cluster *c, const struct cluster_view *v, int64_t now)
{
    const struct cluster_view *before = c->view;
    bool joined = before && before->self < before->n && before->members[before->self].from <= now;
    return !joined && v->self < v->n && cluster_view_registered(v) > 1 && v->members[v->self].from < INT64_MAX &&
           v->members[v->self].from == c->from && now > c->from - c->conf->handover / 2;
}

static void cluster_update_view(struct cluster *c)
{
    if (c->gone && gone_pending(c->gone)) /* cluster_on_gone calls again */
        return;
    struct cluster_view *v = cluster_make_view(c), *before = c->view;
    int64_t now = loop_now(c->env.main);
    if (!etcd_mirror_complete(c->mirror) || same_members(before, v)) {
        cluster_view_unref(v);
        return;
    }
    if (before && c->from <= now && c->until == INT64_MAX && cluster_active_members(v, now) == 0) {
        log_warn("cluster", "etcd has no active member any more: the members stay as they were, and register again");
        cluster_view_unref(v);
        return;
    }
    if (cluster_lacks_itself(c, v, now) || (before && !cluster_is_quiet(c) && cluster_lacks_active(before, v, now))) {
        c->postponed = true;
        cluster_view_unref(v);
        return;
    }
    if (cluster_announced_late(c, v, now)) {
        log_info("cluster", "this member's announcement reached etcd late; announcing again");
        c->from = INT64_MAX;
        c->disturbed = loop_mono(c->env.main);
        membership_update(c->membership);
        cluster_view_unref(v);
        return;
    }
    log_info("cluster", "the members of the cluster have changed", LOG_U64("members", cluster_view_registered(v)),
             LOG_U64("active", cluster_active_members(v, now)), LOG_U64("revision", v->revision));
    mutex_lock(&c->mutex);
    c->view = v;
    c->status.view_at = now;
    c->changes++;
    mutex_unlock(&c->mutex);
    c->env.view(c->env.arg, v);
    cluster_view_unref(before);
}

/* The times that members announce are compared with this one's clock. */
static void cluster_check_clock(const struct cluster *c, const struct etcd_key *k)
{
    struct arena a;
    struct member_record r;
    struct err err;
    arena_init(&a, 0);
    if (etcd_mirror_complete(c->mirror) && member_record_read(&a, k->value, &r, &err) && r.time < INT64_MAX) {
        int64_t skew = loop_now(c->env.main) - r.time;
        if (skew > SKEW_MS || skew < -SKEW_MS)
            log_warn("cluster", "a member's clock differs from this one's, or etcd is slow: targets that move may be "
                     "scraped twice or not at all for as long", LOG_STR("member", member_id(c, k)), LOG_I64("ms", skew));
    }
    arena_free(&a);
}

static void cluster_note_returned(struct cluster *c, const struct etcd_key *k)
{
    struct arena a;
    struct member_record r;
    arena_init(&a, 0);
    if (cluster_read_member(c, &a, k, &r))
        gone_returned(c->gone, &r.member, r.boot);
    arena_free(&a);
}

static void cluster_on_put(void *arg, const struct etcd_key *k)
{
    struct cluster *c = arg;
    if (c->mirror == NULL) /* it is being created */
        return;
    cluster_check_clock(c, k);
    if (c->gone && gone_pending(c->gone))
        cluster_note_returned(c, k);
}

/* A member that had not planned to leave. */
static void cluster_note_gone(struct cluster *c, const struct etcd_key *k)
{
    struct arena a;
    struct member_record r;
    int64_t now = loop_now(c->env.main);
    arena_init(&a, 0);
    if (cluster_read_member(c, &a, k, &r) && r.member.from <= now && now < r.member.until)
        gone_add(c->gone, &r.member, r.boot, cluster_quiet_in(c));
    arena_free(&a);
}

static void cluster_on_removed(void *arg, const struct etcd_key *k)
{
    struct cluster *c = arg;
    if (str_eq(k->key, c->key)) {
        if (c->membership) /* at once, not only when the lease is due */
            membership_update(c->membership);
        return;
    }
    log_info("cluster", "a member has left the cluster", LOG_STR("member", member_id(c, k)));
    if (c->handovers)
        handovers_member_left(c->handovers, member_id(c, k));
    if (c->gone)
        cluster_note_gone(c, k);
}

static void cluster_on_gone(void *arg) { cluster_update_view(arg); }

static void cluster_note_state(struct cluster *c);

static void cluster_on_settled(void *arg)
{
    cluster_update_view(arg);
    cluster_note_state(arg);
}

static void cluster_on_state(void *arg) { cluster_note_state(arg); }

/* ---- this member ---- */

/* A member that may have been replaced joins again. */
static void cluster_write_record(void *arg, struct buf *out)
{
    struct cluster *c = arg;
    if (!membership_registered(c->membership) && c->until == INT64_MAX && !cluster_may_scrape(c)) {
        c->from = INT64_MAX;
        cluster_set_fence(c);
    }
    struct member_record r = {
        .member = {.address = c->address, .zone = c->conf->zone, .weight = c->conf->weight, .from = c->from,
                   .until = c->until},
        .boot = c->env.boot, .version = STR(VERSION), .time = loop_now(c->env.main)};
    member_record_write(&r, out);
}

static bool cluster_owns_record(void *arg, struct str value)
{
    struct cluster *c = arg;
    struct arena a;
    struct member_record r;
    struct err err;
    arena_init(&a, 0);
    bool own = member_record_read(&a, value, &r, &err) && str_eq(r.boot, c->env.boot);
    arena_free(&a);
    return own;
}

/* With others that have registered, active or not: two that begin at once must not both be the first. */
static int64_t cluster_switch_time(const struct cluster *c)
{
    int64_t now = loop_now(c->env.main);
    return cluster_view_registered(c->view) > 1 ? now + c->conf->handover : now;
}

static bool cluster_is_complete(const struct cluster *c)
{
    int64_t waited = loop_mono(c->env.main) - c->started;
    return cluster_view_registered(c->view) >= (size_t)c->conf->wait_for_size || waited >= c->conf->wait_timeout;
}

static void cluster_join_if_ready(struct cluster *c)
{
    if (c->from != INT64_MAX || c->until != INT64_MAX || c->view == NULL || c->view->self == c->view->n ||
        c->view->members[c->view->self].from != INT64_MAX || /* an older record of this member */
        !membership_written(c->membership) || !cluster_is_complete(c) || !cluster_is_quiet(c) || !c->env.ready(c->env.arg))
        return;
    c->from = cluster_switch_time(c);
    cluster_set_fence(c);
    membership_update(c->membership);
    log_info("cluster", "this member takes its share of the targets", LOG_TIME("from", c->from),
             LOG_U64("members", cluster_view_registered(c->view)));
}

/* ---- state ---- */

static enum cluster_role cluster_find_role(const struct cluster *c)
{
    int64_t now = loop_now(c->env.main);
    if (c->view == NULL)
        return CLUSTER_CONNECTING;
    if (c->from != INT64_MAX && !cluster_may_scrape(c))
        return CLUSTER_FENCED;
    return c->until != INT64_MAX ? CLUSTER_LEAVING : c->from <= now ? CLUSTER_ACTIVE : CLUSTER_JOINING;
}

static void cluster_note_state(struct cluster *c)
{
    if (c->mirror == NULL || c->membership == NULL)
        return;
    const char *error = etcd_mirror_error(c->mirror);
    if (error == NULL)
        error = membership_error(c->membership);
    if (error)
        c->disturbed = loop_mono(c->env.main);
    mutex_lock(&c->mutex);
    c->status.role = cluster_find_role(c);
    c->renewed = membership_renewed(c->membership);
    c->current = etcd_mirror_current_at(c->mirror);
    c->status.complete = c->env.complete(c->env.arg);
    c->status.sent_until = c->sent ? sent_times_until(c->sent) : 0;
    snprintf(c->status.error, sizeof c->status.error, "%s", error ? error : "");
    mutex_unlock(&c->mutex);
}

/* The fence moves at once: it may be near when etcd is back. */
static void cluster_on_membership(void *arg)
{
    struct cluster *c = arg;
    if (c->membership)
        cluster_watch_lease(c);
    cluster_note_state(c);
}

/* One of the members cleans up for all. */
static bool cluster_is_first(const struct cluster *c)
{
    for (size_t i = 0; c->view && i < c->view->n; i++)
        if (!c->view->members[i].gone)
            return i == c->view->self;
    return false;
}

static void cluster_on_tick(struct loop_timer *t)
{
    struct cluster *c = CONTAINER(t, struct cluster, tick);
    cluster_watch_lease(c);
    if (c->sent)
        sent_times_tick(c->sent, c->env.has_standbys(c->env.arg) ? membership_lease(c->membership) : 0);
    if (c->gone)
        gone_tick(c->gone, cluster_is_first(c));
    if (c->postponed && cluster_is_quiet(c)) {
        c->postponed = false;
        cluster_update_view(c);
    }
    cluster_join_if_ready(c);
    cluster_note_state(c);
    loop_timer_in(c->env.main, t, CLUSTER_TICK_MS);
}

/* ---- leaving ---- */

/* Scrapes of times before `until` are this member's to the end, and their pages are there for the next owners. */
static void cluster_end_leave(struct loop_timer *t)
{
    struct cluster *c = CONTAINER(t, struct cluster, leave_due);
    void (*left)(void *arg) = c->left;
    bool planned = c->until < INT64_MAX;
    bool works = c->env.complete(c->env.arg) < c->until || (c->handovers && c->env.not_handed(c->env.arg) > 0);
    if (planned && works && loop_now(c->env.main) < c->until + LAST_SCRAPES_MS) {
        loop_timer_in(c->env.main, t, LEAVE_CHECK_MS);
        return;
    }
    c->left = NULL;
    left(c->left_arg);
}

void cluster_leave(struct cluster *c, void (*done)(void *arg), void *arg)
{
    int64_t now = loop_now(c->env.main);
    bool others = c->view && cluster_active_members(c->view, now) > 1 && c->from <= now && cluster_may_scrape(c);
    c->left = done;
    c->left_arg = arg;
    if (c->handovers)
        handovers_release_all(c->handovers);
    if (others) {
        c->until = cluster_switch_time(c);
        membership_update(c->membership);
        log_info("cluster", "this member leaves the cluster", LOG_TIME("until", c->until));
    }
    loop_timer_in(c->env.main, &c->leave_due, others ? c->until - now : 0);
}

static void cluster_finish(struct cluster *c)
{
    void (*ended)(void *arg) = c->ended;
    loop_timer_stop(c->env.main, &c->end_due);
    c->ended = NULL;
    if (ended)
        ended(c->ended_arg);
}

static void cluster_on_revoked(void *arg) { cluster_finish(arg); }
static void cluster_end_late(struct loop_timer *t) { cluster_finish(CONTAINER(t, struct cluster, end_due)); }

void cluster_end(struct cluster *c, void (*done)(void *arg), void *arg)
{
    c->ended = done;
    c->ended_arg = arg;
    loop_timer_stop(c->env.main, &c->tick);
    loop_timer_in(c->env.main, &c->end_due, END_MS);
    if (c->sent)
        sent_times_delete(c->sent);
    membership_leave(c->membership, cluster_on_revoked, c);
}

/* ---- life ---- */

/* What is needed for replica_mode `standby`. */
static void cluster_follow_sent(struct cluster *c)
{
    const struct cluster_conf *conf = c->conf;
    struct str sent = arena_printf(&c->arena, "%.*s/%.*s/sent/", STR_ARG(conf->prefix), STR_ARG(conf->name));
    c->sent = sent_times_new(&(struct sent_times_conf){
        .etcd = c->etcd, .key = arena_printf(&c->arena, "%.*s%.*s", STR_ARG(sent), STR_ARG(conf->id)),
        .member_key = c->key,
        .boot = c->env.boot, .complete = c->env.complete, .delivered = c->env.delivered, .arg = c->env.arg});
    c->gone = gone_new(&(struct gone_members_conf){
        .etcd = c->etcd, .profile = c->profile, .members = c->prefix, .sent = sent, .keep_ms = cluster_keep_ms(conf),
        .settled = cluster_on_gone, .arg = c});
    c->handovers = handovers_new(&(struct handovers_conf){
        .loop = c->env.main, .profile = c->profile, .take = c->env.take_pages, .release = c->env.release,
        .arg = c->env.arg});
}

void cluster_expect(struct cluster *c, const struct cluster_member *from, int64_t time, uint64_t target)
{
    if (c->handovers)
        handovers_expect(c->handovers, from, time, target);
}

static bool cluster_connect(struct cluster *c, struct err *err)
{
    c->etcd = etcd_access_new(c->env.main, &c->conf->etcd, c->conf->lease / 3, err);
    if (c->etcd == NULL)
        return false;
    c->profile = http_conf_profile(&c->conf->members.http, err);
    if (c->profile == NULL)
        return false;
    c->peers = peer_check_new(c->env.main, c->profile);
    if (c->conf->replica_mode == REPLICA_STANDBY)
        cluster_follow_sent(c);
    return true;
}

struct cluster *cluster_new(const struct cluster_env *env, const struct cluster_conf *conf, struct err *err)
{
    struct cluster *c = mem_zalloc(sizeof *c);
    c->env = *env;
    c->conf = conf;
    c->from = c->until = INT64_MAX;
    c->started = loop_mono(env->main);
    c->tick.run = cluster_on_tick;
    c->leave_due.run = cluster_end_leave;
    c->end_due.run = cluster_end_late;
    mutex_init(&c->mutex, RANK_LEAF);
    arena_init(&c->arena, 0);
    c->prefix = arena_printf(&c->arena, "%.*s/%.*s/members/", STR_ARG(conf->prefix), STR_ARG(conf->name));
    c->key = arena_printf(&c->arena, "%.*s%.*s", STR_ARG(c->prefix), STR_ARG(conf->id));
    c->address = arena_str(&c->arena, conf->address.n > 0 ? conf->address : env->default_address);
    c->env.boot = arena_str(&c->arena, env->boot);
    if (!cluster_connect(c, err)) {
        cluster_free(c);
        return NULL;
    }
    c->mirror = etcd_mirror_new(c->etcd, &(struct etcd_mirror_conf){
        .prefix = c->prefix, .confirm_ms = 2 * conf->lease, .wiped = ETCD_WIPED_REMOVE, .max_bytes = MEMBERS_BYTES_MAX,
        .put = cluster_on_put, .removed = cluster_on_removed, .settled = cluster_on_settled, .state = cluster_on_state,
        .arg = c});
    c->membership = membership_new(&(struct membership_conf){
        .etcd = c->etcd, .key = c->key, .lease_ms = conf->lease, .write = cluster_write_record,
        .is_own = cluster_owns_record, .changed = cluster_on_membership, .arg = c});
    loop_timer_in(env->main, &c->tick, CLUSTER_TICK_MS);
    return c;
}

void cluster_free(struct cluster *c)
{
    if (c == NULL)
        return;
    struct loop *main = c->env.main;
    loop_timer_stop(main, &c->tick);
    loop_timer_stop(main, &c->leave_due);
    loop_timer_stop(main, &c->end_due);
    if (c->membership)
        membership_free(c->membership);
    if (c->mirror)
        etcd_mirror_free(c->mirror);
    if (c->peers)
        peer_check_free(c->peers);
    if (c->sent)
        sent_times_free(c->sent);
    if (c->gone)
        gone_free(c->gone);
    if (c->handovers)
        handovers_free(c->handovers);
    if (c->etcd)
        etcd_free(c->etcd);
    client_profile_unref(c->profile);
    cluster_view_unref(c->view);
    mutex_free(&c->mutex);
    arena_free(&c->arena);
    mem_free(c);
}
