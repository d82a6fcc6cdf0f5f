// SPDX-License-Identifier: Apache-2.0
#include "gateway/query/active.h"

#include "base/text/duration.h"

#include <stdio.h>
#include <sys/random.h>

void active_queries_init(struct active_queries *a)
{
    mutex_init(&a->_mutex, RANK_LEAF);
    list_init(&a->_list);
    if (getrandom(&a->_last_id, sizeof a->_last_id, GRND_NONBLOCK) != sizeof a->_last_id)
        a->_last_id = (uint64_t)clock_wall_ms();
}

void active_queries_free(struct active_queries *a) { mutex_free(&a->_mutex); }

void active_add(struct active_queries *a, struct active_query *q)
{
    mutex_lock(&a->_mutex);
    q->id = ++a->_last_id;
    list_push_back(&a->_list, &q->_node);
    mutex_unlock(&a->_mutex);
}

void active_remove(struct active_queries *a, struct active_query *q)
{
    mutex_lock(&a->_mutex);
    list_remove(&q->_node);
    mutex_unlock(&a->_mutex);
}

void active_set_times(struct active_queries *a, struct active_query *q, int64_t start, int64_t end, int64_t step)
{
    mutex_lock(&a->_mutex);
    q->start = start;
    q->end = end;
    q->step = step;
    mutex_unlock(&a->_mutex);
}

void active_each(struct active_queries *a, void (*visit)(void *arg, const struct active_query *q), void *arg)
{
    mutex_lock(&a->_mutex);
    for (const struct list *n = a->_list.next; n != &a->_list; n = n->next)
        visit(arg, CONTAINER(n, struct active_query, _node));
    mutex_unlock(&a->_mutex);
}

bool active_cancel(struct active_queries *a, uint64_t id)
{
    bool found = false;
    mutex_lock(&a->_mutex);
    for (struct list *n = a->_list.next; n != &a->_list && !found; n = n->next) {
        struct active_query *q = CONTAINER(n, struct active_query, _node);
        found = q->id == id;
        if (found)
            atomic_store(&q->stopped, true);
    }
    mutex_unlock(&a->_mutex);
    return found;
}

void active_id_print(uint64_t id, char text[ACTIVE_ID_SIZE])
{
    snprintf(text, ACTIVE_ID_SIZE, "%016llX", (unsigned long long)id);
}

bool active_id_parse(struct str text, uint64_t *id)
{
    *id = 0;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
        if (digit < 0)
            return false;
        *id = *id << 4 | (unsigned)digit;
    }
    return text.n > 0 && text.n < ACTIVE_ID_SIZE;
}
