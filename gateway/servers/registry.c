// SPDX-License-Identifier: Apache-2.0
#include "gateway/servers/registry.h"

#include "base/list.h"
#include "base/map.h"

#include <assert.h>

/* Entries of one kind: by key, and unused ones in the order in which they became unused. */
struct registry_table {
    struct map entries; /* struct registry_entry */
    struct list unused;
    size_t n_unused;
};

struct registry_entry {
    struct list unused; /* of the table, while users is 0 */
    struct buf key;
    unsigned users;
    union {
        struct server_health health;
        struct server_traffic traffic;
        struct group_traffic group;
    };
};

struct server_registry {
    struct mutex mutex;
    struct registry_table health, traffic, groups;
};

struct server_registry *server_registry_new(void)
{
    struct server_registry *r = mem_zalloc(sizeof *r);
    mutex_init(&r->mutex, RANK_LEAF);
    list_init(&r->health.unused);
    list_init(&r->traffic.unused);
    list_init(&r->groups.unused);
    return r;
}

static void registry_free_entry(struct server_registry *r, struct registry_table *t, struct registry_entry *e)
{
    list_remove(&e->unused);
    t->n_unused--;
    map_remove(&t->entries, buf_str(&e->key));
    buf_free(&e->key);
    if (t == &r->health) {
        mutex_free(&e->health.mutex);
        buf_free(&e->health.external);
        buf_free(&e->health.pushed.text);
    }
    mem_free(e);
}

static void registry_free_unused(struct server_registry *r, struct registry_table *t, size_t most)
{
    while (t->n_unused > most)
        registry_free_entry(r, t, CONTAINER(t->unused.next, struct registry_entry, unused));
}

void server_registry_free(struct server_registry *r)
{
    registry_free_unused(r, &r->health, 0);
    registry_free_unused(r, &r->traffic, 0);
    registry_free_unused(r, &r->groups, 0);
    assert(r->health.entries.n + r->traffic.entries.n + r->groups.entries.n == 0); /* an entry is still in use */
    map_free(&r->health.entries);
    map_free(&r->traffic.entries);
    map_free(&r->groups.entries);
    mutex_free(&r->mutex);
    mem_free(r);
}

static struct registry_entry *registry_new_entry(struct server_registry *r, struct registry_table *t, struct str key)
{
    struct registry_entry *e = mem_zalloc(sizeof *e);
    buf_add_str(&e->key, key);
    map_set(&t->entries, buf_str(&e->key), e);
    if (t == &r->health) {
        mutex_init(&e->health.mutex, RANK_SERVER);
        list_init(&e->health.flights);
    }
    return e;
}

static struct registry_entry *registry_get(struct server_registry *r, struct registry_table *t, struct str key)
{
    mutex_lock(&r->mutex);
    struct registry_entry *e = map_get(&t->entries, key);
    if (e == NULL) {
        e = registry_new_entry(r, t, key);
    } else if (e->users == 0) {
        list_remove(&e->unused);
        t->n_unused--;
    }
    e->users++;
    mutex_unlock(&r->mutex);
    return e;
}

static void registry_put(struct server_registry *r, struct registry_table *t, struct registry_entry *e)
{
    mutex_lock(&r->mutex);
    assert(e->users > 0);
    if (--e->users == 0) {
        list_push_back(&t->unused, &e->unused);
        t->n_unused++;
        registry_free_unused(r, t, SERVERS_UNUSED);
    }
    mutex_unlock(&r->mutex);
}

struct server_health *server_health_get(struct server_registry *r, struct str key)
{
    return &registry_get(r, &r->health, key)->health;
}

void server_health_put(struct server_registry *r, struct server_health *health)
{
    registry_put(r, &r->health, CONTAINER(health, struct registry_entry, health));
}

struct server_traffic *server_traffic_get(struct server_registry *r, struct str group, struct str url)
{
    struct buf key = {0};
    buf_add_str(&key, group);
    buf_add_char(&key, '\0');
    buf_add_str(&key, url);
    struct registry_entry *e = registry_get(r, &r->traffic, buf_str(&key));
    buf_free(&key);
    return &e->traffic;
}

void server_traffic_put(struct server_registry *r, struct server_traffic *traffic)
{
    registry_put(r, &r->traffic, CONTAINER(traffic, struct registry_entry, traffic));
}

struct group_traffic *group_traffic_get(struct server_registry *r, struct str group)
{
    return &registry_get(r, &r->groups, group)->group;
}

void group_traffic_put(struct server_registry *r, struct group_traffic *traffic)
{
    registry_put(r, &r->groups, CONTAINER(traffic, struct registry_entry, group));
}
