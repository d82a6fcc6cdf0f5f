// SPDX-License-Identifier: Apache-2.0
/* The instances stored in etcd (metrics.scraping_service). When they change, the configuration is loaded again with
 * them and with its files as last loaded: a file that is being edited or is invalid does not keep a member from
 * following. */
#include "gateway/services/services.h"

#include "base/telemetry/log.h"
#include "gateway/agent/agent_ring.h"
#include "gateway/agent/instance_store.h"
#include "gateway/cluster/etcd_access.h"

enum { INSTANCES_SETTLE_MS = 200 /* changes that follow each other are one load */ };

static void instances_on_due(struct loop_timer *t)
{
    struct services *s = CONTAINER(t, struct services, instances_due);
    if (atomic_load(&s->state) == SERVICES_STARTING)
        loop_timer_in(s->control, t, INSTANCES_SETTLE_MS);
    else
        services_reload_instances(s);
}

static void instances_on_change(void *arg)
{
    struct services *s = arg;
    if (!loop_timer_armed(&s->instances_due))
        loop_timer_in(s->control, &s->instances_due, INSTANCES_SETTLE_MS);
}

bool services_follow_instances(struct services *s, struct config *c, struct err *err)
{
    const struct scraping_service_conf *conf = c->scraping_service;
    if (s->_config && (conf != NULL) != (s->instances != NULL))
        return err_set(err, ERR_BAD_DATA, "metrics.scraping_service: enabling or disabling it needs a restart");
    if (conf == NULL || s->instances)
        return true;
    const struct etcd_section *ring = c->ring_etcd;
    struct etcd *etcd = etcd_access_new(s->control, c->instances_etcd, c->instances_etcd->timeout, err);
    struct etcd *ring_etcd = etcd ? etcd_access_new(s->control, ring, ring->timeout, err) : NULL;
    if (ring_etcd == NULL) {
        if (etcd)
            etcd_free(etcd);
        return false;
    }
    s->agent_ring = agent_ring_new(ring_etcd, conf->lifecycler.ring.kvstore.prefix,
                                   conf->lifecycler.ring.heartbeat_timeout);
    s->instances_due.run = instances_on_due;
    s->instances = instance_store_new(&(struct instance_store_conf){.etcd = etcd, .prefix = conf->kvstore.prefix,
                                                                    .changed = instances_on_change, .arg = s});
    s->_instances_config = config_ref(c);
    return true;
}

void services_check_instances(const struct services *s, const struct config *c)
{
    const struct config *used = s->_instances_config;
    if (used == NULL || c->scraping_service == NULL)
        return;
    const struct agent_kvstore *kv = &used->scraping_service->kvstore, *new_kv = &c->scraping_service->kvstore;
    const struct agent_lifecycler *l = &used->scraping_service->lifecycler, *new_l = &c->scraping_service->lifecycler;
    if (!conf_equal(&etcd_section, used->instances_etcd, c->instances_etcd) || !str_eq(kv->prefix, new_kv->prefix) ||
        !conf_equal(&etcd_section, used->ring_etcd, c->ring_etcd) ||
        !str_eq(l->ring.kvstore.prefix, new_l->ring.kvstore.prefix) ||
        l->ring.heartbeat_timeout != new_l->ring.heartbeat_timeout)
        log_warn("config", "metrics.scraping_service has changed: where the instances and the Agents' ring are stored "
                 "is used after a restart");
}

bool services_have_instances(const struct services *s)
{
    return s->instances == NULL || (s->_config && s->_config->has_stored_instances);
}

bool services_agents_gone(const struct services *s) { return s->agent_ring == NULL || agent_ring_empty(s->agent_ring); }

struct instance_set *services_instances(const struct services *s)
{
    return s->instances ? instance_store_set(s->instances) : NULL;
}

void services_free_instances(struct services *s)
{
    loop_timer_stop(s->control, &s->instances_due);
    instance_store_free(s->instances);
    agent_ring_free(s->agent_ring);
    config_unref(s->_instances_config);
    s->_instances_config = NULL;
    s->instances = NULL;
    s->agent_ring = NULL;
}
