// SPDX-License-Identifier: Apache-2.0
/* Private to model/discovery/: one request to the API of a server, whose response is JSON or XML, which has the same trees.
 * The status must be 200, and the response at most 32 MiB, its tree 256 MiB. Main thread. */
#ifndef MODEL_DISCOVERY_SD_REQUEST_H
#define MODEL_DISCOVERY_SD_REQUEST_H

#include "base/http/client.h"
#include "base/json/json_value.h"
#include "model/discovery/groups/sd_groups.h"
#include "base/xml/xml_value.h"

enum { SD_TREE_MAX = SD_GROUPS_MAX };
struct sd_request {              /* zeroed; may be used again after done */
    struct client_call *call;    /* in progress, or NULL */
    struct arena arena;          /* of the document */
    int status;                  /* of the response; 0: none */
    uint64_t index;              /* of a blocking query; 0: none */
    bool is_xml;
    union { struct json_value_reader json; struct xml_value_reader xml; } reader;
    struct buf refusal;          /* the beginning of a response with another status */
    char *url;
    struct client_profile *profile; /* borrowed */
    /* doc: valid until the request is used again or freed; NULL with err, which has no secrets. */
    void (*done)(struct sd_request *r, const struct json_value *doc, struct err *err);
};
struct sd_ask {
    struct client *client;
    struct client_profile *profile;
    const char *socket;          /* path of a Unix socket instead of the URL's host; NULL: none */
    struct str url;
    const char *const *headers; size_t n_headers;
    struct str body;             /* a form, for a POST; borrowed until the end; empty: a GET */
    bool is_xml;                 /* the response */
    bool doubtful;               /* one of many: as in struct client_request */
    int64_t timeout_ms;
};
void sd_request_start(struct sd_request *r, const struct sd_ask *ask);
void sd_request_free(struct sd_request *r); /* ends it without a callback */

#endif
