// SPDX-License-Identifier: Apache-2.0
/* Handlers of the query API of Prometheus: /api/v1/query and related ones, and /federate. Parameters and responses are
 * in docs/http-api.md. All run on workers: they query the upstream, wait and compute.
 *
 * Files: call.c (envelope and memory of the response), query.c (query, query_range), series.c (series, labels, label
 * values), metadata.c, format.c, exemplars.c, federate.c, read.c, rules.c (also alerts), targets.c, target_relabel.c,
 * tsdb.c, upstreams.c. Code that other callers use as well is in gateway/query/.
 */
#ifndef GATEWAY_API_QUERY_H
#define GATEWAY_API_QUERY_H

#include "gateway/http/http.h"

void api_query(struct http_request *r);
void api_query_range(struct http_request *r);
void api_explain(struct http_request *r); /* how the result of a query was made: trace.h */
void api_query_exemplars(struct http_request *r);
void api_format_query(struct http_request *r);
void api_parse_query(struct http_request *r);
void api_series(struct http_request *r);
void api_labels(struct http_request *r);
void api_label_values(struct http_request *r); /* /api/v1/label/ * /values */
void api_metadata(struct http_request *r);
void api_status_coverage(struct http_request *r);
void api_status_audit(struct http_request *r);
void api_federate(struct http_request *r);
void api_read(struct http_request *r); /* remote_read */
void api_rules(struct http_request *r);
void api_alerts(struct http_request *r);
void api_alertmanagers(struct http_request *r);
void api_status_tsdb(struct http_request *r);
void api_status_upstreams(struct http_request *r);
void api_targets(struct http_request *r);
void api_scrape_pools(struct http_request *r);
void api_targets_metadata(struct http_request *r);
void api_targets_relabel_steps(struct http_request *r);

extern struct stats_histogram query_durations; /* of instant and range queries; registered by metrics_start */

#endif
