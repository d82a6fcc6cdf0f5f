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

/* The scrape interval of two series; 0: unknown. */
static int64_t interval_of(const struct times *x, const struct times *y)
{
    int64_t a = least_distance(x), b = least_distance(y), least = a < b ? a : b;
    return least == INT64_MAX ? 0 : least;
}

/* Does the sample follow or precede another one by an interval, about? */
static bool beside_another(const struct times *s, size_t i, int64_t interval)
{
    int64_t most = interval + interval / 2, t = time_of(s, i);
    return (i > 0 && t - time_of(s, i - 1) <= most) || (i + 1 < s->n && time_of(s, i + 1) - t <= most);
}

/* Two scrapes of one moment are less than half an interval apart. Where gaps alternate the interval that is seen may be
 * two of the real ones, and samples of one stream that are one apart would count as scrapes of one moment: half of it
 * shows nothing, nor does a sample that stands alone. */
static bool of_one_moment(const struct times *x, size_t i, const struct times *y, size_t k, int64_t interval)
{
    int64_t apart = time_of(x, i) - time_of(y, k), far = apart < 0 ? -apart : apart;
    return far * 20 <= interval * 9 && beside_another(x, i, interval) && beside_another(y, k, interval);
}

/* Where each replica lacks what the other one has, their samples are intervals apart, to the millisecond when both come
 * from one scraper. Irregular series show nothing of that kind. */
static bool whole_intervals(int64_t far, int64_t interval)
{
    return interval >= COPIES_INTERVAL_MS && far % interval == 0;
}

/* Compares neighbouring samples, the newest first: equal, or near. */
static void compare_times(struct evidence *e, const struct times *x, const struct times *y, const struct sample *vx,
                          const struct sample *vy)
{
    unsigned left = COPIES_PER_SERIES;
    int64_t interval = -1;
    for (size_t i = x->n, k = y->n; i > 0 && k > 0 && left > 0; left--) {
        int64_t apart = time_of(x, i - 1) - time_of(y, k - 1), far = apart < 0 ? -apart : apart;
        if (far > 0 && interval < 0)
            interval = interval_of(x, y);
        bool near = far == 0 || of_one_moment(x, i - 1, y, k - 1, interval);
        bool marker = vx && (is_stale(vx[i - 1].v) || is_stale(vy[k - 1].v));
        if (apart == 0 && !marker && (vx == NULL || same_value(vx[i - 1].v, vy[k - 1].v)))
            e->equal++;
        else if (near && !marker)
            e->apart++;
        else if (!near && !marker && whole_intervals(far, interval))
            e->equal++;
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

static bool copies_by_counts(uint64_t equal, uint64_t all) { return equal * 100 >= all * COPIES_PERCENT; }

/* Are all jobs of the pair that are decided copies, at least one? */
static bool copies_of_all_jobs(const struct copies_slot *slots)
{
    bool any = false;
    for (size_t i = 0; i < COPIES_JOBS; i++) {
        uint64_t all = (uint64_t)slots[i].equal + slots[i].apart;
        if (all >= COPIES_MIN && !copies_by_counts(slots[i].equal, all))
            return false;
        any = any || all >= COPIES_MIN;
    }
    return any;
}

bool copies_are_known(struct copies_memory *m, size_t i, size_t k)
{
    mutex_lock(&m->mutex);
    const struct copies_slot *slots = m->pairs[pair_index(i, k)];
    bool known = slots && copies_of_all_jobs(slots);
    mutex_unlock(&m->mutex);
    return known;
}

bool copies_decide(struct copies_memory *m, size_t i, size_t k, struct str job, struct evidence seen, bool presumed)
{
    uint64_t hash = hash_bytes(job.p, job.n), equal = seen.equal, all = (uint64_t)seen.equal + seen.apart;
    if (m == NULL)
        return all < COPIES_MIN ? presumed : copies_by_counts(equal, all);
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
    if (all < COPIES_MIN && all > 0 && all == equal && !presumed)
        presumed = copies_of_all_jobs(m->pairs[pair_index(i, k)]);
    mutex_unlock(&m->mutex);
    return all < COPIES_MIN ? presumed : copies_by_counts(equal, all);
}
