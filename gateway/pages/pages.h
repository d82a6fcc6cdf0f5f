// SPDX-License-Identifier: Apache-2.0
/* Web pages: HTML if the client accepts it, otherwise plain text, which is readable with curl. */
#ifndef GATEWAY_PAGES_PAGES_H
#define GATEWAY_PAGES_PAGES_H

#include "gateway/http/http.h"

void page_index(struct http_request *r);
void page_cluster(struct http_request *r);
void page_metrics(struct http_request *r);
void page_config(struct http_request *r);
void page_flags(struct http_request *r);
void page_reload_status(struct http_request *r); /* messages of the last load of the configuration */
void page_reloaded(struct http_request *r, const struct err *err); /* the result of /-/reload; NULL = success */
/* Targets, destinations and server groups. On a worker. Parameters: q (part of URL, label or error), state (up, down,
 * unknown, invalid), page; vmagent's show_only_unhealthy, endpoint_search, label_search and show_original_labels. */
void page_targets(struct http_request *r);
/* What the jobs have discovered, before and after relabeling. On a worker. Parameters: q (part of a label or error), state
 * (active, dropped, invalid), job, page. */
void page_service_discovery(struct http_request *r);
/* What a target responds to a scrape. On a worker. Parameter: id. */
void page_target_response(struct http_request *r);
/* What relabel rules do, step by step: to a series, to the labels of a target. On a worker. Parameters: metric,
 * relabel_configs, id (of a target), format=json. */
void page_metric_relabel_debug(struct http_request *r);
void page_target_relabel_debug(struct http_request *r);

#endif
