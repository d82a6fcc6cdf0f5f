// SPDX-License-Identifier: Apache-2.0
#include "gateway/merge/copies.h"

#include "base/hash.h"

static size_t pair_index(size_t i, size_t k) { return i < k ? k * (k - 1) / 2 + i : i * (i - 1) / 2 + k; }

void copies_memory_init(struct copies_memory *m, const uint64_t *keys, size_t n_replicas)
{
    mutex_init(&m->mutex, RANK_COPIES);
    m->n = n_replicas * (n_replicas > 0 ? n_replicas - 1 : 0) / 2;
    m->pairs = mem_zalloc((m->n + 1) * sizeof *m->pairs);
    m->keys = mem_zalloc((n_replicas + 1) * sizeof *m->keys);
    m->n_replicas = n_replicas;
    for (size_t i = 0; i < n_replicas; i++)
        m->keys[i] = keys[i];
}

void copies_memory_free(struct copies_memory *m)
{
    for (size_t i = 0; i < m->n; i++)
        mem_free(m->pairs[i]);
    mem_free(m->pairs);
    mem_free(m->keys);
    mutex_free(&m->mutex);
}

static size_t copies_replica(const struct copies_memory *m, uint64_t key)
{
    size_t i = 0;
    while (i < m->n_replicas && m->keys[i] != key)
        i++;
    return i;
}

/* The slots of a pair as they are, NULL: there are none. mem_free. */
static struct copies_slot *pair_slots(struct copies_memory *m, size_t pair)
{
    struct copies_slot *slots = NULL;
    mutex_lock(&m->mutex);
    if (m->pairs[pair]) {
        slots = mem_alloc(COPIES_JOBS * sizeof *slots);
        memcpy(slots, m->pairs[pair], COPIES_JOBS * sizeof *slots);
    }
    mutex_unlock(&m->mutex);
    return slots;
}

void copies_memory_adopt(struct copies_memory *m, struct copies_memory *old)
{
    for (size_t k = 1; k < m->n_replicas; k++)
        for (size_t i = 0; i < k; i++) {
            size_t x = copies_replica(old, m->keys[i]), y = copies_replica(old, m->keys[k]);
            if (x == y || x == old->n_replicas || y == old->n_replicas)
                continue;
            struct copies_slot *slots = pair_slots(old, pair_index(x, y));
            mutex_lock(&m->mutex);
            if (slots && m->pairs[pair_index(i, k)] == NULL) {
                m->pairs[pair_index(i, k)] = slots;
                slots = NULL;
            }
            mutex_unlock(&m->mutex);
            mem_free(slots);
        }
}

/* Storages round the last digits. */
static bool same_value(double x, double y)
{
    double size = fabs(x) > fabs(y) ? fabs(x) : fabs(y);
    return x == y || (isnan(x) && isnan(y)) || fabs(x - y) <= 1e-9 * size;
}

struct times { const char *items; size_t n, size; };

static int64_t time_of(const struct times *s, size_t i)
{
    int64_t t;
    memcpy(&t, s->items + i * s->size, sizeof t);
    return t;
}

/* Of neighbouring samples, among the newest. */
static int64_t least_distance(const struct times *s)
{
    int64_t least = INT64_MAX;
    for (size_t i = s->n, left = COPIES_PER_SERIES; i > 1 && left > 0; i--, left--) {
        int64_t distance = time_of(s, i - 1) - time_of(s, i - 2);
        least = distance < least ? distance : least;
    }
    return least;
}

/* Maximum distance of two samples of one moment: half of the scrape interval. The distance to a sample's own
 * neighbours would not do: beside gaps of both replicas it is two intervals, and samples of one stream that are an
 * interval apart would count as two scrapes of one moment. 0: the interval is unknown. */
static int64_t reach_of(const struct times *x, const struct times *y)
{
    int64_t a = least_distance(x), b = least_distance(y), least = a < b ? a : b;
    return least == INT64_MAX ? 0 : least / 2;
}

/* Compares neighbouring samples, the newest first: equal, or near. */
static void compare_times(struct evidence *e, const struct times *x, const struct times *y, const struct sample *vx,
                          const struct sample *vy)
{
    unsigned left = COPIES_PER_SERIES;
    int64_t reach = -1;
    for (size_t i = x->n, k = y->n; i > 0 && k > 0 && left > 0; left--) {
        int64_t apart = time_of(x, i - 1) - time_of(y, k - 1), far = apart < 0 ? -apart : apart;
        if (far > 0 && reach < 0)
            reach = reach_of(x, y);
        bool near = far == 0 || far <= reach;
        bool marker = vx && (is_stale(vx[i - 1].v) || is_stale(vy[k - 1].v));
        if (apart == 0 && !marker && (vx == NULL || same_value(vx[i - 1].v, vy[k - 1].v)))
            e->equal++;
        else if (near && !marker)
            e->apart++;
        i -= apart >= 0 || near;
        k -= apart <= 0 || near;
    }
}

void copies_compare(struct evidence *e, const struct series *x, const struct series *y)
{
    if (e->equal + e->apart > UINT32_MAX / 2)
        return;
    struct times fx = {(const char *)x->samples, x->n_samples, sizeof *x->samples};
    struct times fy = {(const char *)y->samples, y->n_samples, sizeof *y->samples};
    struct times hx = {(const char *)x->hists, x->n_hists, sizeof *x->hists};
    struct times hy = {(const char *)y->hists, y->n_hists, sizeof *y->hists};
    compare_times(e, &fx, &fy, x->samples, y->samples);
    compare_times(e, &hx, &hy, NULL, NULL);
}

static struct copies_slot *copies_slot_of(struct copies_memory *m, size_t pair, uint64_t job)
{
    if (m->pairs[pair] == NULL)
        m->pairs[pair] = mem_zalloc(COPIES_JOBS * sizeof **m->pairs);
    return &m->pairs[pair][job % COPIES_JOBS];
}

bool copies_decide(struct copies_memory *m, size_t i, size_t k, struct str job, struct evidence seen, bool presumed)
{
    uint64_t hash = hash_bytes(job.p, job.n), equal = seen.equal, all = (uint64_t)seen.equal + seen.apart;
    mutex_lock(&m->mutex);
    struct copies_slot *slot = copies_slot_of(m, pair_index(i, k), hash);
    if (slot->job == hash) {
        equal += slot->equal;
        all += (uint64_t)slot->equal + slot->apart;
    }
    if (seen.equal + seen.apart > 0) {
        uint64_t kept = all < COPIES_MEMORY ? all : COPIES_MEMORY, kept_equal = equal * kept / all;
        *slot = (struct copies_slot){hash, (uint16_t)kept_equal, (uint16_t)(kept - kept_equal)};
    }
    mutex_unlock(&m->mutex);
    return all < COPIES_MIN ? presumed : equal * 100 >= all * COPIES_PERCENT;
}
