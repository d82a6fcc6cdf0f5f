// SPDX-License-Identifier: Apache-2.0
#include "gateway/ingest/otlp/otlp_delta.h"

#include "base/map.h"
#include "base/os/thread.h"
#include "base/text/duration.h"

enum { DELTA_STRIPES = 16, DELTA_FORGET = 8 /* at most, when a series is looked up */,
       DELTA_OVERHEAD = sizeof(struct otlp_delta_series) + 2 * sizeof(struct map_entry) };

struct delta_stripe {
    struct mutex lock;     /* guards all of it */
    struct map by_id;
    struct list used;      /* the series that was used last is the last one */
};
struct otlp_deltas {
    struct budget memory;
    struct delta_stripe stripes[DELTA_STRIPES];
};

struct otlp_deltas *otlp_deltas_new(void)
{
    struct otlp_deltas *d = mem_zalloc(sizeof *d);
    d->memory.max = OTLP_DELTA_MEMORY;
    for (unsigned i = 0; i < DELTA_STRIPES; i++) {
        mutex_init(&d->stripes[i].lock, RANK_LEAF);
        list_init(&d->stripes[i].used);
    }
    return d;
}

static struct str delta_key(const struct otlp_delta_series *s) { return str_n((const char *)&s->id, sizeof s->id); }

static void delta_forget(struct otlp_deltas *d, struct delta_stripe *stripe, struct otlp_delta_series *s)
{
    (void)!map_remove(&stripe->by_id, delta_key(s));
    list_remove(&s->node);
    budget_give(&d->memory, DELTA_OVERHEAD);
    buf_free(&s->sum);
    mem_free(s);
}

void otlp_deltas_free(struct otlp_deltas *d)
{
    if (d == NULL)
        return;
    for (unsigned i = 0; i < DELTA_STRIPES; i++) {
        struct delta_stripe *stripe = &d->stripes[i];
        while (!list_empty(&stripe->used))
            delta_forget(d, stripe, CONTAINER(stripe->used.next, struct otlp_delta_series, node));
        map_free(&stripe->by_id);
        mutex_free(&stripe->lock);
    }
    mem_free(d);
}

static struct delta_stripe *delta_stripe_of(struct otlp_deltas *d, uint64_t id) { return &d->stripes[id % DELTA_STRIPES]; }

static void delta_forget_unused(struct otlp_deltas *d, struct delta_stripe *stripe, int64_t now)
{
    for (unsigned i = 0; i < DELTA_FORGET && !list_empty(&stripe->used); i++) {
        struct otlp_delta_series *s = CONTAINER(stripe->used.next, struct otlp_delta_series, node);
        if (now - s->used < OTLP_DELTA_UNUSED)
            return;
        delta_forget(d, stripe, s);
    }
}

/* NULL: the memory is used up. */
static struct otlp_delta_series *delta_add(struct otlp_deltas *d, struct delta_stripe *stripe, uint64_t id, int64_t start,
                                           int64_t t)
{
    bool added;
    if (!budget_take(&d->memory, DELTA_OVERHEAD))
        return NULL;
    struct otlp_delta_series *s = mem_zalloc(sizeof *s);
    *s = (struct otlp_delta_series){.id = id, .start = start, .t = t, .sum.budget = &d->memory};
    map_add(&stripe->by_id, delta_key(s), &added)->value.p = s;
    list_push_back(&stripe->used, &s->node);
    return s;
}

static enum otlp_delta delta_verdict(const struct otlp_delta_series *s, int64_t start, int64_t t)
{
    if (t < s->t || (start > 0 && start < s->start))
        return OTLP_DELTA_LATE;
    return t == s->t ? OTLP_DELTA_AGAIN : OTLP_DELTA_ADD;
}

enum otlp_delta otlp_delta_open(struct otlp_deltas *d, uint64_t id, int64_t start, int64_t t, struct otlp_delta_series **series)
{
    struct delta_stripe *stripe = delta_stripe_of(d, id);
    enum otlp_delta verdict = OTLP_DELTA_NEW;
    mutex_lock(&stripe->lock);
    delta_forget_unused(d, stripe, clock_mono_ms());
    struct otlp_delta_series *s = map_get(&stripe->by_id, str_n((const char *)&id, sizeof id));
    if (s)
        verdict = delta_verdict(s, start, t);
    else if ((s = delta_add(d, stripe, id, start, t)) == NULL)
        verdict = OTLP_DELTA_FULL;
    *series = s;
    if (verdict == OTLP_DELTA_LATE || verdict == OTLP_DELTA_FULL) {
        mutex_unlock(&stripe->lock);
        return verdict;
    }
    s->t_before = s->t;
    s->t = t;
    s->used = clock_mono_ms();
    list_remove(&s->node);
    list_push_back(&stripe->used, &s->node);
    return verdict;
}

bool otlp_delta_store(struct otlp_deltas *d, struct otlp_delta_series *s, uint64_t shape, struct str sum)
{
    struct delta_stripe *stripe = delta_stripe_of(d, s->id);
    bool ok = buf_reserve(&s->sum, sum.n > s->sum.n ? sum.n - s->sum.n : 0);
    if (ok) {
        buf_clear(&s->sum);
        buf_add_str(&s->sum, sum);
        s->shape = shape;
    } else if (s->sum.n == 0) {
        delta_forget(d, stripe, s);
    } else {
        s->sum.over = s->sum.starved = false; /* the memory may suffice next time */
        s->t = s->t_before;
    }
    mutex_unlock(&stripe->lock);
    return ok;
}
