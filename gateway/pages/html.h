// SPDX-License-Identifier: Apache-2.0
/* Private to gateway/pages/: HTML of the web pages. */
#ifndef GATEWAY_PAGES_HTML_H
#define GATEWAY_PAGES_HTML_H

#include "gateway/http/http.h"

bool html_wanted(struct http_request *r);           /* the client accepts text/html */
void html_begin(struct http_request *r, const char *title); /* up to <main>, including the navigation */
void html_end(struct http_request *r);
/* The response becomes an error, with a link to the page without parameters. */
void html_fail(struct http_request *r, const char *title, const struct err *err);
void html_text(struct buf *out, struct str s);      /* escaped, for elements and attributes */
void html_ago(struct buf *out, int64_t then, int64_t now); /* "3.2s ago", "never" for 0 */
void html_count(struct buf *out, uint64_t n);       /* 12,345 */
void html_bytes(struct buf *out, uint64_t n);       /* 3.4 MiB */
/* A table cell with the last error, highlighted if `current`; `at`: its time, 0 = not shown. Empty without an error. */
void html_last_error(struct buf *out, struct str error, int64_t at, bool current, int64_t now);

#endif
