// SPDX-License-Identifier: Apache-2.0
/* Internal to base/http: the response of a call, however it was transferred: header fields for the reply, and the body,
 * decompressed and within its limit, for the data callback. call->reply.status is set before. */
#ifndef BASE_HTTP_CLIENT_BODY_H
#define BASE_HTTP_CLIENT_BODY_H

#include "base/http/client_call.h"

/* Of one client: what complete gzip bodies are decompressed with, and into. Zeroed at first. */
struct client_scratch {
    struct inflater *inflater;
    struct buf unpacked;
};
void client_scratch_free(struct client_scratch *s);

void client_body_take_header(struct client_call *call, struct str name, struct str value);
void client_body_forget_head(struct client_call *call); /* another one follows */
/* Bytes of the body as transferred. False: the call ends, because it was canceled, because the body is corrupted
 * (call->corrupted_body), or for the reason in reply.err. */
bool client_body_take(struct client_call *call, struct str piece) MUST_USE;
bool client_body_end(struct client_call *call) MUST_USE; /* the body is complete; false: as above */
void client_body_free(struct client_call *call);

#endif
