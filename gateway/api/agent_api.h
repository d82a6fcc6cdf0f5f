// SPDX-License-Identifier: Apache-2.0
/* Handlers of Grafana Agent's API (static mode). */
#ifndef GATEWAY_API_AGENT_API_H
#define GATEWAY_API_AGENT_API_H

#include "base/json/json_write.h"
#include "gateway/http/http.h"

/* agent_configs.c */
void api_agent_configs(struct http_request *r);
void api_agent_config_get(struct http_request *r);
void api_agent_config_put(struct http_request *r);    /* finishes by itself */
void api_agent_config_delete(struct http_request *r); /* likewise */
/* Writes the response up to its data; json_end_object ends it. */
void agent_begin(struct http_request *r, struct json_writer *w);
void agent_error(struct http_request *r, int status, const char *text);

/* agent_status.c */
void api_agent_instances(struct http_request *r);
void api_agent_targets(struct http_request *r);
void api_agent_ring(struct http_request *r);

#endif
