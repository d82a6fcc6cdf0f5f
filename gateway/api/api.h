// SPDX-License-Identifier: Apache-2.0
/* Handlers of the API that read no upstream: status, lifecycle. */
#ifndef GATEWAY_API_API_H
#define GATEWAY_API_API_H

#include "base/json/json_write.h"
#include "gateway/http/http.h"

/* status.c */
void api_buildinfo(struct http_request *r);
void api_runtimeinfo(struct http_request *r);
void api_status_config(struct http_request *r);
void api_status_reload(struct http_request *r);
void api_status_flags(struct http_request *r);
void api_cluster(struct http_request *r);
void api_cluster_member(struct http_request *r);
void api_cluster_sd(struct http_request *r);
void api_cluster_handover(struct http_request *r);
void api_cluster_owners(struct http_request *r);
void api_version(struct http_request *r);
void api_walreplay(struct http_request *r);
void api_notifications(struct http_request *r);
void api_no_live_notifications(struct http_request *r);
void api_features(struct http_request *r);
void api_no_admin(struct http_request *r);

/* lifecycle.c */
void api_reload(struct http_request *r); /* finishes by itself */
void api_quit(struct http_request *r);
void api_health(struct http_request *r);
void api_healthy(struct http_request *r);
void api_ready(struct http_request *r);
void api_ready_vmagent(struct http_request *r); /* 425 until every job has completed its first discovery */
void api_ping(struct http_request *r);

/* active_queries.c */
void api_active_queries(struct http_request *r);
void api_cancel_query(struct http_request *r);

/* The envelope {"status":"success","data": ... }: the caller writes the data between both calls. */
void api_begin(struct http_request *r, struct json_writer *w);
void api_end(struct json_writer *w);

#endif
