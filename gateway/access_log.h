// SPDX-License-Identifier: Apache-2.0
/* The access log: a line for each completed request, written by a separate thread (base/os/line_file.h). Off unless
 * --web.access-log is set. Secret parameters of URLs are masked.
 *
 *   combined   127.0.0.1 - - [29/Nov/2026:15:01:02 +0000] "GET /api/v1/query?query=up HTTP/1.1" 200 118 "REFERER" "AGENT"
 *   logfmt     time=... client=127.0.0.1:5555 method=GET uri=... status=200 bytes=118 duration=0.002 user_agent=...
 *   json       the same as one object
 */
#ifndef GATEWAY_ACCESS_LOG_H
#define GATEWAY_ACCESS_LOG_H

#include "gateway/http/http.h"

enum access_log_format { ACCESS_COMBINED, ACCESS_LOGFMT, ACCESS_JSON };
void access_log_write(struct http_request *r); /* http_hooks.sent */

#endif
