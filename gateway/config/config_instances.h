// SPDX-License-Identifier: Apache-2.0
/* Private to gateway/config/: instances of Grafana Agent as part of a load. */
#ifndef GATEWAY_CONFIG_CONFIG_INSTANCES_H
#define GATEWAY_CONFIG_CONFIG_INSTANCES_H

#include "gateway/agent/agent_conf.h"
#include "gateway/config/config_file.h"

/* Takes over the file's `metrics`: its global section, and the cluster of its scraping service. */
bool config_use_metrics(struct loader *l) MUST_USE;
const struct yaml *config_metrics_node(const struct loader *l); /* also by its old name, `prometheus`; NULL: none */
const struct yaml *config_global_node(const struct loader *l);  /* of the file, or of `metrics` */
extern const struct conf_section agent_global_section;          /* the keys of metrics.global that may name files */
bool config_load_instances(struct loader *l, void *arg);        /* a step of the load: those of the file */
void config_add_stored(struct loader *l, const struct instance_set *set); /* NULL: there are none */

#endif
