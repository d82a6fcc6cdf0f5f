// SPDX-License-Identifier: Apache-2.0
/* Private to model/discovery/: what consul_source.c and consulagent_source.c have in common. */
#ifndef MODEL_DISCOVERY_CONSUL_API_H
#define MODEL_DISCOVERY_CONSUL_API_H

#include "base/json/json_value.h"

/* As Consul's client: maintenance, then the worst of the checks. Begin with an empty one. */
struct consul_health { bool maintenance, warning, critical; };
void consul_health_add(struct consul_health *h, const struct json_value *check);
struct str consul_health_text(const struct consul_health *h); /* "passing" */

#endif
