// SPDX-License-Identifier: Apache-2.0
/* Reads the state of all targets for a report: a page or a response of the API, on a worker. From then on the arena and
 * the response of the request have no separate limit: they are charged to the budget of all reports, which is separate
 * from that of queries. deadline_mono: until when the lanes may report their targets, 0 = none.
 */
#ifndef GATEWAY_SERVICES_TARGET_STATE_H
#define GATEWAY_SERVICES_TARGET_STATE_H

#include "base/err.h"
#include "gateway/http/http.h"
#include "scraper/scraper.h"

/* False: `err` is set. The result is in the request's arena. */
bool services_targets(struct http_request *r, int64_t deadline_mono, struct scraper_targets *out,
                      struct err *err) MUST_USE;
bool services_targets_metadata(struct http_request *r, int64_t deadline_mono, const struct metadata_visit *v,
                               struct err *err) MUST_USE;
/* scraper_handed_pages, into the response. */
bool services_handed_pages(struct http_request *r, int64_t deadline_mono, const struct scraper_wishes *wishes, size_t max,
                           struct err *err) MUST_USE;
/* Appends what the target responds to the response. */
bool services_target_response(struct http_request *r, uint64_t id, int64_t deadline_mono, struct err *err) MUST_USE;
/* After the response is rendered: false, with err, if it needed more than the memory that was left. */
bool services_report_complete(struct http_request *r, struct err *err) MUST_USE;

#endif
