// SPDX-License-Identifier: Apache-2.0
#include "writer/pipeline/ha.h"

#include "base/hash.h"
#include "base/list.h"
#include "base/map.h"
#include "base/os/thread.h"
#include "base/refs.h"
#include "base/telemetry/log.h"

enum {
    HA_EXPIRY_MS = 30 * 60000, /* Mimir's cleanup of idle clusters */
    HA_SWEEP_MS = 5000, HA_SWEEP_CLUSTERS = 4000, /* checked each time: less than 1 ms under the lock */
};

struct ha_election {
    struct refs refs;                    /* the map's while it is in it, and one of each lane that has it */
    struct list node;                    /* in the list of all; under the lock */
    struct buf cluster;
    struct buf name;                     /* of the elected replica; under the lock */
    atomic_ullong elected;               /* hash of its name; 0: none */
    atomic_llong seen;                   /* Unix ms: a sample of the elected replica, updated at intervals */
    atomic_ullong changes, dropped;
};
struct ha_elections {
    struct refs refs;
    struct mutex lock;                   /* guards the map, the list and the names of elected replicas */
    struct map clusters;                 /* struct ha_election */
    struct list all;                     /* the same; those checked last are at the end */
    atomic_uint expiries;                /* when it changes, lanes look clusters up again */
    bool full;                           /* logged */
};
struct ha_stage { struct stage stage; struct ha_conf conf; struct ha_elections *elections; };
struct ha_lane {
    struct stage_lane lane;
    struct buf cluster, replica;         /* of the series before */
    struct ha_election *election; uint64_t id; /* of these two, a reference; NULL: there are too many clusters */
    bool known; unsigned expiries;       /* when they were looked up */
    struct buf out;
};

/* A replica is known by the hash of its name: names may come and go, as those of pods do, and none is kept but that of the
 * elected one. */
static uint64_t ha_replica_id(struct str name)
{
    uint64_t id = hash_keyed(name.p, name.n);
    return id ? id : 1;
}

static void ha_election_unref(struct ha_election *e)
{
    if (e == NULL || !refs_drop(&e->refs))
        return;
    buf_free(&e->name);
    buf_free(&e->cluster);
    mem_free(e);
}

static struct ha_election *ha_find_election(struct ha_elections *all, struct str cluster, int64_t most, int64_t now)
{
    struct ha_election *e = map_get(&all->clusters, cluster);
    if (e || all->clusters.n >= (size_t)most)
        return e;
    bool added;
    e = mem_zalloc(sizeof *e);
    refs_init(&e->refs);
    atomic_init(&e->seen, now);
    buf_add_str(&e->cluster, cluster);
    list_push_back(&all->all, &e->node);
    map_add(&all->clusters, buf_str(&e->cluster), &added)->value.p = e;
    return e;
}

static void ha_look_up(struct ha_lane *l, const struct ha_stage *s, struct str cluster, struct str replica)
{
    struct ha_elections *all = s->elections;
    ha_election_unref(l->election);
    mutex_lock(&all->lock);
    l->election = ha_find_election(all, cluster, s->conf.max_clusters, loop_now(l->lane.loop));
    if (l->election)
        refs_take(&l->election->refs);
    l->id = ha_replica_id(replica);
    l->expiries = atomic_load(&all->expiries);
    bool log = l->election == NULL && !all->full;
    all->full = all->full || log;
    mutex_unlock(&all->lock);
    if (log)
        log_error("pipeline", "too many clusters of replicas; series of further ones are dropped. Raise "
                  "pipeline.ha_dedup.max_clusters", LOG_STR("cluster", cluster));
    buf_clear(&l->cluster);
    buf_clear(&l->replica);
    buf_add_str(&l->cluster, cluster);
    buf_add_str(&l->replica, replica);
    l->known = true;
}

/* Elects the replica unless another lane has heard of the elected one meanwhile. */
static bool ha_elect(const struct ha_stage *s, const struct ha_lane *l, int64_t now)
{
    struct ha_election *e = l->election;
    mutex_lock(&s->elections->lock);
    uint64_t before = atomic_load(&e->elected);
    bool elect = before == 0 || (before != l->id && now - atomic_load(&e->seen) > s->conf.failover_timeout);
    if (elect) {
        buf_clear(&e->name);
        buf_add_str(&e->name, buf_str(&l->replica));
        atomic_store(&e->seen, now);
        atomic_store(&e->elected, l->id);
        atomic_fetch_add(&e->changes, 1);
    }
    bool is_elected = atomic_load(&e->elected) == l->id;
    mutex_unlock(&s->elections->lock);
    if (elect)
        log_info("pipeline", "replica elected", LOG_STR("cluster", buf_str(&e->cluster)), LOG_STR("replica", buf_str(&l->replica)));
    return is_elected;
}

static bool ha_accepts(const struct ha_stage *s, const struct ha_lane *l, int64_t now)
{
    struct ha_election *e = l->election;
    uint64_t elected = atomic_load_explicit(&e->elected, memory_order_acquire);
    int64_t seen = atomic_load_explicit(&e->seen, memory_order_relaxed);
    if (elected == l->id) {
        if (now - seen >= s->conf.update_timeout)
            atomic_store_explicit(&e->seen, now, memory_order_relaxed);
        return true;
    }
    return (elected == 0 || now - seen > s->conf.failover_timeout) && ha_elect(s, l, now);
}

static enum stage_result ha_apply(struct stage_lane *lane, struct pipeline_series *series)
{
    struct ha_lane *l = (struct ha_lane *)lane;
    const struct ha_stage *s = (const struct ha_stage *)lane->stage;
    struct labels in = series->in.labels;
    struct str cluster = {0}, replica = {0};
    const uint8_t *begin = NULL, *end = NULL;
    struct labels_iter it = labels_iter(in);
    struct label label;
    for (const uint8_t *at = it.p; (cluster.p == NULL || replica.p == NULL) && labels_next(&it, &label); at = it.p) {
        if (str_eq(label.name, s->conf.cluster_label)) {
            cluster = label.value;
        } else if (str_eq(label.name, s->conf.replica_label)) {
            replica = label.value;
            begin = at;
            end = it.p;
        }
    }
    if (cluster.p == NULL || replica.p == NULL)
        return STAGE_PASSED;
    bool again = !l->known || l->expiries != atomic_load_explicit(&s->elections->expiries, memory_order_relaxed);
    if (again || !str_eq(replica, buf_str(&l->replica)) || !str_eq(cluster, buf_str(&l->cluster)))
        ha_look_up(l, s, cluster, replica);
    if (l->election == NULL || !ha_accepts(s, l, loop_now(lane->loop))) {
        if (l->election)
            atomic_fetch_add_explicit(&l->election->dropped, series->in.n_samples + series->in.n_hists, memory_order_relaxed);
        return STAGE_DROPPED;
    }
    buf_clear(&l->out);
    buf_add(&l->out, in.p, (size_t)(begin - in.p));
    buf_add(&l->out, end, (size_t)(in.p + in.n - end));
    series->in.labels = (struct labels){(const uint8_t *)l->out.p, (uint32_t)l->out.n, in.count - 1};
    series->hash = 0;
    return STAGE_PASSED;
}

/* ---- clusters that no longer push ---- */

static void ha_expire(struct ha_elections *all, struct ha_election *e)
{
    list_remove(&e->node);
    map_remove(&all->clusters, buf_str(&e->cluster));
    atomic_fetch_add(&all->expiries, 1);
    all->full = false;
    ha_election_unref(e);
}

/* One of the lanes removes them, some at a time. */
static bool ha_tick(struct stage_lane *lane, int64_t now)
{
    const struct ha_stage *s = (const struct ha_stage *)lane->stage;
    struct ha_elections *all = s->elections;
    int64_t expiry = s->conf.failover_timeout > HA_EXPIRY_MS ? s->conf.failover_timeout : HA_EXPIRY_MS;
    mutex_lock(&all->lock);
    size_t n = all->clusters.n < HA_SWEEP_CLUSTERS ? all->clusters.n : HA_SWEEP_CLUSTERS;
    for (size_t i = 0; i < n; i++) {
        struct ha_election *e = CONTAINER(list_pop_front(&all->all), struct ha_election, node);
        list_push_back(&all->all, &e->node);
        if (now - atomic_load(&e->seen) > expiry)
            ha_expire(all, e);
    }
    mutex_unlock(&all->lock);
    stage_wake(lane, now + HA_SWEEP_MS);
    return false;
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

static void ha_lane_init(struct stage_lane *lane)
{
    if (lane->lane == 0)
        stage_wake(lane, loop_now(lane->loop) + HA_SWEEP_MS);
}

static void ha_lane_free(struct stage_lane *lane)
{
    struct ha_lane *l = (struct ha_lane *)lane;
    ha_election_unref(l->election);
    buf_free(&l->cluster);
    buf_free(&l->replica);
    buf_free(&l->out);
}

void ha_elections_unref(struct ha_elections *e)
{
    if (e == NULL || !refs_drop(&e->refs))
        return;
    for (struct map_entry *entry = map_next(&e->clusters, NULL); entry; entry = map_next(&e->clusters, entry))
        ha_election_unref(entry->value.p);
    map_free(&e->clusters);
    mutex_free(&e->lock);
    mem_free(e);
}

static void ha_stage_free(struct stage *stage)
{
    ha_elections_unref(((struct ha_stage *)stage)->elections);
    mem_free(stage);
}

static void ha_stage_adopt(struct stage *stage, const struct stage *old)
{
    struct ha_stage *s = (struct ha_stage *)stage;
    ha_elections_unref(s->elections);
    s->elections = ((const struct ha_stage *)old)->elections;
    refs_take(&s->elections->refs);
}

static const struct stage_ops ha_ops = {.lane_size = sizeof(struct ha_lane), .free = ha_stage_free, .adopt = ha_stage_adopt,
                                        .lane_init = ha_lane_init, .lane_free = ha_lane_free, .apply = ha_apply,
                                        .tick = ha_tick};

/* Timeouts may change and the elections stay. */
struct stage *ha_stage_new(const struct ha_conf *conf)
{
    const uint64_t names[] = {hash_bytes(conf->cluster_label.p, conf->cluster_label.n),
                              hash_bytes(conf->replica_label.p, conf->replica_label.n)};
    struct ha_stage *s = mem_zalloc(sizeof *s);
    s->stage = (struct stage){&ha_ops, STAGE_HA, stage_identity(STAGE_HA, hash_bytes(names, sizeof names)), 0};
    s->conf = *conf;
    s->elections = mem_zalloc(sizeof *s->elections);
    refs_init(&s->elections->refs);
    list_init(&s->elections->all);
    mutex_init(&s->elections->lock, RANK_LEAF);
    return &s->stage;
}

struct ha_elections *ha_elections_of(const struct stage *s)
{
    if (s->kind != STAGE_HA)
        return NULL;
    struct ha_elections *e = ((const struct ha_stage *)s)->elections;
    refs_take(&e->refs);
    return e;
}

void ha_elections_each(struct ha_elections *e, void (*visit)(const struct ha_election_view *v, void *arg), void *arg)
{
    mutex_lock(&e->lock);
    for (struct map_entry *entry = map_next(&e->clusters, NULL); entry; entry = map_next(&e->clusters, entry)) {
        struct ha_election *x = entry->value.p;
        visit(&(struct ha_election_view){buf_str(&x->cluster), x->name.n > 0 ? buf_str(&x->name) : STR(""),
                                         atomic_load(&x->seen), atomic_load(&x->changes), atomic_load(&x->dropped)}, arg);
    }
    mutex_unlock(&e->lock);
}
