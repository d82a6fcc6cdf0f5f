// SPDX-License-Identifier: Apache-2.0
/* Internal to base/http: lists of lines (header fields, addresses) that libcurl reads. They are made and freed here, since
 * a call has some before libcurl is loaded. */
#ifndef BASE_HTTP_CLIENT_LINES_H
#define BASE_HTTP_CLIENT_LINES_H

#include "base/http/client.h"

/* Whether all that a profile puts into header lines is fit for them. */
bool client_lines_check(const struct client_profile_conf *c, struct err *err) MUST_USE;

struct curl_slist;
void client_line_add(struct curl_slist **list, const char *line); /* appends a copy */
void client_lines_free(struct curl_slist *list);

#endif
