// SPDX-License-Identifier: Apache-2.0
#include "scraper/moved_targets.h"

#include "base/text/duration.h"
#include "scraper/handover.h"

struct moved_target {
    struct list node;
    struct target *target; /* a reference */
    int64_t until;         /* loop_mono */
    bool handed;
};

static struct str moved_key(const uint64_t *id) { return str_n(id, sizeof *id); }

static void moved_remove(struct moved_targets *m, struct moved_target *e)
{
    m->not_handed -= !e->handed;
    map_remove(&m->ids, moved_key(&e->target->id));
    list_remove(&e->node);
    target_unref(e->target);
    mem_free(e);
}

static void moved_expire(struct loop_timer *timer)
{
    struct moved_targets *m = CONTAINER(timer, struct moved_targets, due);
    int64_t now = loop_mono(m->main);
    mutex_lock(m->mutex);
    while (!list_empty(&m->all)) {
        struct moved_target *e = CONTAINER(m->all.next, struct moved_target, node);
        if (e->until > now) {
            loop_timer_in(m->main, timer, e->until - now);
            break;
        }
        moved_remove(m, e);
    }
    mutex_unlock(m->mutex);
}

void moved_init(struct moved_targets *m, struct loop *main, struct mutex *mutex)
{
    *m = (struct moved_targets){.main = main, .mutex = mutex, .due.run = moved_expire};
    list_init(&m->all);
}

void moved_free(struct moved_targets *m)
{
    loop_timer_stop(m->main, &m->due);
    while (!list_empty(&m->all))
        moved_remove(m, CONTAINER(m->all.next, struct moved_target, node));
    map_free(&m->ids);
    mem_free(m->arrivals);
}

void moved_add(struct moved_targets *m, struct target *t)
{
    struct moved_target *before = map_get(&m->ids, moved_key(&t->id));
    if (before)
        moved_remove(m, before);
    struct moved_target *e = mem_zalloc(sizeof *e);
    *e = (struct moved_target){.target = target_ref(t), .until = loop_mono(m->main) + HANDED_MS};
    map_set(&m->ids, moved_key(&t->id), e);
    list_push_back(&m->all, &e->node);
    m->not_handed++;
    if (!loop_timer_armed(&m->due))
        loop_timer_in(m->main, &m->due, HANDED_MS);
}

struct target *moved_find(const struct moved_targets *m, uint64_t id)
{
    const struct moved_target *e = map_get(&m->ids, moved_key(&id));
    return e ? e->target : NULL;
}

void moved_set_handed(struct moved_targets *m, uint64_t id)
{
    struct moved_target *e = map_get(&m->ids, moved_key(&id));
    if (e == NULL || e->handed)
        return;
    e->handed = true;
    m->not_handed--;
}

void moved_arrives(struct moved_targets *m, const struct target_arrival *a)
{
    if (m->n_arrivals == m->arrivals_cap)
        mem_grow(&m->arrivals, &m->arrivals_cap, m->n_arrivals + 1, sizeof *m->arrivals);
    m->arrivals[m->n_arrivals++] = *a;
}
